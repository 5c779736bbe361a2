"""Owns two edits that are tried as one: the stretch of the file from the first to the second."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from agent_lsp.agent.repair.edits import SmallEdit, distinct, edits_of, fingerprint, in_order
from agent_lsp.agent.repair.localise import Suspicion
from agent_lsp.agent.repair.pieces import Pieces
from agent_lsp.agent.repair.source import parse
from agent_lsp.agent.repair.templates.registry import TEMPLATES

_ALIKE = 0.3
"""What a second edit weighs that touches what the first one touched."""


def pairs_after(
    firsts: Sequence[SmallEdit], texts: Mapping[str, str], suspicion: Suspicion, pieces: Pieces, seen: set[str]
) -> Iterator[SmallEdit]:
    """Every edit of the file as each of `firsts` leaves it, together with that one; likeliest first, file by file."""
    for first in firsts:
        text = texts[first.path]
        after = first.apply(text)
        source = parse(first.path, after)
        if source is None:
            continue
        moved = _moved(suspicion.get(first.path, {}), first, text)
        edits = in_order(edits_of(source, moved, TEMPLATES, pieces))
        for second in distinct(edits, {first.path: after}, seen):
            yield joined(text, second.apply(after), first, second)


def pairs_among(
    texts: Mapping[str, str], suspicion: Suspicion, pieces: Pieces, seen: set[str], most: int
) -> Iterator[SmallEdit]:
    """Two of the likeliest edits of the most suspicious file that do not touch the same characters."""
    best = max(suspicion, key=lambda path: sum(suspicion[path].values()), default=None)
    source = parse(best, texts[best]) if best is not None and best in texts else None
    if source is None:
        return
    likely: list[SmallEdit] = []
    places: dict[tuple[int, int], int] = {}
    for edit in in_order(edits_of(source, suspicion[source.path], TEMPLATES, pieces)):
        place = (edit.start, edit.end)
        places[place] = places.get(place, 0) + 1
        if places[place] <= 2:
            likely.append(edit)
        if len(likely) >= most:
            break
    pairs = [(one, other) for one, other in combinations(likely, 2) if one.end <= other.start or other.end <= one.start]
    for one, other in sorted(pairs, key=lambda pair: -pair[0].score * pair[1].score):
        early, late = sorted((one, other), key=lambda edit: edit.start)
        text = early.apply(late.apply(source.text))
        mark = fingerprint(source.path, text)
        if mark is not None and mark not in seen:
            seen.add(mark)
            yield joined(source.text, text, early, late)


def joined(before: str, after: str, first: SmallEdit, second: SmallEdit) -> SmallEdit:
    """One edit that leads from one text to the other: all that lies between what both begin and end with."""
    start = 0
    limit = min(len(before), len(after))
    while start < limit and before[start] == after[start]:
        start += 1
    end = 0
    while end < limit - start and before[-1 - end] == after[-1 - end]:
        end += 1
    score = first.score * second.score
    names = first.template if first.template == second.template else f"{first.template} and {second.template}"
    text = after[start : len(after) - end]
    line = before.count("\n", 0, start) + 1
    return SmallEdit(first.path, start, len(before) - end, text, line, names, score)


def _moved(lines: Mapping[int, float], edit: SmallEdit, text: str) -> dict[int, float]:
    """The suspicion of lines by their numbers after an edit; new lines are as suspicious as where they stand."""
    last = text.count("\n", 0, edit.end) + 1
    grown = edit.text.count("\n") - text.count("\n", edit.start, edit.end)
    found = {line if line <= last else line + grown: weight for line, weight in lines.items()}
    for line in range(last + 1, last + grown + 1):
        found.setdefault(line, lines.get(edit.line, 0.5))
    return found
