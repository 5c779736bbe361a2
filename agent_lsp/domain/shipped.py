"""Owns telling sources that are named as tests are (`django/test/client.py`, `jinja2/tests.py`) from tests."""

import ast
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from agent_lsp.domain.changes import Entry, FileEdit, HunkClass, classify

_DOUBTFUL_FOLDERS: Final = frozenset({"test", "spec", "specs", "fixtures"})
"""Inside of a package they may hold what the package offers. `tests` holds tests wherever it is."""

_DOUBTFUL_STEMS: Final = frozenset({"test", "tests"})
_OUTSIDE: Final = frozenset({"src", "lib"})
_CHECKS: Final = frozenset({"raises", "warns", "fail"})


def mark_shipped(edits: Sequence[FileEdit], paths: Collection[str]) -> tuple[FileEdit, ...]:
    """The edits, with those marked that are of sources in spite of their name; `paths` are all files of the base."""
    return tuple(replace(edit, shipped=True) if _is_shipped(edit, paths) else edit for edit in edits)


def _is_shipped(edit: FileEdit, paths: Collection[str]) -> bool:
    """Whether only a doubtful part of its name makes a test of a file, and neither it nor its folder holds one."""
    pure = PurePosixPath(edit.base_path)
    entry = edit.before or edit.after
    if pure.suffix != ".py" or entry is None or classify(edit.base_path) is not HunkClass.TEST:
        return False
    doubtful = [index for index, part in enumerate(pure.parts[:-1]) if _in_package(pure.parts, index)]
    plain = [part for index, part in enumerate(pure.parts[:-1]) if index not in doubtful]
    name = "source.py" if pure.stem in _DOUBTFUL_STEMS else pure.name
    if classify("/".join([*plain, name])) is not HunkClass.SOURCE or _holds_tests(entry):
        return False
    folders = ["/".join(pure.parts[: index + 1]) + "/" for index in doubtful]
    return not any(path.startswith(folder) and _is_named_test(path) for folder in folders for path in paths)


def _in_package(parts: Sequence[str], index: int) -> bool:
    return parts[index].lower() in _DOUBTFUL_FOLDERS and bool(set(parts[:index]) - _OUTSIDE)


def _is_named_test(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.startswith("test_") or name.endswith(("_test.py", "_tests.py")) or name == "conftest.py"


def _holds_tests(entry: Entry) -> bool:
    """Whether a function called as tests are checks something; what is no Python is taken to."""
    try:
        tree = ast.parse(entry.content)
    except (SyntaxError, ValueError, RecursionError):
        return True
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(node.name.startswith("test") and any(map(_checks, ast.walk(node))) for node in functions)


def _checks(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return isinstance(node, ast.Assert)
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in _CHECKS or name.startswith("assert")
