"""Owns asking the project's own linter and type checkers about a change, where it has configured and installed them."""

import asyncio
import configparser
import logging
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from agent_lsp.domain.changes import FileEdit, FileMode
from agent_lsp.domain.checker_output import READERS, CheckerFinding, NewFindings, new_findings
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.goal_findings import Fate, GoalFinding, settled
from agent_lsp.domain.ports import Candidate, CandidatePool, Command, RunnerFinder, Trees
from agent_lsp.domain.staging import SyntaxTrouble

logger = logging.getLogger(__name__)

_LIMIT_S: Final = 60.0
_OUTPUT_BYTES: Final = 4_000_000
_OWN_FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "ruff": ("ruff.toml", ".ruff.toml"),
    "mypy": ("mypy.ini", ".mypy.ini"),
    "pyright": ("pyrightconfig.json",),
}
_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "ruff": ("check", "--output-format=json", "--no-cache", "--force-exclude", "--quiet", "--exit-zero"),
    "mypy": ("--no-error-summary", "--hide-error-context", "--no-color-output", "--no-pretty"),
    "pyright": ("--outputjson",),
}
_OF_NPM: Final = "node_modules/.bin"
_COMPILE: Final = "import sys; compile(open(sys.argv[1], 'rb').read(), sys.argv[1], 'exec', dont_inherit=True)"


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checkers newly find, and what became of the diagnostics among the goals."""

    new: NewFindings = NewFindings()  # noqa: RUF009 - it is frozen
    goals: tuple[GoalFinding, ...] = ()


class Checks:
    """Runs checkers on the changed files, before and after, in a candidate of their own."""

    def __init__(self, trees: Trees, pool: CandidatePool, finder: RunnerFinder) -> None:
        self._trees, self._pool, self._finder = trees, pool, finder

    def begin(
        self, base_tree: str, edits: tuple[FileEdit, ...], goals: tuple[GoalFinding, ...] = ()
    ) -> "asyncio.Task[Checked]":
        """A task that gives what is newly found, and what became of the diagnostics among the goals.

        Whatever goes wrong with a checker, it finds nothing.
        """
        return asyncio.get_running_loop().create_task(self._guarded(base_tree, edits, goals))

    async def confirmed(self, candidate: Candidate, troubles: Sequence[SyntaxTrouble]) -> tuple[SyntaxTrouble, ...]:
        """Those that the workspace's own Python cannot compile either; all of them where there is none to ask."""
        try:
            program = await self._program(candidate)
        except AgentLspError:
            program = None
        if program is None:
            return tuple(troubles)
        found = []
        for trouble in troubles:
            result = await candidate.run(Command((program, "-c", _COMPILE, trouble.path), timeout_s=20.0))
            if result.exit_status != 0:
                found.append(trouble)
        return tuple(found)

    async def _guarded(self, base_tree: str, edits: tuple[FileEdit, ...], goals: tuple[GoalFinding, ...]) -> Checked:
        try:
            async with asyncio.timeout(_LIMIT_S):
                return await self._compared(base_tree, tuple(edit for edit in edits if _is_python(edit)), goals)
        except (AgentLspError, TimeoutError) as error:
            logger.info("the project's own checkers could not be asked: %s", error)
            why = str(error) or f"the checkers did not end within {_LIMIT_S:.0f} s"
            return Checked(goals=tuple(replace(goal, fate=Fate.UNKNOWN, note=why) for goal in goals))

    async def _compared(self, base_tree: str, edits: tuple[FileEdit, ...], goals: tuple[GoalFinding, ...]) -> Checked:
        configured = await self._configured(base_tree) if edits else ()
        tools = dict.fromkeys([*configured, *(goal.tool for goal in goals if goal.tool)])
        if not tools:
            return Checked(goals=settled(goals, {}, edits))
        candidate = await self._pool.open(base_tree)
        try:
            present = await self._present(candidate, tools)
            concerned = [goal.problem.path for goal in goals if await _is_file(candidate, goal.problem.path)]
            before = await _asked(candidate, present, [*concerned, *(e.base_path for e in edits if e.before)])
            for edit in edits:
                if edit.old_path is not None:
                    await candidate.write(edit.old_path, None)
                await candidate.write(edit.path, edit.after)
            concerned = [path for path in concerned if await _is_file(candidate, path)]
            after = await _asked(candidate, present, [*concerned, *(e.path for e in edits if e.after)])
        finally:
            await candidate.close()
        told = [tool for tool in present if tool in configured and after[tool]]
        rows = [new_findings(before[tool] or (), after[tool] or ()).rows for tool in told]
        asked = {tool: (before[tool], after[tool]) for tool in present}
        return Checked(NewFindings(tuple(row for of_tool in rows for row in of_tool)), settled(goals, asked, edits))

    async def _present(self, candidate: Candidate, tools: Iterable[str]) -> dict[str, str]:
        """Where each of the tools is that are there: beside the workspace's Python, or where npm puts it."""
        program = await self._program(candidate)
        own = [program.rpartition("/")[0]] if program is not None and "/" in program else []
        places: dict[str, str] = {}
        for tool in tools:
            for folder in (*own, *([f"{candidate.root}/{_OF_NPM}"] if tool == "pyright" else ())):
                if tool not in places and await _is_there(candidate, f"{folder}/{tool}"):
                    places[tool] = f"{folder}/{tool}"
        return places

    async def _configured(self, tree: str) -> tuple[str, ...]:
        """The checkers that the workspace configures."""
        pyproject = _toml(await self._text(tree, "pyproject.toml"))
        setup = _ini(await self._text(tree, "setup.cfg"))
        found = []
        for tool, names in _OWN_FILES.items():
            tables = tool in pyproject.get("tool", {}) or (tool == "mypy" and setup.has_section("mypy"))
            if tables or any([await self._trees.read(tree, name) is not None for name in names]):
                found.append(tool)
        return tuple(found)

    async def _text(self, tree: str, path: str) -> str:
        entry = await self._trees.read(tree, path)
        return "" if entry is None else entry.content.decode("utf-8", "replace")

    async def _program(self, candidate: Candidate) -> str | None:
        """The Python of the workspace's own environment."""
        runner: Any = await self._finder.find(candidate)
        own = getattr(runner, "program", None)
        return None if own is None else own(candidate)


async def _is_there(candidate: Candidate, place: str) -> bool:
    return (await candidate.run(Command(("test", "-x", place), timeout_s=10.0))).exit_status == 0


async def _is_file(candidate: Candidate, path: str) -> bool:
    return path.endswith(".py") and await candidate.read(path) is not None


async def _asked(
    candidate: Candidate, tools: Mapping[str, str], paths: Sequence[str]
) -> dict[str, list[CheckerFinding] | None]:
    paths = tuple(dict.fromkeys(paths))
    found: dict[str, list[CheckerFinding] | None] = {}
    for tool, place in tools.items():
        cache = ("--cache-dir", f"{candidate.scratch}/mypy") if tool == "mypy" else ()
        argv = (place, *_ARGUMENTS[tool], *cache, *paths)
        result = await candidate.run(Command(argv, timeout_s=_LIMIT_S, output_limit_bytes=_OUTPUT_BYTES))
        found[tool] = READERS[tool](result.output, candidate.root) if paths else []
    return found


def _is_python(edit: FileEdit) -> bool:
    return edit.path.endswith(".py") and (edit.after is None or edit.after.mode is not FileMode.SYMLINK)


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError:
        return {}


def _ini(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return configparser.RawConfigParser()
    return parser
