"""Owns how a request of ours is written for the Messages API: blocks, tools, and where the prompt cache is marked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent_lsp.domain.conversation import Block, Message, ModelRequest, Text, ToolCall, ToolResult, ToolSpec

Raw = dict[str, Any]
Kept = Mapping[tuple[str, ...], Sequence[Raw]]
"""What the API sent with calls, thinking included, by the ids of the calls: it wants it back unchanged."""

_CACHED: Final = {"type": "ephemeral"}


def request_body(request: ModelRequest, model: str, kept: Kept, *, force: bool) -> dict[str, Any]:
    """Keyword arguments of `messages.create`. Cached up to four places: tools, system, the two newest user messages.

    The newest but one is where the last request ended: however many blocks came since, what it left is found.

    `force` is whether this model may be made to call a tool.
    """
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": _messages(request.messages, kept),
    }
    if request.system.strip():
        body["system"] = [{"type": "text", "text": request.system, "cache_control": _CACHED}]
    if request.tools:
        body["tools"] = _tools(request.tools)
        if request.must_call and force:
            body["tool_choice"] = {"type": "any"}
    return body


def _tools(tools: Sequence[ToolSpec]) -> list[Raw]:
    written: list[Raw] = [
        {"name": tool.name, "description": tool.description, "input_schema": dict(tool.input_schema)} for tool in tools
    ]
    written[-1]["cache_control"] = _CACHED
    return written


def _messages(messages: Sequence[Message], kept: Kept) -> list[Raw]:
    written: list[Raw] = [{"role": message.role, "content": _content(message, kept)} for message in messages]
    for entry in [entry for entry in written if entry["role"] == "user"][-2:]:
        entry["content"][-1]["cache_control"] = _CACHED
    return written


def call_ids(blocks: Sequence[Block]) -> tuple[str, ...]:
    """The key of `Kept`; empty for a message without calls, of which nothing needs to be kept."""
    return tuple(block.id for block in blocks if isinstance(block, ToolCall))


def _content(message: Message, kept: Kept) -> list[Raw]:
    """Results of tools first, as the API wants them; it refuses empty texts and empty messages."""
    as_sent = kept.get(call_ids(message.blocks)) if message.role == "assistant" else None
    if as_sent:
        return [dict(block) for block in as_sent]
    results = [block for block in message.blocks if isinstance(block, ToolResult)]
    others = [block for block in message.blocks if not isinstance(block, ToolResult)]
    content = [_block(block) for block in (*results, *others) if not _is_empty(block)]
    return content or [{"type": "text", "text": "(nothing)"}]


def _is_empty(block: Block) -> bool:
    return isinstance(block, Text) and not block.text.strip()


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case ToolCall(call_id, name, value):
            return {"type": "tool_use", "id": call_id, "name": name, "input": dict(value)}
        case ToolResult(call_id, text, failed):
            return {
                "type": "tool_result",
                "tool_use_id": call_id,
                "content": text if text.strip() else "(no output)",
                "is_error": failed,
            }
