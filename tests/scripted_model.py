"""Owns a language model that says what a test wrote for it, phase by phase: an implementation of the Model port."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from agent_lsp.domain.conversation import (
    Block,
    ModelRequest,
    ModelTurn,
    Phase,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
)
from agent_lsp.domain.errors import ModelUnavailableError
from agent_lsp.domain.task import Usage

_ids = itertools.count(1)

Line = ModelTurn | Exception | Callable[[ModelRequest], ModelTurn]

SIMPLE_PLAN = {"assessment": "simple", "steps": [{"title": "Do it"}]}


def call(name: str, **given: Any) -> ToolCall:
    """One tool call."""
    return ToolCall(f"call_{next(_ids)}", name, given)


def turn(*blocks: Block | str, stop: StopReason | None = None, usage: Usage | None = None) -> ModelTurn:
    """One whole answer; texts may be plain strings."""
    made = tuple(Text(block) if isinstance(block, str) else block for block in blocks)
    calls = any(isinstance(block, ToolCall) for block in made)
    return ModelTurn(
        made,
        stop or (StopReason.TOOL_USE if calls else StopReason.END),
        "scripted",
        usage or Usage(input_tokens=100, output_tokens=10, cost_usd=0.01, turns=1),
    )


def finish(summary: str = "Done.") -> ModelTurn:
    """The end of a step."""
    return turn(call("finish_step", summary=summary))


def plan(*titles: str) -> ModelTurn:
    """A plan with these steps."""
    steps = [{"title": title, "detail": f"{title} in detail"} for title in titles]
    return turn(call("submit_plan", assessment="simple" if len(steps) == 1 else "multi_step", steps=steps))


def reflect(decision: str, reason: str = "because", *titles: str) -> ModelTurn:
    """A judgement."""
    steps = [{"title": title} for title in titles]
    return turn(call("submit_reflection", assessment="seen", decision=decision, reason=reason, steps=steps))


class ScriptedModel:
    """Answers from one list per phase; the list of tools tells which phase a request is of.

    `hold` makes every answer of a phase wait for its event; `asked` is set when a request comes in.
    """

    name = "scripted"

    def __init__(
        self,
        *,
        planning: Sequence[Line] = (),
        execution: Sequence[Line] = (),
        reflection: Sequence[Line] = (),
        chat: Sequence[Line] = (),
    ) -> None:
        self.lines = {
            Phase.PLANNING: list(planning or [turn(call("submit_plan", **SIMPLE_PLAN))]),
            Phase.EXECUTION: list(execution),
            Phase.REFLECTION: list(reflection),
            Phase.CHAT: list(chat),
        }
        self.requests: list[ModelRequest] = []
        self.hold: dict[Phase, asyncio.Event] = {}
        self.asked = asyncio.Event()

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """The next line of the phase."""
        self.requests.append(request)
        self.asked.set()
        if request.phase in self.hold:
            await self.hold[request.phase].wait()
        await asyncio.sleep(0)
        if request.phase is Phase.CHAT and not self.lines[Phase.CHAT]:
            raise ModelUnavailableError("nobody is there to talk")
        assert self.lines[request.phase], f"nothing is written for another turn of {request.phase}"
        line = self.lines[request.phase].pop(0)
        if isinstance(line, Exception):
            raise line
        answer = line if isinstance(line, ModelTurn) else line(request)
        if answer.text:
            on_text(answer.text)
        return answer

    def of(self, phase: Phase) -> list[ModelRequest]:
        """The requests of a phase."""
        return [request for request in self.requests if request.phase is phase]


def texts(request: ModelRequest) -> str:
    """Everything that was said to the model so far, results included."""
    return "\n".join(
        block.text for message in request.messages for block in message.blocks if isinstance(block, Text | ToolResult)
    )


def results(request: ModelRequest) -> list[ToolResult]:
    """The tool results in a request, in order."""
    return [block for message in request.messages for block in message.blocks if isinstance(block, ToolResult)]


def wellformed(request: ModelRequest) -> bool:
    """Whether an endpoint would take it: roles alternate, every call is answered in the message that follows."""
    roles = [message.role for message in request.messages]
    if roles != [("user", "assistant")[at % 2] for at in range(len(roles))] or roles[-1] != "user":
        return False
    for said, following in itertools.pairwise(request.messages):
        calls = [block.id for block in said.blocks if isinstance(block, ToolCall)]
        answers = [block.call_id for block in following.blocks if isinstance(block, ToolResult)]
        if said.role == "assistant" and calls != answers:
            return False
    return all(message.blocks for message in request.messages)
