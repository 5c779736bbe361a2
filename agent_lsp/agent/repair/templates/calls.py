"""Owns slips of what is passed on and where it goes: a kind of exception, a plain text, a target."""

import ast
from collections.abc import Iterator

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.source import Site

_TEXTS = ('""', '" "', '"/"', '", "', '","', r'"\n"', '"-"', '"_"', '"."', '":"')
_EXCEPTIONS = (
    "ValueError",
    "KeyError",
    "TypeError",
    "IndexError",
    "AttributeError",
    "LookupError",
    "ZeroDivisionError",
    "StopIteration",
    "OSError",
    "Exception",
)


def exception_kind(site: Site) -> Iterator[Rewrite]:
    """`except KeyError` and `raise KeyError` become those of another kind."""
    node = site.node
    if not isinstance(node, ast.Name) or node.id not in _EXCEPTIONS or not isinstance(node.ctx, ast.Load):
        return
    statement = site.parents[0] if site.parents else None
    if isinstance(statement, ast.Try | ast.Raise):
        for rank, name in enumerate(other for other in _EXCEPTIONS if other != node.id):
            yield Rewrite(*site.source.span(node), name, 0.6 * 0.9**rank)


def plain_text(site: Site) -> Iterator[Rewrite]:
    """A text that joins or splits becomes another common one."""
    node = site.node
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or len(node.value) > 2:
        return
    if any(isinstance(parent, ast.JoinedStr) for parent in site.parents):
        return
    joins = isinstance(site.parent, ast.Attribute) and site.parent.attr == "join"
    for rank, text in enumerate(_TEXTS):
        if ast.literal_eval(text) != node.value:
            yield Rewrite(*site.source.span(node), text, (0.45 if joins else 0.22) * 0.9**rank)


def update_or_take(site: Site) -> Iterator[Rewrite]:
    """`x.update(y)` and `x.extend(y)` become `x = y`, and `x = y` becomes them; `x = [y]` becomes `x.append(y)`."""
    node = site.node
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        call, func = node.value, node.value.func
        if func.attr in ("update", "extend", "append", "add") and len(call.args) == 1 and not call.keywords:
            owner, argument = site.source.segment(func.value), site.source.segment(call.args[0])
            yield Rewrite(*site.source.span(node), f"{owner} = {argument}", 0.4)
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.value, ast.Name | ast.Subscript):
        target, value = site.source.segment(node.targets[0]), site.source.segment(node.value)
        for rank, method in enumerate(("append", "update", "extend", "add")):
            yield Rewrite(*site.source.span(node), f"{target}.{method}({value})", 0.15 * 0.9**rank)


def assigned_to(site: Site) -> Iterator[Rewrite]:
    """What is assigned to: another place that the statement reads, or another variable of the function."""
    node = site.node
    if not isinstance(node, ast.Assign | ast.AugAssign):
        return
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if isinstance(target, ast.Tuple | ast.List):
        return
    text, place = site.source.segment(target), site.source.span(target)
    read = [
        site.source.segment(part)
        for part in ast.walk(node.value)
        if isinstance(part, ast.Subscript | ast.Attribute | ast.Name) and isinstance(part.ctx, ast.Load)
    ]
    for rank, other in enumerate(dict.fromkeys(part for part in read if part != text)):
        yield Rewrite(*place, other, 0.42 * 0.9**rank)
    if isinstance(target, ast.Name):
        for rank, other in enumerate(name for name in list(site.scope.variables)[:12] if name in site.scope.own):
            if other != text:
                yield Rewrite(*place, other, 0.3 * 0.93**rank)
