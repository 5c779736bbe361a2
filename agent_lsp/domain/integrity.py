"""Owns telling when a change weakens the tests: what was deleted, loosened, skipped or reconfigured, by syntax tree."""

import ast
import configparser
import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from agent_lsp.domain import assertions
from agent_lsp.domain.changes import Entry, FileEdit, HunkClass, classify
from agent_lsp.domain.findings import Finding, FindingKind
from agent_lsp.domain.languages import is_code
from agent_lsp.domain.script_outline import ScriptReader
from agent_lsp.domain.script_tests import inspect_scripts
from agent_lsp.domain.text import decode


@dataclass(frozen=True, slots=True)
class Integrity:
    """What a change did to the tests. `renamed` maps ids (without parameters) to where the same body now stands."""

    findings: tuple[Finding, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)

    def of(self, *kinds: FindingKind) -> tuple[Finding, ...]:
        """The findings of some kinds."""
        return tuple(finding for finding in self.findings if finding.kind in kinds)


def inspect_tests(edits: Sequence[FileEdit], scripts: ScriptReader | None = None) -> Integrity:
    """Compares every test and configuration file of a change with what it was.

    Without `scripts` assertions and skips of other languages are only counted.
    """
    pairs = [_pair(edit) for edit in edits if _is_test_module(edit)]
    renamed = _renames(pairs)
    findings: list[Finding] = []
    for pair in pairs:
        findings += _compare(pair, renamed)
    changed, moved = inspect_scripts(edits, scripts)
    findings += changed
    for edit in edits:
        findings += [*_config(edit), *_data(edit)]
    return Integrity(tuple(findings), renamed | moved)


@dataclass(frozen=True, slots=True)
class _Pair:
    """The definitions of one test file before and after, by qualified name; None where it is no Python."""

    edit: FileEdit
    old: dict[str, ast.AST] | None
    new: dict[str, ast.AST] | None


def test_names(content: bytes) -> frozenset[str]:
    """Qualified names (`Case::test_x`) of the classes and functions of a test file; empty if it is no Python."""
    return frozenset(_definitions(Entry(content)) or ())


def _is_test_module(edit: FileEdit) -> bool:
    return edit.base_path.endswith(".py") and bool(edit.classes & {HunkClass.TEST, HunkClass.CONFIG})


def _pair(edit: FileEdit) -> _Pair:
    return _Pair(edit, _definitions(edit.before), _definitions(edit.after))


def _definitions(entry: Entry | None) -> dict[str, ast.AST] | None:
    if entry is None:
        return {}
    try:
        tree = ast.parse(entry.content)
    except (SyntaxError, ValueError):
        return None
    found: dict[str, ast.AST] = {}
    _gather(tree, "", found)
    return found


def _gather(node: ast.AST, prefix: str, found: dict[str, ast.AST]) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            found[prefix + child.name] = child
            _gather(child, f"{prefix}{child.name}::", found)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            found[prefix + child.name] = child
        elif isinstance(child, ast.If | ast.Try | ast.With):
            _gather(child, prefix, found)


def _is_test(name: str, node: ast.AST) -> bool:
    last = name.rsplit("::", 1)[-1]
    if isinstance(node, ast.ClassDef):
        return False
    return last.lower().startswith("test")


def _body(node: ast.AST) -> str:
    """A function's code without its name, to know it again under another one."""
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    parts = [*node.decorator_list, node.args, *node.body]
    return "\n".join(ast.dump(part) for part in parts)


def _renames(pairs: Sequence[_Pair]) -> dict[str, str]:
    """Tests that went away, with the new test of the same body; a file that was renamed keeps its tests' names."""
    gone: dict[str, str] = {}
    come: dict[str, str] = {}
    for pair in pairs:
        moved = pair.edit.path != pair.edit.base_path
        for name, node in (pair.old or {}).items():
            if _is_test(name, node) and (moved or name not in (pair.new or {})):
                gone[f"{pair.edit.base_path}::{name}"] = _body(node)
        for name, node in (pair.new or {}).items():
            if _is_test(name, node) and (moved or name not in (pair.old or {})):
                come.setdefault(_body(node), f"{pair.edit.path}::{name}")
    same = {case: come[body] for case, body in gone.items() if body in come}
    for pair in pairs:
        if pair.edit.path != pair.edit.base_path:
            for name, node in (pair.old or {}).items():
                if _is_test(name, node) and name in (pair.new or {}):
                    same.setdefault(f"{pair.edit.base_path}::{name}", f"{pair.edit.path}::{name}")
    return same


