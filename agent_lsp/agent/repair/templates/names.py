"""Owns slips of names: the wrong variable or attribute, swapped arguments, the sibling of what was meant."""

import ast
import difflib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.pieces import PieceKind
from agent_lsp.agent.repair.source import Site

_SHOWN = 5
_ELSEWHERE = 200
_ALIKE = 0.6
_SELVES = ("self", "cls")
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
    """A variable becomes another one that is bound before: any of its function, or one of a few of the module."""
    node = site.node
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
        return
    called = isinstance(site.parent, ast.Call) and site.parent.func is node
    if called or node.id not in site.scope.variables:
        return
    looped = _looped_over(site, node)
    for rank, name in enumerate(_others_in_scope(site, node)):
        prior = 0.7 if (name in site.scope.own) is (node.id in site.scope.own) else 0.4
        if isinstance(site.parent, ast.Attribute) or name in _SELVES:
            prior *= 0.6
        yield Rewrite(*site.source.span(node), name, prior * 0.9**rank * (0.3 if name in looped else 1.0))


def attribute(site: Site) -> Iterator[Rewrite]:
    """`x.start` becomes `x.end`: an attribute that this file uses or declares elsewhere, or another file does."""
    node = site.node
    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
        return
    if isinstance(site.parent, ast.Call) and site.parent.func is node:
        return
    end = site.source.span(node)[1]
    here = _attributes_of(site, node)
    for text, prior in _ranked(node.attr, here, 0.6):
        yield Rewrite(end - len(node.attr), end, text, prior)
    others = [text for text in site.pieces.elsewhere(PieceKind.ATTRIBUTE, site.source.path) if text not in here]
    for text, prior in _ranked(node.attr, others[:_ELSEWHERE], 0.36):
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
            yield Rewrite(end - len(name), end, pair[1 - pair.index(name)], 0.8)


def _others_in_scope(site: Site, node: ast.Name) -> list[str]:
    """Names of the function and some of the module, those of the same kind first; of each, the alike, then the near."""
    own = site.scope.own
    bound = {name: line for name, line in site.scope.variables.items() if line < node.lineno and name != node.id}
    if node.id in _SELVES:
        return [name for name, line in bound.items() if line == 0 and name in own]
    alike = {name: difflib.SequenceMatcher(None, node.id, name).ratio() for name in bound}
    far = {name: node.lineno - line for name, line in bound.items()}
    if node.id not in own:
        places = list(site.scope.variables)
        far = {name: abs(places.index(name) - places.index(node.id)) for name in bound}
    order = sorted(bound, key=lambda name: (alike[name] < _ALIKE, far[name], -alike[name]))
    of_function = [name for name in order if name in own]
    of_module = [name for name in order if name not in own and not name.startswith("__")][:_SHOWN]
    return of_function + of_module if node.id in own else of_module + of_function


def _looped_over(site: Site, node: ast.Name) -> set[str]:
    """For what stands right of an `in`: what the loops around it go through, where its test would be idle."""
    parent = site.parent
    if not isinstance(parent, ast.Compare) or not isinstance(parent.ops[-1], ast.In | ast.NotIn) or node is parent.left:
        return set()
    loops = [
        loop.iter
        for loop in ast.walk(site.source.tree)
        if isinstance(loop, ast.For) and loop.lineno <= node.lineno <= (loop.end_lineno or loop.lineno)
    ]
    within = [part.iter for holder in site.parents for part in getattr(holder, "generators", ())]
    return {iterated.id for iterated in loops + within if isinstance(iterated, ast.Name)}


def _ranked(name: str, others: Sequence[str], prior: float) -> list[tuple[str, float]]:
    alike = {other: difflib.SequenceMatcher(None, name, other).ratio() for other in others if other != name}
    best = sorted(alike, key=lambda other: (-alike[other], others.index(other)))[:_SHOWN]
    return [(other, prior - 0.06 * rank) for rank, other in enumerate(best)]


def _attributes_of(site: Site, node: ast.Attribute) -> Sequence[str]:
    """Attributes seen on the same thing first, then those that classes of the file declare."""
    return tuple(dict.fromkeys([*_by_owner(site.source.tree).get(ast.dump(node.value), ()), *site.scope.attributes]))


@lru_cache(maxsize=16)
def _by_owner(tree: ast.Module) -> dict[str, list[str]]:
    """The attributes that a file names, by what they belong to."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.setdefault(ast.dump(node.value).replace("Store()", "Load()"), []).append(node.attr)
    return found
