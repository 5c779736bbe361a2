"""Owns the faults of values: arithmetic, constants, slices, calls and their arguments."""

import ast
from collections.abc import Iterator
from typing import Any, Final

from agent_lsp.domain.mutation_faults import (
    ARITHMETIC,
    BOUNDARY,
    IN_A_LOOP,
    SELDOM_MATTERS,
    Fault,
    is_number,
    is_starred,
    is_text,
    shown_of,
)
from agent_lsp.domain.mutation_sites import Site, call_name
from agent_lsp.domain.python_text import PythonText

_LARGE: Final = 10**15
_OTHER_NAME: Final = {
    "any": "all",
    "all": "any",
    "min": "max",
    "max": "min",
    "startswith": "endswith",
    "endswith": "startswith",
    "lstrip": "rstrip",
    "rstrip": "lstrip",
    "floor": "ceil",
    "ceil": "floor",
    "find": "rfind",
    "rfind": "find",
    "split": "rsplit",
    "union": "intersection",
    "intersection": "union",
}
_DOES_LITTLE: Final = frozenset({"strip", "lstrip", "rstrip", "lower", "upper", "copy", "casefold", "title"})
_WRAPS: Final = frozenset({"abs", "sorted", "reversed"})
_LAST_IS_OPTIONAL: Final = frozenset(
    {"get", "pop", "setdefault", "split", "rsplit", "round", "range", "int", "sum", "next", "enumerate", "count"}
)
_ORDER_IS_FREE: Final = frozenset(
    {"min", "max", "print", "isinstance", "issubclass", "zip", "union", "intersection", "gcd", "hypot", "range"}
)


def reckoned(source: PythonText, site: Site) -> Iterator[Fault]:
    """Another operation, or the first operand alone where what is added may be no number."""
    node: Any = site.node
    known = ARITHMETIC.get(type(node.op))
    if known is None or (isinstance(node.op, ast.Mod) and is_text(node.left)):
        return
    pattern, new, weight = known
    place = source.between(node.left, node.right, pattern)
    if place is None:
        return
    if isinstance(node.op, ast.Add) and not (is_number(node.left) or is_number(node.right)):
        yield Fault(weight + 1, len(source.text[: place[0]].rstrip()), source.span(node)[1], "", node)
        return
    if isinstance(node.op, ast.Add | ast.Sub) and (is_text(node.left) or is_text(node.right)):
        return
    yield Fault(weight, *place, new, node)


def constant(source: PythonText, site: Site) -> Iterator[Fault]:
    """The next number, the other truth, an empty text."""
    node: Any = site.node
    start, end = source.span(node)
    value, parent = node.value, site.parent
    if isinstance(parent, ast.keyword) and parent.arg in SELDOM_MATTERS:
        return
    if isinstance(value, bool):
        yield Fault(17, start, end, str(not value), shown_of(site))
    elif isinstance(value, int | float):
        ordered = isinstance(parent, ast.Compare) and any(type(op) in BOUNDARY for op in parent.ops)
        if not ordered and abs(value) < _LARGE:
            yield Fault(16 + (IN_A_LOOP if site.loops else 0), start, end, repr(value + 1), shown_of(site))
    elif isinstance(value, str) and _is_data(value, site):
        yield Fault(42, start, end, '""', shown_of(site))


def _is_data(value: str, site: Site) -> bool:
    """Whether a text is worked with: neither a name, a key nor words for people."""
    parent = site.parent
    if not value or len(value) > 30 or value.count(" ") > 2:
        return False
    if isinstance(parent, ast.BinOp):
        return not isinstance(parent.op, ast.Mod)
    return isinstance(parent, ast.Return | ast.IfExp) or (
        isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute)
    )


def called(source: PythonText, site: Site) -> Iterator[Fault]:
    """A related function, nothing called at all, other arguments."""
    node: Any = site.node
    name = call_name(node)
    other = _OTHER_NAME.get(name)
    if other is not None and not (name == "split" and len(node.args) + len(node.keywords) < 2):
        end = source.span(node.func)[1]
        yield Fault(28, end - len(name), end, other, node)
    if not node.keywords and len(node.args) == int(name in _WRAPS) and (name in _WRAPS | _DOES_LITTLE):
        if name in _WRAPS and isinstance(node.func, ast.Name):
            inner = source.text[source.span(node.func)[1] : source.span(node)[1]]
            yield Fault(16, *source.span(node), inner, node)
        elif isinstance(node.func, ast.Attribute):
            yield Fault(20, source.span(node.func)[1] - len(name) - 1, source.span(node)[1], "", node)
    yield from _arguments(source, node, name)


def _arguments(source: PythonText, node: Any, name: str) -> Iterator[Fault]:
    """Arguments left out, or two of them in each other's place."""
    everything = sorted([*node.args, *(keyword.value for keyword in node.keywords)], key=source.span)
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in SELDOM_MATTERS or keyword.value is not everything[-1]:
            continue
        weight = 45 if isinstance(keyword.value, ast.Constant) and not keyword.value.value else 21
        yield from _without_last(source, node, source.span(keyword)[0], weight)
    if name in _LAST_IS_OPTIONAL and _has_a_say(node, name):
        yield from _without_last(source, node, source.span(node.args[-1])[0], 20)
    if len(node.args) >= 2 and not is_starred(node.args) and name not in _ORDER_IS_FREE:
        first, second = node.args[:2]
        (start, middle), (after, end) = source.span(first), source.span(second)
        text = source.text
        swapped = text[after:end] + text[middle:after] + text[start:middle]
        plain = (ast.Name, ast.Attribute, ast.Subscript)
        if isinstance(first, plain) and isinstance(second, plain) and ast.dump(first) != ast.dump(second):
            yield Fault(33, start, end, swapped, node)


def _has_a_say(node: Any, name: str) -> bool:
    """Whether the last of several arguments can be left out, and is not what holds without it."""
    if len(node.args) < 2 or node.keywords or is_starred(node.args):
        return False
    last = node.args[-1]
    return not (isinstance(last, ast.Constant) and not last.value and name not in ("pop", "next", "round"))


def _without_last(source: PythonText, node: Any, start: int, weight: int) -> Iterator[Fault]:
    """Without the last argument: from the comma before it to the closing bracket."""
    end = source.span(node)[1] - 1
    before = source.text[:start].rstrip().rstrip("(").rstrip()
    begin = len(before) - 1 if before.endswith(",") else start
    if begin > source.span(node.func)[1] and source.text[end] == ")":
        yield Fault(weight, begin, end, "", node)


def sliced(source: PythonText, site: Site) -> Iterator[Fault]:
    """Without one of its bounds."""
    node: Any = site.node
    bounds = node.slice if isinstance(node.slice, ast.Slice) else None
    for bound in (bounds.lower, bounds.upper) if bounds is not None else ():
        if bound is not None and not (isinstance(bound, ast.Constant) and bound.value == 0):
            yield Fault(19, *source.span(bound), "", node)
