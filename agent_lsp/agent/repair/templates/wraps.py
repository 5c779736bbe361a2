"""Owns slips of values that lack something around them: a bound, a call for each item, a choice."""

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.pieces import PieceKind
from agent_lsp.agent.repair.source import Function, Site, gap_before
from agent_lsp.agent.repair.templates.kinds import Kind, kinds, named, own_names
from agent_lsp.agent.repair.templates.reuse import fitting, one_argument
from agent_lsp.agent.repair.templates.values import is_given

_READ = ast.Name | ast.Attribute | ast.Subscript
_MADE_OF = ("sorted", "list", "len", "sum", "int", "str", "set", "abs", "round", "max", "min", "tuple", "bool", "float")
_OF_ITEMS = ("int({})", "{}.strip()", "str({})", "float({})", "len({})", "{}.lower()")
_OTHERWISE = ("None", "0", '""', "[]")
_BOUNDS, _CHOICES, _CLAUSES = 6, 4, 3


def bounded(site: Site) -> Iterator[Rewrite]:
    """A value becomes the larger or the smaller of itself and another that the function reads, or zero."""
    node = site.node
    if not isinstance(node, _READ | ast.BinOp | ast.Call) or not _is_value(site) or _is_made(node, "max", "min"):
        return
    text, place = site.source.segment(node), site.source.span(node)
    if kinds(site.source.tree).get(text, frozenset({Kind.NUMBER})) <= {Kind.LIST, Kind.DICT, Kind.SET}:
        return
    others = [other for other in readings(site) if other != text][:_BOUNDS]
    for rank, other in enumerate((*others, "0")):
        yield Rewrite(*place, f"max({other}, {text})", 0.26 * 0.9**rank)
        yield Rewrite(*place, f"min({other}, {text})", 0.24 * 0.9**rank)


def made_of(site: Site) -> Iterator[Rewrite]:
    """What a call, a calculation or a comprehension gives goes through a function before it is passed on."""
    node = site.node
    if not isinstance(node, ast.Call | ast.BinOp | ast.ListComp | ast.SetComp | ast.DictComp | ast.IfExp):
        return
    if not _is_value(site):
        return
    text, place = site.source.segment(node), site.source.span(node)
    for rank, name in enumerate(one_argument(site)):
        yield Rewrite(*place, f"{name}({text})", 0.34 * 0.85**rank)
    for rank, name in enumerate(_MADE_OF):
        if not _is_made(node, name):
            yield Rewrite(*place, f"{name}({text})", 0.2 * 0.93**rank)


def of_each(site: Site) -> Iterator[Rewrite]:
    """A collection is passed on, where something made of each of its items was meant."""
    node = site.node
    if not isinstance(node, ast.Name | ast.Attribute | ast.Call) or not _is_value(site):
        return
    text, place = site.source.segment(node), site.source.span(node)
    sure = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SPLITS
    if not sure and not kinds(site.source.tree).get(text, frozenset()) & {Kind.LIST, Kind.ITEMS}:
        return
    item = next(name for name in ("part", "item", "value_of_it") if name not in site.scope.variables)
    ways = [*_OF_ITEMS, *(f"{name}({{}})" for name in one_argument(site)[:2])]
    for rank, way in enumerate(ways):
        prior = (0.4 if sure else 0.22) * 0.9**rank
        yield Rewrite(*place, f"[{way.format(item)} for {item} in {text}]", prior)


def chosen(site: Site) -> Iterator[Rewrite]:
    """A value is given under a condition only, else another; a choice loses one side, or its sides change places."""
    node = site.node
    if isinstance(node, ast.IfExp):
        text = {side: site.source.segment(part) for side, part in (("yes", node.body), ("no", node.orelse))}
        test = site.source.segment(node.test)
        inner = f"{text['no']} if {test} else {text['yes']}"
        for words, prior in ((inner, 0.55), (text["yes"], 0.36), (text["no"], 0.34)):
            yield Rewrite(*site.source.span(node), words, prior)
        return
    if not isinstance(node, ast.expr) or not isinstance(site.parent, ast.Return | ast.Assign):
        return
    if site.parent.value is not node or isinstance(node, ast.Constant | ast.Tuple | ast.Lambda | ast.Yield | ast.Await):
        return
    text_of_it, place = site.source.segment(node), site.source.span(node)
    others = [other for other in readings(site) if other != text_of_it][:_CHOICES]
    for (test, likely), (other, share) in product(_conditions(site, node), _weighed((*others, *_OTHERWISE))):
        yield Rewrite(*place, f"{text_of_it} if {test} else {other}", 0.3 * likely * share)


