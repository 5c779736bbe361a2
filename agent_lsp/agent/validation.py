"""Owns the gate: runs the workspace's tests with and without a change, and lets the domain judge what they showed."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from agent_lsp.agent.goal_tests import find_goals
from agent_lsp.agent.second_looks import Looking, SecondLooks
from agent_lsp.agent.suite_runs import ISOLATING, GateOptions, Job, Manner, OnProgress, SuiteRuns
from agent_lsp.agent.validation_pace import beside, hasty, hurried, paced, put_right, with_more_time
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.comparison import Trial, added_ids, compare, disputed, status, suspects
from agent_lsp.domain.coverage import is_source, python_sources
from agent_lsp.domain.errors import ConfigError, RunnerUnavailableError
from agent_lsp.domain.flakiness import History
from agent_lsp.domain.goal_names import selection_of
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.integrity import inspect_tests
from agent_lsp.domain.judging import judge, name_tests
from agent_lsp.domain.ports import Candidate, CandidatePool, RunnerFinder, SuiteRequest, Trees
from agent_lsp.domain.sharding import strayed
from agent_lsp.domain.shipped import mark_shipped
from agent_lsp.domain.staging import told_also
from agent_lsp.domain.verdict import Decision, Evidence, SuiteReport, Verdict

__all__ = ["Gate", "GateOptions", "OnProgress"]


class Gate:
    """Tests before and after, never after alone; each run in a fresh candidate of exactly the tree it is about."""

    def __init__(self, trees: Trees, pool: CandidatePool, finder: RunnerFinder, options: GateOptions) -> None:
        self._trees, self._pool, self._options = trees, pool, options
        self._runs = SuiteRuns(pool, finder, options)
        self._looks = SecondLooks(self._runs)

    async def validate(
        self,
        base_tree: str,
        edits: tuple[FileEdit, ...],
        *,
        goal_tests: tuple[CaseId, ...] = (),
        scope: tuple[str, ...] = (),
        manner: Manner = Manner(),  # noqa: B008 - it is frozen
        on_progress: OnProgress | None = None,
    ) -> Evidence:
        """The change's verdict with the runs that it rests on. A failing test is a result, and so is having no runner.

        Raises CandidateError if a candidate cannot be made. Cancelling closes every candidate.
        """
        started_s = time.monotonic()
        tree = await self._trees.write(base_tree, edits)
        edits = mark_shipped(edits, await self._trees.paths(base_tree))
        goal_tests = await find_goals(self._trees, base_tree, goal_tests, scope, [edit.path for edit in edits])
        tests = tuple(dict.fromkeys([*scope, *map(selection_of, goal_tests)])) if scope else ()
        watch = tuple(edit.path for edit in python_sources(edits))
        job = Job(base_tree, tree, edits, goal_tests, tests, watch, on_progress or _silent, manner)
        selection = "impacted" if scope else "full"
        try:
            history = await self._history()
            trial = await self._try(job, history)
        except (RunnerUnavailableError, ConfigError) as error:
            reasons = tuple(part for part in (error.message, error.hint) if part)
            verdict = Verdict(Decision.UNDECIDED, reasons, selection=selection, candidate=tree)
            return Evidence(verdict, witness=await self._witness(job, []))
        trial = replace(trial, selection=selection, duration_s=time.monotonic() - started_s)
        witness = await self._witness(job, [trial.before, trial.after])
        verdict = judge(trial)
        told = await self._history_told(trial, verdict, history)
        return told_also(Evidence(verdict, trial.before, trial.after, witness), (*told, *self._surroundings()))

    def _surroundings(self) -> tuple[str, ...]:
        note = self._options.note_of_copies
        return (note,) if note and self._pool.kind not in ISOLATING else ()

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
        runner = await self._runs.runner(candidate.tree, candidate)
        limit_s = min(timeout_s or self._options.timeout_s, self._options.timeout_s)
        return await runner.run(candidate, SuiteRequest(tuple(tests), tuple(watch), limit_s, fail_fast))

    async def _try(self, job: Job, history: History) -> Trial:
        """All runs that the verdict needs."""
        known = await self._runs.known(job)
        if known is None:
            self._looks.forget(job.base_tree)
            before, after = await self._both(job)
            return await self._looked(job, before, after, Looking(history))
        after, ahead, split = await self._beside_known(job, known)
        trial = await self._looked(job, known, after, Looking(history, ahead, settle=not split))
        if job.manner.parts is not None:
            await self._learn_of_parts(job, job.manner.parts, trial, tuple(job.manner.parts.cases))
        doubtful = _may_be_split(job, trial) if split else ()
        if not doubtful:
            return trial
        whole = await self._changed(job, paced(job.tests, job.watch, known, self._options.timeout_s))
        settled = await self._looked(job, known, whole, Looking(history, ahead))
        await self._learn_of_parts(job, trial.after, settled, doubtful)
        return settled

    async def _looked(self, job: Job, before: SuiteReport, after: SuiteReport, looking: Looking) -> Trial:
        """Both runs with all that they make necessary."""
        modules, before = await self._modules(job), await self._waited_for(job, before, after)
        integrity = inspect_tests(job.edits, self._options.scripts)
        trial = Trial(job.edits, before, after, integrity=integrity, goal_tests=job.goal_tests, candidate=job.tree)
        trial = replace(trial, modules=modules)
        if before.finished and not after.finished and not after.tampered and looking.settle:
            trial = await self._crash_again(job, trial)
        if not trial.after.finished:
            told = not before.finished or trial.after.vanished
            return await self._again(job, trial, looking) if told else trial
        trial = await self._with_old_tests(job, trial)
        return await self._again(job, trial, looking)

    async def _waited_for(self, job: Job, before: SuiteReport, after: SuiteReport) -> SuiteReport:
        """The run of the base, with more time for the tests that it stopped too early for this change."""
        early = hasty(before, after, self._options.timeout_s)
        if not early:
            return before
        request = with_more_time(early, before, after, self._options.timeout_s)
        again = await self._runs.run(job, job.base_tree, request, "without the change, with more time")
        return put_right(before, early, again)

    async def _both(self, job: Job) -> tuple[SuiteReport, SuiteReport]:
        """The whole selection without and with the change."""
        if self._runs.at_once:
            changed = self._changed(job, SuiteRequest(job.tests, job.watch))
            return await beside(partial(self._runs.baseline, job), changed, self._options.timeout_s)
        before = await self._runs.baseline(job)
        return before, await self._changed(job, paced(job.tests, job.watch, before, self._options.timeout_s))

    async def _beside_known(self, job: Job, known: SuiteReport) -> tuple[SuiteReport, SuiteReport | None, bool]:
        """The run with the change, what was looked at beside it already, and whether it was run in parts."""
        request = paced(job.tests, job.watch, known, self._options.timeout_s)
        request = replace(request, first=job.first, enough_s=job.enough_s)
        shards = await self._runs.parts(job, known)

        async def changed() -> SuiteReport:
            return await (self._runs.in_parts(job, known, request, shards) if shards else self._changed(job, request))

        foreseen = self._looks.foreseen(known)
        if not foreseen:
            return await changed(), None, bool(shards)
        after, ahead = await self._runs.each(changed, self._looks.ahead(job, known, foreseen))
        return after, ahead, bool(shards)

    async def _changed(self, job: Job, request: SuiteRequest) -> SuiteReport:
        request = replace(request, first=job.first, enough_s=job.enough_s, keep=True)
        return await self._runs.run(job, job.tree, request, "with the change")

    async def _learn_of_parts(self, job: Job, parts: SuiteReport, settled: Trial, doubtful: Sequence[CaseId]) -> None:
        """Whether it was the parts that made a difference."""
        flaky = set(compare(settled).flaky) if settled.after.finished else set()
        other = [name for name in doubtful if status(parts, name) is not status(settled.after, name)]
        other = [name for name in other if name not in flaky]
        if other or parts.finished is not settled.after.finished:
            why = f"{name_tests(other)} did otherwise in parts" if other else parts.trouble or settled.after.trouble
            await self._runs.keep_in_one_piece(job, why)

    async def _history_told(self, trial: Trial, verdict: Verdict, history: History) -> list[str]:
        """What is known of the tests that count in this verdict; and what it adds to that is kept."""
        counted = (*verdict.fixed, *verdict.broken)
        if self._options.history is not None and trial.before.finished and trial.after.finished:
            calm = (trial.after.passing() & trial.before.passing()) - set(verdict.flaky)
            await self._options.history.saw(verdict.flaky, calm | set(counted))
        told = [f"{history[name].sentence(name)}." for name in verdict.flaky if name in history]
        same = "this time it did the same in every look"
        return told + [f"{history[name].sentence(name)}; {same}." for name in counted if name in history]

    async def _history(self) -> History:
        return {} if self._options.history is None else await self._options.history.flaky()

    async def _crash_again(self, job: Job, trial: Trial) -> Trial:
        """A crash or time-out that only the change shows is looked at a second time."""
        request = paced(job.tests, job.watch, trial.before, self._options.timeout_s)
        second = await self._runs.run(job, job.tree, replace(request, first=job.first), "with the change, once more")
        if second.finished or len(second.cases) > len(trial.after.cases):
            return replace(trial, after=second, again_after=None if second.finished else trial.after)
        return replace(trial, again_after=second)

    async def _with_old_tests(self, job: Job, trial: Trial) -> Trial:
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
            request = replace(request, enough_s=job.enough_s if chosen == job.tests else None)
            return await self._runs.run(job, alone, request, "with the tests as they were")

        async def new_tests() -> SuiteReport | None:
            if not added:
                return None
            request = hurried(SuiteRequest(added), trial.after, self._options.timeout_s)
            return await self._runs.run(job, without, request, "new tests without the change")

        source_only, without_source = await self._runs.each(old_tests, new_tests)
        return replace(trial, source_only=source_only, without_source=without_source)

    def _old_selection(self, job: Job, trial: Trial, other: Sequence[FileEdit]) -> tuple[str, ...]:
        """Test modules stand for themselves; whatever others may import or read needs the whole selection again."""
        for edit in other:
            if not PurePosixPath(edit.base_path).match("test_*.py") and not edit.base_path.endswith("_test.py"):
                return job.tests
        files = [edit.base_path for edit in other if edit.before is not None]
        return tuple(dict.fromkeys([*files, *compare(trial).fixed])) or job.tests

    async def _again(self, job: Job, trial: Trial, looking: Looking) -> Trial:
        """Second looks, and one more at what the old tests make of the source alone."""
        trial = await self._looks.again(job, trial, looking)
        fixed = tuple(case_id for case_id in compare(trial).fixed if case_id not in trial.by_order)
        if trial.source_only is None or trial.source_only is trial.before or not fixed or trial.again_after is None:
            return trial
        alone = await self._trees.write(job.base_tree, [edit for edit in job.edits if is_source(edit)])
        request = paced(fixed, (), trial.before, self._options.timeout_s)
        second = await self._runs.run(job, alone, request, "with the tests as they were, once more")
        return replace(trial, again_source_only=second)

    async def _modules(self, job: Job) -> frozenset[str]:
        """Every name under which something of the workspace could be imported."""
        paths = [*await self._trees.paths(job.base_tree), *(edit.path for edit in job.edits)]
        pure = [PurePosixPath(path) for path in paths if path.endswith((".py", ".pyx", ".c", ".pyi"))]
        return frozenset(part for path in pure for part in (*path.parts[:-1], path.stem))

    async def _witness(self, job: Job, reports: Sequence[SuiteReport]) -> dict[str, str]:
        paths = set(job.paths)
        for report in reports:
            paths |= report.touched
        return dict(await self._trees.hashes(job.base_tree, sorted(paths)))


def _may_be_split(job: Job, trial: Trial) -> tuple[CaseId, ...]:
    """Tests that may do as they do only since the run was split; a run that came to no end names what it lacks."""
    if trial.after.tampered:
        return ()
    if not trial.after.finished:
        return tuple(name for name in trial.before.cases if name not in trial.after.cases) or tuple(trial.after.cases)
    strange = strayed(trial.before, trial.after, job.paths)
    return strange or disputed(trial, suspects(trial))


def _silent(text: str, share: float | None) -> None:
    """Nobody watches."""
