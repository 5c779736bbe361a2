"""Owns asking the project's own linter and type checkers about a change, where it has configured and installed them."""

import asyncio
import configparser
import logging
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent_lsp.domain.changes import FileEdit, FileMode
from agent_lsp.domain.checker_output import READERS, CheckerFinding, NewFindings, new_findings
from agent_lsp.domain.errors import AgentLspError
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
_COMPILE: Final = "import sys; compile(open(sys.argv[1], 'rb').read(), sys.argv[1], 'exec', dont_inherit=True)"


class Checks:
    """Runs checkers on the changed files, before and after, in a candidate of their own."""

    def __init__(self, trees: Trees, pool: CandidatePool, finder: RunnerFinder) -> None:
        self._trees, self._pool, self._finder = trees, pool, finder

    def begin(self, base_tree: str, edits: tuple[FileEdit, ...]) -> "asyncio.Task[NewFindings]":
        """A task that gives what is newly found; whatever goes wrong with a checker, it finds nothing."""
        return asyncio.get_running_loop().create_task(self._guarded(base_tree, edits))

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

    async def _guarded(self, base_tree: str, edits: tuple[FileEdit, ...]) -> NewFindings:
        try:
            async with asyncio.timeout(_LIMIT_S):
                return await self._compared(base_tree, edits)
        except (AgentLspError, TimeoutError) as error:
            logger.info("the project's own checkers could not be asked: %s", error)
            return NewFindings()

    async def _compared(self, base_tree: str, edits: tuple[FileEdit, ...]) -> NewFindings:
        edits = tuple(edit for edit in edits if _is_python(edit))
        tools = await self._configured(base_tree) if edits else ()
        if not tools:
            return NewFindings()
        candidate = await self._pool.open(base_tree)
        try:
            program = await self._program(candidate)
            if program is None or "/" not in program:
                return NewFindings()
            places = {tool: f"{program.rpartition('/')[0]}/{tool}" for tool in tools}
            present = {tool: place for tool, place in places.items() if await _is_there(candidate, place)}
            before = await _asked(candidate, present, [edit.base_path for edit in edits if edit.before is not None])
            for edit in edits:
                if edit.old_path is not None:
                    await candidate.write(edit.old_path, None)
                await candidate.write(edit.path, edit.after)
            after = await _asked(candidate, present, [edit.path for edit in edits if edit.after is not None])
        finally:
            await candidate.close()
        rows = [new_findings(before[tool] or (), after[tool] or ()).rows for tool in present if after[tool]]
        return NewFindings(tuple(row for of_tool in rows for row in of_tool))

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


async def _asked(
    candidate: Candidate, tools: Mapping[str, str], paths: Sequence[str]
) -> dict[str, list[CheckerFinding] | None]:
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