def _compare(pair: _Pair, renamed: dict[str, str]) -> list[Finding]:
    path, base = pair.edit.path, pair.edit.base_path
    if pair.new is None and pair.old is not None:
        line = _first_changed(pair.edit)
        return [Finding(FindingKind.WEAKENED, base, f"{path} is no valid Python any more", path, line)]
    if pair.old is None or pair.new is None:
        return []
    findings = []
    for name, node in pair.old.items():
        case = f"{base}::{name}"
        now = pair.new.get(name)
        if now is None:
            if _is_test(name, node) and case not in renamed:
                line = getattr(node, "lineno", 1) - 1
                findings.append(Finding(FindingKind.REMOVED, case, f"{case} was removed", base, line))
            continue
        line = getattr(now, "lineno", 1) - 1
        texts = assertions.weaknesses(node, now)
        findings += [Finding(FindingKind.WEAKENED, case, f"{case}: {text}", path, line) for text in texts]
        if assertions.is_fixture(node) and ast.dump(node) != ast.dump(now) and not _is_conftest(path):
            findings.append(Finding(FindingKind.CONFIG, case, f"{case}: the fixture changed", path, line))
    for name, node in pair.new.items():
        if name not in pair.old and not _is_test(name, node) and not isinstance(node, ast.ClassDef):
            case = f"{base}::{name}"
            line = getattr(node, "lineno", 1) - 1
            texts = assertions.new_skips(node)
            findings += [Finding(FindingKind.WEAKENED, case, f"{case}: {text}", path, line) for text in texts]
    return findings + _module_level(pair.edit)


def _is_conftest(path: str) -> bool:
    return PurePosixPath(path).name == "conftest.py"


def _module_level(edit: FileEdit) -> list[Finding]:
    """Marks and skips for the whole file."""
    if edit.before is None or edit.after is None:
        return []
    old, new = (ast.parse(entry.content) for entry in (edit.before, edit.after))
    texts = assertions.file_weaknesses(old, new)
    line = _first_changed(edit)
    return [Finding(FindingKind.WEAKENED, edit.base_path, f"{edit.path}: {text}", edit.path, line) for text in texts]


# --- configuration -------------------------------------------------------------------------------------------


_SECTIONS = {
    "setup.cfg": ("tool:pytest", "coverage:", "aliases"),
    "tox.ini": ("pytest", "testenv", "tox", "coverage:"),
}


def _config(edit: FileEdit) -> list[Finding]:
    path = edit.path
    if HunkClass.CONFIG not in (classify(path), classify(edit.base_path)):
        return []
    name = PurePosixPath(path).name
    old, new = (_relevant(name, entry) for entry in (edit.before, edit.after))
    if old == new:
        return []
    parts = sorted(key for key in {*old, *new} if old.get(key) != new.get(key) and key)
    what = f" ({', '.join(parts)})" if parts else ""
    verb = "was added" if edit.before is None else "was removed" if edit.after is None else "changed"
    text = f"test configuration {verb}: {path}{what}"
    return [Finding(FindingKind.CONFIG, edit.base_path, text, path, _first_changed(edit))]


def _data(edit: FileEdit) -> list[Finding]:
    """A snapshot, a recorded answer, or other data of the tests that was there before and is not what it was."""
    path = edit.base_path
    if edit.before is None or edit.shipped or is_code(path) or classify(path) is not HunkClass.TEST:
        return []
    moved = edit.after is not None and edit.path != path
    verb = f"was moved to {edit.path}" if moved else "was removed" if edit.after is None else "changed"
    return [Finding(FindingKind.CONFIG, path, f"data of the tests {verb}: {path}", edit.path, _first_changed(edit))]


def _first_changed(edit: FileEdit) -> int | None:
    """The first line that is another than in the base, zero-based; None where a side is missing."""
    if edit.before is None or edit.after is None or edit.before.content == edit.after.content:
        return None
    old, new = (entry.content.splitlines() for entry in (edit.before, edit.after))
    return next((line for line, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _relevant(name: str, entry: Entry | None) -> dict[str, Any]:
    """The parts of a file that say how tests run; of an unreadable file, all of it."""
    if entry is None:
        return {}
    decoded = decode(entry.content)
    text = decoded.text if decoded is not None else ""
    try:
        if name == "pyproject.toml":
            return _of_pyproject(tomllib.loads(text))
        if name.endswith(".toml"):
            return {f"[{key}]": value for key, value in tomllib.loads(text).items()}
        if name == "package.json":
            return _of_package(json.loads(text))
        if name in ("setup.cfg", "tox.ini"):
            parser = configparser.RawConfigParser()
            parser.read_string(text)
            wanted = _SECTIONS[name]
            return {f"[{key}]": dict(parser[key]) for key in parser.sections() if key.startswith(wanted)}
        if name.endswith(".py"):
            return _of_python(ast.parse(entry.content))
    except (ValueError, SyntaxError, AttributeError, configparser.Error):
        pass
    return {"": entry.content}


def _of_pyproject(table: dict[str, Any]) -> dict[str, Any]:
    tools = table.get("tool", {})
    return {f"[tool.{key}]": tools[key] for key in ("pytest", "coverage", "tox", "agent-lsp", "hatch") if key in tools}


def _of_package(table: dict[str, Any]) -> dict[str, Any]:
    scripts = table.get("scripts", {})
    parts = {f"scripts.{name}": text for name, text in scripts.items() if "test" in name}
    return parts | {key: table[key] for key in ("jest", "vitest", "mocha", "ava", "c8", "nyc") if key in table}


def _of_python(tree: ast.Module) -> dict[str, Any]:
    """A conftest by its fixtures and hooks, so that the text can name what changed."""
    named: dict[str, Any] = {}
    rest: Counter[str] = Counter()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            named[node.name] = ast.dump(node)
        else:
            rest[ast.dump(node)] += 1
    return {**named, "": rest} if rest else named
