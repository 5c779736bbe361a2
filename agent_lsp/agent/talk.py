"""Owns what becomes of words that are said to a run: an answer from its journal, a correction, or both."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from agent_lsp.agent.engines import Talker
from agent_lsp.agent.run import Run
from agent_lsp.agent.session import Session
from agent_lsp.agent.talking import Spoken, Talk, in_short
from agent_lsp.agent.world import World
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.task import RunState

logger = logging.getLogger(__name__)

AT_ONCE_S: Final = 1.2
"""A reply that takes longer comes as the event `said`: a command answers within two seconds."""

_MAY_DO: Final[Mapping[RunState, str]] = {
    RunState.AWAITING_APPROVAL: "approve the plan, edit it, or reject it with words",
    RunState.PAUSED: "let it go on, step by step or whole, or cancel it",
    RunState.PROPOSED: "accept the change, a part of it, or discard it, with words to have it done differently",
    RunState.APPLIED: "roll the change back",
    RunState.BLOCKED: "answer its question",
}
_WORKS: Final = "wait, say what should be different, pause it or cancel it"
_OVER: Final = "start another run"


class Talks:
    """Conversations about the runs of one session."""

    def __init__(self, session: Session, world: World) -> None:
        self._session, self._world = session, world
        self._late: set[asyncio.Task[None]] = set()

    async def say(self, run_id: str | None, text: str) -> Mapping[str, Any]:
        """A reply, or that it comes later. Raises UnknownIdError."""
        run = self._run(run_id)
        talker = run.engines.talk if run is not None else None
        if run is None or run.desk.asking or talker is None:
            return {"reply": self._by_rule(run, run_id, text)}
        asking = asyncio.create_task(self._reply(run, talker, text), name=f"a talk about run {run.id}")
        try:
            done, _ = await asyncio.wait({asking}, timeout=AT_ONCE_S)
        except asyncio.CancelledError:
            asking.cancel()
            raise
        if done:
            return {"reply": asking.result()}
        late = asyncio.create_task(self._tell(run.id, text, asking))
        self._late.add(late)
        late.add_done_callback(self._late.discard)
        return {"pending": True}

    async def close(self) -> None:
        """Ends what is still being answered."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    def _run(self, run_id: str | None) -> Run | None:
        entry = self._session._entry(run_id) if run_id is not None else self._session._newest()
        return None if entry is None else entry.run

    def _by_rule(self, run: Run | None, run_id: str | None, text: str) -> str:
        """What the session makes of the words; how the run stands, where it cannot be talked to."""
        if run is None or run.desk.asking or run.engines.listens or not run.busy:
            return self._session.say(run_id, text)
        return f"{in_short(run.view(), run.plan)} {self._session.say(run_id, text)}"

    async def _reply(self, run: Run, talker: Talker, text: str) -> str:
        """The model's answer; where no endpoint has one, what the session makes of the words."""
        await self._world.journal.flush()
        events = await self._world.journal.read(run.id)
        takes = run.busy and run.engines.listens
        may_do = _MAY_DO.get(run.state, _WORKS if run.busy else _OVER)
        try:
            spoken = await talker.reply(Talk(text, run.view(), run.plan, events, takes, may_do))
        except AgentLspError as error:
            logger.warning("no model answered what was said to %s: %s", run.name, error.message)
            return self._session.say(run.id, text)
        if run.busy:
            run.desk.spend(spoken.turn.usage)
        reply = self._pass_on(run, spoken) if takes else spoken.reply
        by = spoken.turn.by
        told = {"text": text, "reply": reply, "by": by.name if by is not None else spoken.turn.model}
        run.record(EventKind.TALK, told)
        run.changed()
        return reply

    def _pass_on(self, run: Run, spoken: Spoken) -> str:
        """A plan that waits is made anew with the words; a run at work has them with its next turn.

        The reply; where the run came to rest meanwhile, with what the person can do instead.
        """
        if not spoken.words:
            return spoken.reply
        if run.state is RunState.AWAITING_APPROVAL:
            self._session.reject(run.id, spoken.words)
            return spoken.reply
        told = self._session.say(run.id, spoken.words)
        return spoken.reply if run.busy and not run.offering else f"{spoken.reply} But: {told}"

    async def _tell(self, run_id: str, text: str, asking: "asyncio.Task[str]") -> None:
        try:
            reply = await asking
        except asyncio.CancelledError:
            asking.cancel()
            raise
        except Exception:
            logger.exception("what was said to run %s was not answered", run_id)
            reply = "There was no answer; agent-lsp log says why."
        self._world.publish("said", {"runId": run_id, "text": text, "reply": reply})
