"""Owns slips of whole statements: a forgotten `return`, the wrong jump out of or on in a loop."""

import ast
from collections.abc import Iterator

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.source import Site


def forgotten_return(site: Site) -> Iterator[Rewrite]:
    """A call or value that stands alone is returned; documentation strings stay."""
    node = site.node
    if not isinstance(node, ast.Expr) or isinstance(node.value, ast.Constant | ast.Yield | ast.YieldFrom | ast.Await):
        return
    start = site.source.span(node)[0]
    yield Rewrite(start, start, "return ", 0.3 if isinstance(node.value, ast.Call) else 0.8)


def jump(site: Site) -> Iterator[Rewrite]:
    """`break` becomes `continue` and the other way round."""
    if isinstance(site.node, ast.Break | ast.Continue):
        text = "continue" if isinstance(site.node, ast.Break) else "break"
        yield Rewrite(*site.source.span(site.node), text, 0.65)


def yielded(site: Site) -> Iterator[Rewrite]:
    """`yield x` becomes `yield from x`, and the other way round."""
    if isinstance(site.node, ast.Yield) and site.node.value is not None:
        start = site.source.span(site.node.value)[0]
        yield Rewrite(start, start, "from ", 0.5)
    elif isinstance(site.node, ast.YieldFrom):
        start, end = site.source.span(site.node)
        yield Rewrite(start, end, "yield " + site.source.segment(site.node.value), 0.5)
