"""Owns running the tests on mutants of a change: each in a fresh copy of it, within bounds of time."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.mutation import Mutant, mutants
from agent_lsp.domain.mutation_trial import Notice, Tried, notice_of
from agent_lsp.domain.ports import CandidatePool, RunnerFinder, SuiteRequest, SuiteRunner
from agent_lsp.domain.verdict import Decision, Evidence, SuiteReport

_SLOWER: Final = 3.0
"""So many times longer than usual is no slow machine any more."""

_AT_LEAST_SLOWER: Final = 2.0
_MOST_TESTS: Final = 400
_TRIES: Final = 3
"""Mutants that are tried for each that is wanted: some tell nothing."""


@dataclass(frozen=True, slots=True)
class MutantOptions:
    """`most` mutants are tried on a proven change, none with 0; all of them together take at most `budget_s`.

    A suite that takes no longer than `at_once_s` is run whole on a mutant. Of a longer one the tests that ran the line
    go first, and one that takes longer than `whole_s` is not run whole, so that nothing of it is said to have gone
    unnoticed. No run is stopped before `least_s`; one of a part of the tests may take no longer than `longest_s`.
    """

    most: int = 3
    budget_s: float = 60.0
    at_once_s: float = 2.5
    whole_s: float = 20.0
    least_s: float = 5.0
    longest_s: float = 10.0


class MutantRuns:
    """Puts small faults into the changed lines of a change that is proven, and sees whether the tests notice.

    What these runs show is learned and kept nowhere: `finder` finds runners that remember nothing.
    """

    def __init__(self, pool: CandidatePool, finder: RunnerFinder, options: Callable[[], MutantOptions]) -> None:
        self._pool, self._finder, self._options = pool, finder, options

    def concerns(self, evidence: Evidence) -> bool:
        """Whether there is something to try: the whole suite has proven the change."""
        verdict, after = evidence.verdict, evidence.after
        proven = verdict.decision is Decision.PROVEN and verdict.selection == "full"
        seen = after is not None and bool(after.cases)  # not so for a proposal that was kept over a restart
        return proven and seen and verdict.survivors is None and self._options().most > 0

    async def examine(self, edits: Sequence[FileEdit], evidence: Evidence) -> tuple[Tried, ...]:
        """The mutants with what became of them. Raises RunnerUnavailableError, CandidateError."""
        assert evidence.after is not None
        options = self._options()
        trial = _Trial(self._pool, self._finder, options, tuple(edits), evidence, evidence.after)
        source = await asyncio.to_thread(mutants, edits, evidence.after)
        deadline_s = time.monotonic() + options.budget_s
        tried: list[Tried] = []
        for _ in range(options.most * _TRIES):
            mutant = await asyncio.to_thread(next, source, None)
            left_s = deadline_s - time.monotonic()
            if mutant is None or left_s <= 0:
                break
            tried.append(Tried(mutant, await trial.notice(mutant, left_s)))
            if trial.hopeless or sum(row.notice is not Notice.UNCLEAR for row in tried) >= options.most:
                break
        return tuple(tried)


@dataclass(slots=True)
class _Trial:
    """One change and what is known of its tests. `usual` is what some of them did on it by themselves.

    `hopeless`: those that ran a line take too long.
    """

    pool: CandidatePool
    finder: RunnerFinder
    options: MutantOptions
    edits: tuple[FileEdit, ...]
    evidence: Evidence
    after: SuiteReport
    runner: SuiteRunner | None = None
    usual: dict[tuple[CaseId, ...], SuiteReport] = field(default_factory=dict)
    hopeless: bool = False

    async def notice(self, mutant: Mutant, left_s: float) -> Notice:
        """What the tests make of a mutant, in the time that is left."""
        begun_s = time.monotonic()
        if self.whole_s <= self.options.at_once_s:
            return await self._by_all(mutant, left_s)
        notice = await self._by_those_that_ran_it(mutant, left_s)
        left_s -= time.monotonic() - begun_s
        if notice is not Notice.UNNOTICED:
            return notice
        return await self._by_all(mutant, left_s) if self.whole_s <= self.options.whole_s else Notice.UNCLEAR

    @property
    def whole_s(self) -> float:
        """How long the whole suite takes, one test after the other."""
        return max(self.after.duration_s, sum(case.duration_s for case in self.after.cases.values()))

    async def _by_all(self, mutant: Mutant, left_s: float) -> Notice:
        """By the whole suite: what ran a line, and what looks at it in another way (another process, a table that was
        computed once), so only this can tell that nothing notices."""
        limit_s = max(self.options.least_s, _SLOWER * self.whole_s)
        if left_s < limit_s:
            return Notice.UNCLEAR
        request = SuiteRequest(timeout_s=limit_s, fail_fast=not self.after.failing())
        run = await self._run(request, mutant)
        return notice_of(mutant, run, self._steady(self.after.cases), self.after)

    async def _by_those_that_ran_it(self, mutant: Mutant, left_s: float) -> Notice:
        """By the tests that ran the line, the quickest of them if they are many. UNNOTICED is no last word."""
        chosen = self._quickest(self.after.executed.get(mutant.path, {}).get(mutant.line + 1, ()))
        usual = await self._usual(chosen, left_s) if chosen else None
        if usual is None:
            return Notice.UNCLEAR
        passing = [case_id for case_id in chosen if case_id in usual.cases and usual.cases[case_id].outcome.good]
        limit_s = min(max(self.options.least_s, _SLOWER * usual.duration_s), self.options.longest_s)
        if not passing or limit_s < _AT_LEAST_SLOWER * usual.duration_s or left_s < limit_s:
            return Notice.UNCLEAR
        fail_fast = len(passing) == len(chosen)
        run = await self._run(SuiteRequest(chosen, timeout_s=limit_s, fail_fast=fail_fast), mutant)
        return notice_of(mutant, run, passing, usual)

    async def _usual(self, chosen: tuple[CaseId, ...], left_s: float) -> SuiteReport | None:
        """Exactly these tests on the change itself: some do otherwise without the others. None if that takes long."""
        known = self.usual.get(chosen)
        if known is None:
            run = await self._run(SuiteRequest(chosen, timeout_s=min(self.options.longest_s, left_s)), None)
            if not run.finished or run.tampered:
                self.hopeless = True
                return None
            known = self.usual[chosen] = run
        return known

    def _steady(self, case_ids: Iterable[CaseId]) -> list[CaseId]:
        flaky, cases = set(self.evidence.verdict.flaky), self.after.cases
        return [name for name in case_ids if name in cases and cases[name].outcome.good and name not in flaky]

    def _quickest(self, case_ids: Iterable[CaseId]) -> tuple[CaseId, ...]:
        """As many as fit into half of the longest run; the tests that the change fixed go first."""
        fixed, cases = set(self.evidence.verdict.fixed), self.after.cases
        steady = self._steady(case_ids)
        steady.sort(key=lambda case_id: (case_id not in fixed, cases[case_id].duration_s, case_id))
        chosen, sum_s = [], 0.0
        for case_id in steady[:_MOST_TESTS]:
            sum_s += cases[case_id].duration_s
            if sum_s > self.options.longest_s / 2:
                break
            chosen.append(case_id)
        return tuple(sorted(chosen))

    async def _run(self, request: SuiteRequest, mutant: Mutant | None) -> SuiteReport:
        """One run on the change as it was tested, with the mutant in the place of its file."""
        changed = tuple(sorted({path for edit in self.edits for path in (edit.path, edit.base_path)}))
        watch = (mutant.path,) if mutant is not None else ()
        request = replace(request, watch=watch, changed=changed)
        candidate = await self.pool.open(self.evidence.verdict.candidate)
        try:
            if mutant is not None:
                mode = next(
                    edit.after.mode for edit in self.edits if edit.path == mutant.path and edit.after is not None
                )
                await candidate.write(mutant.path, Entry(mutant.content, mode))
            if self.runner is None:
                self.runner = await self.finder.find(candidate)
            return await self.runner.run(candidate, request)
        finally:
            await candidate.close()
