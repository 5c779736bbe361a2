"""Owns finding the projects of a workspace: folders with tests of their own, and which file says how they are run."""

import asyncio
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch
from typing import Any, Final

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.imports import is_test_file
from agent_lsp.domain.ports import Candidate
from agent_lsp.workspace.runners.node_runner import TEST_FILE, runs_node_tests
from agent_lsp.workspace.runners.pytest_config import pytest_configuration

_MOST_MANIFESTS: Final = 300
_READ_AT_MOST: Final = 20
_PYTHON_MANIFESTS: Final = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "tox.ini",
    "tox.toml",
    "noxfile.py",
    "hatch.toml",
)
_SHOWN: Final = frozenset({"examples", "example", "docs", "doc", "bench", "benchmarks", "vendor", "third_party"})
_NO_PROJECTS: Final = _SHOWN | frozenset(
    {
        "test",
        "tests",
        "testing",
        "fixtures",
        "__fixtures__",
        "testdata",
        "test_data",
        "test-data",
        "templates",
        "template",
    }
    | {"node_modules", "site-packages"}
)
"""Below folders of these names lies what a project is tested with, or shows, rather than projects."""

_OTHER_TOOLS: Final = re.compile(r"(?<![\w/-])(jest|mocha|ava|jasmine|karma|cypress|playwright|tap|tape|uvu|bun)(?!\w)")
_NO_TESTS: Final = "no test specified"
_CALLS: Final = re.compile(r"^\s*(?:npm|pnpm|yarn)\s+(?:run(?:-script)?\s+)?([\w:.-]+)\s*$")


class Language(StrEnum):
    """What a project is written in."""

    PYTHON = "Python"
    JAVASCRIPT = "JavaScript"


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with tests, `.` for the root.

    `runner` is `python` (pytest or unittest, which is found out later), `node`, `vitest`, or the name of a tool that
    there is no runner for. `why` says which file told so. `script` is the project's own test command. `manifest` is
    the text in which the projects that it uses are named; `without` are projects below it with tests of their own.
    """

    folder: str
    language: Language
    runner: str
    why: str
    script: str = ""
    name: str = ""
    manifest: str = ""
    without: tuple[str, ...] = ()


async def find_projects(candidate: Candidate) -> tuple[Project, ...]:
    """Every project with tests, Python first, outer ones first. Empty if there is no sign of any."""
    paths = await candidate.paths()
    scripts = await _javascript(candidate, paths)
    return (*await _python(candidate, paths, bool(scripts)), *scripts)


# --- Python -------------------------------------------------------------------------------------------------


async def _python(candidate: Candidate, paths: Sequence[str], others: bool) -> list[Project]:
    tests = [path for path in paths if path.endswith(".py") and is_test_file(path)]
    manifests: dict[str, str] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder and name in _PYTHON_MANIFESTS and not _NO_PROJECTS.intersection(folder.split("/")):
            manifests.setdefault(folder, name)
    tested = {folder for path in tests for folder in _above(path) if folder in manifests}
    inner = sorted(folder for folder in tested if not tested.intersection(_above(folder)))
    rest = any(not tested.intersection(_above(path)) for path in tests)
    members = await _members(candidate)
    found = []
    for folder in inner[:_MOST_MANIFESTS]:
        why = await _own_project(candidate, folder, members, rest)
        if why:
            text = await _text(candidate, f"{folder}/{manifests[folder]}")
            why = f"{folder}/{manifests[folder]} and tests below it; {why}"
            found.append(Project(folder, Language.PYTHON, "python", why, name=_python_name(text), manifest=text))
    apart = {project.folder for project in found}
    own = [path for path in tests if not apart.intersection(_above(path))]
    if own or not (found or others):
        why = await _python_why(candidate, paths, own)
        text = await _text(candidate, "pyproject.toml")
        without = tuple(project.folder for project in found)
        found.insert(0, Project(".", Language.PYTHON, "python", why, "", _python_name(text), text, without))
    return found


async def _python_why(candidate: Candidate, paths: Sequence[str], tests: Sequence[str]) -> str:
    """What says that the root's tests are Python's."""
    if not tests:
        return "no sign of tests in another language"
    plain = [path for path in tests if not _SHOWN.intersection(path.split("/")[:-1])]
    first = min(plain or tests, key=lambda path: (path.count("/"), path))
    configuration = await pytest_configuration(candidate, paths)
    return f"{configuration} and tests such as {first}" if configuration else f"tests such as {first}"


async def _own_project(candidate: Candidate, folder: str, members: Sequence[str], rest: bool) -> str:
    """Why a folder with a manifest and tests is tested by itself, or empty where it is a part of the root's tests."""
    for environment in (".venv", "venv"):
        if await _text(candidate, f"{folder}/{environment}/pyvenv.cfg", missing="-") != "-":
            return f"it has its own {environment}"
    if any(fnmatch(folder, pattern.rstrip("/")) for pattern in members):
        return "a member of the workspace in pyproject.toml"
    return "" if rest else "the root has no Python tests of its own"


