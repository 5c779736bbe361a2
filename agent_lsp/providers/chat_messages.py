"""Owns how a request of ours is written for chat completions in OpenAI's format, which many servers speak."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent_lsp.domain.conversation import Message, ModelRequest, Text, ToolCall, ToolResult, ToolSpec

Raw = dict[str, Any]


@dataclass(slots=True)
class Dialect:
    """What a server takes; learnt from what it refuses.

    `length` is the name of the limit of an answer: newer servers know `max_completion_tokens` alone, older ones
    `max_tokens`. `force` is whether it may be made to call a tool, `usage` whether it can be asked to count tokens.
    """

    length: str = "max_completion_tokens"
    force: bool = True
    usage: bool = True

    def adapted(self, body: Raw, refusal: str) -> bool:
        """Whether a refusal names something of the request that can be left out or said otherwise; it is, from now on.

        Each of them once: a server that refuses both names of the limit is not asked for ever.
        """
        if "tool_choice" in refusal and "tool_choice" in body:
            self.force = False
        elif "stream_options" in refusal and "stream_options" in body:
            self.usage = False
        elif self.length in refusal and self.length == "max_completion_tokens":
            self.length = "max_tokens"
        else:
            return False
        return True


def request_body(request: ModelRequest, model: str, dialect: Dialect) -> Raw:
    """Keyword arguments of `chat.completions.create`, streamed."""
    messages: list[Raw] = [{"role": "system", "content": request.system}] if request.system.strip() else []
    for message in request.messages:
        messages += _written(message)
    body: Raw = {"model": model, "messages": messages, "stream": True, dialect.length: request.max_tokens}
    if dialect.usage:
        body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = _tools(request.tools)
        if request.must_call and dialect.force:
            body["tool_choice"] = "required"
    return body


def _tools(tools: Sequence[ToolSpec]) -> list[Raw]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.input_schema),
            },
        }
        for tool in tools
    ]


def _written(message: Message) -> list[Raw]:
    """One message of ours as theirs: results of tools are messages of their own, before what the person says."""
    text = "\n\n".join(block.text for block in message.blocks if isinstance(block, Text) and block.text.strip())
    if message.role == "assistant":
        calls = [_call(block) for block in message.blocks if isinstance(block, ToolCall)]
        if calls:
            return [{"role": "assistant", "content": text or None, "tool_calls": calls}]
        return [{"role": "assistant", "content": text or "(nothing)"}]
    results = [_result(block) for block in message.blocks if isinstance(block, ToolResult)]
    if text or not results:
        results.append({"role": "user", "content": text or "(nothing)"})
    return results


def _call(call: ToolCall) -> Raw:
    function = {"name": call.name, "arguments": json.dumps(dict(call.input), ensure_ascii=False)}
    return {"id": call.id, "type": "function", "function": function}


def _result(result: ToolResult) -> Raw:
    text = result.text if result.text.strip() else "(no output)"
    return {"role": "tool", "tool_call_id": result.call_id, "content": f"[failed] {text}" if result.failed else text}
