"""Owns what a change's lines show: which can run, which did under a passing test, and whether it was these bytes."""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from agent_lsp.domain.changes import FileEdit, FileMode, HunkClass, hunks_of
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.languages import is_code
from agent_lsp.domain.lines import executable_lines, same_code
from agent_lsp.domain.text import split_lines
from agent_lsp.domain.verdict import SuiteReport, UnrunLine

Function = ast.FunctionDef | ast.AsyncFunctionDef

_SCRIPTS: Final = frozenset(
    {"setup.py", "conf.py", "manage.py", "noxfile.py", "fabfile.py", "tasks.py", "dodo.py", "wscript.py", "__main__.py"}
)
"""Files that are run, by their usual names."""

_SCRIPT_FOLDERS: Final = frozenset(
    {"doc", "docs", "example", "examples", "demo", "demos", "samples", "script", "scripts", "tools", "ci", "bin"}
    | {"bench", "benchmark", "benchmarks", "asv_bench", "tutorial", "tutorials", "notebooks", "release", ".github"}
)
"""Folders at the root that hold no code under test."""


@dataclass(frozen=True, slots=True)
class LineEvidence:
    """Changed lines that can run (counted), those that ran under a passing test, and those that did not.

    `failing` are failing tests that ran changed lines. That a new function was defined as its module was imported does
    not count there: a test that it matters to calls it.
    """

    changed: int = 0
    run: int = 0
    unrun: tuple[UnrunLine, ...] = ()
    failing: frozenset[CaseId] = frozenset()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the changed modules came from: those loaded as they were changed, and sentences on those that were not.

    `hidden` are sentences on those whose loader does not show which bytes it ran. `missing` were expected and not
    loaded; those of them that stand among modules of the code under test are `modules`, the rest scripts.
    """

    expected: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


def is_source(edit: FileEdit) -> bool:
    """Whether a file is neither a test nor test configuration, before and after."""
    return edit.classes == {HunkClass.SOURCE}


def python_sources(edits: Collection[FileEdit]) -> tuple[FileEdit, ...]:
    """Edits that leave a Python source file behind; their files are the ones to watch."""
    return tuple(edit for edit in edits if edit.path.endswith(".py") and is_source(edit) and _is_file(edit))


def unmeasured_sources(edits: Collection[FileEdit], report: SuiteReport) -> tuple[FileEdit, ...]:
    """Edits of code whose lines no runner follows: other languages than Python, and what the report says so of."""
    code = [edit for edit in edits if is_code(edit.path) and is_source(edit) and _is_file(edit)]
    return tuple(edit for edit in code if not edit.path.endswith(".py") or edit.path in report.unmeasured)


def changed_lines(edit: FileEdit) -> frozenset[int]:
    """Lines (one-based) of the changed file that are not in the base."""
    shift = 0
    lines: set[int] = set()
    for hunk in hunks_of(edit).hunks:
        count = len(split_lines(hunk.new_text))
        start = hunk.start_line + shift
        lines.update(range(start + 1, start + count + 1))
        shift += count - (hunk.end_line - hunk.start_line)
    return frozenset(lines)


def line_evidence(edits: Collection[FileEdit], report: SuiteReport, flaky: Collection[CaseId]) -> LineEvidence:
    """Which changed lines ran under a passing test that is not flaky."""
    changed = run = 0
    unrun: list[UnrunLine] = []
    failing: set[CaseId] = set()
    for edit in python_sources(edits):
        if edit.path in report.unmeasured:
            continue
        executed = report.executed.get(edit.path, {})
        defining = new_function_heads(edit)
        for line in sorted(runnable_changes(edit, report)):
            changed += 1
            if set(executed.get(line, ())) - set(flaky):
                run += 1
            else:
                unrun.append(UnrunLine(edit.path, line - 1))
            if line not in defining:
                failing |= report.executed_failing.get(edit.path, {}).get(line, frozenset())
    return LineEvidence(changed, run, tuple(unrun), frozenset(failing))


def new_function_heads(edit: FileEdit) -> frozenset[int]:
    """Lines (one-based) of the heads of functions and methods that the base does not have under their name."""
    if edit.before is None or edit.after is None:
        return frozenset()
    try:
        known, made = (dict(_functions(ast.parse(side.content), "")) for side in (edit.before, edit.after))
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    new = [node for name, node in made.items() if name not in known]
    return frozenset(line for node in new for line in range(_first_line(node), node.body[0].lineno))


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        inner = f"{prefix}{child.name}." if isinstance(child, ast.ClassDef) else prefix
        if isinstance(child, ast.ClassDef | ast.If | ast.Try | ast.With):
            yield from _functions(child, inner)


def _first_line(node: Function) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def runnable_changes(edit: FileEdit, report: SuiteReport) -> frozenset[int]:
    """Changed lines (one-based) that can run; all of them where neither Python could read the file."""
    changed = changed_lines(edit)
    known = report.executable.get(edit.path)
    if known is None and edit.after is not None:
        try:
            known = executable_lines(edit.after.content)
        except (SyntaxError, ValueError, RecursionError):
            return changed
    return changed & (known or frozenset())


def provenance(edits: Collection[FileEdit], report: SuiteReport) -> Provenance:
    """Compares what the run loaded with the bytes of every changed file; where code changed, it is expected."""
    expected: list[FileEdit] = []
    loaded, elsewhere, hidden = [], [], []
    others = [edit for edit in unmeasured_sources(edits, report) if edit.path in report.unmeasured]
    for edit in dict.fromkeys([*python_sources(edits), *others]):
        if edit.after is None:
            continue
        if edit.before is None or not same_code(edit.before.content, edit.after.content):
            expected.append(edit)
        own = [file for file in report.loaded if file.path == edit.path]
        if any(file.sha256 in ("", edit.after.sha256) for file in own):
            loaded.append(edit.path)
            if loader := next((file.loader for file in own if file.loader), ""):
                hidden.append(f"{edit.path} was loaded by {loader}, which does not show whether it ran this text")
        elif own:
            elsewhere.append(f"{edit.path} was loaded, but not with the bytes of this change")
        elif edit.before is not None:  # a new file has no copy: a module of its name is another one
            copies = [
                file for file in report.loaded if file.path.startswith("/") and _same_module(edit.path, file.module)
            ]
            elsewhere += [f"{edit.path} was not loaded: {copy.module} came from {copy.path}" for copy in copies]
    missing = [edit for edit in expected if edit.path not in loaded]
    modules = tuple(edit.path for edit in missing if _is_tested_module(edit, loaded, report))
    paths = tuple(edit.path for edit in expected), tuple(edit.path for edit in missing)
    return Provenance(paths[0], tuple(loaded), tuple(elsewhere), tuple(hidden), paths[1], modules)


def _is_tested_module(edit: FileEdit, loaded: Collection[str], report: SuiteReport) -> bool:
    """Whether a file that was not loaded is a module beside such as were: its code is in question, as theirs is.

    Scripts, documentation and examples are started by people, not by tests, and texts for them are no code.
    """
    folders = edit.path.split("/")[:-1]
    if not edit.path.endswith(".py") or edit.after is None or edit.path.rpartition("/")[2] in _SCRIPTS:
        return False
    if _SCRIPT_FOLDERS.intersection(folders[:1]) or (edit.before is not None and _same_but_words(edit)):
        return False
    folder = "/".join([*folders, ""])
    if f"{folder}__init__.py" in report.touched:
        return True
    beside = any(path.rpartition("/")[0] + "/" == (folder or "/") for path in loaded)
    return beside and b"__main__" not in edit.after.content


def _same_but_words(edit: FileEdit) -> bool:
    """Whether only docstrings, comments and layout differ."""
    try:
        sides = [ast.parse(side.content) for side in (edit.before, edit.after) if side is not None]
    except (SyntaxError, ValueError, RecursionError):
        return False
    for tree in sides:
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                body[:] = [
                    row for row in body if not (isinstance(row, ast.Expr) and isinstance(row.value, ast.Constant))
                ]
    return len({ast.dump(tree) for tree in sides}) == 1


def _is_file(edit: FileEdit) -> bool:
    return edit.after is not None and edit.after.mode is not FileMode.SYMLINK


def _same_module(path: str, module: str) -> bool:
    dotted = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return dotted == module or dotted.endswith("." + module)
