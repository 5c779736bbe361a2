"""Owns the tool ask_user."""

from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.policy import Effect


class AskUser(ToolInput):
    """A question to the person."""

    question: str = Field(min_length=1)
    options: list[str] = Field(default_factory=list, description="Answers to choose from; others are possible.")


async def _run(given: AskUser, bench: Bench) -> Answer:
    if bench.desk is None:
        raise ToolError("Nobody can be asked here; decide by yourself and say what you assumed.")
    answer = await bench.desk.ask(given.question, given.options)
    return Answer(f"The person answers: {answer}")


TOOL: Final = Tool(
    name="ask_user",
    description="Asks the person a question and waits. Only for what the code cannot tell and you may not assume.",
    effect=Effect.TALK,
    input_model=AskUser,
    run=_run,
)
