"""Owns what is hinted at on a proposal's lines: those that no passing test ran, and small faults that none noticed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent_lsp.domain.text import split_lines
from agent_lsp.server.board import Card, Json
from agent_lsp.server.public import shorten


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint on one line of the text that the editor shows: the proposed line itself is not there yet."""

    path: str
    line: int
    message: str
    hunk: str = ""


def hints(card: Card) -> Iterator[Hint]:
    """In the order of the verdict; none for a stale proposal, whose lines were not tested."""
    if card.stale:
        return
    for row in _rows(card, "unrunLines"):
        yield from _on(card, row, "No passing test runs the proposed line `{line}`.")
    yield from unnoticed(card)


def unnoticed(card: Card) -> Iterator[Hint]:
    """The small faults that no test noticed."""
    if card.stale:
        return
    for row in _rows(card, "survivors"):
        told = str(row.get("text", "")).replace("{", "{{").replace("}", "}}")
        yield from _on(card, row, f"No test notices a small fault in the proposed line `{{line}}`: {told}.")


def _rows(card: Card, key: str) -> list[Mapping[str, Any]]:
    rows = card.verdict.get(key)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _on(card: Card, row: Mapping[str, Any], message: str) -> Iterator[Hint]:
    """The hint where its line is to be: lines of a verdict are those of the changed file."""
    path, line = str(row.get("path", "")), int(row.get("line") or 0)
    for file in card.files:
        if file.get("path") == path and (found := _hunk_at(file, line)) is not None:
            hunk, offset = found
            name = str(hunk.get("id"))
            place = card.places.get(name)
            start, end = (place.start, place.end) if place else (int(hunk["startLine"]), int(hunk["endLine"]))
            text = shorten(split_lines(str(hunk.get("newText", "")))[offset])
            yield Hint(path, min(start + offset, max(start, end - 1)), message.format(line=text), name)


def _hunk_at(file: Json, line: int) -> tuple[Json, int] | None:
    """The hunk that brings a line of the changed file, and the line's place in its text."""
    shift = 0
    for hunk in sorted(file.get("hunks", ()), key=lambda row: int(row["startLine"])):
        count, start = len(split_lines(str(hunk.get("newText", "")))), int(hunk["startLine"])
        if start + shift <= line < start + shift + count:
            return hunk, line - start - shift
        shift += count - (int(hunk["endLine"]) - start)
    return None
