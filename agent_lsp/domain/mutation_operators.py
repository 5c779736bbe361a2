"""Owns which faults can be made at one place in a Python file, and those of whole statements."""

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from agent_lsp.domain.mutation_conditions import compared, condition, denied, joined
from agent_lsp.domain.mutation_faults import ARITHMETIC, IN_A_LOOP, Fault, is_text
from agent_lsp.domain.mutation_sites import NAMING, Site, call_name, is_quiet
from agent_lsp.domain.mutation_values import called, constant, reckoned, sliced
from agent_lsp.domain.python_text import PythonText

Operator = Callable[[PythonText, Site], Iterator[Fault]]

_COMPUTED: Final = (ast.Call, ast.BinOp, ast.IfExp, ast.Await, ast.ListComp, ast.DictComp, ast.SetComp)


def faults(source: PythonText, site: Site) -> Iterator[Fault]:
    """What can be made wrong at one place, each as a single edit."""
    for operator in _OPERATORS.get(type(site.node), ()):
        yield from operator(source, site)
    if not isinstance(site.node, ast.Constant):
        yield from condition(source, site)


def _done(source: PythonText, site: Site) -> Iterator[Fault]:
    """A call for its effect."""
    node: Any = site.node
    value = node.value.value if isinstance(node.value, ast.Await) else node.value
    if isinstance(value, ast.Call) and not is_quiet(value):
        weight = 50 if call_name(value) in ("print", "__init__") else 6
        yield _gone(source, site, weight)


def _assigned(source: PythonText, site: Site) -> Iterator[Fault]:
    node: Any = site.node
    if isinstance(node, ast.AugAssign):
        yield _gone(source, site, 14 if isinstance(node.target, ast.Attribute | ast.Subscript) else 18)
        known = ARITHMETIC.get(type(node.op))
        place = source.between(node.target, node.value, (known[0] if known else "$^") + "=")
        if known and place and not is_text(node.value):
            yield Fault(known[2] + 1 + (IN_A_LOOP if site.loops else 0), *place, known[1] + "=", node)
        return
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if all(isinstance(target, ast.Attribute | ast.Subscript) for target in targets):
        yield _gone(source, site, 10)
    elif isinstance(node.value, _COMPUTED) and call_name(node.value) not in NAMING:
        yield Fault(55, *source.span(node.value), "None", node)


def _given(source: PythonText, site: Site) -> Iterator[Fault]:
    value = getattr(site.node, "value", None)
    if value is not None and not isinstance(value, ast.Constant):
        yield Fault(31, *source.span(value), "None", site.node)


def _raised(source: PythonText, site: Site) -> Iterator[Fault]:
    yield _gone(source, site, 26)


def _jumped(source: PythonText, site: Site) -> Iterator[Fault]:
    if not site.loops:
        old_is_break = isinstance(site.node, ast.Break)
        yield Fault(30, *source.span(site.node), "continue" if old_is_break else "break", site.node)


def _gone(source: PythonText, site: Site, weight: int) -> Fault:
    loops = IN_A_LOOP if site.loops else 0
    return Fault(weight + loops, *source.span(site.node), "pass", site.node, removes=True)


_OPERATORS: Final[Mapping[type[ast.AST], tuple[Operator, ...]]] = {
    ast.Compare: (compared,),
    ast.BoolOp: (joined,),
    ast.UnaryOp: (denied,),
    ast.BinOp: (reckoned,),
    ast.Constant: (constant,),
    ast.Call: (called,),
    ast.Subscript: (sliced,),
    ast.Expr: (_done,),
    ast.Assign: (_assigned,),
    ast.AnnAssign: (_assigned,),
    ast.AugAssign: (_assigned,),
    ast.Return: (_given,),
    ast.Raise: (_raised,),
    ast.Continue: (_jumped,),
    ast.Break: (_jumped,),
}
