"""Owns finding the doctests whose examples a change rewrites: they stand in the source, and are tests all the same."""

import ast
from collections import Counter
from collections.abc import Callable, Collection, Iterator

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.ids import CaseId

Examples = Counter[tuple[str, str]]


def rewritten_doctests(edits: Collection[FileEdit], cases: Collection[CaseId]) -> tuple[CaseId, ...]:
    """Those of the tests that are doctests of a changed file, and have lost an example that they had or its result."""
    found = []
    for edit in edits:
        place = edit.path + "::"
        own = [case_id for case_id in cases if case_id.startswith(place)]
        if not own or not edit.path.endswith(".py"):
            found += own if own and _rewritten(edit, _of_text) else []
            continue
        names = _rewritten(edit, _of_module)
        module = edit.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        found += [case_id for case_id in own if _names_one(case_id.partition("::")[2], module, names)]
    return tuple(found)


def _names_one(dotted: str, module: str, names: Collection[str]) -> bool:
    """Whether a doctest's name is the module's, from some package on, with one of the names behind it."""
    for name in names:
        head = dotted.removesuffix("." + name) if name else dotted
        if (head != dotted or not name) and ("." + module).endswith("." + head):
            return True
    return False


def _rewritten(edit: FileEdit, read: Callable[[Entry], dict[str, Examples]]) -> frozenset[str]:
    if edit.before is None or edit.after is None:
        return frozenset()
    old, new = read(edit.before), read(edit.after)
    return frozenset(name for name, examples in old.items() if examples - new.get(name, Counter()))


def _of_module(entry: Entry) -> dict[str, Examples]:
    """The examples of each docstring, by the qualified name that it belongs to; the module's own is empty."""
    try:
        tree = ast.parse(entry.content)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    return {name: examples for name, text in _docstrings(tree, "") if (examples := _examples(text))}


def _of_text(entry: Entry) -> dict[str, Examples]:
    """The examples of a page, which are one test together."""
    return {"": _examples(entry.content.decode("utf-8", "replace"))}


def _examples(text: str) -> Examples:
    from doctest import DocTestParser

    try:
        return Counter((example.source, example.want) for example in DocTestParser().get_examples(text))
    except ValueError:
        return Counter()


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text:
            yield name, text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(child, f"{name}.{child.name}" if name else child.name)
        elif isinstance(child, ast.If | ast.Try | ast.With):
            yield from _docstrings(child, name)
