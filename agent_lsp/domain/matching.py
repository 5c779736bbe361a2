"""Owns how a text that a model wrote is found in a file: exactly, then blanks at line ends, then uniform indent.

Each step is a rule, never a likeness: a text is found in one place or the edit is refused with the nearest lines.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.nearest import show_nearest
from agent_lsp.domain.text import split_lines

_ENDING: Final = r"(?:\r\n|\r|\n)"
_ENDING_RE = re.compile(_ENDING)
_NUMBERED = re.compile(r"\s*\d+(?:\t|[:|] ?|\s*→)")
_BLANKS: Final = " \t"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text was found: `[start, end)` in characters, and what to write there instead."""

    start: int
    end: int
    text: str


def replace_text(content: str, old: str, new: str, *, replace_all: bool = False) -> str:
    """`content` with `old` replaced by `new`, in the line endings that `content` has there.

    Raises ToolError if `old` is not found, is found more than once (without `replace_all`), or equals `new`.
    """
    if not old:
        raise ToolError("old_text is empty; give the lines to replace, or use write_file for a new file.")
    if old == new:
        raise ToolError("old_text and new_text are the same, so there is nothing to change.")
    for find in (_exactly, _blanks_ignored, _indent_ignored):
        places = find(content, old, new)
        if len(places) > 1 and not replace_all:
            raise ToolError(_several(content, places))
        if places:
            return _written(content, places)
    raise ToolError(_missing(content, old, new))


def without_ending(line: str) -> str:
    """A line without its line ending; other blanks stay."""
    return line.rstrip("\r\n")


def ending_at(content: str, start: int, end: int) -> str:
    """The line ending in force at a place: the first in it, else the one before, else the one after, else `\\n`."""
    inside = _ENDING_RE.search(content, start, end)
    if inside is not None:
        return inside.group()
    before = re.search(r"(\r\n|\r|\n)[^\r\n]*\Z", content[:start])
    if before is not None:
        return before.group(1)
    after = _ENDING_RE.search(content, end)
    return "\n" if after is None else after.group()


def with_ending(text: str, ending: str) -> str:
    """`text` with its `\\n` and `\\r\\n` written as `ending`; a lone carriage return stays what it is."""
    return re.sub(r"\r?\n", lambda _: ending, text)


def _written(content: str, places: Sequence[Place]) -> str:
    parts, at = [], 0
    for place in places:
        parts += [content[at : place.start], place.text]
        at = place.end
    return "".join([*parts, content[at:]])


# --- the three ways to find ---------------------------------------------------------------------------------


def _exactly(content: str, old: str, new: str) -> list[Place]:
    """Character by character; a `\\r\\n` of the file is never cut in two."""
    head = r"(?<!\r)" if old.startswith("\n") else ""
    tail = r"(?!\n)" if old.endswith("\r") else ""
    return _by_pattern(re.compile(head + re.escape(old) + tail), content, old, new)


def _blanks_ignored(content: str, old: str, new: str) -> list[Place]:
    """Line endings of any kind are equal, blanks before them do not count."""
    lines = _ENDING_RE.split(old)
    if not old.strip():
        return []
    last = lines.pop()
    pattern = "".join(re.escape(line.rstrip(_BLANKS)) + rf"[ \t]*{_ENDING}" for line in lines)
    if not last and lines:
        pattern = pattern[: -len(_ENDING)] + rf"(?:{_ENDING}|\Z)"
    bare = last.rstrip(_BLANKS)
    pattern += re.escape(bare)
    if bare != last:
        pattern += r"[ \t]*(?=[\r\n]|\Z)"
    return _by_pattern(re.compile(pattern), content, old, new)


def _by_pattern(pattern: re.Pattern[str], content: str, old: str, new: str) -> list[Place]:
    places = []
    for found in pattern.finditer(content):
        start, end = found.span()
        places.append(Place(start, end, _inserted(content, (start, end), old, new)))
    return places


def _indent_ignored(content: str, old: str, new: str) -> list[Place]:
    """Whole lines whose indent differs by one and the same prefix, longer or shorter in the file."""
    lines, wanted = split_lines(content), split_lines(old)
    bare = [line.strip() for line in lines]
    wanted_bare = [line.strip() for line in wanted]
    if not any(wanted_bare):
        return []
    offsets = [0, *accumulate(map(len, lines))]
    places: list[Place] = []
    for at in range(len(lines) - len(wanted) + 1):
        if bare[at : at + len(wanted)] != wanted_bare:
            continue
        shift = indent_shift(wanted, lines[at : at + len(wanted)])
        if shift is None or (places and offsets[at] < places[-1].end):
            continue
        end = offsets[at + len(wanted)]
        if without_ending(old) == old:
            end -= len(lines[at + len(wanted) - 1]) - len(without_ending(lines[at + len(wanted) - 1]))
        text = _inserted(content, (offsets[at], end), shifted(old, shift), shifted(new, shift))
        places.append(Place(offsets[at], end, text))
    return places


