"""Owns slips of where statements stand: one that is missing, too many, too early, or in the wrong block."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.source import Function, Site, gap_before
from agent_lsp.agent.repair.templates.kinds import Kind, kinds, own_names

_FEW = 8
Known = Mapping[str, frozenset[Kind]]
_SIMPLE = (ast.Assign, ast.AugAssign, ast.Expr, ast.Return, ast.Break, ast.Continue, ast.Raise, ast.Delete)
_JUMPS = (ast.Return, ast.Break, ast.Continue, ast.Raise)


def deleted(site: Site) -> Iterator[Rewrite]:
    """A statement too many."""
    node = site.node
    if isinstance(node, _SIMPLE) and not _is_text(node):
        yield Rewrite(*site.source.span(node), "pass", 0.3 if not isinstance(node, ast.Return) else 0.15)


def inserted(site: Site) -> Iterator[Rewrite]:
    """A statement that is missing: what is seen is remembered, what is found is kept, a variable moves on."""
    tests = _tested(site.source.tree)
    yield from beside(site, ((text, prior, prior * 1.02) for text, prior in _missing(site, tests)))


def beside(site: Site, found: Iterable[tuple[str, float, float]]) -> Iterator[Rewrite]:
    """Statements, each with its prior before and behind the one that stands there."""
    node = site.node
    if not isinstance(node, ast.stmt) or isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | Function):
        return
    if not site.scope.own:
        return
    start, end = site.source.span(node)
    gap = gap_before(site.source, node)
    for text, before, behind in found:
        yield Rewrite(start, start, text + gap, before)
        if not isinstance(node, _JUMPS):
            yield Rewrite(end, end, gap + text, behind)


def _missing(site: Site, tests: Sequence[tuple[str, str]]) -> Iterator[tuple[str, float]]:
    own = own_names(site)
    known = kinds(site.source.tree)
    for item, holder in tests:
        if holder.split(".")[0] in site.scope.variables:
            yield f"{holder}.add({item})", 0.42
            yield f"{holder}.append({item})", 0.32
    yield from _collected(own, known)
    yield from _moved_on(own, known, _changed(site.source.tree))
    yield from _counted(own, known)
    if "self" in site.scope.variables:
        yield from _of_self(_attributes(site.source.tree), [name for name in own if name != "self"], known)


def _collected(own: Sequence[str], known: Known) -> Iterator[tuple[str, float]]:
    lists = [name for name in own if known.get(name, frozenset()) & {Kind.LIST}]
    for rank, holder in enumerate(lists[:_FEW]):
        for at, item in enumerate(name for name in own if name not in lists):
            yield f"{holder}.append({item})", 0.36 * 0.93 ** (rank + at)


def _moved_on(own: Sequence[str], known: Known, changed: frozenset[str]) -> Iterator[tuple[str, float]]:
    for rank, target in enumerate(name for name in own if name in changed):
        for at, value in enumerate(name for name in own if name != target):
            same = known.get(target, frozenset()) == known.get(value, frozenset())
            yield f"{target} = {value}", (0.3 if same else 0.15) * 0.95 ** (rank + at)


def _counted(own: Sequence[str], known: Known) -> Iterator[tuple[str, float]]:
    numbers = _numbers(own, known)
    for rank, target in enumerate(numbers):
        yield f"{target} += 1", 0.26 * 0.9**rank
        yield f"{target} -= 1", 0.2 * 0.9**rank
        for at, value in enumerate(name for name in numbers if name != target):
            yield f"{target} -= {value}", 0.16 * 0.95 ** (rank + at)
            yield f"{target} += {value}", 0.16 * 0.95 ** (rank + at)


def _of_self(attributes: Sequence[str], own: Sequence[str], known: Known) -> Iterator[tuple[str, float]]:
    for attribute in attributes:
        for at, value in enumerate(_numbers(own, known)[:3] or own[:3]):
            yield f"self.{attribute} -= {value}", 0.24 * 0.95**at
            yield f"self.{attribute} += {value}", 0.24 * 0.95**at
            yield f"self.{attribute} = {value}", 0.16 * 0.95**at


def exchanged(site: Site) -> Iterator[Rewrite]:
    """Two statements that follow each other change places."""
    node = site.node
    for one, other in _neighbours(node):
        if isinstance(one, _SIMPLE) and isinstance(other, _SIMPLE) and not isinstance(one, _JUMPS):
            (start, middle), (gap, end) = site.source.span(one), site.source.span(other)
            between = site.source.text[middle:gap]
            text = site.source.segment(other) + between + site.source.segment(one)
            yield Rewrite(start, end, text, 0.4)


def other_block(site: Site) -> Iterator[Rewrite]:
    """The last statement of a block belongs behind the block, or what is behind a block belongs into it."""
    node = site.node
    blocks = [getattr(node, name, None) for name in ("body", "orelse")]
    if not isinstance(node, ast.For | ast.While | ast.If | ast.With) or not isinstance(blocks[0], list):
        return
    body: list[ast.stmt] = blocks[1] or blocks[0]
    last = body[-1]
    if isinstance(last, _SIMPLE) and len(body) > 1:
        before = site.source.span(body[-2])[1]
        end = site.source.span(last)[1]
        yield Rewrite(before, end, gap_before(site.source, node) + site.source.segment(last), 0.5)


def moved_in(site: Site) -> Iterator[Rewrite]:
    """A simple statement right behind a block becomes its last one."""
    for one, other in _neighbours(site.node):
        if isinstance(one, ast.For | ast.While | ast.If) and isinstance(other, _SIMPLE) and not one.orelse:
            last = one.body[-1]
            end = site.source.span(last)[1]
            text = gap_before(site.source, last) + site.source.segment(other)
            yield Rewrite(end, site.source.span(other)[1], text, 0.35)


def _neighbours(node: ast.AST) -> Iterator[tuple[ast.stmt, ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield from pairwise(block)


@lru_cache(maxsize=16)
def _tested(tree: ast.Module) -> tuple[tuple[str, str], ...]:
    """What is looked for in what: `x in seen`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            holder = node.comparators[0]
            if isinstance(node.left, ast.Name | ast.Attribute) and isinstance(holder, ast.Name | ast.Attribute):
                found.append((ast.unparse(node.left), ast.unparse(holder)))
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=16)
def _changed(tree: ast.Module) -> frozenset[str]:
    """Names that are bound more than once, or in a loop: those that move on."""
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return frozenset(names)


@lru_cache(maxsize=16)
def _attributes(tree: ast.Module) -> tuple[str, ...]:
    """Attributes of `self` that the file sets."""
    found = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name)
        if node.value.id == "self"
    ]
    return tuple(dict.fromkeys(found))[:_FEW]


def _numbers(own: Sequence[str], known: Known) -> list[str]:
    return [name for name in own if Kind.NUMBER in known.get(name, frozenset())][:_FEW]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
