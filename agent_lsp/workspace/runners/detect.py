"""Owns the choice of a workspace's test runner."""

import configparser
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

from agent_lsp.domain.changes import HunkClass, classify
from agent_lsp.domain.errors import AgentLspError, RunnerUnavailableError
from agent_lsp.domain.ports import Candidate
from agent_lsp.workspace.runners.command_runner import CommandRunner
from agent_lsp.workspace.runners.interpreter import Found, find_interpreter
from agent_lsp.workspace.runners.pytest_runner import PytestRunner
from agent_lsp.workspace.runners.unittest_runner import UnittestRunner

Runner = PytestRunner | UnittestRunner | CommandRunner

_READ_AT_MOST = 100
"""Test files whose text is looked at to tell unittest from pytest, when pytest is not installed."""


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """The settings under `tests`. `runner` is `auto`, `pytest`, `unittest` or `command`; `args` go to the runner,
    `timeout_s` bounds each run."""

    runner: str = "auto"
    interpreter: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    timeout_s: float = 600.0


class WorkspaceRunnerFinder:
    """See RunnerFinder: a command if one is set, else pytest where it is installed, else unittest.

    Tests that need no pytest run under the project's own Python, rather than under another one that has it."""

    def __init__(self, options: RunnerOptions) -> None:
        self._options = options

    async def find(self, candidate: Candidate) -> Runner:
        """Raises RunnerUnavailableError with what was looked for, ConfigError for a setting that cannot be used."""
        options = self._options
        if options.runner == "command" or (options.runner == "auto" and options.command):
            if not options.command:
                raise RunnerUnavailableError(
                    "tests.runner is `command` and tests.command is empty",
                    hint="Set tests.command, with {junit} in it.",
                )
            return CommandRunner(options.command, options.timeout_s)
        found = await find_interpreter(candidate, options.interpreter)
        if options.runner == "unittest":
            return self._unittest(found)
        own = found.with_pytest is not None and found.with_pytest == found.usable
        if options.runner == "auto" and not own and await self._only_unittest(candidate):
            return self._unittest(found)
        if found.with_pytest is not None:
            return PytestRunner(found.with_pytest, options.args, options.timeout_s)
        raise RunnerUnavailableError(f"no Python with pytest was found: {found.explain()}", hint=found.hint())

    async def describe(self, candidate: Candidate) -> str:
        """What would run the tests, or why nothing would and what to do, as one line for doctor."""
        try:
            return (await self.find(candidate)).describe()
        except AgentLspError as error:
            return f"{error.message} {error.hint}".strip()

    def _unittest(self, found: Found) -> UnittestRunner:
        interpreter = found.usable
        if interpreter is None:
            raise RunnerUnavailableError(f"no usable Python was found: {found.explain()}", hint=found.hint())
        return UnittestRunner(interpreter, self._options.args, self._options.timeout_s)

    async def _only_unittest(self, candidate: Candidate) -> bool:
        """Whether the tests can run without pytest: nothing configures or imports it, and something uses unittest."""
        paths = await candidate.paths()
        if await _pytest_is_configured(candidate, paths):
            return False
        tests = [path for path in paths if path.endswith(".py") and classify(path) is HunkClass.TEST]
        seen = False
        for path in tests[:_READ_AT_MOST]:
            entry = await candidate.read(path)
            text = entry.content if entry is not None else b""
            if b"import pytest" in text or b"from pytest" in text:
                return False
            seen = seen or b"unittest" in text
        return seen


async def _pytest_is_configured(candidate: Candidate, paths: Sequence[str]) -> bool:
    if any(path.rpartition("/")[2] in ("conftest.py", "pytest.ini", ".pytest.ini") for path in paths):
        return True
    for name, section in (("setup.cfg", "tool:pytest"), ("tox.ini", "pytest")):
        entry = await candidate.read(name)
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(entry.content.decode() if entry is not None else "")
        except (configparser.Error, ValueError):
            continue
        if parser.has_section(section):
            return True
    entry = await candidate.read("pyproject.toml")
    try:
        table = tomllib.loads(entry.content.decode()) if entry is not None else {}
    except ValueError:
        return False
    return "pytest" in table.get("tool", {})
