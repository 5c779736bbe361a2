"""Owns where a Python file may be mutated: its statements and expressions, without what only names, types or tells."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

_TELLING: Final = frozenset(
    {"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "warn_explicit", "fatal"}
)
"""Calls of these names tell somebody something, when a logger or `warnings` is asked to."""

_TELLERS: Final = ("log", "warnings", "stderr")

NAMING: Final = frozenset(
    {"TypeVar", "ParamSpec", "NewType", "namedtuple", "NamedTuple", "getLogger", "cast", "ContextVar", "Enum"}
    | {"TypedDict", "getattr", "setattr", "hasattr", "delattr", "import_module", "__import__", "deprecated"}
)
"""What is given to these are names and types, or words for people."""

_QUIET: Final = frozenset({"sleep", "close", "flush", "collect", "shutdown", "simplefilter", "filterwarnings"})
"""Calls that a suite seldom has a reason to look for."""

_ABOUT_THE_MACHINE: Final = frozenset({"version_info", "platform", "implementation", "TYPE_CHECKING", "__name__"})


@dataclass(frozen=True, slots=True)
class Site:
    """One node that may be mutated. `parents` lead from its statement down to it; none for a statement itself.

    `loops` tells that it decides when a `while` ends, or stands in one.
    """

    node: ast.expr | ast.stmt
    parents: tuple[ast.AST, ...]
    statement: ast.stmt
    loops: bool = False

    @property
    def parent(self) -> ast.AST | None:
        """What directly holds the node."""
        return self.parents[-1] if self.parents else None


def sites(tree: ast.Module) -> Iterator[Site]:
    """Every place in the order of the text."""
    return _block(tree.body, loops=False)


def call_name(node: ast.AST | None) -> str:
    """The last part of what a call calls; empty for anything else."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def is_telling(node: ast.AST | None) -> bool:
    """Whether a call only tells somebody something: a log, a warning."""
    name = call_name(node)
    if not isinstance(node, ast.Call) or name not in _TELLING:
        return False
    if not isinstance(node.func, ast.Attribute):
        return name in ("warn", "warn_explicit")
    return any(teller in ast.unparse(node.func.value).lower() for teller in _TELLERS)


def is_quiet(node: ast.AST | None) -> bool:
    """Whether removing a call says little about the tests."""
    return call_name(node) in _QUIET or is_telling(node)


def _block(body: list[ast.stmt], *, loops: bool) -> Iterator[Site]:
    for statement in body:
        yield from _statement(statement, loops)


def _statement(statement: ast.stmt, loops: bool) -> Iterator[Site]:
    if _is_passed_over(statement):
        return
    loops = loops or isinstance(statement, ast.While)
    yield Site(statement, (), statement, loops)
    for part in _own_expressions(statement):
        yield from _expression(part, (statement,), statement, loops)
    inner = loops and not isinstance(statement, _FUNCTIONS)
    if _names_the_machine(statement):
        return
    for name in ("body", "handlers", "cases", "orelse", "finalbody"):
        for node in getattr(statement, name, []):
            if isinstance(node, ast.stmt):
                yield from _statement(node, inner)
            elif isinstance(node, ast.ExceptHandler):
                yield from _block(node.body, loops=inner)
            elif isinstance(node, ast.match_case):
                if node.guard is not None:
                    yield from _expression(node.guard, (statement, node), statement, loops)
                yield from _block(node.body, loops=inner)


def _is_passed_over(statement: ast.stmt) -> bool:
    """Docstrings, imports, declarations, assertions, what only names things, and what only tells."""
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal | ast.Assert | ast.Pass):
        return True
    if isinstance(statement, ast.Expr):
        value = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
        return isinstance(value, ast.Constant) or is_telling(value)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        return any(name.startswith("__") and name.endswith("__") for name in names)
    return type(statement).__name__ == "TypeAlias"


def _own_expressions(statement: ast.stmt) -> list[ast.expr]:
    """What a statement itself evaluates: no decorators, annotations, base classes, targets or error messages."""
    if isinstance(statement, _FUNCTIONS):
        return [default for default in (*statement.args.defaults, *statement.args.kw_defaults) if default is not None]
    if isinstance(statement, ast.ClassDef | ast.Raise | ast.Try | ast.Delete):
        return []
    if isinstance(statement, ast.With | ast.AsyncWith):
        return [item.context_expr for item in statement.items]
    found = [getattr(statement, name, None) for name in ("test", "iter", "subject", "value")]
    return [part for part in found if isinstance(part, ast.expr)]


def _names_the_machine(node: ast.AST) -> bool:
    """Whether an `if` is about the Python or the machine that runs it."""
    if not isinstance(node, ast.If | ast.IfExp):
        return False
    words = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node.test)}
    return bool(words & _ABOUT_THE_MACHINE)


def _expression(node: ast.expr, parents: tuple[ast.AST, ...], statement: ast.stmt, loops: bool) -> Iterator[Site]:
    if isinstance(node, ast.JoinedStr) or type(node).__name__ == "TemplateStr":
        return  # before Python 3.12 nodes inside have positions that are not theirs
    if is_quiet(node) or call_name(node) in NAMING or _names_the_machine(parents[-1]):
        return
    yield Site(node, parents, statement, loops)
    below = (*parents, node)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _expression(child, below, statement, loops)
        elif isinstance(child, ast.keyword):
            yield from _expression(child.value, (*below, child), statement, loops)
        elif isinstance(child, ast.comprehension):
            for part in (child.iter, *child.ifs):
                yield from _expression(part, (*below, child), statement, loops)
