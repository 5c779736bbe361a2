"""Owns work-done progress: one cancellable bar for every piece of work, on a token of our own or the client's."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.task import ENDED, RunState
from agent_lsp.server.board import Json
from agent_lsp.server.desk import Desk, cancel, tell
from agent_lsp.server.public import shorten
from agent_lsp.server.session import Session

_OVER: Final = ENDED | {RunState.PROPOSED}
_OUTCOME_CHARS: Final = 200

Token = int | str


@dataclass(frozen=True, slots=True)
class Work:
    """What a bar shows. `name` is "run" for a run up to its rest, else the call that was asked for.

    `stop` ends it when the person presses cancel; without it, the run is cancelled.
    """

    desk: Desk
    name: str
    title: str
    run_id: str = ""
    proposal_id: str = ""
    stop: Callable[[], Awaitable[None]] | None = None


@dataclass(slots=True)
class Bar:
    """One bar; it is begun and ended at most once."""

    token: Token
    work: Work
    message: str
    percentage: int = 0
    begun: bool = False
    ended: str | None = None
    moved: bool = False


class Progress:
    """Follows the events of runtimes, and the commands that take long."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._bars: dict[Token, Bar] = {}
        self._created = 0
        session.listeners.on_event(self._on_event)

    def begin(self, work: Work, token: Token | None, message: str = "") -> Bar | None:
        """Shows work on the client's token; on one of our own where that is taken or missing, if the client can."""
        if token is None or token in self._bars:
            return self._open(work, message)
        bar = self._bars[token] = Bar(token, work, message)
        self._begin(bar)
        return bar

    def shows(self, run_id: str) -> bool:
        """Whether a bar of this run is there."""
        return any(bar.work.run_id == run_id for bar in self._bars.values())

    def end(self, bar: Bar | None, outcome: str) -> None:
        """Ends a bar and frees its token; one that has ended stays as it is."""
        if bar is None or bar.ended is not None:
            return
        bar.ended = shorten(outcome, _OUTCOME_CHARS)
        del self._bars[bar.token]
        if bar.begun:
            self._send(bar, types.WorkDoneProgressEnd(kind="end", message=bar.ended))

    def end_run(self, run_id: str, outcome: str) -> None:
        """Ends the bars of a run."""
        for bar in self._of_run(run_id):
            self.end(bar, outcome)

    async def cancel(self, token: Any) -> None:
        """The person pressed cancel on a bar. A token that shows nothing now is no error: the work just ended."""
        known = isinstance(token, int | str) and not isinstance(token, bool)
        bar = self._bars.get(token) if known else None
        if bar is None:
            return
        if bar.work.stop is not None:
            await bar.work.stop()
        else:
            await cancel(bar.work.desk, bar.work.run_id)

    # --- what the runtimes tell --------------------------------------------------------------------------------------

    def _on_event(self, desk: Desk, event: str, data: Json) -> None:
        if event == "run":
            self._on_run(desk, data)
        elif event == "progress":
            for bar in self._of_run(str(data.get("runId"))):
                self._report(bar, _wording(data), data.get("percentage"))
        elif event == "work_over":
            work, proposal_id = data.get("work"), data.get("proposalId")
            for bar in list(self._bars.values()):
                if (bar.work.name, bar.work.proposal_id) == (work, proposal_id):
                    self.end(bar, str(data.get("outcome") or "over"))
        elif event == "gone":
            for bar in list(self._bars.values()):
                if bar.work.desk is desk and bar.work.run_id not in desk.starting:
                    self.end(bar, "the runtime ended")

    def _on_run(self, desk: Desk, data: Json) -> None:
        run_id, state = str(data.get("runId")), str(data.get("state"))
        bars = self._of_run(run_id)
        if state not in _OVER:
            if not bars:
                work = Work(desk, "run", str(data.get("goal", "")), run_id, str(data.get("proposalId") or ""))
                self._open(work, state)
            for bar in bars:
                bar.moved = True
                self._report(bar, _wording(data))
            return
        for bar in bars:
            if bar.moved or bar.work.name == "run" or state in ENDED:
                self.end(bar, _ending(bar, state, data))

    def _of_run(self, run_id: str) -> list[Bar]:
        return [bar for bar in self._bars.values() if bar.work.run_id == run_id]

    # --- what the client is told -------------------------------------------------------------------------------------

    def _open(self, work: Work, message: str) -> Bar | None:
        if not self._session.traits.progress:
            return None
        self._created += 1
        bar = Bar(f"agent-lsp-{work.run_id or work.name}-{self._created}", work, message)
        self._bars[bar.token] = bar
        self._session.client.in_background(self._create(bar))
        return bar

    async def _create(self, bar: Bar) -> None:
        """A client that refuses, or does not answer in time, is shown nothing."""
        params = types.WorkDoneProgressCreateParams(token=bar.token)
        try:
            await self._session.client.ask(types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)
        except (AgentLspError, TimeoutError):
            return
        self._begin(bar)
        if bar.ended is not None:  # over before the client had answered: its token is freed all the same
            self._send(bar, types.WorkDoneProgressEnd(kind="end", message=bar.ended))

    def _begin(self, bar: Bar) -> None:
        bar.begun = True
        title = f"Agent: {shorten(bar.work.title)}"
        begin = types.WorkDoneProgressBegin(
            kind="begin", title=title, cancellable=True, message=bar.message or None, percentage=bar.percentage
        )
        self._send(bar, begin)

    def _report(self, bar: Bar, message: str, percentage: Any = None) -> None:
        moved = isinstance(percentage, int | float) and not isinstance(percentage, bool)
        value = min(max(int(percentage), bar.percentage), 100) if moved else bar.percentage
        if (message, value) == (bar.message, bar.percentage):
            return
        bar.message, bar.percentage = message, value
        if bar.begun:
            report = types.WorkDoneProgressReport(kind="report", cancellable=True, message=message, percentage=value)
            self._send(bar, report)

    def _send(self, bar: Bar, value: Any) -> None:
        self._session.client.notify(types.PROGRESS, types.ProgressParams(token=bar.token, value=value))


async def stop_call(desk: Desk, wanted: Mapping[str, Any], call: "asyncio.Task[Any]") -> None:
    """Ends the work of a call: in the runtime, which says in the call's answer how far it got; else the call itself."""
    if desk.runtime.running:
        await tell(desk, "abandon", wanted)
    elif not call.done():
        call.cancel()


def _wording(data: Mapping[str, Any]) -> str:
    return _told(str(data.get("state", "")).replace("_", " "), data.get("message"))


def _ending(bar: Bar, state: str, data: Mapping[str, Any]) -> str:
    """How a run came to rest: with its verdict the first time, and with what was done where it was proposed already."""
    first = bar.work.name == "run" and not bar.work.proposal_id
    verdict = data.get("verdict") if state == RunState.PROPOSED and first else None
    return _told(state, verdict or data.get("message") or data.get("verdict"))


def _told(state: str, detail: Any) -> str:
    """The state with its detail, which may begin with the state's name already."""
    text = str(detail or "")
    return shorten(text if text.startswith(state) else f"{state}: {text}", _OUTCOME_CHARS) if text else state
