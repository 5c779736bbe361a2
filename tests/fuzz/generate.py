"""Owns values and messages that LSP's meta model allows, made from a seed."""

from collections.abc import Sequence
from random import Random
from typing import Any, Final

from tests.judge.meta_model import (
    And,
    Array,
    Base,
    Enumeration,
    Map,
    MetaModel,
    Method,
    Or,
    Property,
    Record,
    Reference,
    StringLiteral,
    Structure,
    Tuple,
    Type,
)

Json = dict[str, Any]

TEXTS: Final = (
    "", "x", "a - b", "def add(a, b):\n", "# agent: fix add\n", "\r\n", "\r", "\n\n", "\u2028\x0c\x85", "é", "e\u0301",
    "😀😀", "\ud800", "\0", "../../etc/passwd", "%s%n{}", "jsonrpc", "h_1", "p_1", "r_1", "agent-lsp", "a" * 300,
)  # fmt: skip
NUMBERS: Final = (0, 0, 0, 1, 1, 2, 3, 4, 7, 15, 80, 1000, 2**31 - 1)
PLACES: Final = (
    "calc.py", "tests/test_calc.py", "ärger %20.py", "gone/away.py", "notes.txt", ".", "..", ".agent-lsp/x", "a#b?c.py",
)  # fmt: skip
FOREIGN: Final = (
    "untitled:Untitled-1", "vscode-notebook-cell:/w/n.ipynb#W0", "agent-lsp:/proposal/p_1/calc.py", "file:///",
    "file:///c%3A/x.py", "file://server/share/x.py", "agent-lsp:/plan/r_1.md", "http://example.invalid/x", "x:",
)  # fmt: skip
DEEPEST: Final = 6


class Maker:
    """Makes values of types. `root_uri` is a folder whose documents are named most of the time."""

    def __init__(self, model: MetaModel, random: Random, root_uri: str) -> None:
        self.model, self.random = model, random
        self.uris = [f"{root_uri}/{place}" for place in PLACES[:2]] * 4
        self.uris += [f"{root_uri}/{place}" for place in PLACES[2:]] + list(FOREIGN)

    def value(self, kind: Type, depth: int = 0) -> Any:
        """A value that the model takes."""
        match kind:
            case Base(name):
                return self._base(name)
            case StringLiteral(text):
                return text
            case Array(element):
                return [self.value(element, depth + 1) for _ in range(self._count(depth))]
            case Map(key, item):
                return {str(self.value(key)): self.value(item, depth + 1) for _ in range(self._count(depth))}
            case Tuple(items):
                return [self.value(item, depth + 1) for item in items]
            case Or(items):
                return self.value(self._one_of(items, depth), depth)
            case Record() | And():
                return self._record(self.model.properties(kind) or {}, depth)
            case Reference():
                return self._reference(kind, depth)

    def anything(self, depth: int = 0) -> Any:
        """Any JSON value."""
        pick = self.random.randrange(8 if depth < DEEPEST else 5)
        if pick >= 6:
            return {self.random.choice(TEXTS): self.anything(depth + 2) for _ in range(self._count(depth))}
        if pick == 5:
            return [self.anything(depth + 2) for _ in range(self._count(depth))]
        if pick == 4:
            return self.random.choice((True, False))
        return (None, self.random.choice(TEXTS), self.random.choice(NUMBERS), self.random.choice((-1, 1.5, 2**40)))[
            pick
        ]

    def params(self, method: Method) -> Any:
        """The params of a method; None for one without."""
        return None if method.params is None else self.value(method.params)

    def _base(self, name: str) -> Any:
        match name:
            case "DocumentUri" | "URI":
                return self.random.choice(self.uris)
            case "integer":
                return self.random.choice((*NUMBERS, -1))
            case "uinteger":
                return self.random.choice(NUMBERS)
            case "decimal":
                return self.random.choice((0.5, 1, -2.25, 1e9))
            case "boolean":
                return self.random.random() < 0.5
            case "null":
                return None
            case _:
                return self.random.choice(TEXTS)

    def _reference(self, kind: Reference, depth: int) -> Any:
        if kind.name in ("LSPAny", "LSPObject", "LSPArray"):
            if kind.name == "LSPAny":
                return self.anything(depth)
            item = self.anything(depth + 1)
            return [item] if kind.name == "LSPArray" else {"data": item}
        named = self.model.named(kind)
        if isinstance(named, Enumeration):
            free = named.custom and named.type.name == "string" and self.random.random() < 0.1
            return self.random.choice(TEXTS) if free else self.random.choice(named.values)
        if isinstance(named, Structure):
            return self._record(self.model.properties(kind) or {}, depth)
        return self.value(named, depth)

    def _record(self, properties: dict[str, Property], depth: int) -> Json:
        share = 0.6 if depth < 3 else 0.3 if depth < DEEPEST else 0.0
        rows = [row for row in properties.values() if not row.optional or self.random.random() < share]
        return {row.name: self.value(row.type, depth + 1) for row in rows}

    def _one_of(self, items: Sequence[Type], depth: int) -> Type:
        plain = [item for item in items if isinstance(item, Base)]
        return self.random.choice(plain if plain and depth >= DEEPEST else items)

    def _count(self, depth: int) -> int:
        return self.random.choice((0, 1, 1, 2, 3)) if depth < DEEPEST else 0
