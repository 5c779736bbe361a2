"""Owns slips of numbers: off by one in ranges, slices, indexes and returned values, and wrong constants."""

import ast
from collections.abc import Iterator

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.pieces import PieceKind
from agent_lsp.agent.repair.source import Site

_PLAIN = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Constant)
_NOT_OF_NUMBERS = (ast.Is, ast.IsNot, ast.In, ast.NotIn)
_OTHER_CONSTANTS = 4
_TIGHT = (ast.Mult, ast.FloorDiv, ast.Mod)


def constant(site: Site) -> Iterator[Rewrite]:
    """A number becomes its neighbour, zero, one, its negative, ten times more or less, or another of the project."""
    value = _number(site)
    if value is None:
        return
    assert isinstance(site.node, ast.expr)
    place = site.source.span(site.node)
    near = 0.85 if _is_position(site) else 0.65
    wanted: dict[str, float] = {}
    if isinstance(value, int):
        for other, prior in ((value + 1, near), (value - 1, near), (0, near - 0.15), (1, near - 0.15), (-value, 0.4)):
            wanted.setdefault(repr(other), prior)
    else:
        wanted[repr(-value)] = 0.4
    for other_value in _numbers_elsewhere(site, value):
        wanted.setdefault(repr(other_value), 0.3)
    for text in _of_other_files(site, value):
        wanted.setdefault(text, 0.2)
    if value and not _is_position(site):
        scaled = (value * 10, value // 10) if isinstance(value, int) else (value * 10, value / 10)
        for number in scaled:
            wanted.setdefault(repr(number), 0.28)
    wanted.pop(repr(value), None)
    if _is_addend(site):
        wanted = {text: prior for text, prior in wanted.items() if text != "0" and not text.startswith("-")}
    for text, prior in wanted.items():
        yield Rewrite(*place, f"({text})" if text.startswith("-") and _binds_tighter(site) else text, prior)


def off_by_one(site: Site) -> Iterator[Rewrite]:
    """An expression that says a position or a count gets `+ 1` or `- 1`."""
    node = site.node
    if not isinstance(node, ast.expr) or _number(site) is not None:
        return
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _is_position(site):
        yield Rewrite(*site.source.span(node), f"{site.source.segment(node)} - 1", 0.6)
        yield Rewrite(*site.source.span(node), f"{site.source.segment(node)} + 1", 0.6)
        return
    if isinstance(site.parent, ast.BinOp) and isinstance(site.parent.op, ast.Mult) and isinstance(node, ast.Call):
        yield from (Rewrite(*site.source.span(node), f"({site.source.segment(node)} {sign} 1)", 0.4) for sign in "-+")
        return
    if isinstance(site.parent, ast.BinOp) and isinstance(site.parent.op, _TIGHT) and isinstance(node, ast.Name):
        yield from (Rewrite(*site.source.span(node), f"({node.id} {sign} 1)", 0.36) for sign in "-+")
        return
    # What is added to something may be text or a list as well.
    prior = (0.5 if isinstance(site.parent, ast.BinOp) else 0.8) if _is_position(site) else _value_prior(site)
    if not prior or not isinstance(node, (*_PLAIN, ast.BinOp)):
        return
    if isinstance(node, ast.Constant) or (isinstance(node, ast.BinOp) and not _is_sum(node)):
        return
    end = site.source.span(node)[1]
    yield Rewrite(end, end, " + 1", prior)
    yield Rewrite(end, end, " - 1", prior)


def needless_one(site: Site) -> Iterator[Rewrite]:
    """`x + 1` and `x - 1` become `x`."""
    node = site.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub) and _is_one(node.right):
        yield Rewrite(*site.source.span(node), _with_parentheses(site, node), 0.8)


def range_start(site: Site) -> Iterator[Rewrite]:
    """`range(n)` becomes `range(1, n)`, `range(a, b)` becomes `range(b)`; `enumerate(x)` counts from one."""
    node = site.node
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args or node.keywords:
        return
    first, last = site.source.span(node.args[0])[0], site.source.span(node.args[-1])[1]
    if node.func.id == "range" and len(node.args) == 1:
        yield Rewrite(first, first, "1, ", 0.65)
    elif node.func.id == "range" and len(node.args) == 2:
        yield Rewrite(first, site.source.span(node.args[1])[0], "", 0.45)
    elif node.func.id == "enumerate" and len(node.args) == 1:
        yield Rewrite(last, last, ", 1", 0.4)


