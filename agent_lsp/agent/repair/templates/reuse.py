"""Owns what is missing at a place and stands elsewhere in the project: a statement, a guard, a part of a condition."""

import ast
import difflib
from collections.abc import Iterator
from functools import lru_cache

from agent_lsp.agent.repair.edits import Rewrite
from agent_lsp.agent.repair.pieces import PieceKind, Place
from agent_lsp.agent.repair.source import Function, Site, gap_before
from agent_lsp.agent.repair.templates.kinds import Kind, named, own_names
from agent_lsp.agent.repair.templates.moves import beside

_STATEMENTS = 10
_GUARDS = 6
_CLAUSES = 6
_NUMBERS = 4
_ALIKE = 0.6
_TEXTS = 3
_FUNCTIONS = 4
_LOOSE = (" or ", " and ", " if ", "lambda", ":=")
_COMPARED = ("<", "<=", ">", ">=", "==", "!=")


def fitting(site: Site, kind: PieceKind, most: int, extra: tuple[str, ...] = ()) -> list[tuple[str, float]]:
    """Pieces of the project that can stand at the site; `extra` are names that are bound there besides."""
    own = (*extra, *own_names(site))
    known = {*own, *site.scope.variables, *_of_module(site.source.tree)}
    return site.pieces.fitting(kind, Place(site.source.path, site.node.lineno, own, known), most)


def one_argument(site: Site) -> list[str]:
    """Functions that can be called with one value: of the file, then those that it imports from the project."""
    tree = site.source.tree
    here = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    known = {piece.text for piece in site.pieces.of_kind.get(PieceKind.FUNCTION, ())}
    own = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in known]
    imported = [name for name in _of_module(tree) if name in known and name not in here]
    return (own + imported)[:_FUNCTIONS]


def reused_statement(site: Site) -> Iterator[Rewrite]:
    """A statement that stands elsewhere is missing before or behind this one."""
    yield from beside(site, _elsewhere(site))


def _elsewhere(site: Site) -> Iterator[tuple[str, float, float]]:
    for text, weight in fitting(site, PieceKind.STATEMENT, _STATEMENTS):
        yield text, 0.26 * weight, 0.265 * weight


def reused_guard(site: Site) -> Iterator[Rewrite]:
    """An `if` that leaves stands elsewhere and is missing here; most of them stand where a function begins."""
    node = site.node
    if not isinstance(node, ast.stmt) or isinstance(node, Function | ast.ClassDef) or not site.scope.own:
        return
    start = site.source.span(node)[0]
    gap = gap_before(site.source, node)
    prior = 0.42 if _is_first(site, node) else 0.24
    for text, weight in fitting(site, PieceKind.GUARD, _GUARDS):
        yield Rewrite(start, start, text.replace("\n", gap) + gap, prior * weight)


def clause(site: Site) -> Iterator[Rewrite]:
    """A condition lacks a part that stands elsewhere, or a comparison of two numbers of the function."""
    node = site.node
    if not isinstance(node, ast.expr) or not _is_condition(site):
        return
    place, text = site.source.span(node), site.source.segment(node)
    inner = f"({text})" if isinstance(node, ast.BoolOp | ast.IfExp | ast.Lambda | ast.NamedExpr) else text
    for part, weight in _parts(site):
        other = f"({part})" if any(word in part for word in _LOOSE) else part
        for words, prior in (
            (f"{inner} and {other}", 0.34),
            (f"{inner} or {other}", 0.34),
            (f"{inner} and not {other}", 0.26),
            (f"{other} and {inner}", 0.24),
            (f"{other} or {inner}", 0.2),
        ):
            if part != text:
                yield Rewrite(*place, words, prior * weight)


def reused_filter(site: Site) -> Iterator[Rewrite]:
    """A comprehension gets a condition that stands elsewhere, or that a function of the project tells."""
    node = site.node
    if not isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        return
    generator = node.generators[-1]
    names = tuple(part.id for part in ast.walk(generator.target) if isinstance(part, ast.Name))
    end = site.source.span(generator.ifs[-1] if generator.ifs else generator.iter)[1]
    word = " and" if generator.ifs else " if"
    for text, weight in fitting(site, PieceKind.CONDITION, _CLAUSES, names):
        if not any(isinstance(part, ast.BoolOp) for part in ast.walk(ast.parse(text))):
            yield Rewrite(end, end, f"{word} {text}", 0.4 * weight)
            yield Rewrite(end, end, f"{word} not {text}", 0.3 * weight)
    for rank, function in enumerate(one_argument(site)):
        for name in names[:2]:
            yield Rewrite(end, end, f"{word} {function}({name})", 0.36 * 0.9**rank)
            yield Rewrite(end, end, f"{word} not {function}({name})", 0.3 * 0.9**rank)


def alike_text(site: Site) -> Iterator[Rewrite]:
    """A text becomes one that is spelt much like it elsewhere in the project."""
    node = site.node
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or len(node.value) < 2:
        return
    if any(isinstance(parent, ast.JoinedStr) for parent in site.parents) or isinstance(site.parent, ast.Expr):
        return
    others = {piece.text for piece in site.pieces.of_kind.get(PieceKind.TEXT, ())} - {node.value}
    alike = dict.fromkeys(others, 0.0)
    for other in others:
        matcher = difflib.SequenceMatcher(None, node.value, other)
        if matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE:
            alike[other] = matcher.ratio()
    best = sorted((other for other in alike if alike[other] >= _ALIKE), key=lambda other: (-alike[other], other))
    for rank, other in enumerate(best[:_TEXTS]):
        yield Rewrite(*site.source.span(node), repr(other), 0.4 * alike[other] * 0.8**rank)


def _parts(site: Site) -> Iterator[tuple[str, float]]:
    yield from fitting(site, PieceKind.CONDITION, _CLAUSES)
    seen = {part.id for part in ast.walk(site.node) if isinstance(part, ast.Name)}
    numbers = named(site, Kind.NUMBER)[:_NUMBERS]
    for rank, one in enumerate(numbers):
        for other in numbers[rank + 1 :]:
            weight = 0.6 if one in seen or other in seen else 0.45
            yield from ((f"{one} {sign} {other}", weight * 0.9**at) for at, sign in enumerate(_COMPARED))


def _is_condition(site: Site) -> bool:
    node, parent = site.node, site.parent
    if isinstance(parent, ast.If | ast.While | ast.IfExp):
        return parent.test is node and not isinstance(node, ast.Constant)
    if isinstance(parent, ast.BoolOp):
        return isinstance(node, ast.Compare)
    return isinstance(parent, ast.Return | ast.Assign) and isinstance(node, ast.Compare | ast.BoolOp)


def _is_first(site: Site, node: ast.stmt) -> bool:
    return node in _first_statements(site.source.tree)


@lru_cache(maxsize=16)
def _first_statements(tree: ast.Module) -> frozenset[ast.stmt]:
    """The first of each function, and the one behind a documentation string."""
    return frozenset(part for node in ast.walk(tree) if isinstance(node, Function) for part in node.body[:2])


@lru_cache(maxsize=16)
def _of_module(tree: ast.Module) -> tuple[str, ...]:
    """What the file binds outside of functions: what it imports, defines and assigns."""
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [(alias.asname or alias.name).split(".")[0] for alias in node.names]
        elif isinstance(node, Function | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found += [
                part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            ]
    return tuple(dict.fromkeys(found))
