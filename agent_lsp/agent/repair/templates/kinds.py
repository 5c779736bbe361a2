"""Owns what names of a file seem to hold, by how they are used: numbers, collections, texts."""

import ast
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache

from agent_lsp.agent.repair.source import Site


class Kind(StrEnum):
    """What a name seems to hold."""

    NUMBER = "number"
    LIST = "list"
    SET = "set"
    ITEMS = "items"
    TEXT = "text"
    DICT = "dict"


_METHODS = {
    **dict.fromkeys(("append", "extend", "insert", "sort", "reverse"), Kind.LIST),
    **dict.fromkeys(("add", "discard", "update", "union", "issuperset", "issubset"), Kind.SET),
    **dict.fromkeys(("get", "items", "keys", "values", "setdefault"), Kind.DICT),
    **dict.fromkeys(("strip", "split", "lower", "upper", "join", "startswith", "endswith", "find", "rfind"), Kind.TEXT),
    **dict.fromkeys(("popleft", "appendleft"), Kind.ITEMS),
}
_MADE = {
    ast.List: Kind.LIST,
    ast.ListComp: Kind.LIST,
    ast.Set: Kind.SET,
    ast.SetComp: Kind.SET,
    ast.Dict: Kind.DICT,
    ast.DictComp: Kind.DICT,
    ast.JoinedStr: Kind.TEXT,
}
_MAKERS = {"list": Kind.LIST, "sorted": Kind.LIST, "set": Kind.SET, "dict": Kind.DICT, "str": Kind.TEXT}
_MAKERS |= {"deque": Kind.LIST, "len": Kind.NUMBER, "sum": Kind.NUMBER, "abs": Kind.NUMBER, "int": Kind.NUMBER}
_OF_ITEMS = frozenset(
    {"len", "sorted", "enumerate", "list", "set", "sum", "any", "all", "reversed", "zip", "max", "min"}
)


@lru_cache(maxsize=16)
def kinds(tree: ast.Module) -> dict[str, frozenset[Kind]]:
    """For every name of the file what it seems to hold; names of which nothing is known are left out."""
    found: dict[str, set[Kind]] = {}
    for node in ast.walk(tree):
        for name, kind in _told(node):
            found.setdefault(name, set()).add(kind)
    return {name: frozenset(some) for name, some in found.items()}


def named(site: Site, *wanted: Kind) -> list[str]:
    """Names of the function that are bound before the site and may be of one of these kinds, the nearest first.

    Names of which nothing is known come last.
    """
    known = kinds(site.source.tree)
    bound = {name: line for name, line in site.scope.variables.items() if line < site.node.lineno}
    own = [name for name in bound if name in site.scope.own and name not in ("self", "cls")]
    own.sort(key=lambda name: -bound[name])
    sure = [name for name in own if known.get(name, frozenset()) & frozenset(wanted)]
    return sure + [name for name in own if name not in known]


def own_names(site: Site) -> list[str]:
    """All names of the function that are bound before the site, the nearest first."""
    bound = {name: line for name, line in site.scope.variables.items() if line < site.node.lineno}
    return sorted((name for name in bound if name in site.scope.own), key=lambda name: -bound[name])


def _told(node: ast.AST) -> Iterator[tuple[str, Kind]]:
    match node:
        case ast.Assign(targets=[target]):
            yield from _assigned(target, node.value)
        case ast.AugAssign():
            yield from _assigned(node.target, node.value)
        case ast.BinOp():
            yield from _of_calculation(node)
        case ast.Compare():
            yield from _of_comparison(node)
        case ast.For() | ast.comprehension():
            yield from _of_loop(node)
        case ast.Call():
            yield from _of_call(node)
        case ast.Subscript():
            yield from _of_subscript(node)


def _of_calculation(node: ast.BinOp) -> Iterator[tuple[str, Kind]]:
    for side, other in ((node.left, node.right), (node.right, node.left)):
        number = isinstance(node.op, ast.Sub | ast.FloorDiv | ast.Div | ast.Pow) or _made(other) is Kind.NUMBER
        if isinstance(side, ast.Name) and number:
            yield side.id, Kind.NUMBER


def _of_comparison(node: ast.Compare) -> Iterator[tuple[str, Kind]]:
    right = node.comparators[0]
    for side, other in ((node.left, right), (right, node.left)):
        if isinstance(side, ast.Name) and _made(other) is Kind.NUMBER:
            yield side.id, Kind.NUMBER
    if isinstance(node.ops[0], ast.In | ast.NotIn) and isinstance(right, ast.Name):
        yield right.id, Kind.ITEMS


def _of_loop(node: ast.For | ast.comprehension) -> Iterator[tuple[str, Kind]]:
    if isinstance(node.iter, ast.Name):
        yield node.iter.id, Kind.ITEMS
    if isinstance(node.target, ast.Name) and _called(node.iter) == "range":
        yield node.target.id, Kind.NUMBER


def _of_subscript(node: ast.Subscript) -> Iterator[tuple[str, Kind]]:
    if isinstance(node.value, ast.Name):
        yield node.value.id, Kind.ITEMS
    if isinstance(node.slice, ast.Slice):
        for bound in (node.slice.lower, node.slice.upper):
            if isinstance(bound, ast.Name):
                yield bound.id, Kind.NUMBER


def _of_call(node: ast.Call) -> Iterator[tuple[str, Kind]]:
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        kind = _METHODS.get(node.func.attr)
        if kind is not None:
            yield node.func.value.id, kind
    name = _called(node)
    for argument in node.args if name in _OF_ITEMS | {"range"} else ():
        if isinstance(argument, ast.Name):
            yield argument.id, Kind.NUMBER if name == "range" else Kind.ITEMS


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, Kind]]:
    if isinstance(target, ast.Name):
        kind = _made(value)
        if kind is not None:
            yield target.id, kind
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, other in zip(target.elts, value.elts, strict=True):
            yield from _assigned(one, other)


def _made(value: ast.expr) -> Kind | None:
    if isinstance(value, ast.Constant):
        if isinstance(value.value, str):
            return Kind.TEXT
        return Kind.NUMBER if type(value.value) in (int, float) else None
    if isinstance(value, ast.Call):
        return _MAKERS.get(_called(value))
    return _MADE.get(type(value))


def _called(node: ast.AST) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
