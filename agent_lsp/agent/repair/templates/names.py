"""Owns slips of names: the wrong variable or attribute, swapped arguments, the sibling of what was meant."""

import ast
import difflib
from collections.abc import Iterator, Sequence
from itertools import combinations

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.source import Site

_SHOWN = 5
_MOST_ARGUMENTS = 4

_SIBLINGS = (
    ("min", "max"),
    ("any", "all"),
    ("append", "extend"),
    ("lower", "upper"),
    ("lstrip", "rstrip"),
    ("lstrip", "strip"),
    ("rstrip", "strip"),
    ("startswith", "endswith"),
    ("removeprefix", "removesuffix"),
    ("ljust", "rjust"),
    ("split", "rsplit"),
    ("partition", "rpartition"),
    ("find", "rfind"),
    ("index", "rindex"),
    ("floor", "ceil"),
    ("round", "int"),
    ("keys", "values"),
    ("keys", "items"),
    ("values", "items"),
    ("union", "intersection"),
    ("appendleft", "append"),
    ("popleft", "pop"),
    ("add", "discard"),
    ("bisect_left", "bisect_right"),
    ("sorted", "reversed"),
    ("list", "set"),
    ("sin", "cos"),
)


def variable(site: Site) -> Iterator[Rewrite]:
    """A variable becomes another one that its scope binds, the most alike first."""
    node = site.node
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
        return
    called = isinstance(site.parent, ast.Call) and site.parent.func is node
    if called or node.id not in site.scope.variables:
        return
    bound = [name for name, line in site.scope.variables.items() if line < node.lineno]
    for text, prior in _ranked(node.id, bound, 0.7):
        yield Rewrite(*site.source.span(node), text, prior)


def attribute(site: Site) -> Iterator[Rewrite]:
    """`x.start` becomes `x.end`: an attribute that this file uses or declares elsewhere."""
    node = site.node
    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
        return
    if isinstance(site.parent, ast.Call) and site.parent.func is node:
        return
    end = site.source.span(node)[1]
    for text, prior in _ranked(node.attr, _attributes_of(site, node), 0.6):
        yield Rewrite(end - len(node.attr), end, text, prior)


def swapped_arguments(site: Site) -> Iterator[Rewrite]:
    """Two arguments of a call, or two items of a tuple, change places; neighbours first."""
    node = site.node
    if isinstance(node, ast.Call):
        items, prior = node.args, 0.75
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load):
        items, prior = node.elts, 0.75 if isinstance(site.parent, ast.Return) else 0.5
    else:
        return
    if not 2 <= len(items) <= _MOST_ARGUMENTS:
        return
    for low, high in combinations(range(len(items)), 2):
        left, right = items[low], items[high]
        (start, left_end), (right_start, end) = site.source.span(left), site.source.span(right)
        between = site.source.text[left_end:right_start]
        to_comma, _, from_comma = between.partition(",")
        bare = ")" not in to_comma and not from_comma.rstrip().endswith("(")
        if bare and not isinstance(left, ast.Starred) and not isinstance(right, ast.Starred):
            text = site.source.segment(right) + between + site.source.segment(left)
            yield Rewrite(start, end, text, prior if high - low == 1 else prior - 0.2)


def sibling(site: Site) -> Iterator[Rewrite]:
    """`min` becomes `max`, `startswith` becomes `endswith`: functions that are easily taken for each other."""
    node = site.node
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in site.scope.variables:
        name = node.id
    elif isinstance(node, ast.Attribute) and isinstance(site.parent, ast.Call) and site.parent.func is node:
        name = node.attr
    else:
        return
    end = site.source.span(node)[1]
    for pair in _SIBLINGS:
        if name in pair:
            yield Rewrite(end - len(name), end, pair[1 - pair.index(name)], 0.7)


def _ranked(name: str, others: Sequence[str], prior: float) -> list[tuple[str, float]]:
    alike = {other: difflib.SequenceMatcher(None, name, other).ratio() for other in others if other != name}
    best = sorted(alike, key=lambda other: (-alike[other], others.index(other)))[:_SHOWN]
    return [(other, prior - 0.06 * rank) for rank, other in enumerate(best)]


def _attributes_of(site: Site, node: ast.Attribute) -> Sequence[str]:
    """Attributes seen on the same thing first, then those that classes of the file declare."""
    owner = ast.dump(node.value)
    same = [
        other.attr
        for other in ast.walk(site.source.tree)
        if isinstance(other, ast.Attribute) and ast.dump(other.value).replace("Store()", "Load()") == owner
    ]
    return tuple(dict.fromkeys([*same, *site.scope.attributes]))
