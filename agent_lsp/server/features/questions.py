"""Owns the questions that a person answers with a button: what a run asks, and trust. They never hold anything up."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.task import RunState
from agent_lsp.server.board import Json
from agent_lsp.server.desk import Desk, tell
from agent_lsp.server.session import Session

_TRUST: Final = "Trust this workspace"
_NO_TRUST: Final = "Not now"


class Questions:
    """One open question for each blocked run, and one about trust for each folder."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asking: dict[str, asyncio.Task[None]] = {}
        session.listeners.on_event(self._on_event)

    def _on_event(self, desk: Desk, event: str, data: Json) -> None:
        if event == "blocked":
            self._start(str(data.get("runId")), self._ask_run(desk, data))
        elif event == "run" and data.get("state") != RunState.BLOCKED:
            self._stop(str(data.get("runId")))
        elif event == "trust_wanted":
            self._start(str(desk.root), self._ask_trust(desk, data))
        elif event == "message":
            kinds = {"error": types.MessageType.Error, "warning": types.MessageType.Warning}
            kind = kinds.get(str(data.get("level")), types.MessageType.Info)
            self._session.show(kind, self._distinct(data))

    def _distinct(self, data: Json) -> str:
        """The message, with the run's id where another run's would read the same: editors merge equal messages."""
        text, run_id = str(data.get("text", "")), str(data.get("runId"))
        same = self._session.folders.name_of(run_id).endswith(f"({run_id})") and run_id not in text
        return f"{text} ({run_id})" if same else text

    def _start(self, key: str, asking: Any) -> None:
        self._stop(key)
        self._asking[key] = self._session.client.in_background(asking)

    def _stop(self, key: str) -> None:
        task = self._asking.pop(key, None)
        if task is not None:
            task.cancel()

    async def _ask_run(self, desk: Desk, data: Json) -> None:
        run_id, question = str(data.get("runId")), str(data.get("question", ""))
        options = [str(option) for option in data.get("options") or ()]
        if not options and self._session.traits.agent_messages:
            return  # it asks for a sentence itself
        name = self._session.folders.name_of(run_id)
        if not options:
            text = f"{question} ({name}) Write a comment line `agent: your answer` and take its code action."
            self._session.show(types.MessageType.Info, text)
            return
        answer = await self._ask(f"{question} ({name})", options)
        if answer is not None:
            await tell(desk, "answer", {"runId": run_id, "answer": answer})

    async def _ask_trust(self, desk: Desk, data: Json) -> None:
        keys = ", ".join(str(key) for key in data.get("keys") or ())
        text = f"{data.get('text') or 'Settings of this workspace wait for your trust.'} ({desk.root}: {keys})"
        answer = await self._ask(text, [_TRUST, _NO_TRUST])
        if answer is not None:
            desk.board.trust_wanted = None
            await tell(desk, "trust", {"trusted": answer == _TRUST})

    async def _ask(self, text: str, buttons: Sequence[str]) -> str | None:
        """The button that was pressed; None when the question was closed, or the editor cannot ask: then it is told."""
        actions = [types.MessageActionItem(title=title) for title in buttons]
        params = types.ShowMessageRequestParams(type=types.MessageType.Info, message=text, actions=actions)
        try:
            answer: Any = await self._session.client.ask(types.WINDOW_SHOW_MESSAGE_REQUEST, params, timeout_s=None)
        except AgentLspError:
            choices = " or ".join(f"“{title}”" for title in buttons)
            self._session.show(types.MessageType.Info, f"{text} {choices}? Answer with a code action.")
            return None
        title = answer.get("title") if isinstance(answer, Mapping) else None
        return title if title in buttons else None