# --- indent --------------------------------------------------------------------------------------------------


Shift = Callable[[str], str | None]
"""Moves one line to the file's indent; None for a line that cannot be moved so."""


def indent_shift(written: Sequence[str], found: Sequence[str]) -> Shift | None:
    """How to move lines from the indent they were written with to the one in the file, if one prefix does it."""
    pairs = {(_indent(a), _indent(b)) for a, b in zip(written, found, strict=True) if a.strip()}
    first, second = next(iter(pairs), ("", ""))
    if second.endswith(first):
        prefix = second.removesuffix(first)
        if all(b == prefix + a for a, b in pairs):
            return lambda line: prefix + line if line.strip() else line
    if first.endswith(second):
        extra = first.removesuffix(second)
        if all(a == extra + b for a, b in pairs):
            return lambda line: line.removeprefix(extra) if line.startswith(extra) else (line if _blank(line) else None)
    return None


def shifted(text: str, shift: Shift) -> str:
    """Every line of `text` moved; raises ToolError for a line with less indent than the shift takes away."""
    moved = []
    for line in split_lines(text):
        to = shift(line)
        if to is None:
            raise ToolError(
                f"old_text fits only with less indent, but this line of new_text has too little: {line.rstrip()!r}. "
                "Write both with the file's own indent."
            )
        moved.append(to)
    return "".join(moved)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(_BLANKS))]


def _blank(line: str) -> bool:
    return not line.strip()


# --- what is written ------------------------------------------------------------------------------------------


def _inserted(content: str, span: tuple[int, int], old: str, new: str) -> str:
    """`new` as it is written at a place: lines that `old` and `new` share stay the file's own, byte for byte."""
    start, end = span
    found = content[start:end]
    ending = ending_at(content, start, end)
    if found == old and "\r" not in found:
        return with_ending(new, ending)
    own, before, after = split_lines(found), split_lines(old), split_lines(new)
    if before and found and _ends_line(old) and not _ends_line(found) and after and _ends_line(new):
        after[-1] = without_ending(after[-1])
    if len(own) != len(before):
        return "".join(with_ending(line, ending) for line in after)
    out: list[str] = []
    keys_before = [with_ending(line, "\n") for line in before]
    keys_after = [with_ending(line, "\n") for line in after]
    matcher = difflib.SequenceMatcher(None, keys_before, keys_after, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        out += own[i1:i2] if tag == "equal" else [with_ending(line, ending) for line in after[j1:j2]]
    return "".join([line if _ends_line(line) else line + ending for line in out[:-1]] + out[-1:])


def _ends_line(text: str) -> bool:
    return text.endswith(("\n", "\r"))


# --- refusals ----------------------------------------------------------------------------------------------------


def line_number(content: str, offset: int) -> int:
    """The one-based number of the line that holds a character."""
    return len(_ENDING_RE.findall(content, 0, offset)) + 1


def _several(content: str, places: Sequence[Place]) -> str:
    numbers = [str(line_number(content, place.start)) for place in places[:10]]
    where = ", ".join(numbers) + (", ..." if len(places) > 10 else "")
    return (
        f"old_text is found {len(places)} times (at lines {where}). Add lines around it until it is unique, "
        "or set replace_all to change every one."
    )


def _missing(content: str, old: str, new: str) -> str:
    lines = [without_ending(line) for line in split_lines(content)]
    wanted = [without_ending(line) for line in split_lines(old)]
    parts = ["old_text is not in the file."]
    if len(new.strip()) >= 10 and content.count(new) == 1:
        at = line_number(content, content.index(new))
        parts.append(f"new_text already stands at line {at}; this edit may have been made before.")
    if all(_NUMBERED.match(line) for line in wanted if line.strip()) and old.strip():
        parts.append("It seems to hold line numbers; leave them out.")
    bare, wanted_bare = [line.strip() for line in lines], [line.strip() for line in wanted]
    size = len(wanted)
    spots = [at for at in range(len(bare) - size + 1) if any(wanted_bare) and bare[at : at + size] == wanted_bare]
    if spots:
        parts.append(f"The same words stand at line {spots[0] + 1}, but their indent differs in more than one way.")
    parts.append(show_nearest(lines, wanted))
    parts.append("Read the file and copy old_text from it as it stands, without the line numbers.")
    return "\n".join(parts)