def slice_bound(site: Site) -> Iterator[Rewrite]:
    """A bound of a slice goes away or, where there is none, leaves out one item."""
    node = site.node
    if not isinstance(node, ast.Slice) or node.step is not None:
        return
    start, end = site.source.span(node)
    lower, upper = node.lower, node.upper
    if lower is not None:
        yield Rewrite(*site.source.span(lower), "", 0.5)
    else:
        yield Rewrite(start, start, "1", 0.5)
    if upper is not None:
        yield Rewrite(*site.source.span(upper), "", 0.5)
    else:
        yield Rewrite(end, end, "-1", 0.5)


def _number(site: Site) -> int | float | None:
    """The value of a number, its sign included; None for all else and for the digits under a sign."""
    node = site.node
    if isinstance(site.parent, ast.UnaryOp) and isinstance(site.parent.op, ast.USub):
        return None
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        inner = node.operand.value
        return -inner if type(inner) in (int, float) else None  # type: ignore[operator,return-value]
    return None


def _numbers_elsewhere(site: Site, value: int | float) -> list[int | float]:
    found = [
        node.value
        for node in ast.walk(site.source.tree)
        if isinstance(node, ast.Constant) and type(node.value) is type(value) and node.value != value
    ]
    return list(dict.fromkeys(found))[:_OTHER_CONSTANTS]


def _of_other_files(site: Site, value: int | float) -> list[str]:
    whole = isinstance(value, int)
    others = site.pieces.elsewhere(PieceKind.NUMBER, site.source.path)
    return [text for text in others if text.isdigit() is whole and text != repr(value)][:_OTHER_CONSTANTS]


def _is_position(site: Site) -> bool:
    node, parent = site.node, site.parent
    if isinstance(parent, ast.Slice):
        return True
    if isinstance(parent, ast.Subscript):
        return parent.slice is node
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name):
        return parent.func.id == "range" and node in parent.args
    return isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add | ast.Sub) and node is parent.right


def _value_prior(site: Site) -> float:
    node, parent = site.node, site.parent
    if isinstance(parent, ast.Tuple) and isinstance(node, ast.Name | ast.BinOp):
        return 0.5 if any(isinstance(holder, ast.Subscript | ast.Call) for holder in site.parents) else 0.2
    if isinstance(parent, ast.Call) and node in parent.args and isinstance(node, ast.Name | ast.BinOp):
        return 0.42
    if isinstance(parent, ast.Compare):
        return 0.4 if node in parent.comparators and not isinstance(parent.ops[0], _NOT_OF_NUMBERS) else 0.0
    if isinstance(parent, ast.Return | ast.Assign) and isinstance(node, ast.BinOp | ast.Call | ast.Name):
        return 0.35
    return 0.0


def _is_sum(node: ast.BinOp) -> bool:
    """Whether `+ 1` behind it means the whole; behind another number it would only be that number's neighbour."""
    plain = isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv)
    return plain and not (isinstance(node.op, ast.Add | ast.Sub) and isinstance(node.right, ast.Constant))


def _is_addend(site: Site) -> bool:
    """Zero there does nothing, and a negative number is what the operator's own slips give."""
    parent = site.parent
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, ast.Add | ast.Sub) and parent.right is site.node
    return isinstance(parent, ast.AugAssign)


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value == 1


def _binds_tighter(site: Site) -> bool:
    return isinstance(site.parent, ast.BinOp | ast.Attribute | ast.Subscript) and not _is_slice_of(site)


def _is_slice_of(site: Site) -> bool:
    return isinstance(site.parent, ast.Subscript) and site.parent.slice is site.node


def _with_parentheses(site: Site, node: ast.BinOp) -> str:
    """The left operand's text, up to the sign, so that its own parentheses stay."""
    start = site.source.span(node)[0]
    sign = r"\+" if isinstance(node.op, ast.Add) else "-"
    place = site.source.between(node.left, node.right, sign)
    return site.source.text[start : place[0]].rstrip() if place else site.source.segment(node.left)