async def _members(candidate: Candidate) -> list[str]:
    """Patterns of the folders that uv's workspace names."""
    try:
        table = tomllib.loads(await _text(candidate, "pyproject.toml"))
        members = table["tool"]["uv"]["workspace"]["members"]
    except (ValueError, KeyError, TypeError):
        return []
    return [row for row in members if isinstance(row, str)] if isinstance(members, list) else []


def _python_name(text: str) -> str:
    try:
        tables = tomllib.loads(text)
    except ValueError:
        tables = {}
    for place in (tables.get("project"), tables.get("tool", {}).get("poetry")):
        if isinstance(place, Mapping) and isinstance(place.get("name"), str):
            return str(place["name"])
    found = None if tables else re.search(r"""\bname\s*=\s*["']?([\w.-]+)""", text)
    return found[1] if found else ""


def _above(path: str) -> list[str]:
    """The folders that a path lies in, innermost first; the root is none of them."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(len(parts) - 1, 0, -1)]


# --- JavaScript -----------------------------------------------------------------------------------------------


async def _javascript(candidate: Candidate, paths: Sequence[str]) -> list[Project]:
    manifests = {
        path.rpartition("/")[0] or "."
        for path in paths
        if path.rpartition("/")[2] == "package.json" and not _NO_PROJECTS.intersection(path.split("/")[:-1])
    }
    folders = sorted({".", *manifests}, key=lambda folder: (folder != ".", folder))[:_MOST_MANIFESTS]
    own = await asyncio.to_thread(_by_folder, paths, frozenset(folders))
    found = []
    for folder in folders:
        project = await _script_project(candidate, folder, own.get(folder, []), folder in manifests)
        if project is not None:
            found.append(project)
    return found


def _by_folder(paths: Sequence[str], folders: frozenset[str]) -> dict[str, list[str]]:
    """The files that tell how a folder is tested: tests and configuration, by the innermost of the folders."""
    found: dict[str, list[str]] = {}
    for path in paths:
        if TEST_FILE.fullmatch(path) or path.rpartition("/")[2].startswith("vitest."):
            around = next((folder for folder in _above(path) if folder in folders), ".")
            found.setdefault(around, []).append(path)
    return found


async def _script_project(candidate: Candidate, folder: str, paths: Sequence[str], declared: bool) -> Project | None:
    prefix = "" if folder == "." else f"{folder}/"
    file = f"{prefix}package.json"
    text = await _text(candidate, file) if declared else ""
    table = _table(text)
    name = table.get("name") if isinstance(table.get("name"), str) else ""
    script = _test_script(table)
    used = {**_mapping(table.get("dependencies")), **_mapping(table.get("devDependencies"))}

    def project(runner: str, why: str, own: str = "") -> Project:
        return Project(folder, Language.JAVASCRIPT, runner, why, own, str(name), text)

    told = f"{file}: scripts.test is `{script}`"
    if re.search(r"(?<![\w/-])vitest(?!\w)", script):
        return project("vitest", told, script)
    if runs_node_tests(script):
        return project("node", told, script)
    other = _OTHER_TOOLS.search(script)
    if other:
        return project(other[1], told, script)
    config = next((path for path in paths if _is_vitest_config(path, prefix)), "")
    if config or "vitest" in used:
        return project("vitest", config or f"{file} depends on vitest")
    if seen := await _node_test(candidate, paths):
        return project("node", f"{seen} imports node:test")
    return None


def _is_vitest_config(path: str, prefix: str) -> bool:
    return bool(re.fullmatch(r"vitest\.(config|workspace)\.\w+", path.removeprefix(prefix)))


async def _node_test(candidate: Candidate, paths: Sequence[str]) -> str:
    """A test file that imports Node's own test module, or empty."""
    for path in [path for path in paths if TEST_FILE.fullmatch(path)][:_READ_AT_MOST]:
        if re.search(r"""["']node:test["']""", await _text(candidate, path)):
            return path
    return ""


def _test_script(table: Mapping[str, Any]) -> str:
    """The command behind `npm test`; a script that only calls another one is followed."""
    scripts = _mapping(table.get("scripts"))
    script = scripts.get("test", "")
    for _ in range(5):
        called = _CALLS.match(script) if isinstance(script, str) else None
        if called is None or called[1] not in scripts:
            break
        script = scripts[called[1]]
    return script if isinstance(script, str) and _NO_TESTS not in script else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _table(text: str) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(text)) if text else {}
    except ValueError:
        return {}


async def _text(candidate: Candidate, path: str, missing: str = "") -> str:
    """A file's text; `missing` where there is none, or where it may not be read."""
    try:
        entry = await candidate.read(path)
    except ToolError:
        entry = None
    return missing if entry is None else entry.content.decode("utf-8", "replace")
