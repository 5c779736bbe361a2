"""Owns two edits that are tried as one: in one file the stretch from the first to the second, or one in each of two."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product

from agent_lsp.agent.repair.edits import SmallEdit, alike, distinct, edits_of, fingerprint, in_order
from agent_lsp.agent.repair.localise import Suspicion
from agent_lsp.agent.repair.pieces import Pieces
from agent_lsp.agent.repair.source import parse
from agent_lsp.agent.repair.templates.registry import TEMPLATES

_FILES, _OF_EACH, _AFTER_NEAR, _MOST_ACROSS = 3, 12, 120, 400


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
    likely = _likely(in_order(edits_of(source, suspicion[source.path], TEMPLATES, pieces)), most)
    pairs = [(one, other) for one, other in combinations(likely, 2) if one.end <= other.start or other.end <= one.start]
    for one, other in sorted(pairs, key=lambda pair: -pair[0].score * pair[1].score):
        early, late = sorted((one, other), key=lambda edit: edit.start)
        text = early.apply(late.apply(source.text))
        mark = fingerprint(source.path, text)
        if mark is not None and mark not in seen:
            seen.add(mark)
            yield joined(source.text, text, early, late)


def pairs_across(
    firsts: Sequence[SmallEdit], texts: Mapping[str, str], suspicion: Suspicion, pieces: Pieces, seen: set[str]
) -> Iterator[SmallEdit]:
    """Two edits in two of the most suspicious files: after each of `firsts`, then two of the likeliest."""
    files = sorted((path for path in suspicion if path in texts), key=lambda path: -max(suspicion[path].values()))
    edits = {}
    for path in files[:_FILES]:
        source = parse(path, texts[path])
        edits[path] = in_order(edits_of(source, suspicion[path], TEMPLATES, pieces)) if source is not None else []
    after = [
        (one, other) for one in firsts for path in edits if path != one.path for other in edits[path][:_AFTER_NEAR]
    ]
    among = [
        pair
        for one, other in combinations(edits, 2)
        for pair in product(_likely(edits[one], _OF_EACH), _likely(edits[other], _OF_EACH))
    ]
    among.sort(key=lambda pair: -pair[0].score * pair[1].score)
    for first, second in (*after, *among[:_MOST_ACROSS]):
        one, other = sorted((first, second), key=lambda edit: edit.path)
        marks = [fingerprint(edit.path, edit.apply(texts[edit.path])) for edit in (one, other)]
        mark = "".join(mark or "" for mark in marks)
        if None not in marks and mark not in seen:
            seen.add(mark)
            names = _named(first, second)
            yield replace(first, template=names, score=first.score * second.score, also=second)


def joined(before: str, after: str, first: SmallEdit, second: SmallEdit) -> SmallEdit:
    """One edit that leads from one text to the other: all that lies between what both begin and end with."""
    start, end = alike(before, after)
    score, names = first.score * second.score, _named(first, second)
    text = after[start : len(after) - end]
    line = before.count("\n", 0, start) + 1
    return SmallEdit(first.path, start, len(before) - end, text, line, names, score)


def _likely(edits: Sequence[SmallEdit], most: int) -> list[SmallEdit]:
    """The first of them, no more than two of a place."""
    found: list[SmallEdit] = []
    places: dict[tuple[int, int], int] = {}
    for edit in edits:
        place = (edit.start, edit.end)
        places[place] = places.get(place, 0) + 1
        if places[place] <= 2:
            found.append(edit)
        if len(found) >= most:
            break
    return found


def _named(first: SmallEdit, second: SmallEdit) -> str:
    return first.template if first.template == second.template else f"{first.template} and {second.template}"


def _moved(lines: Mapping[int, float], edit: SmallEdit, text: str) -> dict[int, float]:
    """The suspicion of lines by their numbers after an edit; new lines are as suspicious as where they stand."""
    last = text.count("\n", 0, edit.end) + 1
    grown = edit.text.count("\n") - text.count("\n", edit.start, edit.end)
    found = {line if line <= last else line + grown: weight for line, weight in lines.items()}
    for line in range(last + 1, last + grown + 1):
        found.setdefault(line, lines.get(edit.line, 0.5))
    return found
