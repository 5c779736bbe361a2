"""Owns what becomes of runs that were at work when their process ended: they go on, wait, or are closed."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from agent_lsp.agent.ledger import VERSION
from agent_lsp.agent.recovery import CRASHED
from agent_lsp.agent.session import Session, resume
from agent_lsp.agent.world import World
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.keeping import KeptRun, ProposalKeeper, RunKeeper, goal_text
from agent_lsp.domain.task import RunState

logger = logging.getLogger(__name__)

MOST_STARTS: Final = 3
"""A run whose process ended so often without getting any further is not tried again."""

_UNREADABLE: Final = f"{CRASHED}; what was kept of it cannot be read"

How = Literal["auto", "ask", "never"]


class Resuming:
    """The runs that a start finds. `proposals` are those on offer: what offered its change does not go on by itself."""

    def __init__(self, world: World, keeper: RunKeeper, proposals: ProposalKeeper) -> None:
        self._world, self._keeper, self._proposals = world, keeper, proposals

    async def settle_offers(self) -> None:
        """A run either goes on or has its change on offer: not both, wherever between the two its process ended."""
        offered = await self._proposals.runs()
        for run_id, data in (await self._keeper.left()).items():
            if data.get("proposalId"):
                self._proposals.drop(str(data["proposalId"]))
            elif run_id in offered:
                self._keeper.drop(run_id)

    async def left(self) -> Mapping[str, str]:
        """The runs that earlier processes left at work, with their goals; oldest first."""
        return {run_id: goal_text(data) for run_id, data in (await self._keeper.left()).items()}

    async def take_up(self, session: Session, how: How, run_id: str | None = None) -> Sequence[str]:
        """Resumes what earlier processes left, or this one of it; the ids of what goes on."""
        taken = []
        for kept in await self._keeper.adopt(run_id):
            try:
                if await self._take(session, kept, how):
                    taken.append(kept.id)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                logger.warning("what was kept of the run %s cannot be read: %r", kept.id, error)
                self._close(kept, _UNREADABLE)
        return taken

    async def _take(self, session: Session, kept: KeptRun, how: How) -> bool:
        reason = _reason_to_close(kept, how)
        if reason:
            self._close(kept, reason)
            return False
        try:
            run = await resume(session, kept)
        except AgentLspError as error:
            self._keeper.rest(kept.id)
            text = f"A run waits until it can go on: {kept.goal_text} ({error.message} {error.hint})"
            self._world.publish("message", {"level": "warning", "text": text})
            return False
        wait = how == "ask"
        if wait or kept.data.get("paused"):
            run.switch.pause()
        text = (
            f"Interrupted: {run.goal.text} It is paused: resume or cancel it." if wait else f"Resumed: {run.goal.text}"
        )
        self._world.publish("message", {"level": "info", "runId": run.id, "text": text})
        return True

    def _close(self, kept: KeptRun, reason: str) -> None:
        self._keeper.drop(kept.id)
        now = self._world.clock.now()
        data = {"state": RunState.FAILED.value, "reason": reason}
        self._world.journal.append(Event(kept.id, EventKind.RUN_ENDED, data, now))
        text = f"Not resumed: {kept.goal_text or kept.id} ({reason})"
        self._world.publish("message", {"level": "warning", "text": text})


def _reason_to_close(kept: KeptRun, how: How) -> str:
    if how == "never":
        return CRASHED
    if not kept.readable:
        return _UNREADABLE
    if kept.data.get("version") != VERSION:
        return f"{CRASHED}; another version of agent-lsp kept it, which this one cannot follow"
    if kept.starts > MOST_STARTS:
        return f"{CRASHED} {MOST_STARTS} times at the same place"
    return ""
