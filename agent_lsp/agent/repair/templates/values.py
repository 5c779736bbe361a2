"""Owns slips of whole values: a call too many or too few, a missing part of a sum, a slice, a wrap, another result."""

import ast
from collections.abc import Iterator

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.source import Site
from agent_lsp.agent.repair.templates.kinds import Kind, kinds, named, own_names
from agent_lsp.agent.repair.templates.reuse import one_argument

_ATOMS = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Constant)
_FEW = 4
_METHODS = ("strip", "lower", "upper", "copy")
_MADE_OF = ("list", "sorted", "set", "str", "int", "len", "abs", "reversed", "tuple", "float")


def dropped(site: Site) -> Iterator[Rewrite]:
    """`f(x)` becomes `x`, `x.strip()` becomes `x`, `a + b` becomes `a` or `b`, `a and b` loses one side."""
    node = site.node
    if isinstance(node, ast.Call):
        if len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred | ast.GeneratorExp):
            yield Rewrite(*site.source.span(node), site.source.segment(node.args[0]), 0.45)
        if isinstance(node.func, ast.Attribute) and isinstance(site.parent, ast.expr | ast.Return | ast.Assign):
            yield Rewrite(*site.source.span(node), site.source.segment(node.func.value), 0.3)
    elif isinstance(node, ast.BinOp):
        start, end = site.source.span(node)
        for kept, prior in ((node.right, 0.42), (node.left, 0.4)):
            yield Rewrite(start, end, _kept(site, kept), prior)
    elif isinstance(node, ast.BoolOp):
        for left_out in range(len(node.values)):
            rest = [site.source.segment(value) for at, value in enumerate(node.values) if at != left_out]
            word = " and " if isinstance(node.op, ast.And) else " or "
            yield Rewrite(*site.source.span(node), word.join(rest), 0.45)


def best_so_far(site: Site) -> Iterator[Rewrite]:
    """`best = value` becomes `best = max(best, value)`; a sum is kept from falling below zero."""
    node = site.node
    if not isinstance(node, ast.Assign) or len(node.targets) != 1 or isinstance(node.value, ast.Tuple | ast.List):
        return
    target, value = site.source.segment(node.targets[0]), site.source.segment(node.value)
    place = site.source.span(node.value)
    if not isinstance(node.value, ast.Constant):
        for name, prior in (("max", 0.5), ("min", 0.42)):
            if not (isinstance(node.value, ast.Call) and site.source.segment(node.value.func) in ("max", "min")):
                yield Rewrite(*place, f"{name}({target}, {value})", prior)
    if isinstance(node.value, ast.BinOp):
        yield Rewrite(*place, f"max(0, {value})", 0.45)
        yield Rewrite(*place, f"min(0, {value})", 0.2)


def combined(site: Site) -> Iterator[Rewrite]:
    """A number that is passed on, kept or given back is added to, or taken from, another of the function."""
    node = site.node
    if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load) or not is_given(site):
        return
    known = kinds(site.source.tree)
    if isinstance(node, ast.Name) and not known.get(node.id, frozenset()) <= {Kind.NUMBER, Kind.TEXT}:
        return
    text = site.source.segment(node)
    place = site.source.span(node)
    for rank, name in enumerate(other for other in named(site, Kind.NUMBER) if other != text):
        prior = 0.42 * 0.85**rank
        yield Rewrite(*place, f"{text} - {name}", prior)
        yield Rewrite(*place, f"{name} + {text}", prior)
        yield Rewrite(*place, f"{name} - {text}", prior * 0.4)


def squared(site: Site) -> Iterator[Rewrite]:
    """`x` becomes `x**2` within a calculation, and the other way round."""
    node, parent = site.node, site.parent
    within = isinstance(parent, ast.BinOp) and not isinstance(parent.op, ast.Mod)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and within:
        yield Rewrite(*site.source.span(node), f"{node.id}**2", 0.3)
        yield Rewrite(*site.source.span(node), f"2 * {node.id}", 0.15)


def sliced(site: Site) -> Iterator[Rewrite]:
    """A collection that is gone through or passed on loses its first or last item, or what a number says."""
    node = site.node
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load) or isinstance(site.parent, ast.Attribute):
        return
    holders = ast.For | ast.Call | ast.comprehension | ast.Return | ast.BinOp
    if not isinstance(site.parent, holders) or (isinstance(site.parent, ast.Call) and site.parent.func is node):
        return
    if kinds(site.source.tree).get(node.id, frozenset({Kind.ITEMS})) <= {Kind.NUMBER, Kind.SET, Kind.DICT}:
        return
    place = site.source.span(node)
    for text, prior in (("[1:]", 0.48), ("[:-1]", 0.35), ("[::-1]", 0.3)):
        yield Rewrite(*place, node.id + text, prior)
    for rank, name in enumerate(named(site, Kind.NUMBER)[:_FEW]):
        if name != node.id:
            yield Rewrite(*place, f"{node.id}[{name}:]", 0.4 * 0.85**rank)
            yield Rewrite(*place, f"{node.id}[:{name}]", 0.36 * 0.85**rank)


