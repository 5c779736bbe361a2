"""Owns slips of operators: comparisons, arithmetic, in-place arithmetic, `and` and `or`."""

import ast
from collections.abc import Iterator, Mapping

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.source import Site

_COMPARED: Mapping[type[ast.cmpop], tuple[str, tuple[tuple[str, float], ...]]] = {
    ast.Lt: (r"<", (("<=", 1.0), (">", 0.85), (">=", 0.75), ("!=", 0.35), ("==", 0.3))),
    ast.LtE: (r"<=", (("<", 1.0), (">=", 0.85), (">", 0.75), ("==", 0.35), ("!=", 0.3))),
    ast.Gt: (r">", ((">=", 1.0), ("<", 0.85), ("<=", 0.75), ("!=", 0.35), ("==", 0.3))),
    ast.GtE: (r">=", ((">", 1.0), ("<=", 0.85), ("<", 0.75), ("==", 0.35), ("!=", 0.3))),
    ast.Eq: (r"==", (("!=", 0.9), ("<=", 0.7), (">=", 0.7), ("<", 0.4), (">", 0.4), ("in", 0.2))),
    ast.NotEq: (r"!=", (("==", 0.9), ("<", 0.5), (">", 0.5), ("<=", 0.3), (">=", 0.3))),
    ast.Is: (r"\bis\b", (("is not", 0.9), ("==", 0.4))),
    ast.IsNot: (r"\bis\s+not\b", (("is", 0.9), ("!=", 0.4))),
    ast.In: (r"\bin\b", (("not in", 0.9), ("==", 0.2))),
    ast.NotIn: (r"\bnot\s+in\b", (("in", 0.9),)),
}

_COMPUTED: Mapping[type[ast.operator], tuple[str, tuple[tuple[str, float], ...]]] = {
    ast.Add: ("+", (("-", 0.9), ("*", 0.45))),
    ast.Sub: ("-", (("+", 0.9), ("*", 0.3), ("/", 0.2))),
    ast.Mult: ("*", (("+", 0.6), ("/", 0.5), ("**", 0.45), ("//", 0.4), ("-", 0.3))),
    ast.Div: ("/", (("//", 0.8), ("*", 0.6), ("%", 0.3))),
    ast.FloorDiv: ("//", (("/", 0.8), ("%", 0.6), ("*", 0.4))),
    ast.Mod: ("%", (("//", 0.7), ("*", 0.3))),
    ast.Pow: ("**", (("*", 0.7),)),
    ast.LShift: ("<<", ((">>", 0.8),)),
    ast.RShift: (">>", (("<<", 0.8),)),
    ast.BitAnd: ("&", (("|", 0.8), ("^", 0.5))),
    ast.BitOr: ("|", (("&", 0.8), ("^", 0.5))),
    ast.BitXor: ("^", (("&", 0.7), ("|", 0.7))),
    ast.MatMult: ("@", (("*", 0.4),)),
}

_NOT_COMMUTATIVE = (ast.Add, ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift)
"""Texts and lists are added in an order."""


def comparison(site: Site) -> Iterator[Rewrite]:
    """Every comparison operator of a chain becomes another one; boundaries first."""
    if not isinstance(site.node, ast.Compare):
        return
    operands = [site.node.left, *site.node.comparators]
    for left, right, operator in zip(operands, operands[1:], site.node.ops, strict=False):
        pattern, others = _COMPARED[type(operator)]
        place = site.source.between(left, right, pattern)
        for text, prior in others if place else ():
            assert place
            yield Rewrite(*place, text, prior)


def arithmetic(site: Site) -> Iterator[Rewrite]:
    """`a + b` becomes `a - b` and the like; operands whose order matters change places."""
    if not isinstance(site.node, ast.BinOp) or _is_text(site.node.left) or _is_text(site.node.right):
        return
    left, right = site.node.left, site.node.right
    own, others = _COMPUTED[type(site.node.op)]
    yield from _exchanged(site, left, right, own, others)
    if isinstance(site.node.op, _NOT_COMMUTATIVE) and isinstance(
        right, ast.Name | ast.Attribute | ast.Constant | ast.Call | ast.Subscript | ast.List
    ):
        (start, middle), (gap_end, end) = site.source.span(left), site.source.span(right)
        if not isinstance(left, ast.BinOp):
            gap = site.source.text[middle:gap_end]
            if "(" not in gap and ")" not in gap:
                prior = 0.35 if isinstance(right, ast.Constant) else 0.72
                prior *= 0.6 if isinstance(site.node.op, ast.Add) else 1.0
                yield Rewrite(start, end, site.source.segment(right) + gap + site.source.segment(left), prior)


def in_place(site: Site) -> Iterator[Rewrite]:
    """`a += b` becomes `a -= b` or `a = b`, and the like."""
    if isinstance(site.node, ast.AugAssign):
        own, others = _COMPUTED[type(site.node.op)]
        exchanges = tuple((text + "=", prior) for text, prior in others)
        yield from _exchanged(site, site.node.target, site.node.value, own + "=", (*exchanges, ("=", 0.4)))


def connective(site: Site) -> Iterator[Rewrite]:
    """`and` becomes `or`, one at a time."""
    if not isinstance(site.node, ast.BoolOp):
        return
    own, other = ("and", "or") if isinstance(site.node.op, ast.And) else ("or", "and")
    for left, right in zip(site.node.values, site.node.values[1:], strict=False):
        yield from _exchanged(site, left, right, own, ((other, 0.9),))


def _exchanged(
    site: Site, left: ast.expr, right: ast.expr, own: str, others: tuple[tuple[str, float], ...]
) -> Iterator[Rewrite]:
    pattern = rf"\b{own}\b" if own.isalpha() else "".join("\\" + sign for sign in own)
    place = site.source.between(left, right, pattern)
    for text, prior in others if place else ():
        assert place
        yield Rewrite(*place, text, prior)


def _is_text(node: ast.expr) -> bool:
    """Text is joined and formatted, not computed."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
