"""Owns the tool submit_plan, and how a plan's steps are read from outside."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.plan import Assessment, Plan, Step, StepState
from agent_lsp.domain.policy import Effect
from agent_lsp.domain.task import Goal

MOST_STEPS: Final = 30


class StepInput(BaseModel):
    """A step as a model or a person writes it; more than the four keys is not an error."""

    model_config = ConfigDict(extra="ignore")

    title: str = Field(min_length=1, description="What is done, in a few words.")
    detail: str = Field(default="", description="How, as far as it is known.")
    files: list[str] = Field(default_factory=list, description="Files that it will change.")
    acceptance: str = Field(default="", description="How to see that it is done.")

    @field_validator("title")
    @classmethod
    def _says_something(cls, title: str) -> str:
        if not title.strip():
            raise ValueError("a step needs a title")
        return title.strip()


class SubmitPlan(ToolInput):
    """A whole plan."""

    assessment: Literal["simple", "multi_step"] = Field(description="simple: one step is enough.")
    steps: list[StepInput] = Field(min_length=1, max_length=MOST_STEPS)


def steps_of(steps: Sequence[StepInput]) -> tuple[Step, ...]:
    """The domain's steps."""
    return tuple(Step(step.title, step.detail, tuple(step.files), step.acceptance) for step in steps)


def plan_of(steps: Sequence[Step]) -> Plan:
    """A plan assessed by its length."""
    return Plan(Assessment.SIMPLE if len(steps) == 1 else Assessment.MULTI_STEP, tuple(steps))


def plan_kept(events: Sequence[Event], goal: Goal) -> Plan:
    """The last plan of a run's journal, with its states; a step with the goal's name where it tells of none."""
    for event in reversed(events):
        if event.kind is EventKind.PLAN and event.data.get("steps"):
            try:
                rows = [(StepInput.model_validate(row), StepState(row["state"])) for row in event.data["steps"]]
            except (ValueError, KeyError, TypeError):
                continue
            return plan_of([replace(steps_of([step])[0], state=state) for step, state in rows])
    return plan_of([Step(goal.text, state=StepState.DONE)])


async def _run(given: SubmitPlan, bench: Bench) -> Answer:
    del bench
    return Answer("The plan is taken.", ends=plan_of(steps_of(given.steps)))


TOOL: Final = Tool(
    name="submit_plan",
    description=(
        "Submits the plan. Most goals are simple: one step. Use several only where each leaves the code in a state "
        "that can be tested."
    ),
    effect=Effect.TALK,
    input_model=SubmitPlan,
    run=_run,
)
