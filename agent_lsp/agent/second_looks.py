"""Owns looking again: what seems fixed or broken is run once more on both sides, what was flaky before more often."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from agent_lsp.agent.suite_runs import Job, SuiteRuns
from agent_lsp.agent.validation_pace import hasty, once_more, paced
from agent_lsp.domain.comparison import Trial, disputed, settle_order, status, suspects
from agent_lsp.domain.flakiness import History
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import SuiteReport

_LONG_S: Final = 120.0
"""Of a selection that takes longer only some files are run again, to tell flaky tests from order-dependent ones."""

_MORE_LOOKS: Final = 2
"""A test that was seen flaky before is looked at so many more times before it is believed."""

_FORESEEN: Final = 60
_FORESEEN_SHARE: Final = 0.2
"""Failing tests are looked at beside the first run while they are no more, and take no greater share of its time."""

_KEPT: Final = 8

Look = Callable[[], Awaitable[SuiteReport]]


@dataclass(frozen=True, slots=True)
class Looking:
    """How second looks are had.

    `history` is that of the tests, `ahead` a look with the change that was had already. Without `settle` no test is
    looked at in its place.
    """

    history: History
    ahead: SuiteReport | None = None
    settle: bool = True


class SecondLooks:
    """Second looks of one gate, and what they showed of unchanged trees."""

    def __init__(self, runs: SuiteRuns) -> None:
        self._runs = runs
        self._seen: dict[str, SuiteReport] = {}

    def forget(self, tree: str) -> None:
        """What was seen of a tree holds as long as its first run does, and that had to be made anew."""
        self._seen.pop(tree, None)

    def foreseen(self, known: SuiteReport) -> tuple[CaseId, ...]:
        """The tests that a right change will fix: those that fail in the known run, where they are few and quick."""
        failing = tuple(sorted(known.failing()))
        spent_s = sum(known.cases[name].duration_s for name in failing)
        cheap = len(failing) <= _FORESEEN and spent_s <= _FORESEEN_SHARE * known.duration_s
        return failing if cheap and self._runs.at_once else ()

    def ahead(self, job: Job, known: SuiteReport, tests: tuple[CaseId, ...]) -> Look:
        """A look at them with the change, to be had beside the first run."""

        async def look() -> SuiteReport:
            request = paced(tests, (), known, inf)
            return await self._runs.run(job, job.tree, request, "with the change, once more", heard=_unheard)

        return look

    async def again(self, job: Job, trial: Trial, looking: Looking) -> Trial:
        """Whatever seems better or worse is run once more on both sides, so that flaky tests decide nothing."""
        doubtful = suspects(trial)
        if not doubtful:
            return trial
        back = {new: old for old, new in trial.integrity.renamed.items()}
        asked = tuple(dict.fromkeys([*doubtful, *(back[case_id] for case_id in doubtful if case_id in back)]))
        again_before, again_after = await self._both(job, trial, asked, ahead=looking.ahead)
        self._keep(job.base_tree, trial.before, again_before)
        trial = replace(trial, again_before=again_before, again_after=again_after)
        trial = await self._more(job, trial, asked, looking.history)
        return await self._in_order(job, trial, asked) if looking.settle else trial

    async def _both(
        self,
        job: Job,
        trial: Trial,
        tests: tuple[CaseId, ...],
        *,
        ahead: SuiteReport | None = None,
        fresh: bool = False,
    ) -> tuple[SuiteReport, SuiteReport]:
        enough_s = job.enough_s if tests == job.tests else None
        asked = once_more(tests, trial.before, trial.after, self._runs.timeout_s)
        base, changed = (replace(request, enough_s=enough_s) for request in asked)

        async def before() -> SuiteReport:
            kept = None if fresh else _of(self._seen.get(job.base_tree), tests)
            if kept is not None and not hasty(kept, trial.after, self._runs.timeout_s):
                return kept
            return await self._runs.run(job, job.base_tree, base, "without the change, once more")

        async def after() -> SuiteReport:
            if (kept := _of(ahead, tests)) is not None:
                return kept
            return await self._runs.run(job, job.tree, changed, "with the change, once more")

        # The other way round than at first: a test that fails every second time must not look like a fix.
        again_after, again_before = await self._runs.each(after, before)
        return again_before, again_after

    def _keep(self, tree: str, first: SuiteReport, again: SuiteReport) -> None:
        """Of an unchanged tree, looks that agreed with the first run hold for later verdicts too."""
        steady = {name: case for name, case in again.cases.items() if status(first, name) is status(again, name)}
        if not again.finished or not steady:
            return
        old = self._seen.pop(tree, None)
        self._seen[tree] = replace(again, cases={**old.cases, **steady} if old is not None else steady)
        while len(self._seen) > _KEPT:
            del self._seen[next(iter(self._seen))]

    async def _more(self, job: Job, trial: Trial, asked: tuple[CaseId, ...], history: History) -> Trial:
        """What was seen flaky in earlier verdicts is believed only after further looks that agree with the first."""
        for _ in range(_MORE_LOOKS):
            flaky = disputed(trial, asked)
            known = tuple(name for name in asked if name in history and name not in flaky)
            if not known or trial.again_before is None or trial.again_after is None:
                break
            before, after = await self._both(job, trial, known, fresh=True)
            trial = replace(
                trial,
                again_before=_with_other(trial.again_before, trial.before, before),
                again_after=_with_other(trial.again_after, trial.after, after),
            )
        return trial

    async def _in_order(self, job: Job, trial: Trial, asked: tuple[CaseId, ...]) -> Trial:
        """Tests that do otherwise by themselves get another look in their place, of a long selection in their files."""
        doubtful = disputed(trial, asked)
        if not doubtful or not trial.before.finished:
            return trial
        files = tuple(dict.fromkeys(name.partition("::")[0] for name in doubtful))
        place = job.tests if trial.before.duration_s <= _LONG_S else files
        whole = await self._both(job, trial, place, fresh=True)
        alone = await self._both(job, trial, asked, fresh=True)
        return settle_order(trial, whole, alone, doubtful)


def _of(report: SuiteReport | None, tests: tuple[CaseId, ...]) -> SuiteReport | None:
    """A run of these tests as a part of one that had them all."""
    if report is None or not tests or not report.finished or not report.cases.keys() >= set(tests):
        return None
    return replace(report, cases={name: report.cases[name] for name in tests}, collected=len(tests))


def _with_other(again: SuiteReport, first: SuiteReport, further: SuiteReport) -> SuiteReport:
    """A second look, with what a further one showed otherwise than the first run."""
    other = {name: case for name, case in further.cases.items() if status(first, name) is not status(further, name)}
    return replace(again, cases={**again.cases, **other})


def _unheard(_case_id: CaseId, _collected: int) -> None:
    """The progress of what runs beside the first run is not told."""
