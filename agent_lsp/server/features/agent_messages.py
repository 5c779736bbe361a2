"""Owns the notifications of PROTOCOL.md section 5, for clients that said they know them."""

from typing import TYPE_CHECKING, Any

from agent_lsp.server.board import Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.public import public_proposal, public_verdict
from agent_lsp.server.session import Session

if TYPE_CHECKING:
    from agent_lsp.server import shapes

    Message = (
        shapes.PlanMessage
        | shapes.ProgressMessage
        | shapes.BlockedMessage
        | shapes.VerdictMessage
        | shapes.Proposal
        | shapes.ModelsMessage
        | shapes.SaidMessage
    )


def register(session: Session) -> None:
    """Registers the feature."""
    if not session.traits.agent_messages:
        return

    def tell(desk: Desk, event: str, data: Json) -> None:
        message = _message(session, desk, event, data)
        if message is not None:
            session.client.notify(*message)

    session.listeners.on_event(tell)


def _message(session: Session, desk: Desk, event: str, data: Json) -> "tuple[str, Message] | None":
    match event:
        case "plan":
            plan: shapes.PlanMessage = {"runId": str(data.get("runId")), "steps": data.get("steps", [])}
            return "agent/plan", plan
        case "progress" | "run":
            return "agent/progress", _progress(data)
        case "blocked":
            options = [str(option) for option in data.get("options") or ()]
            question = str(data.get("question", ""))
            return "agent/blocked", {"runId": str(data.get("runId")), "question": question, "options": options}
        case "verdict":
            verdict = public_verdict(session, desk, data.get("verdict"))
            judged: shapes.VerdictMessage = {"proposalId": str(data.get("proposalId")), "verdict": verdict}
            if data.get("hunks"):
                judged["hunks"] = data["hunks"]
            return "agent/verdict", judged
        case "proposal":
            card = desk.board.cards.get(str(data.get("proposalId")))
            return None if card is None else ("agent/proposal", public_proposal(session, desk, card))
        case "said":
            said: shapes.SaidMessage = {key: str(data.get(key, "")) for key in ("runId", "text", "reply")}  # type: ignore[assignment]
            return "agent/said", said
        case "models":
            models: Any = {"models": desk.board.models, "day": desk.board.day}
            return "agent/models", models
        case _:
            return None


def _progress(data: Json) -> "shapes.ProgressMessage":
    """A row of a run has no percentage."""
    percentage = data.get("percentage")
    return {
        "runId": str(data.get("runId")),
        "state": data.get("state", "executing"),
        "step": data.get("step") or 0,
        "message": str(data.get("message") or ""),
        "percentage": round(percentage) if isinstance(percentage, int | float) else None,
    }
