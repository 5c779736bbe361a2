"""Owns reading the files of a project for pieces of code that may be missing elsewhere in it."""

import ast
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import PurePosixPath

from agent_lsp.agent.repair.pieces import Piece, PieceKind, Pieces
from agent_lsp.domain.python_text import ParsedText, lines_of, parsed

_MOST_FILES = 120
_MOST_OF_A_KIND = 600
_MOST_CHARACTERS = 120


def pieces_of(texts: Mapping[str, str], around: Mapping[str, str]) -> Pieces:
    """What the files hold: those that are searched first, then others, those of the same folders first."""
    folders = {PurePosixPath(path).parent for path in texts}
    others = sorted(
        (path for path in around if path not in texts),
        key=lambda path: (PurePosixPath(path).parent not in folders, path),
    )
    found: dict[PieceKind, dict[tuple[str, str], Piece]] = {kind: {} for kind in PieceKind}
    for path in (*texts, *others)[:_MOST_FILES]:
        for piece in _pieces(path, texts.get(path) or around.get(path, "")):
            rows = found[piece.kind]
            if len(rows) < _MOST_OF_A_KIND and len(piece.text) <= _MOST_CHARACTERS:
                rows.setdefault((path, piece.text), piece)
    return Pieces({kind: tuple(rows.values()) for kind, rows in found.items()})


def names_read(node: ast.AST) -> frozenset[str]:
    """Names that the code needs from around it, those that it sets among them."""
    own = {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
    for holder in ast.walk(node):
        if isinstance(holder, ast.comprehension):
            own |= {part.id for part in ast.walk(holder.target) if isinstance(part, ast.Name)}
    return frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name) and part.id not in own)


@lru_cache(maxsize=256)
def _pieces(path: str, text: str) -> tuple[Piece, ...]:
    tree = parsed(text)
    if tree is None:
        return ()
    source = ParsedText(text, tree, *lines_of(text))
    found = []
    for node in ast.walk(tree):
        for kind, part in _told(node):
            written = part if isinstance(part, str) else _written(source, part)
            names: frozenset[str] = frozenset() if isinstance(part, str) else names_read(part)
            found.append(Piece(kind, written, names, path, getattr(node, "lineno", 0)))
    return tuple(found)


def _written(source: ParsedText, node: ast.AST) -> str:
    """As it stands in the file where that is one line, else as Python would write it."""
    if isinstance(node, ast.If):
        return f"if {_written(source, node.test)}:\n    {_written(source, node.body[0])}"
    text = source.segment(node)
    return text if "\n" not in text and "\r" not in text else ast.unparse(node)


def _told(node: ast.AST) -> Iterator[tuple[PieceKind, ast.AST | str]]:
    yield from _statements(node)
    for test in _tests(node):
        yield PieceKind.CONDITION, test
    match node:
        case ast.FunctionDef():
            if _takes_one(node):
                yield PieceKind.FUNCTION, node.name
        case ast.Attribute():
            if not node.attr.startswith("__"):
                yield PieceKind.ATTRIBUTE, node.attr
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield PieceKind.ATTRIBUTE, name
        case ast.Constant():
            yield from _constant(node.value)


def _statements(node: ast.AST) -> Iterator[tuple[PieceKind, ast.AST]]:
    match node:
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Delete():
            yield PieceKind.STATEMENT, node
        case ast.Assign():
            yield PieceKind.STATEMENT, node
            if isinstance(node.value, ast.Call):
                yield PieceKind.STATEMENT, node.value
        case ast.If(body=[ast.Return() | ast.Raise() | ast.Continue() | ast.Break()], orelse=[]):
            yield PieceKind.GUARD, node


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    """The conditions of a node and, of one that is put together, its parts."""
    match node:
        case ast.If() | ast.While() | ast.IfExp():
            tests = [node.test]
        case ast.comprehension():
            tests = node.ifs
        case ast.Return(value=ast.Compare() | ast.BoolOp() as value):
            tests = [value]
        case _:
            return
    for test in tests:
        for part in (test, *(test.values if isinstance(test, ast.BoolOp) else ())):
            if not isinstance(part, ast.Constant | ast.Name):
                yield part


def _constant(value: object) -> Iterator[tuple[PieceKind, str]]:
    if type(value) in (int, float):
        yield PieceKind.NUMBER, repr(value)
    elif isinstance(value, str) and 0 < len(value) <= 40 and "\n" not in value:
        yield PieceKind.TEXT, value


def _takes_one(node: ast.FunctionDef) -> bool:
    arguments = node.args
    needed = len(arguments.args) - len(arguments.defaults)
    needs_names = any(default is None for default in arguments.kw_defaults)
    return needed <= 1 <= len(arguments.args) and not needs_names and arguments.args[0].arg not in ("self", "cls")
