"""Owns the tool finish_step."""

from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput
from agent_lsp.domain.policy import Effect


class FinishStep(ToolInput):
    """The end of a step."""

    summary: str = Field(min_length=1, description="What was changed and why, in one to three sentences.")


async def _run(given: FinishStep, bench: Bench) -> Answer:
    del bench
    return Answer("The step is finished.", ends=given.summary.strip())


TOOL: Final = Tool(
    name="finish_step",
    description="Ends the step: call it once the step's work is done. The tests then run by themselves.",
    effect=Effect.TALK,
    input_model=FinishStep,
    run=_run,
)
