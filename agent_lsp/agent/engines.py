"""Owns the seam between the loop and whoever thinks for it: three engines, their tasks, and the choice of a triple."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agent_lsp.agent.ledger import Ledger
from agent_lsp.agent.routing import Route
from agent_lsp.domain.errors import AgentLspError, NoModelError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.plan import Plan, Reflection
from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.task import Goal, Usage
from agent_lsp.domain.verdict import Evidence

if TYPE_CHECKING:
    from agent_lsp.agent.talking import Spoken, Talk

Tell = Callable[[str, float | None], None]
"""Progress for a person: a message and, where it is known, how much of the task is done in percent."""

Record = Callable[[EventKind, Mapping[str, Any]], None]
"""Appends one fact to the run's journal."""


class Desk(Protocol):
    """What an engine may ask of the run it works for, besides its task."""

    @property
    def ledger(self) -> Ledger:
        """What the run has done already."""
        ...

    async def ask(self, question: str, options: Sequence[str]) -> str:
        """Blocks the run until the person answered."""
        ...

    def take_said(self) -> tuple[str, ...]:
        """What was said to the model since the last time, in whole sentences, oldest first."""
        ...

    async def pause_point(self) -> None:
        """Returns at once, or when a paused run is resumed."""
        ...

    def spend(self, usage: Usage) -> None:
        """Counts one model turn towards the budget."""
        ...

    def check_budget(self) -> None:
        """Raises BudgetSpentError naming the limit that was reached."""
        ...

    def remaining_s(self) -> float | None:
        """Wall-clock seconds left; None without a limit."""
        ...


@dataclass(frozen=True, slots=True)
class PlanTask:
    """Make a plan. `previous` and `feedback` are there when a person rejected one.

    `open_files` are those that the editor has open.
    """

    goal: Goal
    candidate: Candidate
    base_tree: str
    tell: Tell
    journal: Record
    feedback: str = ""
    previous: Plan | None = None
    desk: Desk | None = None
    open_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepTask:
    """Carry out step `index` of the plan in the candidate.

    `feedback` is empty at first; on another try it is test output or a person's words. `failed_tries` counts the tries
    of this step that were not good, since a person last had a say. `open_files` are those that the editor has open.
    """

    goal: Goal
    plan: Plan
    index: int
    candidate: Candidate
    base_tree: str
    feedback: str
    tell: Tell
    journal: Record
    desk: Desk | None = None
    failed_tries: int = 0
    open_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended. `reason` says why it was not finished; `goal_tests` are tests that the engine worked for.

    `evidence` is what the gate said already of exactly what is in the candidate now, for these goal tests: an
    engine that asked the gate itself spares the loop from asking again.
    """

    summary: str
    finished: bool
    reason: str = ""
    goal_tests: tuple[CaseId, ...] = ()
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class ReflectionTask:
    """Judge what step `index` left in the candidate.

    `evidence` is None when there was nothing to validate; `findings` is what a model should read of it:
    the verdict's reasons and the output of failing tests. `tries_left` counts further attempts.
    """

    goal: Goal
    plan: Plan
    index: int
    candidate: Candidate
    base_tree: str
    outcome: StepOutcome
    evidence: Evidence | None
    findings: str
    tries_left: int
    tell: Tell
    journal: Record
    desk: Desk | None = None


class PlanningEngine(Protocol):
    """Turns a goal into a plan."""

    async def plan(self, task: PlanTask) -> Plan: ...


class ExecutionEngine(Protocol):
    """Carries out one step in the candidate."""

    async def execute(self, task: StepTask) -> StepOutcome: ...


class ReflectionEngine(Protocol):
    """Judges what a step left."""

    async def reflect(self, task: ReflectionTask) -> Reflection: ...


class Talker(Protocol):
    """Answers what a person says about a run."""

    async def reply(self, talk: "Talk") -> "Spoken": ...


@dataclass(frozen=True, slots=True)
class Engines:
    """The three engines of one run; they may keep what they learn between calls, so a run gets its own.

    `name` tells people who works (`claude-…`, `embedded`); `listens` whether words said to the run reach it;
    `route` is how the tier of its model is wished for, and `talk` who answers a person, where there is a model.
    """

    name: str
    planning: PlanningEngine
    execution: ExecutionEngine
    reflection: ReflectionEngine
    listens: bool = True
    route: Route | None = None
    talk: "Talker | None" = None


@dataclass(frozen=True, slots=True)
class Nobody:
    """All three engines of a run that nobody can work on: each says why."""

    why: AgentLspError

    async def plan(self, task: PlanTask) -> Plan:
        """Raises the reason."""
        del task
        raise self.why

    async def execute(self, task: StepTask) -> StepOutcome:
        """Raises the reason."""
        del task
        raise self.why

    async def reflect(self, task: ReflectionTask) -> Reflection:
        """Raises the reason."""
        del task
        raise self.why


WAYS_TO_CONFIGURE = (
    "Set ANTHROPIC_API_KEY (and ANTHROPIC_BASE_URL for another endpoint), or [model] in agent-lsp.toml or the user's "
    "config.toml; `agent-lsp doctor` shows what was found. Without a model the embedded engine serves goals of the "
    'kind "make the failing tests pass".'
)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Chooses who works on a goal: the configured model, else the embedded engine where it can serve.

    `model` makes fresh engines for one run, or is None where no model is configured. `embedded` gives
    engines for the goals that it serves and None for all others.
    """

    model: Callable[[], Engines] | None
    embedded: Callable[[Goal], Engines | None]

    def choose(self, goal: Goal) -> Engines:
        """Engines for one run. Raises NoModelError."""
        if self.model is not None:
            return self.model()
        engines = self.embedded(goal)
        if engines is None:
            raise NoModelError("this goal needs a language model and none is configured", hint=WAYS_TO_CONFIGURE)
        return engines
