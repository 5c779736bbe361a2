"""Owns slips of guards: a condition that lacks a case, an endless loop, a missing filter or base case."""

import ast
from collections.abc import Iterator

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.source import Function, Site, gap_before
from agent_lsp.agent.repair.templates.kinds import Kind, kinds, named, own_names

_FEW = 6
_RESULTS = ("None", "0", "1", "[]", "False", "True", '""', "{}", "[[]]")


def condition(site: Site) -> Iterator[Rewrite]:
    """`if a:` becomes `if a or not b:`, `if a and b:` and the like, with a variable of the function."""
    node, parent = site.node, site.parent
    if (
        not isinstance(node, ast.expr)
        or not isinstance(parent, ast.If | ast.While | ast.IfExp)
        or parent.test is not node
    ):
        return
    place, text = site.source.span(node), site.source.segment(node)
    if isinstance(node, ast.Constant):
        if isinstance(parent, ast.While):
            for rank, name in enumerate(named(site, Kind.LIST, Kind.ITEMS, Kind.NUMBER)):
                yield Rewrite(*place, name, 0.6 * 0.9**rank)
        return
    inner = f"({text})" if isinstance(node, ast.BoolOp | ast.IfExp | ast.Lambda | ast.NamedExpr) else text
    yield from _of_attributes(site, node, inner)
    seen = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    for rank, name in enumerate(own_names(site)[: 2 * _FEW]):
        fresh = 1.0 if name not in seen else 0.8
        for words, prior in (
            (f"{inner} or not {name}", 0.4),
            (f"{inner} and {name}", 0.36),
            (f"{name} and {inner}", 0.3),
        ):
            yield Rewrite(*place, words, prior * fresh * 0.9**rank)
        yield Rewrite(*place, f"{name} is None or {inner}", 0.3 * 0.9**rank)
        yield Rewrite(*place, f"{inner} and not {name}", 0.28 * 0.9**rank)
        yield Rewrite(*place, f"{inner} or {name}", 0.2 * 0.9**rank)


def _of_attributes(site: Site, node: ast.expr, inner: str) -> Iterator[Rewrite]:
    """What the condition goes into may be None."""
    places = [part.value for part in ast.walk(node) if isinstance(part, ast.Attribute | ast.Subscript)]
    for owner in dict.fromkeys(site.source.segment(value) for value in places):
        yield Rewrite(*site.source.span(node), f"{owner} is None or {inner}", 0.55)
        yield Rewrite(*site.source.span(node), f"{owner} is not None and {inner}", 0.5)


def small_size(site: Site) -> Iterator[Rewrite]:
    """`len(x) == 0` becomes `len(x) <= 1`, `n == 0` becomes `n <= 0` or `n <= 1`: where a recursion ends."""
    node = site.node
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not isinstance(node.comparators[0], ast.Constant):
        return
    value = node.comparators[0].value
    if type(value) is not int or not isinstance(node.ops[0], ast.Eq | ast.LtE | ast.Lt) or abs(value) > 2:
        return
    left, place = site.source.segment(node.left), site.source.span(node)
    for rank, words in enumerate(("<= 1", "< 2", "<= 0", "== 1", "<= 2")):
        yield Rewrite(*place, f"{left} {words}", 0.55 * 0.9**rank)


def truth_test(site: Site) -> Iterator[Rewrite]:
    """`if n:` becomes `if n == 1:` and the like."""
    node, parent = site.node, site.parent
    tested = isinstance(parent, ast.If | ast.While | ast.IfExp) and parent.test is node
    if isinstance(node, ast.Name) and tested:
        for words, prior in (("== 1", 0.4), ("> 0", 0.4), ("> 1", 0.3), ("== 0", 0.3), ("< 0", 0.2)):
            yield Rewrite(*site.source.span(node), f"{node.id} {words}", prior)


