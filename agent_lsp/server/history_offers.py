"""Owns what can be done with what was applied before: rolled back, brought forward again, looked at."""

from collections.abc import Iterator

from agent_lsp.server.board import Board, Json
from agent_lsp.server.offer import SOURCE, Offer
from agent_lsp.server.public import shorten


def history_offers(board: Board) -> Iterator[Offer]:
    """The newest change that can be taken back, and the newest rollback that can."""
    known = [row for row in board.history if row.get("state") == "applied"]
    undone = {str(row["checkpointId"]): str(row.get("undoes") or "") for row in board.history}
    newest = next((row for row in known if not row.get("undoes")), None)
    if newest is not None:
        if newest["checkpointId"] not in board.checkpoints:  # else it is offered by the name of its run
            yield Offer(f"Roll back {_name(newest)}", (SOURCE,), "agent.rollback", _meant(newest))
        title = f"Show what rolling back {_name(newest)} would change"
        yield Offer(title, (SOURCE,), "agent.checkpoints", {**_meant(newest), "show": True})
    rollback = next((row for row in known if row.get("undoes") and not undone.get(str(row["undoes"]))), None)
    if rollback is not None:
        yield Offer(f"Roll forward {_name(rollback)}", (SOURCE,), "agent.rollback", _meant(rollback))


def _meant(row: Json) -> Json:
    return {"checkpointId": str(row["checkpointId"])}


def _name(row: Json) -> str:
    text = str(row.get("summary", ""))
    for prefix in ("Undo ", "Redo ", "Agent: "):
        text = text.removeprefix(prefix)
    return shorten(text)
