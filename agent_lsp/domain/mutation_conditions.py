"""Owns the faults of conditions: boundaries, comparisons, what is joined by `and` and `or`, what decides."""

import ast
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from agent_lsp.domain.mutation_faults import BOUNDARY, IN_A_LOOP, Fault
from agent_lsp.domain.mutation_sites import Site, call_name
from agent_lsp.domain.python_text import PythonText

_OPPOSITE: Final[Mapping[type[ast.cmpop], tuple[str, str]]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: (r"is\b", "is not"),
    ast.IsNot: (r"is\s+not\b", "is"),
    ast.In: (r"in\b", "not in"),
    ast.NotIn: (r"not\s+in\b", "in"),
}


_CLOCKS: Final = frozenset({"time", "monotonic", "perf_counter", "process_time", "now", "utcnow", "random", "uniform"})


def compared(source: PythonText, site: Site) -> Iterator[Fault]:
    """A boundary that takes in its edge or no longer does; another comparison turned around."""
    node: Any = site.node
    operands = [node.left, *node.comparators]
    for operator, (left, right) in zip(node.ops, pairwise(operands), strict=True):
        boundary = BOUNDARY.get(type(operator))
        pattern, new = boundary or _OPPOSITE[type(operator)]
        place = source.between(left, right, pattern)
        if place is None or (boundary and _makes_no_difference(node, site)):
            continue
        weight = (8 if boundary else 40) + (IN_A_LOOP if site.loops and boundary else 0)
        yield Fault(weight, *place, new, node)


def _makes_no_difference(node: ast.Compare, site: Site) -> bool:
    """Whether two that are equal come to the same: `if a < b: a = b`, `a if a < b else b`.

    What a clock says is never quite equal to anything.
    """
    if any(call_name(part) in _CLOCKS for part in ast.walk(node)):
        return True
    sides = {ast.unparse(part) for part in (node.left, *node.comparators)}
    parent = site.parent
    if isinstance(parent, ast.IfExp) and parent.test is node:
        return {ast.unparse(parent.body), ast.unparse(parent.orelse)} == sides
    only = parent.body[0] if isinstance(parent, ast.If) and len(parent.body) == 1 else None
    return isinstance(only, ast.Assign) and {ast.unparse(only.targets[0]), ast.unparse(only.value)} == sides


def joined(source: PythonText, site: Site) -> Iterator[Fault]:
    """Without the last or the first operand; `and` for `or`."""
    node: Any = site.node
    word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    places = [source.between(left, right, rf"\b{word}\b") for left, right in pairwise(node.values)]
    start, end = source.span(node)
    loops = IN_A_LOOP if site.loops else 0
    for number, place in enumerate(places):
        if place is None:
            continue
        begin = len(source.text[: place[0]].rstrip())
        if number == len(places) - 1:
            yield Fault(11 + loops, begin, end, "", node)
        if number == 0:
            after = place[1] + len(source.text[place[1] :]) - len(source.text[place[1] :].lstrip())
            yield Fault(12 + loops, start, after, "", node)
        yield Fault(34 + loops, *place, other, node)


def denied(source: PythonText, site: Site) -> Iterator[Fault]:
    """Without its `not`."""
    node: Any = site.node
    if isinstance(node.op, ast.Not):
        inner = source.text[source.span(node)[0] + 3 : source.span(node)[1]]
        start = source.span(node)[0]
        yield Fault(30, start, start + 3 + len(inner) - len(inner.lstrip()), "", node)


def condition(source: PythonText, site: Site) -> Iterator[Fault]:
    """What decides: turned around, or decided always the same way."""
    node, parent = site.node, site.parent
    start, end = (0, 0) if isinstance(node, ast.stmt) else source.span(node)
    if isinstance(parent, ast.comprehension) and node in parent.ifs:
        yield Fault(13, start, end, "True", node)
    elif isinstance(parent, ast.If | ast.IfExp) and parent.test is node:
        yield Fault(18, start, end, "True", node)
        yield Fault(19, start, end, "False", node)
        if not isinstance(node, ast.Compare):
            yield Fault(32, start, end, f"not ({source.text[start:end]})", node)