def comprehension_filter(site: Site) -> Iterator[Rewrite]:
    """A comprehension without a condition gets one."""
    node = site.node
    if not isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        return
    generator = node.generators[-1]
    if generator.ifs:
        end = site.source.span(generator.ifs[-1])[1]
        start = site.source.span(generator.iter)[1]
        yield Rewrite(start, end, "", 0.3)
        return
    end = site.source.span(generator.iter)[1]
    names = [part.id for part in ast.walk(generator.target) if isinstance(part, ast.Name)]
    for name in names:
        yield Rewrite(end, end, f" if {name}", 0.45)
        yield Rewrite(end, end, f" if {name} is not None", 0.42)
    known = kinds(site.source.tree)
    others = [name for name in own_names(site) if known.get(name, frozenset()) <= {Kind.NUMBER}][:_FEW]
    for rank, other in enumerate(others):
        for name in names:
            if name != other:
                for at, sign in enumerate((">=", ">", "!=", "<=", "<", "==")):
                    yield Rewrite(end, end, f" if {name} {sign} {other}", 0.36 * 0.9 ** (rank + at))


def base_case(site: Site) -> Iterator[Rewrite]:
    """A function begins with what it gives for nothing, for zero and one, or for None."""
    node = site.node
    if not isinstance(node, Function) or not node.body:
        return
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(node.body) > 1:
        first = node.body[1]
    start = site.source.span(first)[0]
    gap = gap_before(site.source, first)
    recursive = any(
        isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == node.name
        for part in ast.walk(node)
    )
    names = [argument.arg for argument in node.args.args if argument.arg not in ("self", "cls")][:4]
    for rank, name in enumerate(names):
        weight = (1.0 if recursive else 0.75) * 0.85**rank
        for at, text in enumerate((*_RESULTS, name)):
            for test, prior in ((f"not {name}", 0.42), (f"{name} <= 1", 0.4 if recursive else 0.1)):
                yield Rewrite(start, start, f"if {test}:{gap}    return {text}{gap}", prior * weight * 0.95**at)
        yield Rewrite(start, start, f"if {name} is None:{gap}    {name} = []{gap}", 0.2 * weight)


def skipped_case(site: Site) -> Iterator[Rewrite]:
    """Within a loop, an item of nothing is passed over; elsewhere nothing is given back for it."""
    node = site.node
    if not isinstance(node, ast.stmt) or isinstance(node, Function | ast.ClassDef):
        return
    start = site.source.span(node)[0]
    gap = gap_before(site.source, node)
    read = [part for part in ast.walk(node) if isinstance(part, ast.Attribute | ast.Subscript)]
    owners = [
        part.value.id for part in read if isinstance(part.value, ast.Name) and isinstance(part.value.ctx, ast.Load)
    ]
    for rank, name in enumerate(name for name in dict.fromkeys(owners) if name in site.scope.own and name != "self"):
        for at, text in enumerate(("continue", "return None", "break", "return False", "return 0", "return []")):
            yield Rewrite(start, start, f"if {name} is None:{gap}    {text}{gap}", 0.36 * 0.92**at * 0.8**rank)
            yield Rewrite(start, start, f"if not {name}:{gap}    {text}{gap}", 0.3 * 0.92**at * 0.8**rank)


def shared_default(site: Site) -> Iterator[Rewrite]:
    """A list or dict as a default, which all calls share, is made anew for each."""
    node = site.node
    if not isinstance(node, Function) or not node.body:
        return
    arguments = node.args.args[len(node.args.args) - len(node.args.defaults) :]
    start = site.source.span(node.body[0])[0]
    gap = gap_before(site.source, node.body[0])
    for argument, default in zip(arguments, node.args.defaults, strict=True):
        if isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call):
            low, high = site.source.span(default)
            yield Rewrite(low, high, "None", 0.6)
            between = site.source.text[high:start]
            made = site.source.segment(default)
            text = f"None{between}if {argument.arg} is None:{gap}    {argument.arg} = {made}{gap}"
            yield Rewrite(low, start, text, 0.8)
