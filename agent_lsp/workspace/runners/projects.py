"""Owns finding the projects of a workspace: folders with tests of their own, and which file says how they are run."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch
from typing import Any, Final

from agent_lsp.domain.imports import is_test_file
from agent_lsp.domain.ports import Candidate
from agent_lsp.workspace.runners.node_runner import TEST_FILE, runs_node_tests

_MOST_MANIFESTS: Final = 300
_READ_AT_MOST: Final = 20
_PYTHON_MANIFESTS: Final = ("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "noxfile.py")
_NO_PROJECTS: Final = frozenset(
    {"test", "tests", "testing", "fixtures", "__fixtures__", "testdata", "test_data", "examples", "example", "docs"}
    | {"doc", "templates", "template", "node_modules", "vendor", "third_party", "site-packages"}
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
    inner = _outermost({folder for folder in manifests if any(_below(path, folder) for path in tests)})
    rest = [path for path in tests if not any(_below(path, folder) for folder in inner)]
    members = await _members(candidate)
    found = []
    for folder in inner[:_MOST_MANIFESTS]:
        why = await _own_project(candidate, folder, members, bool(rest))
        if why:
            text = await _text(candidate, f"{folder}/{manifests[folder]}")
            why = f"{folder}/{manifests[folder]} and tests below it; {why}"
            found.append(Project(folder, Language.PYTHON, "python", why, name=_python_name(text), manifest=text))
    own = [path for path in tests if not any(_below(path, project.folder) for project in found)]
    if own or not (found or others):
        why = own[0] if own else "no sign of another language's tests"
        text = await _text(candidate, "pyproject.toml")
        without = tuple(project.folder for project in found)
        found.insert(0, Project(".", Language.PYTHON, "python", why, "", _python_name(text), text, without))
    return found


async def _own_project(candidate: Candidate, folder: str, members: Sequence[str], rest: bool) -> str:
    """Why a folder with a manifest and tests is tested by itself, or empty where it is a part of the root's tests."""
    for environment in (".venv", "venv"):
        if await candidate.read(f"{folder}/{environment}/pyvenv.cfg") is not None:
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
    found = re.search(r"""\bname\s*=\s*["']?([\w.-]+)""", text)
    return found[1] if found else ""


def _outermost(folders: set[str]) -> list[str]:
    return sorted(folder for folder in folders if not any(_below(folder, other) for other in folders))


def _below(path: str, folder: str) -> bool:
    return path.startswith(folder + "/")


# --- JavaScript -----------------------------------------------------------------------------------------------


async def _javascript(candidate: Candidate, paths: Sequence[str]) -> list[Project]:
    manifests = {
        path.rpartition("/")[0] or "."
        for path in paths
        if path.rpartition("/")[2] == "package.json" and not _NO_PROJECTS.intersection(path.split("/")[:-1])
    }
    folders = sorted({".", *manifests}, key=lambda folder: (folder != ".", folder))[:_MOST_MANIFESTS]
    found = []
    for folder in folders:
        own = [path for path in paths if _innermost(path, folders) == folder] if len(folders) > 1 else paths
        project = await _script_project(candidate, folder, own, folder in manifests)
        if project is not None:
            found.append(project)
    return found


def _innermost(path: str, folders: Sequence[str]) -> str:
    return max((folder for folder in folders if folder == "." or _below(path, folder)), key=len)


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


async def _text(candidate: Candidate, path: str) -> str:
    entry = await candidate.read(path)
    return "" if entry is None else entry.content.decode("utf-8", "replace")
