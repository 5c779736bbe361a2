"""Owns the choice of a workspace's test runners, and explains it."""

import posixpath
from dataclasses import dataclass, replace

from agent_lsp.domain.changes import HunkClass, classify
from agent_lsp.domain.errors import AgentLspError, RunnerUnavailableError
from agent_lsp.domain.ports import Candidate, SuiteRunner
from agent_lsp.workspace.runners.command_runner import CommandRunner
from agent_lsp.workspace.runners.django_runner import DjangoRunner, way_of_django, way_of_project
from agent_lsp.workspace.runners.folder_runner import FolderRunner, FolderView
from agent_lsp.workspace.runners.interpreter import Found, Interpreter, find_interpreter
from agent_lsp.workspace.runners.node_runner import NodeRunner
from agent_lsp.workspace.runners.projects import Language, Project, find_projects
from agent_lsp.workspace.runners.pytest_config import pytest_configuration
from agent_lsp.workspace.runners.pytest_runner import PytestRunner
from agent_lsp.workspace.runners.several import Part, SeveralRunners
from agent_lsp.workspace.runners.source_roots import source_roots
from agent_lsp.workspace.runners.unittest_runner import UnittestRunner
from agent_lsp.workspace.runners.vitest_runner import VitestRunner
from agent_lsp.workspace.runners.warm import WarmRuns

PythonRunner = PytestRunner | UnittestRunner
Runner = PythonRunner | CommandRunner | NodeRunner | VitestRunner

_READ_AT_MOST = 100
"""Test files whose text is looked at to tell unittest from pytest, when pytest is not installed."""


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """The settings under `tests`. `runner` is `auto`, `pytest`, `unittest`, `node`, `vitest` or `command`; `args` go to
    the runner, `timeout_s` bounds each run. `root` is where the person has the workspace, if that is known."""

    runner: str = "auto"
    interpreter: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    timeout_s: float = 600.0
    root: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """What runs the tests of a folder and why, for doctor; or why nothing would, and what to do."""

    folder: str
    works: bool
    seen: str
    advice: str = ""


class WorkspaceRunnerFinder:
    """See RunnerFinder: a command if one is set, else one runner for each project with tests that is found.

    For Python, pytest where it is installed, else unittest. Tests that need no pytest run under the project's own
    Python, rather than under another one that has it. Django's tests, and those of projects with its `manage.py` that
    need no pytest, go through Django's runner.
    """

    def __init__(self, options: RunnerOptions, warm: WarmRuns | None = None) -> None:
        self._options, self._warm = options, warm

    async def find(self, candidate: Candidate) -> SuiteRunner:
        """Raises RunnerUnavailableError with what was looked for, ConfigError for a setting that cannot be used."""
        if (command := self._command()) is not None:
            return command
        parts = await self._parts(candidate)
        if len(parts) == 1 and parts[0].project.folder == ".":
            if parts[0].runner is None:
                assert parts[0].trouble is not None
                raise parts[0].trouble
            return parts[0].runner
        return SeveralRunners(parts)

    async def describe(self, candidate: Candidate) -> str:
        """What would run the tests, or why nothing would and what to do, as one line."""
        rows = await self.explain(candidate)
        return "; ".join(f"{row.seen} {row.advice}".strip() for row in rows)

    async def explain(self, candidate: Candidate) -> list[Explained]:
        """A row for each project that was found."""
        try:
            command = self._command()
        except AgentLspError as error:
            return [Explained(".", False, error.message, error.hint)]
        if command is not None:
            return [Explained(".", True, f"{command.describe()} (setting tests.command)")]
        return [await _explained(part, candidate) for part in await self._parts(candidate)]

    def _command(self) -> CommandRunner | None:
        options = self._options
        if options.runner != "command" and not (options.runner == "auto" and options.command):
            return None
        if not options.command:
            raise RunnerUnavailableError(
                "tests.runner is `command` and tests.command is empty",
                hint="Set tests.command, with {junit} in it.",
            )
        return CommandRunner(options.command, options.timeout_s)

    async def _parts(self, candidate: Candidate) -> list[Part]:
        """The projects with their runners; those that the settings name, found or not."""
        projects = await find_projects(candidate)
        name = self._options.runner
        if name in ("node", "vitest"):
            own = [row for row in projects if row.language is Language.JAVASCRIPT]
            projects = tuple(replace(row, runner=name, script=row.script if row.runner == name else "") for row in own)
            projects = projects or (Project(".", Language.JAVASCRIPT, name, "setting tests.runner"),)
        elif name in ("pytest", "unittest"):
            own = [row for row in projects if row.language is Language.PYTHON]
            projects = tuple(own) or (Project(".", Language.PYTHON, "python", "setting tests.runner"),)
        return [await self._part(project, candidate) for project in projects]

    async def _part(self, project: Project, candidate: Candidate) -> Part:
        inside = project.folder != "."
        view = FolderView(candidate, project.folder) if inside else candidate
        try:
            runner: Runner
            if project.language is Language.PYTHON:
                runner = await self._python(project, candidate, view)
            else:
                runner = self._script(project)
        except AgentLspError as error:
            return Part(project, None, error)
        return Part(project, FolderRunner(project.folder, runner) if inside else runner)

    def _script(self, project: Project) -> NodeRunner | VitestRunner:
        options = self._options
        args = options.args if options.runner in ("node", "vitest") else ()
        if project.runner == "vitest":
            return VitestRunner(project.script, args, options.timeout_s)
        if project.runner == "node":
            return NodeRunner(project.script, args, options.timeout_s)
        raise RunnerUnavailableError(
            f"there is no runner for {project.runner} yet ({project.why})",
            hint="Set tests.command to a command that writes JUnit XML or TAP.",
        )

    # --- Python --------------------------------------------------------------------------------------------

    async def _python(self, project: Project, candidate: Candidate, view: Candidate) -> PythonRunner:
        options = self._options
        found = await _sources_first(await self._interpreter(project.folder, candidate, view), view)
        if options.runner == "unittest":
            return self._unittest(found)
        if options.runner == "auto" and (plain := await self._without_pytest(found, view)) is not None:
            return plain
        if found.with_pytest is not None:
            without = tuple(f"--ignore={folder}" for folder in project.without)
            return PytestRunner(found.with_pytest, (*options.args, *without), options.timeout_s, self._warm)
        raise RunnerUnavailableError(f"no Python with pytest was found: {found.explain()}", hint=found.hint())

    async def _without_pytest(self, found: Found, view: Candidate) -> UnittestRunner | None:
        """For tests that pytest cannot run, or that need it so little that it should not be borrowed for them."""
        way = await way_of_django(view)
        if not way and (manage := await way_of_project(view)) and await _needs_only(b"django", view):
            way = manage
        if way and found.usable is not None:
            return DjangoRunner(found.usable, way, self._options.timeout_s)
        own = found.with_pytest is not None and found.with_pytest == found.usable
        return self._unittest(found) if not own and await _needs_only(b"unittest", view) else None

    async def _interpreter(self, folder: str, candidate: Candidate, view: Candidate) -> Found:
        """The project's own Python; for a project in a folder without an environment, that of the workspace."""
        setting, root = self._options.interpreter, self._options.root
        if folder == ".":
            return await find_interpreter(candidate, setting, root)
        own = await find_interpreter(view, None, root and f"{root}/{folder}") if setting is None else None
        if own is not None and own.usable is not None and own.usable.of_project:
            return own
        found = await find_interpreter(candidate, setting, root)
        return replace(
            found, with_pytest=_seen_from(folder, found.with_pytest), usable=_seen_from(folder, found.usable)
        )

    def _unittest(self, found: Found) -> UnittestRunner:
        interpreter = found.usable
        if interpreter is None:
            raise RunnerUnavailableError(f"no usable Python was found: {found.explain()}", hint=found.hint())
        return UnittestRunner(interpreter, self._options.args, self._options.timeout_s)


