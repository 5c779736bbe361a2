"""Owns a real HTTP server that speaks Ollama's own format, with the same scripted brains and faults.

with OllamaServer(ScriptedBrain(execution=[calls(edit(...)), calls(finish("done"))])) as server:
    ...  # OLLAMA_HOST=server.url; then look at server.requests
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from typing_extensions import override

from tests.anthropic_server import AnthropicServer, Json, Reply, stop_reason_of, usage_of
from tests.chat_server import ChatHandler, ChatRequest

_DONE = {"end_turn": "stop", "tool_use": "stop", "max_tokens": "length"}


class OllamaHandler(ChatHandler):
    """One connection."""

    page = "/api/chat"

    @override
    def do_GET(self) -> None:
        """`/api/tags`: the models that were loaded."""
        if self.path != "/api/tags":
            self._json(404, {"error": "no such page"})
            return
        rows = [{"model": name, "size": 1000, "digest": "0"} for name in loaded_by(self.server.owner)]
        self._json(200, {"models": rows})

    @override
    def do_POST(self) -> None:
        """`/api/pull`, and `page` for a model that is there."""
        if self.path != "/api/pull":
            super().do_POST()
            return
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        self._head(chunked=True)
        if body["model"] == "nonesuch":
            self._event("", json.dumps({"error": "pull model manifest: file does not exist"}), chunked=True)
        else:
            for step in ({"status": "pulling manifest"}, *_layers(), {"status": "success"}):
                self._event("", json.dumps(step), chunked=True)
            loaded_by(self.server.owner).append(body["model"])
        self.wfile.write(b"0\r\n\r\n")

    @override
    def _whole(self, request: Any, reply: Reply) -> None:
        raise AssertionError("agent-lsp always streams")

    @override
    def _events(self, reply: Reply, content: Sequence[Json], message_id: str, model: str) -> Iterator[tuple[str, str]]:
        for row in _rows(reply, content):
            message = {"role": "assistant", "content": "", **row.pop("message", {})}
            yield "", json.dumps({"model": model, "done": False, **row, "message": message})

    @override
    def _event(self, name: str, data: str, chunked: bool) -> None:
        raw = data.encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw) if chunked else raw)
        self.wfile.flush()


def _layers() -> Iterator[Json]:
    for completed in (0, 500, 1000):
        yield {"status": "pulling 8eeb52dfb3bb", "digest": "sha256:8eeb", "total": 1000, "completed": completed}


def _rows(reply: Reply, content: Sequence[Json]) -> Iterator[Json]:
    yield {}
    for block in content:
        if block["type"] == "thinking":
            yield {"message": {"thinking": block["thinking"]}}
        elif block["type"] == "text":
            text = block["text"]
            for at in range(0, len(text), reply.piece_size):
                yield {"message": {"content": text[at : at + reply.piece_size]}}
        else:
            yield {"message": {"tool_calls": [{"function": {"name": block["name"], "arguments": block["input"]}}]}}
    if reply.fault is not None and reply.fault.kind == "no_stop":
        return
    counts, reason = usage_of(reply), stop_reason_of(reply)
    done = {"done": True, "done_reason": _DONE.get(reason, reason)}
    yield {**done, "prompt_eval_count": counts["input_tokens"], "eval_count": counts["output_tokens"]}


def loaded_by(owner: AnthropicServer) -> list[str]:
    """The models that a server has."""
    assert isinstance(owner, OllamaServer)
    return owner.loaded


class OllamaServer(AnthropicServer):
    """See AnthropicServer. Its models are `small:latest` and `large:8b`, until another one is pulled."""

    handler: type[Any] = OllamaHandler
    asked = ChatRequest

    def __init__(self, brain: Any = None, **more: Any) -> None:
        super().__init__(brain, **more)
        self.loaded = ["small:latest", "large:8b"]
