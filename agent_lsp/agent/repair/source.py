"""Owns a Python file as text and syntax tree together: where nodes lie, who owns them, what names they see."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from agent_lsp.agent.repair.pieces import NO_PIECES, Pieces
from agent_lsp.domain.python_text import ParsedText, lines_of, parsed

Function = ast.FunctionDef | ast.AsyncFunctionDef
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


@dataclass(frozen=True, slots=True)
class Source(ParsedText):
    """One parsed file of the workspace."""

    path: str


def parse(path: str, text: str) -> Source | None:
    """The file, or None where this Python cannot read it."""
    tree = parsed(text)
    return None if tree is None else Source(text, tree, *lines_of(text), path)


@dataclass(frozen=True, slots=True)
class Scope:
    """What the code of one function (or of the module) can name.

    `variables` maps each name, in order of first appearance, to the line that binds it first; 0 where it is
    bound whenever the code runs (parameters, names from around the function). `own` are those of them that a
    function binds and not the module.
    """

    variables: Mapping[str, int]
    attributes: tuple[str, ...]
    own: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Site:
    """One expression or statement that may be edited. `parents` lead from its statement down to it.

    `pieces` are what the project holds besides.
    """

    source: Source
    node: ast.expr | ast.stmt
    parents: tuple[ast.AST, ...]
    scope: Scope
    pieces: Pieces = NO_PIECES

    @property
    def parent(self) -> ast.AST | None:
        """What directly holds the node; None for a statement."""
        return self.parents[-1] if self.parents else None


@dataclass(slots=True)
class _Walk:
    source: Source
    attributes: tuple[str, ...]
    pieces: Pieces
    sites: list[tuple[Site, tuple[int, int]]] = field(default_factory=list)

    def block(self, statements: list[ast.stmt], scope: Scope) -> None:
        for statement in statements:
            self.statement(statement, scope)

    def statement(self, statement: ast.stmt, scope: Scope) -> None:
        own = [node for node in _children(statement) if not isinstance(node, ast.stmt)]
        nested = [node for node in ast.iter_child_nodes(statement) if isinstance(node, ast.stmt)]
        for holder in own:
            if isinstance(holder, ast.ExceptHandler | ast.match_case):
                nested += holder.body
        lines = _own_lines(statement, nested)
        self.sites.append((Site(self.source, statement, (), scope, self.pieces), lines))
        for node in own:
            self.expression(node, (statement,), scope, lines)
        inner = scope
        if isinstance(statement, Function):
            bound = _bound(_bindings(statement))
            around = {name: 0 for name in scope.variables if name not in bound}
            inner = Scope(bound | around, self.attributes, scope.own | bound.keys())
        self.block(nested, inner)

    def expression(self, node: ast.AST, parents: tuple[ast.AST, ...], scope: Scope, lines: tuple[int, int]) -> None:
        # Before Python 3.12 nodes inside an f-string have positions that are not theirs.
        if isinstance(node, ast.JoinedStr | ast.stmt):
            return
        if isinstance(node, ast.expr):
            self.sites.append((Site(self.source, node, parents, scope, self.pieces), lines))
        if isinstance(node, _COMPREHENSIONS | ast.Lambda):
            bound = dict.fromkeys(_bound(_bindings(node)), 0)
            scope = Scope({**scope.variables, **bound}, scope.attributes, scope.own | bound.keys())
        for child in _children(node):
            self.expression(child, (*parents, node), scope, lines)


def sites(source: Source, pieces: Pieces = NO_PIECES) -> Iterator[tuple[Site, tuple[int, int]]]:
    """Every place of a file in order, with the first and last line of the statement's own (not nested) text."""
    attributes = tuple(
        dict.fromkeys(
            [node.attr for node in ast.walk(source.tree) if isinstance(node, ast.Attribute) and _is_data(node)]
            + [
                item.target.id
                for node in ast.walk(source.tree)
                if isinstance(node, ast.ClassDef)
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            ]
        )
    )
    walk = _Walk(source, attributes, pieces)
    top = [node for node in source.tree.body if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)]
    walk.block(source.tree.body, Scope(_bound(pair for node in top for pair in _bindings(node)), attributes))
    return iter(walk.sites)


def functions(source: Source) -> Iterator[tuple[Function, int, int]]:
    """Every function with the first and last line of its body, nested ones after what holds them."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            yield node, node.body[0].lineno, node.end_lineno or node.body[-1].lineno


def gap_before(source: Source, node: ast.stmt) -> str:
    """What parts a new statement from this one: the file's end of line and the statement's own indentation."""
    start = source.span(node)[0]
    line = source.lines[node.lineno - 1][: start - source.starts[node.lineno - 1]]
    blank = line if not line.strip() else " " * node.col_offset
    return ("\r\n" if "\r\n" in source.text else "\n") + blank


def _children(node: ast.AST) -> list[ast.AST]:
    """What a node holds, without annotations: they are not run."""
    said = {id(getattr(node, name, None)) for name in ("annotation", "returns")}
    return [child for child in ast.iter_child_nodes(node) if id(child) not in said]


def _own_lines(statement: ast.stmt, nested: list[ast.stmt]) -> tuple[int, int]:
    last = statement.end_lineno or statement.lineno
    inside = min((node.lineno for node in nested), default=last + 1)
    return statement.lineno, max(statement.lineno, min(last, inside - 1))


def _bindings(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Parameters and assigned names of a function, or the targets of anything else; not of functions inside it."""
    todo = list(ast.iter_child_nodes(node))
    while todo:
        child = todo.pop(0)
        if isinstance(child, ast.arg):
            yield child.arg, 0
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id, child.lineno
        elif isinstance(child, ast.ExceptHandler) and child.name:
            yield child.name, child.lineno
        if not isinstance(child, ast.Lambda | ast.ClassDef | Function | _COMPREHENSIONS):
            todo += ast.iter_child_nodes(child)


def _bound(bindings: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, line in bindings:
        found[name] = min(line, found.get(name, line))
    return found


def _is_data(node: ast.Attribute) -> bool:
    return not (node.attr.startswith("__") and node.attr.endswith("__"))
