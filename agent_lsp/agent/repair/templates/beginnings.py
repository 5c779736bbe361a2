"""Owns slips of what a variable begins with, before later statements change it."""

import ast
from collections.abc import Iterator

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.source import Site
from agent_lsp.agent.repair.templates.kinds import Kind, named, own_names
from agent_lsp.agent.repair.templates.wraps import around

_NAMES = 4


def first_value(site: Site) -> Iterator[Rewrite]:
    """A variable that later statements change begins as another plain value, a parameter, or the first item."""
    node = site.node
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name) or not _is_plain(node.value):
        return
    text, name = site.source.segment(node.value), node.targets[0].id
    if not _changes_later(site, name):
        return
    place = site.source.span(node.value)
    items = named(site, Kind.LIST, Kind.ITEMS)[:2]
    parts = [*_begins(node.value), *(f"{items_of}[0]" for items_of in items), *own_names(site)[:_NAMES]]
    for rank, other in enumerate(part for part in dict.fromkeys(parts) if part not in (text, name)):
        yield Rewrite(*place, other, 0.46 * 0.92**rank)


def _is_plain(node: ast.expr) -> bool:
    parts = ast.walk(node)
    plain = ast.Constant | ast.List | ast.Dict | ast.Tuple | ast.UnaryOp | ast.Load | ast.USub
    return all(isinstance(part, plain) for part in parts)


def _begins(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ("None", '""')
    if isinstance(node, ast.List | ast.Dict | ast.Tuple):
        return ("None", "[]", "{}", "set()", "0", "[0]", '""')
    return ("0", "1", "-1", "None", 'float("inf")', 'float("-inf")', "[]", '""')


def _changes_later(site: Site, name: str) -> bool:
    stored = [
        part.lineno
        for function in around(site)[:1]
        for part in ast.walk(function)
        if isinstance(part, ast.Name) and part.id == name and isinstance(part.ctx, ast.Store)
    ]
    return any(line > site.node.lineno for line in stored)
