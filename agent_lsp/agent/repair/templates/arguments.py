"""Owns slips of arguments: one too few or too many, a default, the order of a sort."""

import ast
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.source import Function, Site
from agent_lsp.agent.repair.templates.kinds import Kind, named, own_names

_FEW = 5
_WITH_DEFAULT = ("get", "getattr", "next", "pop", "setdefault")
_DEFAULTS = ("0", "[]", '""', "1", "None", "{}", "False")


def arity(site: Site) -> Iterator[Rewrite]:
    """An argument is missing, or one is too many; a sort is turned round."""
    node = site.node
    if not isinstance(node, ast.Call) or any(isinstance(argument, ast.Starred) for argument in node.args):
        return
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    yield from _asked_for(site, node, given)
    yield from _in_front(site, node)
    yield from _too_many(site, node, given)
    end = site.source.span(given[-1])[1] if given else 0
    for text, prior in _added(site, node, given) if given else ():
        yield Rewrite(end, end, f", {text}", prior)


def _too_many(site: Site, node: ast.Call, given: list[ast.expr]) -> Iterator[Rewrite]:
    for one, other in pairwise(node.args):
        yield Rewrite(site.source.span(one)[1], site.source.span(other)[1], "", 0.25)
    if len(node.args) > 1:
        yield Rewrite(site.source.span(node.args[0])[0], site.source.span(node.args[1])[0], "", 0.22)
    elif len(given) == 1 and node.args and not isinstance(given[0], ast.GeneratorExp):
        yield Rewrite(*site.source.span(given[0]), "", 0.14)
    for keyword in node.keywords:
        if given[0] is not keyword.value:
            before = given[given.index(keyword.value) - 1]
            prior = 0.5 if keyword.arg == "reverse" else 0.2
            yield Rewrite(site.source.span(before)[1], site.source.span(keyword.value)[1], "", prior)


def _in_front(site: Site, node: ast.Call) -> Iterator[Rewrite]:
    """A variable is missing before one of the arguments, or between the empty parentheses."""
    names = _variables(site)[:_FEW]
    for place, argument in enumerate(node.args[:3]):
        start = site.source.span(argument)[0]
        if isinstance(argument, ast.GeneratorExp):
            continue
        for rank, name in enumerate(names):
            yield Rewrite(start, start, f"{name}, ", 0.16 * 0.9 ** (rank + place))
    if not node.args and not node.keywords:
        end = site.source.span(node)[1] - 1
        for rank, name in enumerate(names):
            yield Rewrite(end, end, name, 0.24 * 0.9**rank)


def _asked_for(site: Site, node: ast.Call, given: list[ast.expr]) -> Iterator[Rewrite]:
    """A function of the file has a parameter that is not given: the variable of its name, else any."""
    missing = _parameters(site, node)[len(node.args) :]
    missing = [name for name in missing if all(keyword.arg != name for keyword in node.keywords)]
    end = site.source.span(given[-1])[1] if given else site.source.span(node)[1] - 1
    comma = ", " if given else ""
    for rank, wanted in enumerate(missing[:3]):
        plain = rank == 0 and not node.keywords
        for at, name in enumerate(sorted(_variables(site), key=lambda name: name != wanted)[:_FEW]):
            prior = (0.6 if name == wanted else 0.3) * 0.9 ** (rank + at)
            yield Rewrite(end, end, comma + (name if plain else f"{wanted}={name}"), prior)


def _variables(site: Site) -> list[str]:
    return [name for name in own_names(site) if name not in ("self", "cls")]


def _parameters(site: Site, node: ast.Call) -> list[str]:
    """Of the function or the method of the file that seems to be called, or of its class; empty if there is none."""
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    return list(_signatures(site.source.tree).get(name, ()))


@lru_cache(maxsize=16)
def _signatures(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """The parameters of each function and method of a file, of a class those of its `__init__`; the first of a name."""
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        items = node.body if isinstance(node, ast.ClassDef) else [node]
        for item in items:
            if isinstance(item, Function) and (item is node or item.name == "__init__"):
                names = tuple(argument.arg for argument in item.args.args)
                called = node.name if isinstance(node, ast.ClassDef) else item.name
                found.setdefault(called, names[1:] if names[:1] in (("self",), ("cls",)) else names)
    return found


def _added(site: Site, node: ast.Call, given: list[ast.expr]) -> Iterator[tuple[str, float]]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name in ("sorted", "sort") and all(keyword.arg != "reverse" for keyword in node.keywords):
        yield "reverse=True", 0.5
    if name in _WITH_DEFAULT and len(node.args) < 3 and not node.keywords:
        yield from ((text, 0.5 * 0.9**rank) for rank, text in enumerate(_DEFAULTS))
    if not isinstance(given[-1], ast.GeneratorExp) and len(given) < (3 if name == "range" else 4):
        for rank, other in enumerate(named(site, Kind.NUMBER)[:_FEW]):
            yield other, (0.42 if name == "range" else 0.18) * 0.9**rank
