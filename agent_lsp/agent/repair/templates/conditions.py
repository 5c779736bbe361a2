"""Owns slips of conditions: a missing or needless `not`, an emptiness test where None was meant, True for False."""

import ast
from collections.abc import Iterator

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.source import Site

_ATOMS = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Constant)


def missing_not(site: Site) -> Iterator[Rewrite]:
    """A condition is turned round; comparisons are left to their operators."""
    node = site.node
    if not isinstance(node, ast.expr) or isinstance(node, ast.Compare | ast.Constant):
        return
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return
    prior = _condition_prior(site)
    if prior:
        start, end = site.source.span(node)
        text = site.source.segment(node)
        yield Rewrite(start, end, f"not {text}" if isinstance(node, _ATOMS) else f"not ({text})", prior)


def needless_not(site: Site) -> Iterator[Rewrite]:
    """`not x` becomes `x`."""
    node = site.node
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        start, end = site.source.span(node)
        inner = site.source.text[start + len("not") : end].lstrip(" \t")
        yield Rewrite(start, end, inner, 0.85)


def none_check(site: Site) -> Iterator[Rewrite]:
    """`if x` becomes `if x is not None` (zero and empty count), and the other way round."""
    node = site.node
    if (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.Not)
        and isinstance(node.operand, ast.Name | ast.Attribute)
    ):
        yield Rewrite(*site.source.span(node), f"{site.source.segment(node.operand)} is None", 0.68)
    elif isinstance(node, ast.Name | ast.Attribute) and _condition_prior(site) >= 0.7:
        yield Rewrite(*site.source.span(node), f"{site.source.segment(node)} is not None", 0.55)
    elif isinstance(node, ast.Compare) and _is_against_none(node):
        text = site.source.segment(node.left)
        simple = isinstance(node.left, _ATOMS)
        if simple:
            turned = isinstance(node.ops[0], ast.Is | ast.Eq)
            yield Rewrite(*site.source.span(node), f"not {text}" if turned else text, 0.5)


def truth_value(site: Site) -> Iterator[Rewrite]:
    """True becomes False and the other way round."""
    if isinstance(site.node, ast.Constant) and isinstance(site.node.value, bool):
        yield Rewrite(*site.source.span(site.node), str(not site.node.value), 0.7)


def _condition_prior(site: Site) -> float:
    """How much the place of an expression makes it a condition; 0 if nothing does."""
    node, parent = site.node, site.parent
    if isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert) and parent.test is node:
        return 0.75
    if isinstance(parent, ast.comprehension) and node in parent.ifs:
        return 0.75
    if isinstance(parent, ast.BoolOp):
        return 0.7 if any(isinstance(p, ast.If | ast.While | ast.comprehension) for p in site.parents) else 0.5
    if isinstance(parent, ast.Return) and isinstance(node, ast.Call | ast.BoolOp):
        return 0.35
    return 0.0


def _is_against_none(node: ast.Compare) -> bool:
    right = node.comparators[0]
    return len(node.ops) == 1 and isinstance(right, ast.Constant) and right.value is None
