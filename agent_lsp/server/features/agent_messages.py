"""Owns the notifications of PROTOCOL.md section 5, for clients that said they know them."""

from typing import Final

from agent_lsp.server.board import Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.public import public_proposal, public_verdict
from agent_lsp.server.session import Session

_PROGRESS_KEYS: Final = ("runId", "state", "step", "message", "percentage")


def register(session: Session) -> None:
    """Registers the feature."""
    if not session.traits.agent_messages:
        return

    def tell(desk: Desk, event: str, data: Json) -> None:
        message = _message(session, desk, event, data)
        if message is not None:
            session.client.notify(*message)

    session.listeners.on_event(tell)


def _message(session: Session, desk: Desk, event: str, data: Json) -> tuple[str, Json] | None:
    match event:
        case "plan":
            return "agent/plan", {"runId": data.get("runId"), "steps": data.get("steps", [])}
        case "progress":
            return "agent/progress", {key: data.get(key) for key in _PROGRESS_KEYS}
        case "run":
            row = {"runId": data.get("runId"), "state": data.get("state"), "step": data.get("step")}
            return "agent/progress", {**row, "message": data.get("message", ""), "percentage": None}
        case "blocked":
            options = data.get("options") or []
            return "agent/blocked", {"runId": data.get("runId"), "question": data.get("question"), "options": options}
        case "verdict":
            verdict = public_verdict(session, desk, data.get("verdict"))
            part = {"hunks": data["hunks"]} if data.get("hunks") else {}
            return "agent/verdict", {"proposalId": data.get("proposalId"), "verdict": verdict, **part}
        case "proposal":
            card = desk.board.cards.get(str(data.get("proposalId")))
            return None if card is None else ("agent/proposal", public_proposal(session, desk, card))
        case _:
            return None
