"""Owns the gate: runs the workspace's tests with and without a change, and lets the domain judge what they showed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final, TypeVar

from agent_lsp.agent.goal_tests import find_goals
from agent_lsp.agent.validation_pace import beside, paced
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.comparison import Trial, added_ids, compare, disputed, settle_order, suspects
from agent_lsp.domain.coverage import is_source, python_sources
from agent_lsp.domain.errors import ConfigError, RunnerUnavailableError
from agent_lsp.domain.goal_names import selection_of
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.integrity import inspect_tests
from agent_lsp.domain.judging import judge
from agent_lsp.domain.ports import Candidate, CandidatePool, RunnerFinder, SandboxKind, SuiteRequest, SuiteRunner, Trees
from agent_lsp.domain.staging import told_also
from agent_lsp.domain.verdict import Decision, Evidence, SuiteReport, Verdict

A = TypeVar("A")
B = TypeVar("B")
K = TypeVar("K")
V = TypeVar("V")

OnProgress = Callable[[str, float | None], None]

_ISOLATING: Final = (SandboxKind.OVERLAY, SandboxKind.BUBBLEWRAP)
_KEPT: Final = 8
"""Baselines, and runners, that are remembered."""

_LONG_S: Final = 120.0
"""A selection that takes longer is not run again to tell flaky tests from those that depend on the order."""


@dataclass(frozen=True, slots=True)
class GateOptions:
    """`timeout_s` bounds each run of the tests. `parallel` runs both sides at once where candidates are isolated.

    `note_of_copies` is what each verdict says of tests that ran in a plain copy.
    """

    timeout_s: float = 600.0
    parallel: bool = True
    note_of_copies: str = ""


@dataclass(frozen=True, slots=True)
class _Job:
    """One validation: the trees to test and what to run in them."""

    base_tree: str
    tree: str
    edits: tuple[FileEdit, ...]
    goal_tests: tuple[CaseId, ...]
    tests: tuple[str, ...]
    watch: tuple[str, ...]
    tell: OnProgress

    @property
    def paths(self) -> tuple[str, ...]:
        """What the change touches, on either side."""
        return tuple(sorted({path for edit in self.edits for path in (edit.path, edit.base_path)}))

    @property
    def first(self) -> tuple[str, ...]:
        """Files whose tests are to be run before all others: those of the goal tests."""
        return tuple(dict.fromkeys(goal.partition("::")[0] for goal in self.goal_tests))


class Gate:
    """Tests before and after, never after alone; each run in a fresh candidate of exactly the tree it is about."""

    def __init__(self, trees: Trees, pool: CandidatePool, finder: RunnerFinder, options: GateOptions) -> None:
        self._trees, self._pool, self._finder, self._options = trees, pool, finder, options
        self._runners: dict[str, SuiteRunner] = {}
        self._baselines: dict[tuple[str, tuple[str, ...], str], SuiteReport] = {}
        self._finding = asyncio.Lock()

    async def validate(
        self,
        base_tree: str,
        edits: tuple[FileEdit, ...],
        *,
        goal_tests: tuple[CaseId, ...] = (),
        scope: tuple[str, ...] = (),
        on_progress: OnProgress | None = None,
    ) -> Evidence:
        """The change's verdict with the runs that it rests on. A failing test is a result, and so is having no runner.

        Raises CandidateError if a candidate cannot be made. Cancelling closes every candidate.
        """
        started_s = time.monotonic()
        tree = await self._trees.write(base_tree, edits)
        goal_tests = await find_goals(self._trees, base_tree, goal_tests, scope, [edit.path for edit in edits])
        tests = tuple(dict.fromkeys([*scope, *map(selection_of, goal_tests)])) if scope else ()
        watch = tuple(edit.path for edit in python_sources(edits))
        job = _Job(base_tree, tree, edits, goal_tests, tests, watch, on_progress or _silent)
        selection = "impacted" if scope else "full"
        try:
            trial = await self._try(job)
        except (RunnerUnavailableError, ConfigError) as error:
            reasons = tuple(part for part in (error.message, error.hint) if part)
            verdict = Verdict(Decision.UNDECIDED, reasons, selection=selection, candidate=tree)
            return Evidence(verdict, witness=await self._witness(job, []))
        trial = replace(trial, selection=selection, duration_s=time.monotonic() - started_s)
        witness = await self._witness(job, [trial.before, trial.after])
        return told_also(Evidence(judge(trial), trial.before, trial.after, witness), self._surroundings())

    def _surroundings(self) -> tuple[str, ...]:
        note = self._options.note_of_copies
        return (note,) if note and self._pool.kind not in _ISOLATING else ()

    async def run_once(
        self,
        candidate: Candidate,
        tests: Sequence[str] = (),
        watch: Sequence[str] = (),
        *,
        timeout_s: float | None = None,
        fail_fast: bool = False,
    ) -> SuiteReport:
        """One run in a candidate as it now is, compared with nothing. Raises RunnerUnavailableError."""
        runner = await self._runner(candidate.tree, candidate)
        limit_s = min(timeout_s or self._options.timeout_s, self._options.timeout_s)
        return await runner.run(candidate, SuiteRequest(tuple(tests), tuple(watch), limit_s, fail_fast))

    async def _try(self, job: _Job) -> Trial:
        """All runs that the verdict needs."""
        before, after = await self._both(job)
        modules = await self._modules(job)
        integrity = inspect_tests(job.edits)
        trial = Trial(job.edits, before, after, integrity=integrity, goal_tests=job.goal_tests, candidate=job.tree)
        trial = replace(trial, modules=modules)
        if before.finished and not after.finished and not after.tampered:
            trial = await self._crash_again(job, trial)
        if not trial.after.finished:
            return trial if before.finished else await self._again(job, trial)
        trial = await self._with_old_tests(job, trial)
        return await self._again(job, trial)

    async def _both(self, job: _Job) -> tuple[SuiteReport, SuiteReport]:
        """The whole selection without and with the change."""
        if self._at_once:
            return await beside(self._baseline(job), self._changed(job, SuiteRequest(job.tests, job.watch)))
        before = await self._baseline(job)
        return before, await self._changed(job, paced(job.tests, job.watch, before, self._options.timeout_s))

    async def _baseline(self, job: _Job) -> SuiteReport:
        """The run without the change: of this tree, these tests and this runner once."""
        runner = self._runners.get(job.base_tree)
        known = self._baselines.get((job.base_tree, job.tests, runner.name)) if runner else None
        if known is not None:
            return known
        report = await self._run(
            job, job.base_tree, SuiteRequest(job.tests, recall=True, first=job.first), "without the change"
        )
        runner = self._runners[job.base_tree]
        if report.finished and not getattr(runner, "remembers", False):
            _remember(self._baselines, (job.base_tree, job.tests, runner.name), report)
        return report

    async def _changed(self, job: _Job, request: SuiteRequest) -> SuiteReport:
        return await self._run(job, job.tree, replace(request, first=job.first), "with the change")

    async def _crash_again(self, job: _Job, trial: Trial) -> Trial:
        """A crash or time-out that only the change shows is looked at a second time."""
        request = paced(job.tests, job.watch, trial.before, self._options.timeout_s)
        second = await self._run(job, job.tree, replace(request, first=job.first), "with the change, once more")
        if second.finished or len(second.cases) > len(trial.after.cases):
            return replace(trial, after=second, again_after=None if second.finished else trial.after)
        return replace(trial, again_after=second)

    async def _with_old_tests(self, job: _Job, trial: Trial) -> Trial:
        """Where tests and source both changed: the old tests on the new source, the new tests on the old source."""
        source = tuple(edit for edit in job.edits if is_source(edit))
        other = tuple(edit for edit in job.edits if not is_source(edit))
        if not other:
            return trial
        added = added_ids(trial)
        if not source:
            return replace(trial, source_only=trial.before, without_source=trial.after)
        alone = await self._trees.write(job.base_tree, source)
        without = await self._trees.write(job.base_tree, other)
        chosen = self._old_selection(job, trial, other)

        async def old_tests() -> SuiteReport:
            request = paced(chosen, (), trial.before, self._options.timeout_s)
            return await self._run(job, alone, request, "with the tests as they were")

        async def new_tests() -> SuiteReport | None:
            return await self._run(job, without, SuiteRequest(added), "new tests without the change") if added else None

        source_only, without_source = await self._each(old_tests, new_tests)
        return replace(trial, source_only=source_only, without_source=without_source)

    def _old_selection(self, job: _Job, trial: Trial, other: Sequence[FileEdit]) -> tuple[str, ...]:
        """Test modules stand for themselves; whatever others may import or read needs the whole selection again."""
        for edit in other:
            if not PurePosixPath(edit.base_path).match("test_*.py") and not edit.base_path.endswith("_test.py"):
                return job.tests
        files = [edit.base_path for edit in other if edit.before is not None]
        return tuple(dict.fromkeys([*files, *compare(trial).fixed])) or job.tests

    async def _again(self, job: _Job, trial: Trial) -> Trial:
        """Whatever seems better or worse is run once more on both sides, so that flaky tests decide nothing."""
        doubtful = suspects(trial)
        if not doubtful:
            return trial
        back = {new: old for old, new in trial.integrity.renamed.items()}
        asked = tuple(dict.fromkeys([*doubtful, *(back[case_id] for case_id in doubtful if case_id in back)]))

        again_before, again_after = await self._both_again(job, trial, asked)
        trial = replace(trial, again_before=again_before, again_after=again_after)
        trial = await self._in_order(job, trial, asked)
        fixed = tuple(case_id for case_id in compare(trial).fixed if case_id not in trial.by_order)
        if trial.source_only is None or trial.source_only is trial.before or not fixed:
            return trial
        alone = await self._trees.write(job.base_tree, [edit for edit in job.edits if is_source(edit)])
        request = paced(fixed, (), trial.before, self._options.timeout_s)
        second = await self._run(job, alone, request, "with the tests as they were, once more")
        return replace(trial, again_source_only=second)

    async def _both_again(self, job: _Job, trial: Trial, tests: tuple[str, ...]) -> tuple[SuiteReport, SuiteReport]:
        request = paced(tests, (), trial.before, self._options.timeout_s)

        async def before() -> SuiteReport:
            return await self._run(job, job.base_tree, request, "without the change, once more")

        async def after() -> SuiteReport:
            return await self._run(job, job.tree, request, "with the change, once more")

        # The other way round than at first: a test that fails every second time must not look like a fix.
        again_after, again_before = await self._each(after, before)
        return again_before, again_after

    async def _in_order(self, job: _Job, trial: Trial, asked: tuple[CaseId, ...]) -> Trial:
        """Tests that do otherwise by themselves get another look in their place, where that does not take long."""
        doubtful = disputed(trial, asked)
        if not doubtful or not trial.before.finished or trial.before.duration_s > _LONG_S:
            return trial
        whole = await self._both_again(job, trial, job.tests)
        alone = await self._both_again(job, trial, asked)
        return settle_order(trial, whole, alone, doubtful)

    async def _run(self, job: _Job, tree: str, request: SuiteRequest, what: str) -> SuiteReport:
        limit_s = min(request.timeout_s, self._options.timeout_s)
        request = replace(request, timeout_s=limit_s, changed=job.paths)
        job.tell(f"Running tests {what}", None)
        candidate = await self._pool.open(tree)
        ended = 0

        def on_case(_case_id: CaseId, collected: int) -> None:
            nonlocal ended
            ended += 1
            share = min(1.0, ended / collected) if collected else None
            job.tell(f"Running tests {what}: {ended} of {collected}", share)

        try:
            runner = await self._runner(job.base_tree, candidate)
            return await runner.run(candidate, request, on_case)
        finally:
            await candidate.close()

    async def _runner(self, tree: str, candidate: Candidate) -> SuiteRunner:
        """One search for a tree's runner, even when both sides ask at once."""
        async with self._finding:
            runner = self._runners.get(tree)
            if runner is None:
                runner = await self._finder.find(candidate)
                _remember(self._runners, tree, runner)
            return runner

    @property
    def _at_once(self) -> bool:
        return self._options.parallel and self._pool.kind in _ISOLATING

    async def _each(self, first: Callable[[], Awaitable[A]], second: Callable[[], Awaitable[B]]) -> tuple[A, B]:
        """Both results: at the same time where candidates are isolated; the other one is stopped when one raises."""
        if not self._at_once:
            return await first(), await second()
        tasks = (asyncio.ensure_future(first()), asyncio.ensure_future(second()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            done = [task for task in tasks if task.done()]
            for task in done:
                task.result()
            return tasks[0].result(), tasks[1].result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _modules(self, job: _Job) -> frozenset[str]:
        """Every name under which something of the workspace could be imported."""
        paths = [*await self._trees.paths(job.base_tree), *(edit.path for edit in job.edits)]
        pure = [PurePosixPath(path) for path in paths if path.endswith((".py", ".pyx", ".c", ".pyi"))]
        return frozenset(part for path in pure for part in (*path.parts[:-1], path.stem))

    async def _witness(self, job: _Job, reports: Sequence[SuiteReport]) -> dict[str, str]:
        paths = set(job.paths)
        for report in reports:
            paths |= report.touched
        return dict(await self._trees.hashes(job.base_tree, sorted(paths)))


def _remember(kept: dict[K, V], key: K, value: V) -> None:
    kept[key] = value
    while len(kept) > _KEPT:
        del kept[next(iter(kept))]


def _silent(text: str, share: float | None) -> None:
    """Nobody watches."""
