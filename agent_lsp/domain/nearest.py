"""Owns what a refusal shows: the lines of a file that most resemble a text that was not found in it.

The likeness only chooses what is shown. It never decides where an edit goes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_WORD = re.compile(r"\w+")
_WHOLE_LINE_SCORE: Final = 4.0
_SHOWN_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Nearest:
    """Lines `[start, end)` (zero-based) of the file that resemble the wanted text most."""

    start: int
    end: int


def nearest(lines: Sequence[str], wanted: Sequence[str]) -> Nearest | None:
    """The window of `lines` that shares most with `wanted`, or None where nothing is shared."""
    bare = {line.strip() for line in wanted} - {""}
    words = {word for line in wanted for word in _WORD.findall(line)}
    if not words and not bare:
        return None
    scores = [_score(line, bare, words) for line in lines]
    size = max(1, min(len(wanted), len(lines)))
    window = sum(scores[:size])
    best, best_start = window, 0
    for start in range(1, len(lines) - size + 1):
        window += scores[start + size - 1] - scores[start - 1]
        if window > best + 1e-9:
            best, best_start = window, start
    return Nearest(best_start, min(best_start + size, len(lines))) if best > 0 else None


def numbered(lines: Sequence[str], start: int, end: int) -> str:
    """Lines `[start, end)` with their one-based numbers, cut in the middle where they are many."""
    shown = [f"{number + 1:>6}\t{lines[number]}" for number in range(max(start, 0), min(end, len(lines)))]
    if len(shown) > _SHOWN_LINES:
        half = _SHOWN_LINES // 2
        shown = [*shown[:half], f"       ... {len(shown) - 2 * half} more lines ...", *shown[-half:]]
    return "\n".join(shown)


def show_nearest(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """A paragraph for the model with the nearest lines, or the words that nothing is alike."""
    if not lines:
        return "The file is empty."
    found = nearest(lines, wanted)
    if found is None:
        return f"Nothing in the file (lines 1-{len(lines)}) resembles it."
    return "The nearest lines are:\n" + numbered(lines, found.start - 1, found.end + 1)


def _score(line: str, bare: set[str], words: set[str]) -> float:
    stripped = line.strip()
    if not stripped:
        return 0.0
    if stripped in bare:
        return _WHOLE_LINE_SCORE if len(stripped) > 2 else 0.5
    own = set(_WORD.findall(stripped))
    shared = len(own & words)
    return 2 * shared / (len(own) + 2) if shared else 0.0
