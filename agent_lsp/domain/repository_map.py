"""Owns the map of a repository: which files and definitions matter to a goal, ranked, written within a budget.

A file that uses a name leans on the files that define it; the rank of that graph, drawn to the goal's words, the
open file, failing tests and diagnostics, says what comes first.
"""

import math
import re
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from agent_lsp.domain.imports import is_test_file
from agent_lsp.domain.symbols import FileSymbols

MOST_DEFINERS: Final = 12
"""A name that more files define says nothing about which one is meant."""

MOST_SHOWN: Final = 8
"""Definitions of one file."""

_DAMPING: Final = 0.6
_ROUNDS: Final = 30
_TOLERANCE: Final = 1e-4
_TEST_SHARE: Final = 0.25
_WORD = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])|[a-z]+")
_NAMED = re.compile(r"[A-Za-z_][\w./-]*\w")
_DULL_WORDS: Final = (
    "the and for with that this from into when make add fix test tests should not all are was has have file files use "
    "get set init self new value before after goes what where which then than only again must does each one two its "
    "can cannot they there their but our out who how why src"
)
_DULL: Final = frozenset(_DULL_WORDS.split())


@dataclass(frozen=True, slots=True)
class Wish:
    """What a map is drawn for: the goal's words, files that are known to be meant, and files that a person looks at."""

    text: str
    files: tuple[str, ...] = ()
    open_files: tuple[str, ...] = ()


class RepositoryMaps(Protocol):
    """Draws maps of a workspace's trees. Adapter: workspace/repository_maps.py."""

    async def draw(self, tree: str, wish: Wish, hidden: Container[str], most_characters: int) -> str:
        """The files of a tree that matter to a wish, ranked; `hidden` ones are never read. Raises SnapshotError."""
        ...


@dataclass(slots=True)
class RepositoryGraph:
    """Which files lean on which, of one state of a repository."""

    files: Mapping[str, FileSymbols]
    definers: dict[str, list[int]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    edges: list[list[tuple[int, float]]] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)
    words: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = sorted(self.files)
        for number, path in enumerate(self.names):
            names = {definition.name for definition in self.files[path].definitions}
            for name in names:
                self.definers.setdefault(name, []).append(number)
            for word in words_of(path) | words_of(" ".join(names)):
                self.words.setdefault(word, []).append(number)
        self.definers = {name: found for name, found in self.definers.items() if len(found) <= MOST_DEFINERS}
        self.edges = [self._leans_on(number) for number in range(len(self.names))]

    def _leans_on(self, number: int) -> list[tuple[int, float]]:
        weights: dict[int, float] = {}
        definers, used = self.definers, self.used
        for name in self.files[self.names[number]].uses:
            found = definers.get(name)
            if found is None or number in found:
                continue
            used[name] += 1
            share = _telling(name) / len(found)
            for target in found:
                weights[target] = weights.get(target, 0.0) + share
        whole = sum(weights.values())
        return [(target, weight / whole) for target, weight in weights.items()]

    def rank(self, wish: Wish) -> list[float]:
        """The rank of each of `names`: a random walk that starts again at what the wish names."""
        start = self._start(wish)
        rank = start
        for _ in range(_ROUNDS):
            fresh = [(1 - _DAMPING) * share for share in start]
            lost = 0.0
            for number, share in enumerate(rank):
                out = self.edges[number]
                if not out:
                    lost += share
                    continue
                passed = share * _DAMPING
                for target, weight in out:
                    fresh[target] += passed * weight
            if lost:
                fresh = [value + _DAMPING * lost * share for value, share in zip(fresh, start, strict=True)]
            moved = sum(abs(new - old) for new, old in zip(fresh, rank, strict=True))
            rank = fresh
            if moved < _TOLERANCE:
                break
        return rank

    def _start(self, wish: Wish) -> list[float]:
        """Where the walk starts: everywhere a little, at what is named a lot."""
        count = len(self.names)
        known, seen, words = set(wish.files), set(wish.open_files), words_of(wish.text)
        exact = {word for word in _NAMED.findall(wish.text) if word not in _DULL}
        weights = [1.0 / count] * count
        for word in words & self.words.keys():
            found = self.words[word]
            share = (math.log(1 + count / len(found)) / math.log(1 + count)) ** 2
            for number in found:
                weights[number] += share * (2.5 if word in words_of(self.names[number]) else 1.0)
        for number, path in enumerate(self.names):
            if path in known:
                weights[number] += 6.0
            elif path in seen:
                weights[number] += 2.0
            if path in exact or path.rpartition("/")[2] in exact:
                weights[number] += 4.0
        for name in exact & self.definers.keys():
            for number in self.definers[name]:
                weights[number] += 4.0 / len(self.definers[name])
        whole = sum(weights)
        return [weight / whole for weight in weights]


def drawn(graph: RepositoryGraph, wish: Wish, most_characters: int) -> str:
    """The map as text, the most important files first; empty where nothing is known or nothing fits."""
    if not graph.names:
        return ""
    rank = graph.rank(wish)
    shares = [
        share * (_TEST_SHARE if is_test_file(path) and path not in wish.files else 1.0)
        for share, path in zip(rank, graph.names, strict=True)
    ]
    order = sorted(range(len(shares)), key=lambda number: (-shares[number], graph.names[number]))
    words = words_of(wish.text)
    parts: list[str] = []
    left = most_characters
    for number in order:
        path = graph.names[number]
        part = _section(graph, path, words, left)
        if part is None:
            break
        parts.append(part)
        left -= len(part) + 1
    return "\n".join(parts)


def words_of(text: str) -> frozenset[str]:
    """The words of a text, a path or a name, in small letters, without those that say nothing."""
    found = {word.lower() for word in _WORD.findall(text)}
    return frozenset(_stem(word) for word in found if len(word) > 2 and word not in _DULL)


def _stem(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 4 else word


def _telling(name: str) -> float:
    """Longer and composed names say more than short common ones."""
    composed = "_" in name.strip("_") or any(map(str.isupper, name[1:]))
    return (
        (2.0 if composed else 1.5 if name[0].isupper() else 0.3)
        * min(len(name), 16)
        / 8
        * (0.1 if name.startswith("_") else 1.0)
    )


def _section(graph: RepositoryGraph, path: str, words: frozenset[str], most: int) -> str | None:
    """A file with those of its definitions that matter; None where not even its name fits."""
    rows = [path]
    size = len(path)
    if size > most:
        return None
    best = sorted(
        {one.name: one for one in reversed(graph.files[path].definitions)}.values(),
        key=lambda one: (-3 * len(words_of(one.name) & words), -math.log1p(graph.used[one.name]), one.line),
    )[:MOST_SHOWN]
    for definition in sorted(best, key=lambda one: one.line):
        row = f"{definition.line + 1:>6}  {definition.text}"
        if size + len(row) + 1 > most:
            break
        rows.append(row)
        size += len(row) + 1
    return "\n".join(rows)
