"""Owns the plan: what a goal becomes before anything is changed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Assessment(StrEnum):
    """How large the planner found the goal."""

    SIMPLE = "simple"
    MULTI_STEP = "multi_step"


class StepState(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan; `acceptance` says how to see that it is done."""

    title: str
    detail: str = ""
    files: tuple[str, ...] = ()
    acceptance: str = ""
    state: StepState = StepState.PENDING

    def to_json(self) -> dict[str, object]:
        """The step's public shape in `agent/plan` and `agent.plan.approve`."""
        return {
            "title": self.title,
            "detail": self.detail,
            "files": list(self.files),
            "acceptance": self.acceptance,
            "state": self.state.value,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """An ordered list of steps; a simple goal is a plan of one."""

    assessment: Assessment
    steps: tuple[Step, ...]

    def with_state(self, index: int, state: StepState) -> "Plan":
        """The same plan with one step's state changed."""
        steps = list(self.steps)
        steps[index] = replace(steps[index], state=state)
        return Plan(self.assessment, tuple(steps))

    def with_files(self, index: int, files: Iterable[str]) -> "Plan":
        """The same plan with files that one step turned out to change."""
        steps = list(self.steps)
        steps[index] = replace(steps[index], files=tuple(dict.fromkeys([*steps[index].files, *files])))
        return Plan(self.assessment, tuple(steps))


class ReflectionDecision(StrEnum):
    """What reflection may decide; PROTOCOL.md section 6."""

    CONTINUE = "continue"
    RETRY = "retry"
    ADAPT = "adapt"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Reflection:
    """A judgement on what was done. `steps` replaces the steps that are left when the decision is `adapt`."""

    decision: ReflectionDecision
    reason: str
    assessment: str = ""
    steps: tuple[Step, ...] = ()


def plan_markdown(goal: str, plan: Plan) -> str:
    """The plan as a document a person reads; the text behind `agent-lsp:/plan/<runId>.md`."""
    marks = {StepState.PENDING: " ", StepState.RUNNING: "~", StepState.DONE: "x", StepState.FAILED: "!"}
    lines = [f"# Plan: {goal}", ""]
    for number, step in enumerate(plan.steps, 1):
        lines.append(f"{number}. [{marks[step.state]}] **{step.title}**")
        if step.detail:
            lines += ["", *(f"   {line}" for line in step.detail.splitlines())]
        if step.files:
            lines += ["", "   Files: " + ", ".join(f"`{name}`" for name in step.files)]
        if step.acceptance:
            lines += ["", f"   Done when: {step.acceptance}"]
        lines.append("")
    return "\n".join(lines)
