"""Owns what a small fault is, and what its makers ask of the code around it.

The weight of a fault is lower the more a test suite shows by noticing it: a boundary that moved or a call that is gone
slips through easily, a condition turned around seldom does. Faults that change nothing that can be seen are avoided.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent_lsp.domain.mutation_sites import Site, call_name


@dataclass(frozen=True, slots=True)
class Fault:
    """One textual edit: `[start, end)` becomes `new`. It is shown by what it makes of `shown`, or as its removal."""

    weight: int
    start: int
    end: int
    new: str
    shown: ast.AST
    removes: bool = False


IN_A_LOOP: Final = 30
"""A fault that may keep a `while` from ending costs all the time there is, and tells little."""

BOUNDARY: Final[Mapping[type[ast.cmpop], tuple[str, str]]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
}
ARITHMETIC: Final[Mapping[type[ast.operator], tuple[str, str, int]]] = {
    ast.Sub: ("-", "+", 22),
    ast.Add: (r"\+", "-", 22),
    ast.Mult: (r"\*", "/", 24),
    ast.Div: ("/", "*", 24),
    ast.FloorDiv: ("//", "/", 15),
    ast.Mod: ("%", "*", 24),
    ast.Pow: (r"\*\*", "*", 22),
    ast.LShift: ("<<", ">>", 24),
    ast.RShift: (">>", "<<", 24),
    ast.BitAnd: ("&", "|", 22),
    ast.BitOr: (r"\|", "&", 22),
    ast.BitXor: (r"\^", "|", 22),
}
_SELDOM_MATTERS: Final = """
encoding errors name help description doc msg message label title metavar stacklevel exc_info extra indent timeout
maxsize buffering flush file default_factory repr hash frozen slots check daemon ensure_ascii style color
"""
SELDOM_MATTERS: Final = frozenset(_SELDOM_MATTERS.split())
"""Keywords whose value a suite seldom looks at."""


def shown_of(site: Site) -> ast.AST:
    """A constant says little by itself: what holds it is shown, if that is short enough to read."""
    for parent in reversed(site.parents):
        if isinstance(
            parent, ast.Call | ast.Compare | ast.BinOp | ast.Subscript | ast.Assign | ast.AugAssign | ast.Return
        ):
            return parent
    return site.node


def is_text(node: ast.AST) -> bool:
    """Whether a node is a text as it stands there."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def is_number(node: ast.AST) -> bool:
    """Whether a node looks like a number."""
    if isinstance(node, ast.BinOp):
        return not isinstance(node.op, ast.Add | ast.Mod) or is_number(node.left) or is_number(node.right)
    if isinstance(node, ast.UnaryOp):
        return is_number(node.operand)
    if isinstance(node, ast.Call):
        return call_name(node) in ("len", "int", "float", "abs", "round", "sum", "ord", "time", "monotonic")
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def is_starred(nodes: list[ast.expr]) -> bool:
    """Whether arguments are unpacked somewhere in a list of them."""
    return any(isinstance(node, ast.Starred) for node in nodes)