def removed_first(site: Site) -> Iterator[Rewrite]:
    """What is put under a key, or added, is taken away before: so that it comes last, or once."""
    node = site.node
    if not isinstance(node, ast.Assign):
        return
    target = node.targets[0]
    if isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice | ast.Tuple):
        owner, key = site.source.segment(target.value), site.source.segment(target.slice)
        start = site.source.span(node)[0]
        for text, prior in ((f"{owner}.pop({key}, None)", 0.32), (f"{owner}[{key}].clear()", 0.1)):
            yield Rewrite(start, start, text + gap_before(site.source, node), prior)


def readings(site: Site) -> list[str]:
    """What the function reads that can be read at the site as well: names and parts of them, numbers first."""
    own = own_names(site)
    numbers = frozenset(named(site, Kind.NUMBER))
    function = next((node for node in around(site)), None)
    parts = []
    for part in ast.walk(function) if function is not None else ():
        if isinstance(part, ast.Subscript | ast.Attribute) and not isinstance(part.ctx, ast.Del):
            names = {inner.id for inner in ast.walk(part) if isinstance(inner, ast.Name)}
            if names <= set(own) and not isinstance(getattr(part, "slice", None), ast.Slice):
                parts.append((abs(part.lineno - site.node.lineno), site.source.segment(part)))
    near = [text for _, text in sorted(parts)]
    first = [name for name in own if name in numbers]
    found = [*near[:2], *first[:3], *near[2:5], *(name for name in own if name not in numbers)]
    return [text for text in dict.fromkeys(found) if "\n" not in text and text not in ("self", "cls")]


_SPLITS = frozenset({"split", "rsplit", "splitlines", "values", "keys", "readlines"})


def _is_value(site: Site) -> bool:
    """Whether it goes somewhere as a whole, as a branch of a choice or the value of a lambda as well."""
    node, parent = site.node, site.parent
    if isinstance(parent, ast.IfExp):
        return parent.test is not node
    if isinstance(parent, ast.Lambda):
        return parent.body is node
    return is_given(site) and not (isinstance(parent, ast.Assign | ast.AugAssign) and parent.value is not node)


def _is_made(node: ast.expr, *names: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def _conditions(site: Site, node: ast.expr) -> list[tuple[str, float]]:
    """What may decide about a value: whether a key is there or a name is None, and conditions of the project."""
    found: dict[str, float] = {}
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript) and not isinstance(part.slice, ast.Slice):
            found[f"{site.source.segment(part.slice)} in {site.source.segment(part.value)}"] = 1.0
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.args:
            found.update(_under_key(site, part.func, part.args[0]))
    own = own_names(site)
    for name in dict.fromkeys(part.id for part in ast.walk(node) if isinstance(part, ast.Name) and part.id in own):
        found.setdefault(f"{name} is not None", 0.8)
        found.setdefault(name, 0.75)
    for text, weight in fitting(site, PieceKind.CONDITION, _CLAUSES):
        found.setdefault(text, 0.8 * weight)
    return [(text, weight) for text, weight in found.items() if "\n" not in text]


def _under_key(site: Site, func: ast.Attribute, key: ast.expr) -> dict[str, float]:
    return {f"{site.source.segment(key)} in {site.source.segment(func.value)}": 1.0} if func.attr == "get" else {}


def _weighed(texts: Sequence[str]) -> list[tuple[str, float]]:
    return [(text, 0.9**rank) for rank, text in enumerate(dict.fromkeys(texts))]


def around(site: Site) -> list[Function]:
    """The functions around the site, the innermost first."""
    line = site.node.lineno
    found = [node for node in _functions(site.source.tree) if node.lineno <= line <= (node.end_lineno or node.lineno)]
    return sorted(found, key=lambda node: -node.lineno)


@lru_cache(maxsize=16)
def _functions(tree: ast.Module) -> tuple[Function, ...]:
    return tuple(node for node in ast.walk(tree) if isinstance(node, Function))
