"""Owns which lines of a Python file can run, and how each statement tells that it did.

A copy of this file is laid beside the injected test plugins, so Python 3.8 and the standard library are enough for it.
"""

from __future__ import annotations

import ast
import tokenize
from dataclasses import dataclass, field
from typing import Any

HIT = "__agent_lsp_hit__"
"""The builtin that instrumented code calls with the number of the statement that is about to run."""

_NO_CODE = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    | {tokenize.ENCODING}
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Statements:
    """The statements of one file in source order.

    `spans[n]` are the lines (one-based) of statement n, for a compound one those of its head; `deferred[n]` tells
    that it stands in a function, so that importing the file does not run it.
    """

    spans: list[tuple[int, ...]] = field(default_factory=list)
    deferred: list[bool] = field(default_factory=list)

    def owners(self) -> dict[int, int]:
        """Which statement speaks for each line: the last that stands on it, so `if x: y` counts once `y` ran."""
        return {line: number for number, span in enumerate(self.spans) for line in span}


def executable_lines(source: bytes) -> frozenset[int]:
    """Lines (one-based) that run when their statement does. Raises SyntaxError or ValueError for what is no Python.

    Comments, blanks, docstrings, bare annotations, `global`, `from __future__` and `if TYPE_CHECKING:` blocks are none.
    Every line of a statement over several lines counts.
    """
    _, statements = instrument(source, "<lines>")
    return frozenset(statements.owners())


def instrument(source: bytes, filename: str, first: int = 0) -> tuple[ast.Module, Statements]:
    """The file's tree with a call of `HIT` before each statement (numbers from `first` on), and its statements.

    Line numbers, docstrings and `from __future__` keep their places. Raises SyntaxError or ValueError.
    """
    tree = ast.parse(source, filename)
    marker = _Marker(_code_lines(source), first)
    marker.block(tree.body, deferred=False)
    ast.fix_missing_locations(tree)
    return tree, marker.statements


def same_code(old: bytes, new: bytes) -> bool:
    """Whether two texts are the same program: comments and layout aside. False if one is no Python."""
    try:
        return ast.dump(ast.parse(old)) == ast.dump(ast.parse(new))
    except (SyntaxError, ValueError, RecursionError):
        return old == new


class _Marker:
    def __init__(self, code_lines: frozenset[int] | None, first: int) -> None:
        self.code_lines, self.first = code_lines, first
        self.statements = Statements()

    def block(self, body: list[ast.stmt], *, deferred: bool) -> None:
        """Puts a mark before every statement of a block, and of the blocks inside."""
        marked: list[ast.stmt] = []
        for node in body:
            if _is_type_check(node):
                self.block(node.orelse, deferred=deferred)  # type: ignore[attr-defined]
            elif not _runs_nothing(node):
                marked.append(self._mark(_head(node), deferred))
                self._inside(node, deferred or isinstance(node, _FUNCTIONS))
            marked.append(node)
        body[:] = marked

    def _inside(self, node: ast.stmt, deferred: bool) -> None:
        for name in ("body", "orelse", "finalbody"):
            inner = getattr(node, name, None)
            if isinstance(inner, list):
                self.block(inner, deferred=deferred)
            if name == "body":
                for branch in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
                    self._branch(branch, deferred)

    def _branch(self, branch: ast.AST, deferred: bool) -> None:
        """An `except` or `case`: its head counts as run once its block is entered."""
        place: Any = getattr(branch, "pattern", branch)
        line: int = place.lineno
        body: list[ast.stmt] = branch.body  # type: ignore[attr-defined]
        mark = self._mark(range(line, max(line + 1, _start(body[0]))), deferred)
        self.block(body, deferred=deferred)
        body.insert(0, mark)

    def _mark(self, lines: range, deferred: bool) -> ast.stmt:
        number = self.first + len(self.statements.spans)
        kept = lines if self.code_lines is None else [line for line in lines if line in self.code_lines]
        self.statements.spans.append(tuple(kept))
        self.statements.deferred.append(deferred)
        hit = ast.Expr(ast.Call(ast.Name(HIT, ast.Load()), [ast.Constant(number)], []))
        hit.lineno = hit.end_lineno = lines[0]
        hit.col_offset = hit.end_col_offset = 0
        return hit


def _start(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _head(node: ast.stmt) -> range:
    """The lines of a simple statement, or of a compound one up to its block."""
    body: list[ast.stmt] = getattr(node, "body", [])
    cases: list[Any] = getattr(node, "cases", [])
    if not body and not cases:
        return range(_start(node), (node.end_lineno or node.lineno) + 1)
    below: int = _start(body[0]) if body else cases[0].pattern.lineno
    return range(_start(node), max(node.lineno + 1, below))


def _runs_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__"
    return isinstance(node, (ast.Global, ast.Nonlocal))


def _is_type_check(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def _code_lines(source: bytes) -> frozenset[int] | None:
    """Lines that hold a token which is not a comment or a line end; None where the tokenizer gives up."""
    lines: set[int] = set()
    try:
        for token in tokenize.tokenize(iter(source.splitlines(keepends=True)).__next__):
            if token.type not in _NO_CODE:
                lines.update(range(token.start[0], token.end[0] + 1))
    except (tokenize.TokenError, SyntaxError, ValueError):
        return None
    return frozenset(lines)
