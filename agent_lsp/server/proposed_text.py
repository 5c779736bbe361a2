"""Owns the text of a file as a proposal would leave it: what an editor puts on the right of its own diff."""

from pathlib import Path

from agent_lsp.domain.errors import UnknownIdError
from agent_lsp.domain.text import decode, split_lines
from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.session import Session
from agent_lsp.server.threads import in_thread


async def proposed_text(session: Session, desk: Desk, card: Card, path: str) -> str:
    """The text with every hunk of the proposal that is still open, laid over what the editor or the disk holds now.

    A deleted file has none. Raises UnknownIdError for a file that the proposal does not change.
    """
    row = next((row for row in card.files if row.get("path") == path), None)
    if row is None:
        raise UnknownIdError(f"The proposal {card.id} does not change {path}.")
    if row.get("kind") == "delete":
        return ""
    now = "" if row.get("kind") == "create" else await _text_now(session, desk, str(row.get("oldPath") or path))
    return _with_hunks(split_lines(now), card, row)


async def _text_now(session: Session, desk: Desk, path: str) -> str:
    document = session.document(desk, path)
    return document.text if document is not None else await in_thread(lambda: _on_disk(desk.path(path)))


def _on_disk(path: Path) -> str:
    try:
        decoded = decode(path.read_bytes())
    except OSError:
        return ""
    return "" if decoded is None else decoded.text


def _with_hunks(lines: list[str], card: Card, row: Json) -> str:
    placed = []
    for hunk in row.get("hunks", ()):
        place = card.places.get(str(hunk["id"]))
        start, end = (place.start, place.end) if place else (int(hunk["startLine"]), int(hunk["endLine"]))
        placed.append((start, end, str(hunk.get("newText", ""))))
    for start, end, new in sorted(placed, reverse=True):
        lines[start:end] = [new]
    return "".join(lines)
