"""Owns the moment in which a resumed run is where it was: its change is laid over the workspace as it is now."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from agent_lsp.agent.ledger import DeedKind
from agent_lsp.agent.ledger_records import steps_kept
from agent_lsp.agent.run import Run
from agent_lsp.agent.tools.submit_plan import plan_of
from agent_lsp.agent.world import Workshop, World
from agent_lsp.domain.changes import unified_diff
from agent_lsp.domain.errors import AgentLspError, ResumeError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.keeping import KeptDeed
from agent_lsp.domain.turn_data import answerer_of, usage_of

logger = logging.getLogger(__name__)

MOST_DIFF_CHARACTERS: Final = 200_000
MOST_PATHS: Final = 30


class Return:
    """What the way back needs to know, and its last step."""

    def __init__(self, run: Run, workshop: Workshop, world: World) -> None:
        self._run, self._workshop, self._world = run, workshop, world
        self._tree = ""

    def opened(self, kept: Mapping[str, Any] | None) -> None:
        """The tree that the run stood on, then."""
        if kept is not None:
            self._tree = str(kept["tree"])

    def skipped(self, deed: KeptDeed) -> None:
        """A deed that need not be told again in full; what it cost counts all the same, and who answered is known."""
        if deed.kind == DeedKind.TURN:
            self._run.desk.spend(usage_of(deed.data["usage"]))
            by = answerer_of(deed.data)
            self._run.record(EventKind.MODEL_TURN, {"answeredBy": "" if by is None else by.name})

    def edited(self, data: Mapping[str, Any]) -> None:
        """The person edited the plan here."""
        self._run.plan = plan_of(steps_kept(data["steps"]))

    async def arrive(self) -> None:
        """Everybody hears of the run again, and its candidate holds what it held.

        Raises ResumeError where the text no longer allows that; the change is kept in the journal then.
        """
        run = self._run
        run.desk.meter.carry(run.ledger.told_s)
        usage = run.desk.meter.usage
        told = {"turns": usage.turns, "workedS": round(run.ledger.told_s, 1)}
        run.record(EventKind.NOTE, {"text": f"Resumed: {run.goal.text}", **told})
        run.changed()  # first: who hears of the plan must find what it cost in the row
        if run.plan is not None:
            run.show_plan(run.plan)
        run.tell(f"Resumed: {run.goal.text}", None)
        edits = run.ledger.edits
        lost = await self._workshop.carry_over(edits)
        if lost:
            text = (
                f"the files changed while the run was interrupted, and its change no longer fits in {', '.join(lost)}"
            )
            run.record(EventKind.NOTE, {"text": text, "diff": unified_diff(edits)[:MOST_DIFF_CHARACTERS]})
            raise ResumeError(text, hint=f"agent-lsp replay {run.id} shows the change; start the goal again.")
        base = self._workshop.base.tree
        if self._tree and self._tree != base and usage.turns:
            await self._tell_moved(base)

    async def _tell_moved(self, base: str) -> None:
        moved = await self._moved_paths(base)
        shown = ", ".join(moved[:MOST_PATHS]) or "some files"
        more = f" and {len(moved) - MOST_PATHS} more" if len(moved) > MOST_PATHS else ""
        self._run.record(EventKind.NOTE, {"text": f"the workspace moved while the run was interrupted: {shown}{more}"})
        self._run.desk.tell_model(
            f"The work was interrupted, and meanwhile the person changed {shown}{more}. The files now hold their "
            "present text with your change laid over it; read them again before you edit them."
        )

    async def _moved_paths(self, base: str) -> list[str]:
        try:
            return [edit.path for edit in await self._world.trees.diff(self._tree, base)]
        except AgentLspError as error:
            logger.info("the tree that the run stood on is no longer kept: %s", error.message)
            return []
