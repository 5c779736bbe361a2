"""Owns both wire formats for a scenario: the server of each, what a person sets for it, and what arrived there."""

import json
from collections.abc import Iterator

from tests.anthropic_server import AnthropicServer, Json
from tests.chat_server import ChatServer

KEY = "sk-proj-scenario-0123456789abcdef"
WIRES = {"messages": AnthropicServer, "chat": ChatServer}


def at(endpoint: AnthropicServer) -> dict[str, str]:
    """The environment that leads there."""
    if isinstance(endpoint, ChatServer):
        provider = {"AGENT_LSP_MODEL__PROVIDER": "openai", "AGENT_LSP_MODEL__NAME": "large"}
        return {**provider, "OPENAI_BASE_URL": f"{endpoint.url}/v1", "OPENAI_API_KEY": KEY}
    return {"ANTHROPIC_BASE_URL": endpoint.url, "ANTHROPIC_API_KEY": KEY}


def sent(endpoint: AnthropicServer) -> str:
    """Everything that left the machine."""
    return "\n".join(json.dumps(request.body, ensure_ascii=False) for request in endpoint.requests)


def answers(endpoint: AnthropicServer) -> list[str]:
    """What tools answered, as it arrived."""
    return [str(result["content"]) for request in endpoint.requests for result in request.results]


def calls_without_result(body: Json) -> list[str]:
    """What is torn apart in a request: calls that are not answered at once, and answers without their call."""
    open_calls: set[str] = set()
    torn: list[str] = []
    for kind, name in _calls_and_results(body):
        if kind == "call":
            open_calls.add(name)
        elif kind == "result":
            torn += [] if name in open_calls else [name]
            open_calls.discard(name)
        else:
            torn += sorted(open_calls)
            open_calls.clear()
    return torn + sorted(open_calls)


def _calls_and_results(body: Json) -> Iterator[tuple[str, str]]:
    for message in body["messages"]:
        if message["role"] == "assistant":
            yield "turn", ""
            for call in message.get("tool_calls") or ():
                yield "call", call["id"]
        if message["role"] == "tool":
            yield "result", message["tool_call_id"]
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            if block["type"] == "tool_use":
                yield "call", block["id"]
            elif block["type"] == "tool_result":
                yield "result", block["tool_use_id"]
