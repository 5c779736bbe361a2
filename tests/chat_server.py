"""Owns a real HTTP server that speaks OpenAI's chat completions, with the same scripted brains and faults.

with ChatServer(ScriptedBrain(execution=[calls(edit(...)), calls(finish("done"))])) as server:
    ...  # OPENAI_BASE_URL=server.url + "/v1"; then look at server.requests
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from typing_extensions import override

from tests.anthropic_server import AnthropicServer, Handler, Json, ParsedRequest, Reply, stop_reason_of, usage_of

_FINISHES = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter"}


class ChatRequest(ParsedRequest):
    """One request as the brain sees it."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools on offer."""
        return tuple(tool["function"]["name"] for tool in self.body.get("tools", []))

    @property
    def system(self) -> str:
        """The system prompt."""
        return "".join(row["content"] for row in self.body["messages"] if row["role"] == "system")

    @property
    def text(self) -> str:
        """All text of the conversation."""
        return "\n".join(str(row.get("content") or "") for row in self.body["messages"] if row["role"] != "system")

    @property
    def results(self) -> list[Json]:
        """The results of tools at the end of the conversation."""
        rows: list[Json] = []
        for row in reversed(self.body["messages"]):
            if row["role"] != "tool":
                break
            rows.insert(0, row)
        return rows


class ChatHandler(Handler):
    """One connection."""

    page = "/v1/chat/completions"

    @override
    def do_GET(self) -> None:
        """`/v1/models`, unless the server lists none."""
        if self.path == "/v1/models" and self.server.owner.lists_models:
            rows = [{"id": name, "object": "model", "created": 0, "owned_by": "house"} for name in ("small", "large")]
            self._json(200, {"object": "list", "data": rows})
        else:
            self._json(404, {"error": {"message": "no such page", "type": "invalid_request_error"}})

    def _whole(self, request: ParsedRequest, reply: Reply) -> None:
        message = {"role": "assistant", "content": reply.text}
        choice = {"index": 0, "message": message, "finish_reason": _FINISHES[stop_reason_of(reply)]}
        self._json(200, {"id": "chat", "object": "chat.completion", "model": "house", "choices": [choice]})

    def _events(self, reply: Reply, content: Sequence[Json], message_id: str, model: str) -> Iterator[tuple[str, str]]:
        for chunk in _chunks(reply, content):
            row = {"id": message_id, "object": "chat.completion.chunk", "created": 0, "model": model, **chunk}
            yield "", json.dumps(row)
        if reply.fault is None or reply.fault.kind != "no_stop":
            yield "", "[DONE]"

    def _event(self, name: str, data: str, chunked: bool) -> None:
        raw = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw) if chunked else raw)
        self.wfile.flush()


def _chunks(reply: Reply, content: Sequence[Json]) -> Iterator[Json]:
    yield _choice({"role": "assistant", "content": ""})
    number = 0
    for block in content:
        if block["type"] == "text":
            for piece in _pieces(block["text"], reply.piece_size):
                yield _choice({"content": piece})
        elif block["type"] == "tool_use":
            yield from _call(number, block, reply)
            number += 1
    if reply.fault is not None and reply.fault.kind == "no_stop":
        return
    yield _choice({}, _FINISHES.get(stop_reason_of(reply), stop_reason_of(reply)))
    counts = usage_of(reply)
    cached = counts["cache_read_input_tokens"]
    usage = {
        "prompt_tokens": counts["input_tokens"] + cached,
        "completion_tokens": counts["output_tokens"],
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    yield {"choices": [], "usage": usage}


def _call(number: int, block: Json, reply: Reply) -> Iterator[Json]:
    written = json.dumps(block["input"])
    if reply.fault is not None and reply.fault.kind == "cut_json":
        written = written[: len(written) // 2]
    head = {
        "index": number,
        "id": block["id"],
        "type": "function",
        "function": {"name": block["name"], "arguments": ""},
    }
    yield _choice({"tool_calls": [head]})
    for piece in _pieces(written, reply.piece_size):
        yield _choice({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})


def _choice(delta: Json, finish: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _pieces(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


class ChatServer(AnthropicServer):
    """See AnthropicServer; `url` has no `/v1` at its end. Its models are `small` and `large`."""

    handler: type[Any] = ChatHandler
    asked = ChatRequest
