"""Owns the shapes of what the server asks of a client that lends a language model (docs/protocol.md, section 5).

As in shapes.py, nothing at run time needs these.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NotRequired

from typing_extensions import TypedDict


class ModelListParams(TypedDict):
    """`agent/model/list`."""


class LentModel(TypedDict):
    """A model as the editor names it."""

    id: str
    name: str
    vendor: str
    family: str
    version: NotRequired[str]
    maxInputTokens: NotRequired[int]


class LentModels(TypedDict):
    """`agent/model/list`; the first is the one that is taken when nothing else is wished."""

    models: list[LentModel]


class TextBlock(TypedDict):
    """Prose."""

    type: Literal["text"]
    text: str


class CallBlock(TypedDict):
    """The model asks for a tool."""

    type: Literal["call"]
    id: str
    name: str
    input: dict[str, Any]


class ResultBlock(TypedDict):
    """What a tool answered."""

    type: Literal["result"]
    callId: str
    text: str
    failed: bool


class ModelMessage(TypedDict):
    """One whole message of the conversation."""

    role: Literal["user", "assistant"]
    blocks: list[TextBlock | CallBlock | ResultBlock]


class ModelTool(TypedDict):
    """A tool on offer; `inputSchema` is a JSON Schema object."""

    name: str
    description: str
    inputSchema: dict[str, Any]


class CompleteParams(TypedDict):
    """`agent/model/complete`. With `mustCall` the model should be made to call some tool, where the editor can."""

    model: str
    phase: Literal["planning", "execution", "reflection", "chat"]
    system: str
    messages: list[ModelMessage]
    tools: list[ModelTool]
    maxTokens: int
    mustCall: bool


class ModelUsage(TypedDict, total=False):
    """What the editor counted."""

    inputTokens: int
    outputTokens: int


class Completion(TypedDict):
    """`agent/model/complete`: one whole answer."""

    blocks: list[TextBlock | CallBlock]
    stop: Literal["end", "tool_use", "length"]
    model: str
    usage: NotRequired[ModelUsage]


EDITOR_REQUESTS: Final[Mapping[str, tuple[Any, Any]]] = {
    "agent/model/list": (ModelListParams, LentModels),
    "agent/model/complete": (CompleteParams, Completion),
}
"""Params and result of what the server asks; each may be answered with an ErrorBody instead."""