async def _sources_first(found: Found, view: Candidate) -> Found:
    """The same Pythons, each with the folders of sources before what is installed where that is needed."""
    rows = dict.fromkeys(row for row in (found.with_pytest, found.usable) if row is not None)
    chosen = {row: replace(row, first=await source_roots(view, row.program(view))) for row in rows}
    return replace(
        found,
        with_pytest=found.with_pytest and chosen[found.with_pytest],
        usable=found.usable and chosen[found.usable],
    )


def _seen_from(folder: str, found: Interpreter | None) -> Interpreter | None:
    """The same Python for a runner whose root is the folder."""
    if found is None or not found.inside:
        return found
    return replace(found, shown=posixpath.relpath(found.shown, folder))


async def _explained(part: Part, candidate: Candidate) -> Explained:
    project, runner = part.project, part.runner
    if runner is None:
        assert part.trouble is not None
        return Explained(project.folder, False, f"{part.trouble.message}; {project.why}", part.trouble.hint)
    inner = runner.inner if isinstance(runner, FolderRunner) else runner
    assert isinstance(inner, Runner)
    view = runner.view(candidate) if isinstance(runner, FolderRunner) else candidate
    lacks = await inner.lacks(view) if isinstance(inner, NodeRunner | VitestRunner) else None
    if lacks is not None:
        return Explained(project.folder, False, f"{inner.describe()}: {lacks.message}; {project.why}", lacks.hint)
    return Explained(project.folder, True, f"{inner.describe()}; because of {project.why}")


async def _needs_only(library: bytes, candidate: Candidate) -> bool:
    """Whether the tests can run without pytest: nothing configures or imports it, and something uses the library."""
    paths = await candidate.paths()
    if await pytest_configuration(candidate, paths):
        return False
    tests = [path for path in paths if path.endswith(".py") and classify(path) is HunkClass.TEST]
    seen = False
    for path in tests[:_READ_AT_MOST]:
        entry = await candidate.read(path)
        text = entry.content if entry is not None else b""
        if b"import pytest" in text or b"from pytest" in text:
            return False
        seen = seen or library in text
    return seen
