"""Owns work-done progress: one cancellable bar for every run that works or waits, on its own token or the client's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.task import ENDED, RunState
from agent_lsp.server.board import Json
from agent_lsp.server.desk import Desk, cancel
from agent_lsp.server.public import shorten
from agent_lsp.server.session import Session

_OVER: Final = ENDED | {RunState.PROPOSED}

Token = int | str


@dataclass(slots=True)
class _Bar:
    token: Token
    goal: str
    message: str
    percentage: int = 0
    begun: bool = False
    ended: bool = False


class Progress:
    """Follows the events of runs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._bars: dict[str, _Bar] = {}
        self._runs: dict[Token, tuple[Desk, str]] = {}
        self._created = 0
        session.listeners.on_event(self._on_event)

    def start(self, desk: Desk, run_id: str, goal: str, token: Token | None) -> None:
        """Shows a run that was just asked for, on the client's token if it gave one."""
        if token is not None and token not in self._runs:
            bar = _Bar(token, goal, RunState.PLANNING.value)
            self._bars[run_id], self._runs[token] = bar, (desk, run_id)
            self._begin(bar)
        else:
            self._open(desk, run_id, goal, RunState.PLANNING.value)

    def end(self, run_id: str, message: str) -> None:
        """Ends the bar of a run, if it has one, and frees its token."""
        bar = self._bars.pop(run_id, None)
        if bar is None:
            return
        bar.ended = True
        self._runs.pop(bar.token, None)
        if bar.begun:
            self._send(bar, types.WorkDoneProgressEnd(kind="end", message=message))

    async def cancel(self, token: Any) -> None:
        """The person pressed cancel on a bar."""
        desk, run_id = self._runs.get(token, (None, "")) if isinstance(token, int | str) else (None, "")
        if desk is not None:
            await cancel(desk, run_id)

    def _on_event(self, desk: Desk, event: str, data: Json) -> None:
        run_id = str(data.get("runId"))
        if event == "run":
            state = str(data.get("state"))
            if state in _OVER:
                self.end(run_id, _ending(state, data))
            elif run_id not in self._bars:
                self._open(desk, run_id, str(data.get("goal", "")), state)
            else:
                self._report(run_id, _wording(data))
        elif event == "progress":
            self._report(run_id, _wording(data), data.get("percentage"))

    def _open(self, desk: Desk, run_id: str, goal: str, message: str) -> None:
        if not self._session.traits.progress:
            return
        self._created += 1
        bar = _Bar(f"agent-lsp-{run_id}-{self._created}", goal, message)
        self._bars[run_id], self._runs[bar.token] = bar, (desk, run_id)
        self._session.client.in_background(self._create(bar))

    async def _create(self, bar: _Bar) -> None:
        try:
            await self._session.client.ask(
                types.WINDOW_WORK_DONE_PROGRESS_CREATE, types.WorkDoneProgressCreateParams(token=bar.token)
            )
        except (AgentLspError, TimeoutError):
            return
        if not bar.ended:
            self._begin(bar)

    def _begin(self, bar: _Bar) -> None:
        bar.begun = True
        self._send(
            bar,
            types.WorkDoneProgressBegin(
                kind="begin",
                title=f"Agent: {shorten(bar.goal)}",
                cancellable=True,
                message=bar.message,
                percentage=bar.percentage,
            ),
        )

    def _report(self, run_id: str, message: str, percentage: Any = None) -> None:
        bar = self._bars.get(run_id)
        if bar is None:
            return
        moved = isinstance(percentage, int | float) and not isinstance(percentage, bool)
        value = min(max(int(percentage), bar.percentage), 100) if moved else bar.percentage
        if (message, value) == (bar.message, bar.percentage):
            return
        bar.message, bar.percentage = message, value
        if bar.begun:
            self._send(
                bar,
                types.WorkDoneProgressReport(kind="report", cancellable=True, message=message, percentage=value),
            )

    def _send(self, bar: _Bar, value: Any) -> None:
        self._session.client.notify(types.PROGRESS, types.ProgressParams(token=bar.token, value=value))


def _wording(data: Mapping[str, Any]) -> str:
    return _told(str(data.get("state", "")).replace("_", " "), data.get("message"))


def _ending(state: str, data: Mapping[str, Any]) -> str:
    return _told(state, data.get("verdict") if state == RunState.PROPOSED else data.get("message"))


def _told(state: str, detail: Any) -> str:
    """The state with its detail, which may begin with the state's name already."""
    text = str(detail or "")
    return shorten(text if text.startswith(state) else f"{state}: {text}", 200) if text else state
