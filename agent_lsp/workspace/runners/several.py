"""Owns asking the runners of several projects in a workspace: those that a change can affect, merged honestly."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from agent_lsp.domain.comparison import within
from agent_lsp.domain.errors import AgentLspError, RunnerUnavailableError
from agent_lsp.domain.ports import Candidate, SuiteRequest, SuiteRunner
from agent_lsp.domain.sharding import one_report
from agent_lsp.domain.suite_ports import Screened, Screening, ScreeningRunner
from agent_lsp.domain.verdict import SuiteReport
from agent_lsp.workspace.runners.affected import affected, owners
from agent_lsp.workspace.runners.injected import OnCase
from agent_lsp.workspace.runners.projects import Project

Learn = Callable[[SuiteRequest, SuiteReport], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Part:
    """One project with its runner, or with why it has none."""

    project: Project
    runner: SuiteRunner | None
    trouble: AgentLspError | None = None


class SeveralRunners:
    """Runs one project after the other within the time for all of them.

    A project that the change concerns by its own code must be able to run; one that is asked only to be sure is passed
    over where its tools are missing, unless nothing else ran.
    """

    remembers = True
    """What a report holds depends on the changed files, so it is not for others to keep."""

    def __init__(self, parts: Sequence[Part], learn: Learn | None = None) -> None:
        self.parts, self._learn = tuple(parts), learn

    @property
    def name(self) -> str:
        return " and ".join(part.runner.name for part in self.parts if part.runner is not None)

    def wrapped(self, wrap: Callable[[SuiteRunner], SuiteRunner], learn: Learn) -> "SeveralRunners":
        """The same with every runner wrapped; `learn` takes what the projects showed together."""
        parts = [replace(part, runner=wrap(part.runner) if part.runner else None) for part in self.parts]
        return SeveralRunners(parts, learn)

    def program(self, candidate: Candidate) -> str | None:
        """The Python of the first project that has an environment of its own."""
        for part in self.parts:
            runner: Any = part.runner
            found: str | None = getattr(runner, "program", lambda _: None)(candidate)
            if found is not None:
                return found
        return None

    async def run(self, candidate: Candidate, request: SuiteRequest, on_case: OnCase | None = None) -> SuiteReport:
        """See SuiteRunner."""
        asked = self._asked(request)
        reports: list[SuiteReport] = []
        missing: list[AgentLspError] = []
        deadline_s = time.monotonic() + request.timeout_s
        for number, (part, own, surely) in enumerate(asked):
            left_s = max(1.0, deadline_s - time.monotonic()) if number else request.timeout_s
            try:
                reports.append(await _run(part, candidate, replace(own, timeout_s=left_s), _shifted(on_case, reports)))
            except RunnerUnavailableError as error:
                if surely:
                    raise
                missing.append(error)
        if not reports:
            raise missing[0] if missing else _nobody(request)
        report = reports[0] if len(reports) == 1 else merged(reports)
        report = replace(report, not_found=_unanswered(request, report))
        if self._learn is not None:
            everything = len(reports) == len(self.parts)
            places = tuple(part.project.folder for part, _, _ in asked)
            learned = request if everything or request.tests else replace(request, tests=places)
            await self._learn(learned, report)
        return report

    async def screen(self, candidate: Candidate, asked: Screening) -> AsyncGenerator[Screened, None]:
        """See ScreeningRunner; for tests that one project has, with those of the others that it has too."""
        projects = [part.project for part in self.parts]
        homes = [set(owners(projects, test.partition("::")[0])) for test in asked.tests]
        common = set.intersection(*homes) if homes else set()
        runner: object = self.parts[min(common)].runner if common else None
        if not isinstance(runner, ScreeningRunner):
            raise RunnerUnavailableError(f"{self.name} cannot look at many edits at once")
        mine = [test for test in asked.others if min(common) in owners(projects, test.partition("::")[0])]
        async with aclosing(runner.screen(candidate, replace(asked, others=tuple(mine)))) as rows:
            async for row in rows:
                yield row

    def _asked(self, request: SuiteRequest) -> list[tuple[Part, SuiteRequest, bool]]:
        """The parts to run, with what each is asked, and whether it must be able to run."""
        projects = [part.project for part in self.parts]
        if not request.tests:
            chosen = affected(projects, request.changed)
            return [(self.parts[at], request, surely) for at, surely in sorted(chosen.items())]
        tests: dict[int, list[str]] = {}
        for test in request.tests:
            for at in owners(projects, test.partition("::")[0]):
                tests.setdefault(at, []).append(test)
        return [(self.parts[at], replace(request, tests=tuple(own)), True) for at, own in sorted(tests.items())]


def merged(reports: Sequence[SuiteReport]) -> SuiteReport:
    """The runs of several projects as one."""
    runner = " and ".join(report.runner for report in reports)
    return one_report(reports, runner, sum(report.duration_s for report in reports))


async def _run(part: Part, candidate: Candidate, request: SuiteRequest, on_case: OnCase | None) -> SuiteReport:
    if part.runner is None:
        assert part.trouble is not None
        raise RunnerUnavailableError(part.trouble.message, hint=part.trouble.hint) from part.trouble
    return await part.runner.run(candidate, request, on_case)


def _shifted(on_case: OnCase | None, earlier: Sequence[SuiteReport]) -> OnCase | None:
    """Counts what earlier runs collected too."""
    if on_case is None:
        return None
    before = sum(report.collected for report in earlier)
    return lambda case_id, collected: on_case(case_id, collected + before)


def _unanswered(request: SuiteRequest, report: SuiteReport) -> tuple[str, ...]:
    known = [*report.cases, *report.collection_errors]
    return tuple(test for test in request.tests if not any(within(name, test) or within(test, name) for name in known))


def _nobody(request: SuiteRequest) -> RunnerUnavailableError:
    what = ", ".join(request.tests or request.changed)
    return RunnerUnavailableError(f"no project of the workspace tests {what}", hint="Set tests.command.")
