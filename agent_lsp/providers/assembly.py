"""Owns how the events of a stream become one whole answer, or the error that says why they do not.

The SDK's own accumulation is not used: it returns a message without its stop event as if it were whole.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agent_lsp.domain.conversation import Block, ModelTurn, StopReason, Text, ToolCall
from agent_lsp.domain.errors import ModelBrokenError
from agent_lsp.domain.task import Usage
from agent_lsp.providers.messages import Raw
from agent_lsp.providers.pricing import Price, cost_usd

_STOPS: Final = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "tool_use": StopReason.TOOL_USE,
    "max_tokens": StopReason.LENGTH,
    "model_context_window_exceeded": StopReason.LENGTH,
    "pause_turn": StopReason.LENGTH,
    "refusal": StopReason.REFUSAL,
}
_THINKING: Final = ("thinking", "redacted_thinking")
_CUT: Final = (StopReason.LENGTH, StopReason.REFUSAL)
_TOKEN_FIELDS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


@dataclass(slots=True)
class _Part:
    """A content block while it grows. `kind` is the API's type; `whole` is set by its stop event."""

    kind: str
    call_id: str = ""
    name: str = ""
    text: list[str] = field(default_factory=list)
    start_input: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False
    signature: str = ""
    data: str = ""


class Assembly:
    """Takes the events of one stream in order. `started` tells whether any of the message was seen."""

    def __init__(self, model: str, prices: Mapping[str, Price], on_text: Callable[[str], None]) -> None:
        self._model, self._prices, self._on_text = model, prices, on_text
        self._parts: dict[int, _Part] = {}
        self._tokens: dict[str, int] = {}
        self._stop_reason: str | None = None
        self.started = False
        self.finished = False

    def take(self, event: Mapping[str, Any]) -> None:
        """One decoded event. Raises ModelBrokenError for one that makes no sense; unknown kinds are passed over."""
        try:
            self._take(event)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelBrokenError(
                f"The model's stream holds a malformed event ({event.get('type')!s:.40})."
            ) from error

    def turn(self) -> ModelTurn:
        """The whole answer. Raises ModelBrokenError if the stream ended before the message did."""
        if not self.finished:
            raise ModelBrokenError("The model's stream ended before its message did.")
        if self._stop_reason is None:
            raise ModelBrokenError("The model's message came without a stop reason.")
        stop = _STOPS.get(self._stop_reason)
        blocks = tuple(self._blocks(stop))
        calls = any(isinstance(block, ToolCall) for block in blocks)
        if stop is None:
            stop = StopReason.TOOL_USE if calls else StopReason.END
        if stop is StopReason.TOOL_USE and not calls:
            raise ModelBrokenError("The model's message says that it calls a tool and holds no call.")
        if stop is StopReason.END and calls:
            stop = StopReason.TOOL_USE
        return ModelTurn(blocks, stop, self._model, self._usage())

    def as_sent(self) -> list[Raw]:
        """The content to send back with the results of its calls; empty where there was no thinking in it."""
        parts = [part for _, part in sorted(self._parts.items()) if part.whole]
        if not any(part.kind in _THINKING for part in parts):
            return []
        return [raw for part in parts if (raw := _raw(part)) is not None]

    def _take(self, event: Mapping[str, Any]) -> None:
        match event["type"]:
            case "message_start":
                self.started = True
                self._model = event["message"].get("model") or self._model
                self._count(event["message"].get("usage"))
            case "content_block_start":
                self._start(event["index"], event["content_block"])
            case "content_block_delta":
                self._grow(self._parts[event["index"]], event["delta"])
            case "content_block_stop":
                self._parts[event["index"]].whole = True
            case "message_delta":
                self._stop_reason = event["delta"].get("stop_reason") or self._stop_reason
                self._count(event.get("usage"))
            case "message_stop":
                self.finished = True
            case _:
                pass

    def _start(self, index: int, block: Mapping[str, Any]) -> None:
        if index in self._parts:
            raise ModelBrokenError("The model's stream starts a block twice.")
        part = _Part(block["type"])
        self._parts[index] = part
        if part.kind == "tool_use":
            part.call_id, part.name = block["id"], block["name"]
            part.start_input = block.get("input") or {}
        elif part.kind == "text" and block.get("text"):
            self._say(part, block["text"])
        elif part.kind in _THINKING:
            part.text.append(block.get("thinking") or "")
            part.signature, part.data = block.get("signature") or "", block.get("data") or ""

    def _grow(self, part: _Part, delta: Mapping[str, Any]) -> None:
        if delta["type"] == "text_delta":
            self._say(part, delta["text"])
        elif delta["type"] == "input_json_delta":
            part.text.append(delta["partial_json"])
        elif delta["type"] == "thinking_delta":
            part.text.append(delta["thinking"])
        elif delta["type"] == "signature_delta":
            part.signature += delta["signature"]

    def _say(self, part: _Part, text: str) -> None:
        part.text.append(text)
        if text:
            self._on_text(text)

    def _count(self, usage: Mapping[str, Any] | None) -> None:
        """Later counts replace earlier ones: the API's are cumulative."""
        for name in _TOKEN_FIELDS:
            value = (usage or {}).get(name)
            if isinstance(value, int):
                self._tokens[name] = value

    def _usage(self) -> Usage:
        usage = Usage(
            input_tokens=self._tokens.get("input_tokens", 0),
            output_tokens=self._tokens.get("output_tokens", 0),
            cache_read_tokens=self._tokens.get("cache_read_input_tokens", 0),
            cache_write_tokens=self._tokens.get("cache_creation_input_tokens", 0),
            turns=1,
        )
        return replace(usage, cost_usd=cost_usd(self._model, usage, self._prices))

    def _blocks(self, stop: StopReason | None) -> list[Block]:
        """Prose and calls in order. A call that was cut by the length limit or a refusal is left out."""
        blocks: list[Block] = []
        for _, part in sorted(self._parts.items()):
            if part.kind == "text" and "".join(part.text):
                blocks.append(Text("".join(part.text)))
            elif part.kind == "tool_use":
                call = _call(part)
                if call is None and stop not in _CUT:
                    raise ModelBrokenError(f"The input of the model's call of {part.name} is not a whole JSON object.")
                if call is not None:
                    blocks.append(call)
        return blocks


def _call(part: _Part) -> ToolCall | None:
    written = "".join(part.text)
    try:
        value = json.loads(written) if written.strip() else dict(part.start_input)
    except ValueError:
        return None
    if not isinstance(value, dict) or not part.whole or not part.name or not part.call_id:
        return None
    return ToolCall(part.call_id, part.name, value)


def _raw(part: _Part) -> Raw | None:
    written = "".join(part.text)
    match part.kind:
        case "thinking":
            return {"type": "thinking", "thinking": written, "signature": part.signature}
        case "redacted_thinking":
            return {"type": "redacted_thinking", "data": part.data}
        case "text":
            return {"type": "text", "text": written} if written.strip() else None
        case "tool_use":
            call = _call(part)
            return None if call is None else {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}
    return None
