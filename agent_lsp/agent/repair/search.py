"""Owns the search: small edits in order of likelihood, each tried on the tests, until the gate says `proven`."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from agent_lsp.agent.engines import StepTask
from agent_lsp.agent.repair.edits import SmallEdit, distinct, edits_of, in_order
from agent_lsp.agent.repair.gathering import pieces_of
from agent_lsp.agent.repair.hunt import Hunt, Winner
from agent_lsp.agent.repair.localise import Suspicion
from agent_lsp.agent.repair.pieces import Pieces
from agent_lsp.agent.repair.sieve import Look, Sieve
from agent_lsp.agent.repair.source import parse
from agent_lsp.agent.repair.survey import Survey
from agent_lsp.agent.repair.templates.registry import TEMPLATES
from agent_lsp.agent.validator import Validator
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import Clock, SuiteRequest, SuiteRunner
from agent_lsp.domain.suite_ports import ScreeningRunner
from agent_lsp.domain.text import decode
from agent_lsp.domain.verdict import Decision, Evidence, SuiteReport

_TRIES_FOR_BETTER = 10
"""Tries after a first edit that the gate accepts without calling it proven."""

_SLOWDOWN = 3.0
"""How much slower than the last runs one may be before it is taken to hang: other work may slow the machine."""


_TOLD_EVERY_S = 0.5
_JOURNALLED = 300
"""So many edits that a quick look rejects are journalled one by one; of those after them only the number is known."""


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """Limits of one run's search. No try starts after either is reached; the gate has time limits of its own."""

    tries: int = 5000
    wall_clock_s: float = 120.0


class TryResult(StrEnum):
    """How one try ended."""

    STILL_FAILS = "still fails"
    TIMED_OUT = "timed out"
    BREAKS_OTHERS = "breaks other tests"
    REFUSED = "refused by the gate"
    ACCEPTABLE = "passed, not proven"
    PROVEN = "proven"


@dataclass(slots=True)
class Ledger:
    """What one run has tried and spent, over all its tries of the step."""

    tries: int = 0
    spent_s: float = 0.0
    results: dict[TryResult, int] = field(default_factory=dict)
    seen: dict[tuple[CaseId, ...], set[str]] = field(default_factory=dict)
    hunts: dict[tuple[CaseId, ...], Hunt] = field(default_factory=dict)
    exhausted: bool = False
    slow: str = ""

    def count(self, result: TryResult) -> None:
        """Books one try."""
        self.tries += 1
        self.results[result] = self.results.get(result, 0) + 1


