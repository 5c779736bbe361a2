"""Owns the stages of a verdict: parse, what the project's own checkers newly find, affected tests, the whole suite."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from agent_lsp.agent.checks import Checked, Checks
from agent_lsp.agent.goal_tests import find_goals
from agent_lsp.agent.last_word import LastWord, Pending, Trying, ended, failed, in_parts, told
from agent_lsp.agent.suite_runs import Manner
from agent_lsp.agent.validation import Gate, OnProgress
from agent_lsp.domain import staging
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.goal_findings import split_goals, with_fates
from agent_lsp.domain.goal_names import selection_of
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.impact import Selection, SuiteFacts, guessed_whole_s, select
from agent_lsp.domain.imports import is_test_file
from agent_lsp.domain.languages import is_code
from agent_lsp.domain.ports import Candidate, CandidatePool, RunnerFinder, Trees
from agent_lsp.domain.staging import Settled, ran_out_of_time, syntax_troubles, told_also
from agent_lsp.domain.suite_ports import Imports, SuiteMemory
from agent_lsp.domain.verdict import Decision, Evidence, SuiteReport, Verdict

logger = logging.getLogger(__name__)

_FEW_TEST_FILES: Final = 40
"""So many test files are run as a whole without a look at who imports what."""

_NEARLY_ALL: Final = 0.7
_OVERRUN: Final = 1.5
_WORTH_WAITING: Final = 0.4
"""When the time is over and this share of the tests has ended, the rest is waited for as long again."""

_START_UP_S: Final = 30.0
"""What importing the code under test may take before its first test, on top of the budget."""

_SHRINK: Final = 5.0
_ATTEMPTS: Final = 3
_CHECKS_WAIT_S: Final = 2.0
"""How long a verdict waits for the checkers once its tests are over; half the time of the tests if that is longer."""


@dataclass(frozen=True, slots=True)
class StageOptions:
    """The settings of the stages.

    A suite that is known, or guessed, to take longer than `staged_over_s` is served by its affected tests first, as
    many as fit into `budget_s`. `timeout_s` bounds each run. `findings` is `tell`, `block` or `off`.
    """

    impact: bool = True
    staged_over_s: float = 60.0
    budget_s: float = 120.0
    timeout_s: float = 600.0
    findings: str = "tell"

    @property
    def first_s(self) -> float:
        """The budget, within what one run may take."""
        return min(self.budget_s, self.timeout_s / 2)


@dataclass(frozen=True, slots=True)
class StagePorts:
    """The world as the stages need it."""

    trees: Trees
    pool: CandidatePool
    finder: RunnerFinder
    imports: Imports
    memory: SuiteMemory
    options: Callable[[], StageOptions]


@dataclass(slots=True)
class _Speaker:
    """Passes progress on until nobody should hear of this work any more."""

    to: OnProgress | None
    share: float = 0.0

    def __call__(self, text: str, share: float | None) -> None:
        self.share = share or 0.0
        if self.to is not None:
            self.to(text, share)


class StagedGate:
    """A Validator in front of the gate. Small suites are run whole at once; of large ones the affected tests first.

    `follow` then runs the whole suite of a change that was judged by a selection.
    """

    def __init__(self, gate: Gate, ports: StagePorts) -> None:
        self._gate, self._ports = gate, ports
        self._checks = Checks(ports.trees, ports.pool, ports.finder)
        self._last = LastWord(gate, ports.memory)

    async def validate(
        self,
        base_tree: str,
        edits: tuple[FileEdit, ...],
        *,
        goal_tests: tuple[CaseId, ...] = (),
        scope: tuple[str, ...] = (),
        on_progress: OnProgress | None = None,
    ) -> Evidence:
        """See Judge. What is proposed waits for the affected tests only, where the suite is large."""
        goal_tests, wanted = split_goals(goal_tests)
        job = Trying(base_tree, edits, goal_tests, on_progress)
        self._last.drop_unfollowed()
        if (broken := await self._unparsable(job)) is not None:
            return broken
        options = self._ports.options()
        asked = bool(wanted) or options.findings != "off"
        checks = self._checks.begin(base_tree, edits, wanted) if asked else None
        dress: Callable[[Evidence], Evidence] = _as_it_is
        try:
            if scope or not options.impact:
                evidence = await self._gate.validate(
                    base_tree, edits, goal_tests=goal_tests, scope=scope, on_progress=on_progress
                )
                evidence = evidence if scope else self._with_one_piece(job, evidence)
            else:
                evidence = await self._in_stages(job, options)
            if checks is not None:
                patience_s = None if wanted else max(_CHECKS_WAIT_S, 0.5 * evidence.verdict.duration_s)
                await asyncio.wait({checks}, timeout=patience_s)
                if checks.done():
                    dress = partial(_dressed, checks.result(), options.findings)
        finally:
            if checks is not None:
                checks.cancel()
                await asyncio.gather(checks, return_exceptions=True)
        evidence = dress(evidence)
        self._last.renew(evidence, dress)
        return evidence

    async def run_once(
        self,
        candidate: Candidate,
        tests: Sequence[str] = (),
        watch: Sequence[str] = (),
        **limits: Any,
    ) -> SuiteReport:
        """See Gate.run_once."""
        return await self._gate.run_once(candidate, tests, watch, **limits)

    def follow(self, evidence: Evidence) -> "asyncio.Task[Settled] | None":
        """Runs what has the last word on a verdict that rests on a selection, or on several parts of the suite.

        None where there is nothing to follow.
        """
        return self._last.follow(evidence)

    async def close(self) -> None:
        """Ends whole runs that nobody waits for."""
        await self._last.close()

    # --- parse -------------------------------------------------------------------------------------------------

    async def _unparsable(self, job: Trying) -> Evidence | None:
        troubles = await asyncio.to_thread(syntax_troubles, job.edits)
        if not troubles:
            return None
        tree = await self._ports.trees.write(job.base_tree, job.edits)
        candidate = await self._ports.pool.open(tree)
        try:
            troubles = await self._checks.confirmed(candidate, troubles)
        finally:
            await candidate.close()
        if not troubles:
            return None
        witness = await self._ports.trees.hashes(job.base_tree, job.paths)
        reasons = tuple(trouble.sentence() for trouble in troubles)
        return Evidence(Verdict(Decision.UNDECIDED, reasons, candidate=tree), witness=dict(witness))

    # --- tests -------------------------------------------------------------------------------------------------

    async def _in_stages(self, job: Trying, options: StageOptions) -> Evidence:
        facts = await self._ports.memory.facts()
        if await self._is_large(job, facts, options):
            selection = await self._selection(job, facts, options.first_s)
            if selection is not None:
                return await self._selected(job, selection, facts, options, None)
        speaker = _Speaker(job.tell)
        whole = asyncio.get_running_loop().create_task(self._last.whole(replace(job, tell=speaker)))
        try:
            await asyncio.wait({whole}, timeout=options.staged_over_s)
            if whole.done() and not ran_out_of_time(whole.result()):
                return self._with_one_piece(job, whole.result())
            selection = await self._selection(job, facts, options.first_s)
            if selection is None:
                return self._with_one_piece(job, await whole)
            speaker.to = None
            running = None if whole.done() else whole
            evidence = await self._selected(job, selection, facts, options, running)
        except BaseException:
            await ended(whole)
            raise
        if not self._last.keeps(whole):
            await ended(whole)
        return evidence

    async def _is_large(self, job: Trying, facts: SuiteFacts, options: StageOptions) -> bool:
        if facts.whole_s is not None:
            return facts.whole_s > options.staged_over_s
        paths = await self._ports.trees.paths(job.base_tree)
        if sum(map(is_test_file, paths)) <= _FEW_TEST_FILES:
            return False
        graph = await self._graph(job)
        return graph is not None and guessed_whole_s(graph, facts) > options.staged_over_s

    async def _graph(self, job: Trying) -> Any:
        tree = await self._ports.trees.write(job.base_tree, job.edits)
        return await self._ports.imports.graph(job.base_tree, tree)

    async def _selection(self, job: Trying, facts: SuiteFacts, budget_s: float) -> Selection | None:
        """What is worth running first; None where that is (nearly) everything, or cannot be told."""
        if any(is_code(path) and not path.endswith(".py") for path in job.paths):
            return None  # its tests are those of another runner, whose files no graph of imports holds
        job.told("Looking for the tests that the change can affect")
        graph = await self._graph(job)
        named = await find_goals(self._ports.trees, job.base_tree, job.goal_tests, (), [e.path for e in job.edits])
        goals = tuple(dict.fromkeys(map(selection_of, named)))
        if graph is None:
            logger.warning("the workspace has too many files to see in time who imports what; all tests are run")
            return None
        chosen = await asyncio.to_thread(select, job.edits, graph, facts, goals, budget_s)
        nearly_all = chosen.whole or chosen.share >= _NEARLY_ALL
        return None if nearly_all or not chosen.tests else chosen

    async def _selected(
        self,
        job: Trying,
        selection: Selection,
        facts: SuiteFacts,
        options: StageOptions,
        whole: "asyncio.Task[Evidence] | None",
    ) -> Evidence:
        """The verdict of the selected tests, or of the whole suite should it end first."""
        evidence: Evidence | None = None
        budget_s = options.first_s
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            job.told(f"Running {len(selection.tests)} tests and test files that the change is most likely to affect")
            limit_s = None if last else _START_UP_S + _OVERRUN * budget_s
            evidence = await self._first_of(job, selection, whole, limit_s, budget_s)
            if evidence is not None and (last or not ran_out_of_time(evidence)):
                break
            budget_s = budget_s if attempt == 0 else budget_s / _SHRINK  # what was seen makes a better guess first
            selection = await self._selection(job, await self._ports.memory.facts(), budget_s) or selection
        assert evidence is not None, "the last attempt has no limit"
        if evidence.verdict.selection == "full":
            return self._with_one_piece(job, evidence)
        return self._with_rest(job, evidence, selection, facts, options, whole)

    async def _first_of(
        self,
        job: Trying,
        selection: Selection,
        whole: "asyncio.Task[Evidence] | None",
        limit_s: float | None,
        enough_s: float,
    ) -> Evidence | None:
        """Whichever ends first; None if neither did in time.

        Once `enough_s` are over, runners that can begin no further test: what has ended by then is judged.
        """
        speaker = _Speaker(job.tell)
        some = asyncio.get_running_loop().create_task(
            self._gate.validate(
                job.base_tree,
                job.edits,
                goal_tests=job.goal_tests,
                scope=selection.tests,
                manner=Manner(enough_s),
                on_progress=speaker,
            )
        )
        try:
            both = {some} if whole is None or whole.done() else {some, whole}
            done, _ = await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if not done and speaker.share >= _WORTH_WAITING:
                await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if not some.done() and whole is not None and whole.done() and not told(whole):
                await asyncio.wait({some}, timeout=limit_s)
            if some.done():
                return some.result()
            return whole.result() if whole is not None and whole.done() and not failed(whole) else None
        finally:
            await ended(some)

    def _with_one_piece(self, job: Trying, evidence: Evidence) -> Evidence:
        """Says that what ran in parts is run once more, where that may change something."""
        if not in_parts(evidence) or not evidence.verdict.decision.acceptable:
            return evidence
        evidence = told_also(evidence, [staging.ONE_PIECE_FOLLOWS])
        self._last.keep(Pending(job, evidence))
        return evidence

    def _with_rest(
        self,
        job: Trying,
        evidence: Evidence,
        selection: Selection,
        facts: SuiteFacts,
        options: StageOptions,
        whole: "asyncio.Task[Evidence] | None",
    ) -> Evidence:
        """Says what was left out, and what becomes of it."""
        decision = evidence.verdict.decision
        said = [*selection.sentences(), *staging.cut_short(evidence)]
        evidence = staging.without_noise(evidence, job.goal_tests)
        worthwhile = decision.acceptable or decision is Decision.UNDECIDED
        hopeless = facts.unended and (facts.whole_s or 0.0) >= 0.9 * options.timeout_s
        if worthwhile and hopeless:
            limit = f"{options.timeout_s:.0f} s (tests.timeout_s)"
            said.append(f"The whole suite is not run, since it does not end within {limit}.")
        elif worthwhile:
            said.append(staging.IN_THE_BACKGROUND)
        evidence = told_also(evidence, said)
        if worthwhile and not hopeless:
            self._last.keep(Pending(job, evidence, None if failed(whole) else whole))
        return evidence


def _dressed(checked: Checked, findings: str, evidence: Evidence) -> Evidence:
    """A verdict of tests, with what the project's own checkers have to say."""
    if findings != "off":
        evidence = staging.with_findings(evidence, checked.new, block=findings == "block")
    return with_fates(evidence, checked.goals)


def _as_it_is(evidence: Evidence) -> Evidence:
    return evidence
