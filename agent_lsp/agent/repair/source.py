"""Owns a Python file as text and syntax tree together: where nodes lie, who owns them, what names they see."""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from agent_lsp.domain.text import split_lines

Function = ast.FunctionDef | ast.AsyncFunctionDef
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp

_GAP_NOISE = re.compile(r"#[^\r\n]*")


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed file. Offsets count characters of `text`; lines are one-based, as the tracer reports them."""

    path: str
    text: str
    tree: ast.Module
    lines: tuple[str, ...]
    starts: tuple[int, ...]

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Where a node's text begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def segment(self, node: ast.expr | ast.stmt) -> str:
        """A node's own text, without parentheses around it."""
        start, end = self.span(node)
        return self.text[start:end]

    def find_between(self, left: ast.expr, right: ast.expr, pattern: str) -> tuple[int, int] | None:
        """Where an operator lies between two operands; comments and parentheses between them are skipped."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = _GAP_NOISE.sub(lambda noise: " " * len(noise.group()), self.text[start:end])
        found = re.search(pattern, gap)
        return None if found is None else (start + found.start(), start + found.end())

    def line_of(self, offset: int) -> int:
        """The one-based line that an offset lies in."""
        low, high = 0, len(self.starts)
        while high - low > 1:
            middle = (low + high) // 2
            if self.starts[middle] <= offset:
                low = middle
            else:
                high = middle
        return low + 1

    def _offset(self, line: int, column: int) -> int:
        text = self.lines[line - 1]
        width = (
            column if text.isascii() else len(text.encode("utf-8", "surrogatepass")[:column].decode("utf-8", "ignore"))
        )
        return self.starts[line - 1] + width


def parse(path: str, text: str) -> Source | None:
    """The file, or None where this Python cannot read it."""
    tree = syntax_of(text)
    if tree is None:
        return None
    lines = split_lines(text)
    starts, total = [], 0
    for line in lines:
        starts.append(total)
        total += len(line)
    return Source(path, text, tree, tuple(lines), tuple(starts))


def syntax_of(text: str) -> ast.Module | None:
    """The syntax tree of a text, or None. Doubtful literals in somebody's code are not our warnings to give."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


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
    """One expression or statement that may be edited. `parents` lead from its statement down to it."""

    source: Source
    node: ast.expr | ast.stmt
    parents: tuple[ast.AST, ...]
    scope: Scope

    @property
    def parent(self) -> ast.AST | None:
        """What directly holds the node; None for a statement."""
        return self.parents[-1] if self.parents else None


@dataclass(slots=True)
class _Walk:
    source: Source
    attributes: tuple[str, ...]
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
        self.sites.append((Site(self.source, statement, (), scope), lines))
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
            self.sites.append((Site(self.source, node, parents, scope), lines))
        if isinstance(node, _COMPREHENSIONS | ast.Lambda):
            bound = dict.fromkeys(_bound(_bindings(node)), 0)
            scope = Scope({**scope.variables, **bound}, scope.attributes, scope.own | bound.keys())
        for child in _children(node):
            self.expression(child, (*parents, node), scope, lines)


def sites(source: Source) -> Iterator[tuple[Site, tuple[int, int]]]:
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
    walk = _Walk(source, attributes)
    top = [node for node in source.tree.body if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)]
    walk.block(source.tree.body, Scope(_bound(pair for node in top for pair in _bindings(node)), attributes))
    return iter(walk.sites)


def functions(source: Source) -> Iterator[tuple[Function, int, int]]:
    """Every function with the first and last line of its body, nested ones after what holds them."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            yield node, node.body[0].lineno, node.end_lineno or node.body[-1].lineno


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
