"""Owns where the hunks of a patch go in a file: by their old lines alone, hints only choose between equal places."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.matching import without_ending
from agent_lsp.domain.nearest import nearest, numbered
from agent_lsp.domain.patch_finding import Placed, no_effect, old_lines, places_of, where_same, without_outer_blanks
from agent_lsp.domain.patch_reading import Section


@dataclass(frozen=True, slots=True)
class _Found:
    """All places of one hunk that fit equally well."""

    section: Section
    places: tuple[Placed, ...] = field(default=())


class MisfitError(ToolError):
    """A hunk's old lines are not in the file."""


def fits(lines: Sequence[str], section: Section) -> bool:
    """Whether a hunk's old lines are in the file at all; `lines` are without endings."""
    return bool(places_of(lines, section))


def place_all(lines: Sequence[str], sections: Sequence[Section], path: str) -> list[Placed]:
    """One place for each hunk, in the patch's order. Raises MisfitError where one does not fit, ToolError where one
    fits twice.

    `lines` are the file's, with their endings.
    """
    bare = [without_ending(line) for line in lines]
    found = [_Found(section, places_of(bare, section)) for section in sections]
    for entry in found:
        if not entry.places:
            raise MisfitError(_misfit(bare, entry.section, path))
    sure = [entry.places[0] if len(entry.places) == 1 else None for entry in found]
    in_order = _ascending([place.start for place in sure if place])
    chosen: list[Placed] = []
    for index, entry in enumerate(found):
        place = sure[index] or _choose(bare, found, index, sure if in_order else [None] * len(sure))
        if place is None:
            raise ToolError(_ambiguous(entry, path))
        sure[index] = place
        chosen.append(place)
    return chosen


# --- choosing between equal places ----------------------------------------------------------------------------


def _choose(lines: Sequence[str], found: Sequence[_Found], index: int, sure: Sequence[Placed | None]) -> Placed | None:
    """The one place that order, heading and line number agree on, or None."""
    entry = found[index]
    if no_effect(entry.places[0].ops):
        return entry.places[0]
    low = max((place.end for place in sure[:index] if place), default=0)
    high = min((place.start for place in sure[index + 1 :] if place), default=len(lines))
    places = [place for place in entry.places if low <= place.start and place.end <= high] or list(entry.places)
    if entry.section.ends_file:
        places = [place for place in places if place.end == len(lines)] or places
    by_heading = [place for place in places if _under_headings(lines, entry.section.headings, place)]
    by_number = _by_number(entry.section.line, places, _drifts(found, sure))
    agreed = [
        place for place in places if (place in by_heading or not by_heading) and (place in by_number or not by_number)
    ]
    if len(agreed) == 1:
        return agreed[0]
    return _nth_of_equal(found, index, places)


def _by_number(line: int | None, places: Sequence[Placed], drifts: set[int]) -> list[Placed]:
    """The place that the header's line number names, if the other hunks' numbers are right or all wrong by one drift.

    Numbers that are wrong in several ways are worth nothing.
    """
    if line is None or len(drifts) > 1:
        return []
    return [place for place in places if place.start + 1 == line + sum(drifts)]


def _drifts(found: Sequence[_Found], sure: Sequence[Placed | None]) -> set[int]:
    """By how much the numbers of the hunks that fit one place are wrong."""
    return {
        place.start + 1 - entry.section.line
        for entry, place in zip(found, sure, strict=True)
        if place is not None and entry.section.line is not None
    }


def _under_headings(lines: Sequence[str], headings: Sequence[str], place: Placed) -> bool:
    """Whether a place lies in the section that its heading opens; each heading must stand in the file once."""
    if not headings:
        return False
    low, high = 0, len(lines)
    for heading in headings:
        spots = [at for at in range(low, high) if lines[at].strip().startswith(heading.strip())]
        if len(spots) != 1:
            return False
        low, high = spots[0], _section_end(lines, spots[0], high)
    return low <= place.start < high


def _section_end(lines: Sequence[str], opening: int, limit: int) -> int:
    """The next line that opens something at the same or a lesser indent."""
    depth = _depth(lines[opening])
    for at in range(opening + 1, limit):
        text = lines[at].strip()
        if text and (text[0].isalpha() or text[0] in "_@$#") and _depth(lines[at]) <= depth:
            return at
    return limit


def _depth(line: str) -> int:
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())


def _nth_of_equal(found: Sequence[_Found], index: int, places: Sequence[Placed]) -> Placed | None:
    """As many equal hunks as there are places: each takes its own, in order."""
    entry = found[index]
    twins = [at for at, other in enumerate(found) if other.section.ops == entry.section.ops]
    if len(twins) == len(entry.places) == len(places) and len(twins) > 1:
        return entry.places[twins.index(index)]
    return None


def _ascending(numbers: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(numbers))


# --- refusals -----------------------------------------------------------------------------------------------------


def _ambiguous(entry: _Found, path: str) -> str:
    where = ", ".join(str(place.start + 1) for place in entry.places[:10])
    return (
        f"The hunk at line {entry.section.at} of the patch fits {len(entry.places)} places of {path} (lines {where}). "
        "Add context lines until it is unique, or give its right line number. No file was changed."
    )


def _misfit(lines: Sequence[str], section: Section, path: str) -> str:
    head = f"The hunk at line {section.at} of the patch does not fit {path}"
    tail = "Read the file again and copy the context from it. No file was changed."
    wanted = old_lines(without_outer_blanks(section.ops))
    if not any(line.strip() for line in wanted):
        return (
            f"{head}: it has no context, so its place is unknown. Add some unchanged lines around. No file was changed."
        )
    after = [op.text for op in section.ops if op.mark != "-"]
    made = where_same([line.strip() for line in lines], [line.strip() for line in after]) if any(after) else []
    if not no_effect(section.ops) and len(made) == 1:
        return f"{head}, but what it would make stands at line {made[0] + 1} already. No file was changed."
    close = nearest(lines, wanted)
    if close is None:
        return f"{head}: nothing in the file resembles its lines. {tail}"
    parts = [f"{head}.", _difference(lines, wanted)]
    parts += ["The nearest lines are:", numbered(lines, close.start - 1, close.end + 1), tail]
    return "\n".join(parts)


def _difference(lines: Sequence[str], wanted: Sequence[str]) -> str:
    words = {line.strip() for line in lines}
    for line in wanted:
        if line.strip() and line.strip() not in words:
            return f"This line of it is nowhere in the file: {line.rstrip()!r}."
    return "Each of its lines is in the file, but not together and in this order."
