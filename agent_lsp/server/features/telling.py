"""Owns the messages for editors that drop what a command answers and show no progress: nothing may end unseen.

A client that knows the notifications of docs/protocol.md shows all of this itself.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.task import RunState
from agent_lsp.server.arguments import Arguments
from agent_lsp.server.board import Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.features.execute_command import Command
from agent_lsp.server.public import shorten
from agent_lsp.server.session import Session

_REFUSED: Final = {"agent.apply": "Not applied.", "agent.rollback": "Not rolled back."}
_NEXT: Final = {
    RunState.PROPOSED.value: "Review it with code actions.",
    RunState.AWAITING_APPROVAL.value: "Approve or reject its plan with code actions.",
    RunState.APPLIED.value: "A code action rolls it back.",
    RunState.FAILED.value: "A code action shows the log.",
}
_KEPT_RUNS: Final = 200
_QUIET: Final = (RunState.PROPOSED.value, RunState.AWAITING_APPROVAL.value, RunState.APPLIED.value)


def told(session: Session, commands: Mapping[str, Command]) -> Mapping[str, Command]:
    """The same commands; what went wrong in one is also said in front of the person."""
    if session.traits.agent_messages:
        return commands
    return {name: partial(_run, session, name, command) for name, command in commands.items()}


def register(session: Session) -> None:
    """Tells how runs end, and that they wait, where nothing else does."""
    if session.traits.agent_messages:
        return
    last: dict[str, str] = {}

    def tell(_desk: Desk, event: str, data: Json) -> None:
        if event == "said":
            session.show(types.MessageType.Info, f"agent-lsp: {data.get('reply', '')}")
            return
        run_id, state = str(data.get("runId")), str(data.get("state"))
        if event != "run" or last.get(run_id) == state:
            return
        last[run_id] = state
        if len(last) > _KEPT_RUNS:
            del last[next(iter(last))]
        if state in _NEXT and not (state in _QUIET and session.traits.progress):
            failed = state == RunState.FAILED
            kind = types.MessageType.Warning if failed else types.MessageType.Info
            session.show(kind, _ending(session, data, state))

    session.listeners.on_event(tell)


async def _run(session: Session, name: str, command: Command, args: Arguments) -> Mapping[str, Any]:
    try:
        answer = await command(args)
    except AgentLspError as error:
        session.show(types.MessageType.Warning, f"agent-lsp: {error.message} {error.hint}".strip())
        raise
    if name == "agent.say" and answer.get("reply"):
        session.show(types.MessageType.Info, f"agent-lsp: {answer['reply']}")
    if name in _REFUSED and answer.get("applied") is False and not answer.get("pending"):
        session.show(types.MessageType.Warning, f"agent-lsp: {_REFUSED[name]} {answer.get('reason', '')}".strip())
    return answer


def _ending(session: Session, data: Json, state: str) -> str:
    detail = str(data.get("verdict") if state == RunState.PROPOSED else data.get("message") or "")
    name = session.folders.name_of(str(data.get("runId")))
    said = f"{state.replace('_', ' ')}: {shorten(detail, 200).removesuffix('.')}" if detail else state.replace("_", " ")
    return f"agent-lsp: {name} {said}. {_NEXT[state]}"