def result(site: Site) -> Iterator[Rewrite]:
    """What a `return` gives: a test of a variable, a variable in a list, another plain value, a sum with a variable."""
    node = site.node
    if not isinstance(node, ast.Return):
        return
    value = node.value
    names = own_names(site)[: 2 * _FEW]
    if value is None:
        yield from (Rewrite(*site.source.span(node), f"return {name}", 0.4) for name in names[:_FEW])
        return
    for text, prior in _plain_results(value, names):
        yield Rewrite(*site.source.span(value), text, prior)
    if isinstance(value, ast.List | ast.ListComp | ast.Call | ast.BinOp):
        text = site.source.segment(value)
        for rank, name in enumerate(named(site, Kind.LIST, Kind.ITEMS, Kind.TEXT)[:_FEW]):
            yield Rewrite(*site.source.span(value), f"{name} + {text}", 0.42 * 0.9**rank)
            yield Rewrite(*site.source.span(value), f"{text} + {name}", 0.38 * 0.9**rank)


def _plain_results(value: ast.expr, names: list[str]) -> Iterator[tuple[str, float]]:
    if isinstance(value, ast.Constant) and isinstance(value.value, bool):
        for rank, name in enumerate(names):
            yield from ((text, 0.5 * 0.9**rank) for text in (name, f"{name} == 0", f"not {name}", f"bool({name})"))
    elif isinstance(value, ast.List | ast.Tuple) and not value.elts:
        yield "[[]]", 0.5
        for rank, name in enumerate(names):
            yield f"[{name}]", 0.5 * 0.9**rank
            yield name, 0.4 * 0.9**rank
    elif isinstance(value, ast.Constant):
        for rank, name in enumerate(names):
            yield name, 0.4 * 0.9**rank
        yield from ((text, 0.25) for text in ("None", "[]", "{}", '""') if text != repr(value.value))


def wrapped(site: Site) -> Iterator[Rewrite]:
    """A value that is passed on goes through a function of the project, is copied, or is stripped."""
    node = site.node
    if not isinstance(node, ast.Name | ast.Attribute | ast.Subscript) or not isinstance(node.ctx, ast.Load):
        return
    if not is_given(site) and not isinstance(site.parent, ast.Subscript | ast.For | ast.Compare):
        return
    if isinstance(site.parent, ast.Subscript) and site.parent.slice is not node:
        return
    text, place = site.source.segment(node), site.source.span(node)
    for rank, name in enumerate(one_argument(site)):
        yield Rewrite(*place, f"{name}({text})", 0.4 * 0.85**rank)
    known = kinds(site.source.tree).get(text, frozenset())
    if not known & {Kind.NUMBER}:
        for rank, name in enumerate(_METHODS):
            yield Rewrite(*place, f"{text}.{name}()", (0.34 if Kind.TEXT in known or not known else 0.2) * 0.9**rank)
    for rank, name in enumerate(_MADE_OF):
        first = name in ("list", "sorted") and bool(known & {Kind.LIST, Kind.ITEMS})
        yield Rewrite(*place, f"{name}({text})", (0.36 if first else 0.16) * 0.9**rank)


def method_added(site: Site) -> Iterator[Rewrite]:
    """`x.split()` becomes `x.lower().split()`: a step of a chain is missing."""
    node = site.node
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and not isinstance(node.func.value, ast.Call)
    ):
        end = site.source.span(node.func.value)[1]
        if isinstance(node.func.value, ast.Name | ast.Attribute | ast.Subscript) and node.func.attr not in (
            "append",
            "add",
        ):
            for rank, name in enumerate(("lower", "strip", "upper")):
                yield Rewrite(end, end, f".{name}()", 0.3 * 0.9**rank)


def is_given(site: Site) -> bool:
    """Whether the value goes somewhere as a whole: an argument, an item, a result, what is kept."""
    node, parent = site.node, site.parent
    if isinstance(parent, ast.Call):
        return parent.func is not node
    if isinstance(parent, ast.IfExp):
        return parent.test is not node
    return isinstance(parent, ast.Tuple | ast.List | ast.Return | ast.Assign | ast.AugAssign | ast.Yield | ast.keyword)


def _kept(site: Site, node: ast.expr) -> str:
    text = site.source.segment(node)
    return text if isinstance(node, _ATOMS) or not isinstance(site.parent, ast.BinOp) else f"({text})"
