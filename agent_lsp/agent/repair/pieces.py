"""Owns the pieces of a project's code that may be missing elsewhere in it, and which of them suit a place best."""

import ast
import builtins
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

from agent_lsp.domain.python_text import ParsedText, lines_of, parsed

_NEAR_LINES = 40
_HERE, _SAME_FILE, _SAME_FOLDER, _ELSEWHERE = 1.0, 0.92, 0.8, 0.65
_RENAMED = 0.6
_NEW_NAMES = 3
_BUILTINS: Final = frozenset(dir(builtins))


class PieceKind(StrEnum):
    """What a piece can be used as."""

    STATEMENT = "statement"
    GUARD = "guard"
    CONDITION = "condition"
    FUNCTION = "function of one argument"
    ATTRIBUTE = "attribute"
    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Piece:
    """Code as one would write it anew, the names that it reads, and where it stands. A guard has two lines."""

    kind: PieceKind
    text: str
    names: frozenset[str]
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece would go: `own` are the function's names, the nearest first; `known` all that can be named."""

    path: str
    line: int
    own: tuple[str, ...]
    known: Collection[str]


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of some files, each kind in the order of the files."""

    of_kind: Mapping[PieceKind, Sequence[Piece]] = field(default_factory=dict)

    def fitting(self, kind: PieceKind, place: Place, most: int) -> list[tuple[str, float]]:
        """Texts that can stand at a place, the likeliest first, each with a weight in (0, 1].

        A piece that reads one name too many is given with a near name of the function in its place.
        """
        known, own = _BUILTINS.union(place.known), frozenset(place.own)
        ranked: list[tuple[float, Piece, str, str]] = []
        for piece in self.of_kind.get(kind, ()):
            missing = piece.names - known
            if len(missing) > 1 or (piece.path == place.path and piece.line == place.line):
                continue
            weight = _nearness(piece, place) * _overlap(piece, own)
            if not missing:
                ranked.append((weight, piece, "", ""))
            for old in missing:
                fresh = [name for name in place.own if name not in piece.names][:_NEW_NAMES]
                ranked += [(weight * _RENAMED * 0.9**rank, piece, old, new) for rank, new in enumerate(fresh)]
        ranked.sort(key=lambda row: (-round(row[0], 9), len(row[1].text), row[1].text, row[3]))
        found: dict[str, float] = {}
        for weight, piece, old, new in ranked:
            if len(found) >= most:
                break
            found.setdefault(_renamed(piece.text, old, new) if old else piece.text, weight)
        return list(found.items())

    def elsewhere(self, kind: PieceKind, path: str) -> list[str]:
        """Texts of a kind in other files, those of the same folder first."""
        folder = _folder(path)
        others = [piece for piece in self.of_kind.get(kind, ()) if piece.path != path]
        others.sort(key=lambda piece: _folder(piece.path) != folder)
        return list(dict.fromkeys(piece.text for piece in others))


NO_PIECES: Final = Pieces()


def _nearness(piece: Piece, place: Place) -> float:
    if piece.path == place.path:
        return _HERE if abs(piece.line - place.line) <= _NEAR_LINES else _SAME_FILE
    return _SAME_FOLDER if _folder(piece.path) == _folder(place.path) else _ELSEWHERE


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _overlap(piece: Piece, own: frozenset[str]) -> float:
    """How much of what it reads belongs to the function that it would go to."""
    return 0.5 + 0.5 * len(piece.names & own) / max(1, len(piece.names - _BUILTINS))


@lru_cache(maxsize=4096)
def _renamed(text: str, old: str, new: str) -> str:
    tree = parsed(text)
    if tree is None:
        return text
    source = ParsedText(text, tree, *lines_of(text))
    spans = [source.span(node) for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == old]
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + new + text[end:]
    return text