@dataclass(slots=True)
class Search:
    """One search in one candidate. The candidate's files are as they were after every try that did not win."""

    task: StepTask
    survey: Survey
    runner: SuiteRunner
    gate: Validator
    clock: Clock
    options: RepairOptions
    ledger: Ledger
    kept: dict[str, tuple[Entry, Entry]] = field(default_factory=dict)
    hanging: set[tuple[str, int]] = field(default_factory=set)
    postponed: list[SmallEdit] = field(default_factory=list)
    limit: int = 0
    pace_s: float = 0.0
    looked_s: float | None = None
    told_s: float = 0.0

    async def mend(self, tests: tuple[CaseId, ...]) -> Winner | None:
        """The first edit that makes all these tests pass and is proven; else the first that the gate accepts."""
        texts = self._texts()
        self.ledger.exhausted = False
        suspicion = await asyncio.to_thread(self.survey.suspicion, tests, texts)
        sieve = self._sieve(tests)
        if sieve is not None:
            winner = await self._by_looks(sieve, texts, suspicion)
            if winner is not None or not sieve.trouble:
                return winner
            self.ledger.slow = sieve.trouble
        return await self._one_by_one(tests, texts, suspicion)

    # --- quick looks ----------------------------------------------------------------------------------------------

    def _sieve(self, tests: tuple[CaseId, ...]) -> Sieve | None:
        """None for tests that could not even be collected, and for a runner that knows no quick looks."""
        runner = self.runner
        if self.ledger.slow or not isinstance(runner, ScreeningRunner):
            return None
        if not all(test in self.survey.report.cases for test in tests):
            return None
        return Sieve(runner, self.task.candidate, self.survey, tests)

    async def _by_looks(self, sieve: Sieve, texts: Mapping[str, str], suspicion: Suspicion) -> Winner | None:
        hunt = self.ledger.hunts.get(sieve.tests)
        if hunt is None or hunt.texts != texts:
            seen: set[str] = set()
            pieces = await asyncio.to_thread(pieces_of, texts, self.survey.around)
            queue, _ = await asyncio.to_thread(self._queue, suspicion, texts, seen, pieces)
            hunt = self.ledger.hunts[sieve.tests] = Hunt(sieve.tests, texts, suspicion, pieces, queue, seen)
        self.limit = self.options.tries
        await asyncio.to_thread(sieve.prepare, suspicion)
        self.looked_s = self.clock.monotonic()
        winner = await hunt.run(sieve, self)
        self.ledger.exhausted = hunt.exhausted and not hunt.passing
        return winner

    def saw(self, look: Look, tests: tuple[CaseId, ...], texts: Mapping[str, str]) -> None:
        """See Tries."""
        now_s = self.clock.monotonic()
        if self.looked_s is not None:
            self.ledger.spent_s += now_s - self.looked_s
        self.looked_s = now_s
        broke = look.passed.issuperset(tests) and bool(look.broken)
        result = TryResult.BREAKS_OTHERS if broke else TryResult.TIMED_OUT if look.late else TryResult.STILL_FAILS
        self.ledger.count(result)
        if now_s - self.told_s >= _TOLD_EVERY_S:
            self.told_s = now_s
            self.task.tell(self._trying(look.edit, texts), self._percentage())
        if broke or self.ledger.tries <= _JOURNALLED:
            self._journal(look.edit, texts, result, look.duration_s)

    async def attempt(
        self, edit: SmallEdit, texts: Mapping[str, str], tests: tuple[CaseId, ...], *, known: bool
    ) -> Winner | None:
        """See Tries."""
        winner = await self._try(edit, texts, tests, known=known)
        self.looked_s = self.clock.monotonic()
        return winner

    async def settle(self, winner: Winner, texts: Mapping[str, str]) -> Winner:
        """See Tries."""
        await self._keep(winner.edit, texts)
        return winner

    # --- one by one -----------------------------------------------------------------------------------------------

    async def _one_by_one(
        self, tests: tuple[CaseId, ...], texts: Mapping[str, str], suspicion: Suspicion
    ) -> Winner | None:
        self.hanging.clear()
        self.postponed.clear()
        seen = self.ledger.seen.setdefault(tests, set())
        pieces = await asyncio.to_thread(pieces_of, texts, self.survey.around)
        queue, total = await asyncio.to_thread(self._queue, suspicion, texts, seen, pieces)
        self.limit = min(self.options.tries, self.ledger.tries + total)
        second: tuple[SmallEdit, Winner] | None = None
        while not self.spent() and (second is None or self.ledger.tries < self.limit):
            edit = await asyncio.to_thread(self._next, queue)
            if edit is None:
                self.ledger.exhausted = True
                break
            await self.pause()
            winner = await self._try(edit, texts, tests)
            if winner is None:
                continue
            if winner.evidence.verdict.decision is Decision.PROVEN:
                return winner
            second = second or (edit, winner)
            self.limit = min(self.limit, self.ledger.tries + _TRIES_FOR_BETTER)
        if second is None:
            return None
        edit, winner = second
        await self._keep(edit, texts)
        return winner

    def edits(self) -> tuple[FileEdit, ...]:
        """What the search has kept so far."""
        return tuple(FileEdit(path, before, after) for path, (before, after) in sorted(self.kept.items()))

    def _queue(
        self, suspicion: Suspicion, texts: Mapping[str, str], seen: set[str], pieces: Pieces
    ) -> tuple[Iterator[SmallEdit], int]:
        edits: list[SmallEdit] = []
        for path, lines in suspicion.items():
            source = parse(path, texts[path]) if path in texts else None
            if source is not None:
                edits += edits_of(source, lines, TEMPLATES, pieces)
        return distinct(in_order(edits), texts, seen), len(edits)

    def _next(self, queue: Iterator[SmallEdit]) -> SmallEdit | None:
        """The next edit; those of a line where one made the tests hang come last, as more of them will hang.

        Where the tests hung without any edit, that says nothing, and the order stays.
        """
        for edit in queue:
            if (edit.path, edit.line) not in self.hanging or self.survey.report.timed_out:
                return edit
            self.postponed.append(edit)
        return self.postponed.pop(0) if self.postponed else None

    def _texts(self) -> dict[str, str]:
        found = dict(self.survey.texts)
        for path, (_, after) in self.kept.items():
            decoded = decode(after.content)
            assert decoded is not None
            found[path] = decoded.text
        return found

    async def _try(
        self, edit: SmallEdit, texts: Mapping[str, str], tests: tuple[CaseId, ...], *, known: bool = False
    ) -> Winner | None:
        started = self.clock.monotonic()
        self.task.tell(self._trying(edit, texts), self._percentage())
        before = {part.path: await self.task.candidate.read(part.path) for part in edit.parts}
        kept_before = dict(self.kept)
        result, evidence = TryResult.STILL_FAILS, None
        try:
            await self._keep(edit, texts)
            result, evidence = await self._judged(tests, known=known)
        finally:
            self.ledger.spent_s += self.clock.monotonic() - started
            if result is not TryResult.PROVEN:
                self.kept = kept_before
                for path, entry in before.items():
                    await self.task.candidate.write(path, entry)
        self.ledger.count(result)
        if result is TryResult.TIMED_OUT:
            self.hanging.add((edit.path, edit.line))
        self._journal(edit, texts, result, self.clock.monotonic() - started)
        if evidence is None or not evidence.verdict.decision.acceptable:
            return None
        return Winner(edit, edit.told(texts), tests, evidence)

    async def _judged(self, tests: tuple[CaseId, ...], *, known: bool) -> tuple[TryResult, Evidence | None]:
        """Short runs first: the failing tests, then everything that the first run had; at last the gate."""
        limit_s = self.survey.timeout_s(tests)
        report = None if known else await self._run(tests, limit_s, fail_fast=True)
        if not known and not _all_pass(report, tests):
            return (TryResult.TIMED_OUT if report is not None and report.timed_out else TryResult.STILL_FAILS), None
        if not known and not await self._survivors_pass():
            return TryResult.BREAKS_OTHERS, None
        goal_tests = tests if all(test in self.survey.report.cases for test in tests) else ()
        scope = self.task.goal.scope
        evidence = await self.gate.validate(
            self.task.base_tree, self.edits(), goal_tests=goal_tests, scope=scope, on_progress=self._gate_tells
        )
        decision = evidence.verdict.decision
        if decision is Decision.PROVEN:
            return TryResult.PROVEN, evidence
        return (TryResult.ACCEPTABLE if decision.acceptable else TryResult.REFUSED), evidence

    async def _survivors_pass(self) -> bool:
        """Whether what passed in the first run passes still; a test that fails now gets a second chance."""
        survivors = self.survey.report.passing()
        if not survivors:
            return True
        limit_s = self.survey.timeout_s(list(self.survey.report.cases))
        report = await self._run(self.survey.selection, limit_s, fail_fast=False)
        if report is None or not report.finished:
            return False
        broken = sorted(survivors - report.passing())
        return not broken or _all_pass(await self._run(broken, limit_s, fail_fast=True), broken)

    async def _run(self, tests: Sequence[str], timeout_s: float, *, fail_fast: bool) -> SuiteReport | None:
        """None where the edit keeps the tests from starting at all. The time is longer where the runs became slow.

        Edited files are watched, since a watched file is compiled from its source: two edits of one size within a
        second would else run the same byte-code.
        """
        limit_s = max(timeout_s, _SLOWDOWN * self.pace_s)
        try:
            request = SuiteRequest(tuple(tests), tuple(self.kept), limit_s, fail_fast, warm=True)
            report = await self.runner.run(self.task.candidate, request)
        except RunnerUnavailableError:
            return None
        if not report.timed_out:
            self.pace_s = max(report.duration_s, self.pace_s / 2)
        return report

    async def _keep(self, edit: SmallEdit, texts: Mapping[str, str]) -> None:
        """Writes the edit into the candidate and into the change."""
        for part in edit.parts:
            entry = await self.task.candidate.read(part.path)
            assert entry is not None
            decoded = decode(entry.content)
            assert decoded is not None
            after = replace(entry, content=decoded.encode(part.apply(texts[part.path])))
            first = self.kept[part.path][0] if part.path in self.kept else entry
            self.kept[part.path] = (first, after)
            await self.task.candidate.write(part.path, after)

    async def pause(self) -> None:
        """See Tries."""
        if self.task.desk is not None:
            await self.task.desk.pause_point()
            self.task.desk.check_budget()

    def spent(self) -> bool:
        """See Tries."""
        left = self.task.desk.remaining_s() if self.task.desk is not None else None
        return (
            self.ledger.tries >= self.options.tries
            or self.ledger.spent_s >= self.options.wall_clock_s
            or (left is not None and left <= 0.0)
        )

    def _trying(self, edit: SmallEdit, texts: Mapping[str, str]) -> str:
        number, new = self.ledger.tries + 1, edit.shown(texts[edit.path])[1]
        return f"Try {number} of at most {self.limit}: {edit.path}:{edit.line}, {edit.template}: {new}"

    def _gate_tells(self, message: str, _percentage: float | None) -> None:
        self.task.tell(message, self._percentage())

    def _percentage(self) -> float:
        of_tries = self.ledger.tries / max(1, self.options.tries)
        of_time = self.ledger.spent_s / max(0.001, self.options.wall_clock_s)
        return min(99.0, 100.0 * max(of_tries, of_time))

    def _journal(self, edit: SmallEdit, texts: Mapping[str, str], result: TryResult, duration_s: float) -> None:
        lines = edit.shown(texts[edit.path])
        also = {} if edit.also is None else {"also": edit.also.told(texts)}
        self.task.journal(
            EventKind.SEARCH_TRY,
            {
                "try": self.ledger.tries,
                "path": edit.path,
                "line": edit.line,
                "template": edit.template,
                "before": lines[0],
                "after": lines[1],
                "score": round(edit.score, 4),
                "result": result.value,
                "durationS": round(duration_s, 3),
                **also,
            },
        )


def _all_pass(report: SuiteReport | None, tests: Sequence[CaseId]) -> bool:
    """Each test passed, or every test of a file that could not be collected before."""
    if report is None or not report.finished or report.collection_errors or report.failing():
        return False
    passing = report.passing()
    return all(test in passing or any(case.startswith(test + "::") for case in passing) for test in tests)
