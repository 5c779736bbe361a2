"""Owns `textDocument/hover` on a proposed change: why it is there, which tests ran it, which lines none ran."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from lsprotocol import types

from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.hints import unnoticed
from agent_lsp.server.plain_data import plain
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.public import hunk_verdict, refusal, steps_of
from agent_lsp.server.session import Session

_TESTS_SHOWN: Final = 8
_REASONS_SHOWN: Final = 6
_NEW_LINES_SHOWN: Final = 30


class Hover:
    """Everything comes from the board; no runtime is asked."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def at(self, params: Mapping[str, Any]) -> Json | None:
        """What is to be said of the changes at a line; None where there are none."""
        located = self._session.folders.try_locate(params["textDocument"]["uri"])
        if located is None:
            return None
        desk, path = located
        line = params["position"]["line"]
        parts = []
        for card in desk.board.open_cards():
            ids = [str(hunk["id"]) for _, hunk in card.hunks()]
            for row, hunk in card.hunks():
                if row.get("path") == path and _is_at(card, hunk, line):
                    number = ids.index(str(hunk["id"])) + 1
                    parts.append("\n\n".join(self._told(desk, card, row, hunk, f"{number} of {len(ids)}")))
        if not parts:
            return None
        text = "\n\n---\n\n".join(parts)
        return {"contents": {"kind": "markdown" if self._session.traits.hover_markdown else "plaintext", "value": text}}

    def _told(self, desk: Desk, card: Card, row: Json, hunk: Json, number: str) -> Iterator[str]:
        yield f"**Proposed change {number}** ({hunk_verdict(card, hunk)})"
        yield from _change(row, hunk)
        if card.data.get("summary"):
            yield f"*Why:* {str(card.data['summary']).strip()}"
        if steps := steps_of(desk, card, row):
            yield f"*Step{'s' if len(steps) > 1 else ''}:* {'; '.join(steps)}"
        yield from _tests(hunk)
        yield from (hint.message for hint in unnoticed(card) if hint.hunk == str(hunk.get("id")))
        reasons = [str(reason) for reason in card.verdict.get("reasons") or ()][:_REASONS_SHOWN]
        if reasons:
            yield "*Verdict:* " + " ".join(reasons)
        way = refusal(card, desk.board.state_of(card.run_id), hunk)
        if way is not None:
            yield f"*Not acceptable now:* {way}"


def _change(row: Json, hunk: Json) -> Iterator[str]:
    """The hunk as a diff."""
    old, new = str(hunk.get("oldText") or ""), str(hunk.get("newText") or "")
    lines = [f"-{line}" for line in old.splitlines()] + [f"+{line}" for line in new.splitlines()]
    if not lines:
        yield f"The file is to be {row.get('kind', 'modify')}d: {PurePosixPath(str(row.get('path'))).name}"
        return
    more = len(lines) - _NEW_LINES_SHOWN
    shown = [*lines[:_NEW_LINES_SHOWN], *([f" … {more} more lines"] if more > 0 else [])]
    fence = "````" if any("```" in line for line in shown) else "```"
    yield "\n".join([f"{fence}diff", *shown, fence])


def _tests(hunk: Json) -> Iterator[str]:
    tests, count = [str(test) for test in hunk.get("tests") or ()], int(hunk.get("testCount") or 0)
    unrun = [int(line) + 1 for line in hunk.get("unrun") or ()]
    if tests:
        more = f" and {count - _TESTS_SHOWN} more" if count > _TESTS_SHOWN else ""
        yield f"*Run by:* {', '.join(f'`{test}`' for test in tests[:_TESTS_SHOWN])}{more}"
    if unrun:
        named = ", ".join(map(str, unrun[:_TESTS_SHOWN])) + (" …" if len(unrun) > _TESTS_SHOWN else "")
        yield f"*No passing test ran* line{'s' if len(unrun) > 1 else ''} {named} of the changed file."


def _is_at(card: Card, hunk: Json, line: int) -> bool:
    place = card.places.get(str(hunk.get("id")))
    return place is not None and place.start <= line <= max(place.end - 1, place.start)


def register(server: EdgeServer, session: Session) -> None:
    """Registers the feature."""
    hover = Hover(session)

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    @plain
    def text_document_hover(params: Mapping[str, Any]) -> Json | None:
        return hover.at(params)
