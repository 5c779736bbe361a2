"""Owns one run as others see it: its state, its plan, its progress, and how each change of them is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent_lsp.agent.desk import PauseSwitch, RunDesk
from agent_lsp.agent.engines import Engines
from agent_lsp.agent.ledger import Ledger
from agent_lsp.agent.meter import Meter
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.plan import Plan, StepState, plan_markdown
from agent_lsp.domain.ports import Clock, Journal, Publish
from agent_lsp.domain.task import ENDED, WORKING, Budget, Goal, RunState, RunView, run_name

PLANNING_PERCENT: Final = 10.0
STEPS_PERCENT: Final = 85.0
EXECUTING_PART: Final = 0.6


@dataclass(frozen=True, slots=True)
class Telling:
    """Where a run's changes are told, and where what it has done is kept."""

    journal: Journal
    publish: Publish
    clock: Clock
    ledger: Ledger | None = None


class Run:
    """One run of one goal. The loop moves it; `view` is what anybody may have of it."""

    def __init__(self, run_id: str, goal: Goal, engines: Engines, budget: Budget, telling: Telling) -> None:
        self.id, self.goal, self.engines = run_id, goal, engines
        self.name = run_name(run_id, goal.text, ())  # what a person knows it by
        self.switch = PauseSwitch(self._switched)
        self.ledger = telling.ledger or Ledger(run_id)
        self.desk = RunDesk(Meter(budget, telling.clock.monotonic), self.switch, self._on_question, self.ledger)
        self.ledger.worked_s = lambda: self.desk.meter.worked_s
        self.plan: Plan | None = None
        self.step = 0
        self.proposal_id: str | None = None
        self.verdict: str | None = None
        self.busy = True
        self.offering = False
        self.late: list[tuple[RunState, str]] = []
        self._telling = telling
        self._state, self._message = RunState.PLANNING, ""
        self._journalled: RunState | None = None
        self._percentage = 0.0
        self.queued = ""
        self.has_problems = False
        self._answered = ""
        self._told: dict[str, object] = {}

    @property
    def state(self) -> RunState:
        """Blocked and paused lie over what the run would do otherwise."""
        if self.desk.asking:
            return RunState.BLOCKED
        if self.switch.paused and self._state in WORKING and self.busy:
            return RunState.PAUSED
        return self._state

    def view(self) -> RunView:
        """The row of `agent.status`."""
        return RunView(
            self.id,
            self.goal.text,
            self.state,
            self.step,
            len(self.plan.steps) if self.plan else 0,
            self.proposal_id,
            self.verdict,
            self.desk.meter.usage if self.ledger.live else self.ledger.spent,
            self.queued or self._message,
            self._answered or self.engines.name,
        )

    def move(self, state: RunState, message: str = "") -> None:
        """Into another state: journalled, then told. An ended run rests; `busy` ends with it.

        A resumed run that is still on its way to where it was says nothing of what it passes again.
        """
        news, self._journalled = state is not self._journalled or state in ENDED, state
        self._state, self._message = state, message
        if state in ENDED or state is RunState.PROPOSED:
            self.busy = False
            self.ledger.close()
        if news:
            self.record(EventKind.RUN_STATE, {"state": state.value, "message": message})
        if state in ENDED:
            self.record(EventKind.RUN_ENDED, {"state": state.value, "reason": message})
        self.changed()  # first: who hears of the state by the progress must find it in the row already
        self.tell(message, 0.0)

    def rest(self) -> None:
        """The proposal is the person's now; what they did while it was being offered is caught up with."""
        self.busy = self.offering = False
        late, self.late = self.late, []
        for state, message in late:
            self.move(state, message)

    def begin(self, data: Mapping[str, Any]) -> None:
        """The run starts, or starts again after feedback."""
        self.busy, self._percentage = True, 0.0
        self.record(EventKind.RUN_STARTED, data)

    def stands(self, state: RunState, message: str) -> None:
        """How a resumed run stood; told at once, long before it is there again."""
        self._state, self._message = state, message
        self._told = self.view().to_json()
        self._telling.publish("run", self._told)

    def changed(self) -> None:
        """Tells the row, if it is another than the one told last."""
        row = self.view().to_json()
        if row != self._told and self.ledger.live:
            self._told = row
            self._telling.publish("run", row)

    def tell(self, message: str, percentage: float | None) -> None:
        """Progress inside what the run does now; the percentage of the whole never falls."""
        self._percentage = max(self._percentage, self._overall(percentage or 0.0))
        if not self.ledger.live:
            return
        data = {"runId": self.id, "state": self.state.value, "step": self.step, "message": message}
        self._telling.publish("progress", {**data, "percentage": round(self._percentage)})

    def record(self, kind: EventKind, data: Mapping[str, Any]) -> None:
        """One fact for the journal; a model's turn also changes the row, and of one that is told again that is all."""
        if kind is EventKind.MODEL_TURN:
            self._answered = str(data.get("answeredBy") or "")
        if not self.ledger.live:
            return
        self._telling.journal.append(Event(self.id, kind, data, self._telling.clock.now()))
        if kind is EventKind.MODEL_TURN:
            self.changed()

    def show_plan(self, plan: Plan) -> None:
        """The plan is this from now on."""
        self.plan = plan
        if not self.ledger.live:
            return
        steps = [step.to_json() for step in plan.steps]
        self.record(EventKind.PLAN, {"assessment": plan.assessment.value, "steps": steps})
        markdown = plan_markdown(self.goal.text, plan)
        self._telling.publish("plan", {"runId": self.id, "goal": self.goal.text, "steps": steps, "markdown": markdown})
        self.changed()

    def mark_step(self, index: int, state: StepState) -> None:
        """One step of the plan is in another state."""
        assert self.plan is not None
        self.step = index + 1
        self.show_plan(self.plan.with_state(index, state))

    def show_problems(self, problems: Sequence[Mapping[str, Any]]) -> None:
        """The failing tests that speak against the change; an empty list clears them."""
        if problems or self.has_problems:
            self.has_problems = bool(problems)
            self._telling.publish("problems", {"runId": self.id, "problems": list(problems)})

    def _switched(self) -> None:
        self.ledger.note(paused=self.switch.paused)
        self.changed()

    def _on_question(self, question: str, options: Sequence[str]) -> None:
        if question:
            self.record(EventKind.QUESTION, {"question": question, "options": list(options)})
        self.changed()  # first: who hears of the question must find the run blocked
        if question:
            data = {"runId": self.id, "question": question, "options": list(options)}
            self._telling.publish("blocked", data)
            self.tell(question, None)

    def _overall(self, inside: float) -> float:
        """How much of the run is done, in percent."""
        if not self.busy:
            return 100.0
        share = min(1.0, max(0.0, inside / 100.0))
        if self._state in (RunState.PLANNING, RunState.AWAITING_APPROVAL) or self.plan is None:
            return PLANNING_PERCENT * share
        span = STEPS_PERCENT / len(self.plan.steps)
        part = EXECUTING_PART * share
        if self._state is not RunState.EXECUTING:
            part = EXECUTING_PART + (1 - EXECUTING_PART) * share
        return PLANNING_PERCENT + span * (max(0, self.step - 1) + part)
