"""Owns the tool submit_reflection."""

from typing import Final, Literal

from pydantic import Field

from agent_lsp.agent.tools.submit_plan import MOST_STEPS, StepInput, steps_of
from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.plan import Reflection, ReflectionDecision
from agent_lsp.domain.policy import Effect


class SubmitReflection(ToolInput):
    """A judgement."""

    assessment: str = Field(default="", description="What you found: why it is as it is.")
    decision: Literal["continue", "retry", "adapt", "abort"] = Field(
        description=(
            "continue: go on to the next step (or, after the last, offer the change as it is). retry: work on the "
            "same step again. adapt: replace the steps that are left. abort: give up."
        )
    )
    steps: list[StepInput] = Field(default_factory=list, max_length=MOST_STEPS, description="Only for adapt.")
    reason: str = Field(min_length=1, description="Why, in one or two sentences; a retry reads it as its advice.")


async def _run(given: SubmitReflection, bench: Bench) -> Answer:
    del bench
    if given.decision == "adapt" and not given.steps:
        raise ToolError("adapt needs the steps that replace those that are left; give steps, or choose retry.")
    reflection = Reflection(ReflectionDecision(given.decision), given.reason, given.assessment, steps_of(given.steps))
    return Answer("Taken.", ends=reflection)


TOOL: Final = Tool(
    name="submit_reflection",
    description="Submits your judgement of the step and how to go on.",
    effect=Effect.TALK,
    input_model=SubmitReflection,
    run=_run,
)
