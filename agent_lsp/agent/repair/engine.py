"""Owns the embedded engines: a plan of one step, a search that executes it, a reflection that knows when to stop."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agent_lsp.agent.engines import Engines, PlanTask, ReflectionTask, StepOutcome, StepTask
from agent_lsp.agent.repair.goals import serves
from agent_lsp.agent.repair.hunt import Winner
from agent_lsp.agent.repair.search import Ledger, RepairOptions, Search, TryResult
from agent_lsp.agent.repair.survey import Survey, shown_tests, survey
from agent_lsp.agent.validator import Validator
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.plan import Assessment, Plan, Reflection, ReflectionDecision, Step
from agent_lsp.domain.ports import Candidate, Clock, RunnerFinder, SuiteRunner
from agent_lsp.domain.task import Goal

NAME = "embedded"
_AMBIGUOUS = frozenset({"wrong variable", "constant"})
_SHOWN_OTHERS = 3

FIRST_LOOK = 1 / 3
"""The part of the time that the first run of the tests may take; a slower suite leaves no time for a search."""


@dataclass(slots=True)
class Memory:
    """What the engines of one run share: the first look at each base tree, and what the search has tried."""

    runners: RunnerFinder
    clock: Clock
    options: RepairOptions
    ledger: Ledger = field(default_factory=Ledger)
    looks: dict[str, tuple[SuiteRunner, Survey]] = field(default_factory=dict)
    winners: list[Winner] = field(default_factory=list)

    async def look(
        self, goal: Goal, candidate: Candidate, base_tree: str, tell: Callable[[str, float | None], None]
    ) -> tuple[SuiteRunner, Survey]:
        """The survey of a base tree, made once."""
        if base_tree not in self.looks:
            started = self.clock.monotonic()
            tell("Running the tests to see which fail and what they execute", None)

            def told(case: CaseId, collected: int) -> None:
                tell(f"Looking for failing tests: {case} of {collected}", None)

            runner = await self.runners.find(candidate)
            found = await survey(goal, candidate, runner, self.options.wall_clock_s * FIRST_LOOK, told)
            self.ledger.spent_s += self.clock.monotonic() - started
            self.looks[base_tree] = (runner, found)
        return self.looks[base_tree]


@dataclass(frozen=True, slots=True)
class RepairPlanning:
    """Runs the tests once; the plan is a single step that names what fails."""

    memory: Memory

    async def plan(self, task: PlanTask) -> Plan:
        """Never more than one step. Raises RunnerUnavailableError."""
        _, found = await self.memory.look(task.goal, task.candidate, task.base_tree, task.tell)
        if found.trouble:
            return Plan(Assessment.SIMPLE, (Step("Make the failing tests pass", found.trouble),))
        one = len(found.targets) == 1
        step = Step(
            f"Make {found.targets[0]} pass" if one else f"Make {len(found.targets)} failing tests pass",
            f"Search for a small edit, without a language model. Failing: {shown_tests(found.targets)}.",
            acceptance="Each passes, and every test that passed before still does.",
        )
        return Plan(Assessment.SIMPLE, (step,))


@dataclass(frozen=True, slots=True)
class RepairExecution:
    """Searches for edits, one for each group of failing tests with a common cause."""

    memory: Memory
    gate: Validator

    async def execute(self, task: StepTask) -> StepOutcome:
        """Leaves the edits that won in the candidate, and nothing else. Raises RunnerUnavailableError."""
        memory = self.memory
        await _restore(task.candidate, ())
        memory.winners.clear()
        runner, found = await memory.look(task.goal, task.candidate, task.base_tree, task.tell)
        if found.trouble:
            return StepOutcome(found.trouble, False, found.trouble)
        search = Search(task, found, runner, self.gate, memory.clock, memory.options, memory.ledger)
        left: list[CaseId] = []
        for group in await asyncio.to_thread(found.groups):
            winner = await search.mend(group)
            if winner is None:
                left += group
            else:
                memory.winners.append(winner)
        await _restore(task.candidate, tuple(search.kept))
        if not memory.winners or (left and task.goal.tests):
            await _restore(task.candidate, ())
            reason = _why_not(memory, left or list(found.targets))
            return StepOutcome(reason, False, reason)
        fixed = tuple(test for winner in memory.winners for test in winner.tests if test in found.report.cases)
        evidence = memory.winners[0].evidence if len(memory.winners) == 1 else None
        return StepOutcome(_summary(memory, found, left), True, goal_tests=fixed, evidence=evidence)


@dataclass(frozen=True, slots=True)
class RepairReflection:
    """Goes on with the search where an edit was refused after all; gives up where nothing is left to try."""

    memory: Memory

    async def reflect(self, task: ReflectionTask) -> Reflection:
        """Decides without looking at any text: the same input gives the same decision."""
        verdict = task.evidence.verdict if task.evidence else None
        if task.outcome.finished and verdict is not None and verdict.decision.acceptable:
            return Reflection(ReflectionDecision.CONTINUE, f"the tests accept the edit: {verdict.title()}")
        if not task.outcome.finished:
            return Reflection(ReflectionDecision.ABORT, task.outcome.reason)
        said = " ".join(verdict.reasons) if verdict else "there was nothing to validate"
        spent = self.memory.ledger.exhausted or self.memory.ledger.tries >= self.memory.options.tries
        if spent or task.tries_left <= 0 or len(self.memory.winners) != 1:
            reason = f"the edit that was found was refused ({said}) and the search has nothing new to try"
            return Reflection(ReflectionDecision.ABORT, reason)
        return Reflection(
            ReflectionDecision.RETRY, f"the edit that was found was refused ({said}); the search goes on after it"
        )


def embedded(
    runners: RunnerFinder, gate: Validator, clock: Clock, options: RepairOptions | None = None
) -> Callable[[Goal], Engines | None]:
    """For `EngineChoice.embedded`: fresh engines for a goal that the search can serve, None for any other."""

    def engines(goal: Goal) -> Engines | None:
        if not serves(goal):
            return None
        memory = Memory(runners, clock, options or RepairOptions())
        return Engines(
            NAME, RepairPlanning(memory), RepairExecution(memory, gate), RepairReflection(memory), listens=False
        )

    return engines


async def _restore(candidate: Candidate, keep: tuple[str, ...]) -> None:
    """Takes back what earlier tries, or the tests themselves, left in the candidate."""
    for edit in await candidate.harvest():
        if edit.path in keep:
            continue
        await candidate.write(edit.path, edit.before if edit.old_path is None else None)
        if edit.old_path is not None:
            await candidate.write(edit.old_path, edit.before)


def _summary(memory: Memory, found: Survey, left: list[CaseId]) -> str:
    parts = [
        f"{winner.said}. With it {shown_tests(winner.tests)} {'passes' if len(winner.tests) == 1 else 'pass'}."
        for winner in memory.winners
    ]
    others = memory.ledger.tries - len(memory.winners)
    parts.append(
        f"Found by the embedded search over small edits, not by a language model: {_counted(memory)}, "
        f"of which {others} {'was' if others == 1 else 'were'} rejected. "
        f"{len(found.report.passing())} tests passed before, and the search kept them passing."
    )
    for winner in memory.winners:
        verdict = winner.evidence.verdict
        if winner.evidence.verdict.decision.value != "proven":
            parts.append(f"Not proven, read it with care: {' '.join(verdict.reasons) or verdict.title()}")
    for winner in memory.winners:
        if winner.others:
            count = len(winner.others)
            shown = "; ".join(winner.others[:_SHOWN_OTHERS]) + (" and more" if count > _SHOWN_OTHERS else "")
            parts.append(
                f"{count} other {'edit' if count == 1 else 'edits'} passed the same tests and "
                f"{'was' if count == 1 else 'were'} thought less likely, so read whether this one says what is meant: "
                f"{shown}."
            )
    if any(winner.edit.template in _AMBIGUOUS and not winner.others for winner in memory.winners):
        parts.append("For such an edit others may pass the same tests as well, so read whether it says what is meant.")
    if left:
        parts.append(f"Still failing, for no small edit was found: {shown_tests(left)}.")
    return "\n".join(parts)


def _why_not(memory: Memory, left: list[CaseId]) -> str:
    ledger, options = memory.ledger, memory.options
    if ledger.tries >= options.tries:
        end = f"the limit of {options.tries} tries was reached"
    elif ledger.exhausted:
        end = "no other edit is left to try"
    else:
        end = f"the limit of {options.wall_clock_s:.0f} s was reached"
    near = ledger.results.get(TryResult.BREAKS_OTHERS, 0) + ledger.results.get(TryResult.REFUSED, 0)
    also = f" {near} made the tests pass but broke others or were refused by the gate." if near else ""
    return (
        f"No small edit makes {shown_tests(left)} pass: {_counted(memory)}, and {end}.{also} "
        "The embedded engine searches without a language model; a configured model can make larger changes."
    )


def _counted(memory: Memory) -> str:
    tries = memory.ledger.tries
    return f"{tries} {'edit was' if tries == 1 else 'edits were'} tried in {memory.ledger.spent_s:.1f} s"
