"""Owns the words between the agent and a language model, in no provider's format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from agent_lsp.domain.task import Usage


class Phase(StrEnum):
    """Which engine asks; the tool list of a request tells it too."""

    PLANNING = "planning"
    EXECUTION = "execution"
    REFLECTION = "reflection"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class Text:
    """Prose."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool. `input` is what it wrote, not yet validated."""

    id: str
    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the tool answered; `failed` tells the model that it did not work."""

    call_id: str
    text: str
    failed: bool = False


Block = Text | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message. Results of tools are in the user's message that follows the calls."""

    role: Literal["user", "assistant"]
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as it is offered: `input_schema` is a JSON Schema object."""

    name: str
    description: str
    input_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model. `must_call` forces the model to use some tool, where the provider can."""

    phase: Phase
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    max_tokens: int = 16_000
    must_call: bool = False


class StopReason(StrEnum):
    """Why a whole message ended."""

    END = "end"
    TOOL_USE = "tool_use"
    LENGTH = "length"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who gave an answer: the endpoint's name, its model as people know it, the tier and why that tier.

    `instead_of` says who was passed over.
    """

    endpoint: str
    name: str
    tier: str
    why: str
    instead_of: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the journal keeps it."""
        row: dict[str, Any] = {"endpoint": self.endpoint, "tier": self.tier, "why": self.why}
        return {**row, "insteadOf": list(self.instead_of)} if self.instead_of else row


@dataclass(frozen=True, slots=True)
class ModelTurn:
    """One whole answer, who gave it, and what it cost. `by` is None where nothing was there to choose from."""

    blocks: tuple[Block, ...]
    stop: StopReason
    model: str
    usage: Usage = field(default_factory=Usage)
    by: Answerer | None = None

    @property
    def text(self) -> str:
        """All prose of the turn."""
        return "".join(block.text for block in self.blocks if isinstance(block, Text))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the turn, in order."""
        return tuple(block for block in self.blocks if isinstance(block, ToolCall))
