"""Owns a real HTTP server that speaks the Anthropic Messages API, with a scripted brain and faults on demand.

    with AnthropicServer(ScriptedBrain(execution=[calls(edit(...)), calls(finish("done"))])) as server:
        ...  # ANTHROPIC_BASE_URL=server.url; then look at server.requests

As a program: python tests/anthropic_server.py --script brain.py --port-file FILE [--log FILE]
`brain.py` defines `brain`, a callable from ParsedRequest to Reply (or a ScriptedBrain). The port is written to FILE
when the server listens, then the URL to stdout; with --log each request's body is appended as a JSON line.
"""

import argparse
import contextlib
import importlib.util
import itertools
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

Json = dict[str, Any]

# --- what is asked -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParsedRequest:
    """One request as the brain sees it. `number` counts from 0, `connection` is the client's port."""

    number: int
    path: str
    headers: Mapping[str, str]
    body: Json
    connection: int = 0

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools on offer."""
        return tuple(tool["name"] for tool in self.body.get("tools", []))

    @property
    def phase(self) -> str:
        """planning, execution, reflection or chat, by the tools on offer."""
        for tool, phase in (("submit_plan", "planning"), ("submit_reflection", "reflection")):
            if tool in self.tools:
                return phase
        return "execution" if "finish_step" in self.tools or "edit_file" in self.tools else "chat"

    @property
    def system(self) -> str:
        """The system prompt as text."""
        system = self.body.get("system", "")
        return system if isinstance(system, str) else "".join(block["text"] for block in system)

    @property
    def messages(self) -> list[Json]:
        """The conversation with every content as a list of blocks."""
        return [
            {**message, "content": [{"type": "text", "text": message["content"]}]}
            if isinstance(message["content"], str)
            else message
            for message in self.body.get("messages", [])
        ]

    @property
    def text(self) -> str:
        """All text of the conversation, tool results included: handy for `"..." in request.text`."""
        return "\n".join(
            str(block.get("text") or block.get("content") or "")
            for message in self.messages
            for block in message["content"]
        )

    @property
    def results(self) -> list[Json]:
        """The tool results in the last message: `{"tool_use_id", "content", "is_error"}`."""
        if not self.messages:
            return []
        return [block for block in self.messages[-1]["content"] if block["type"] == "tool_result"]


# --- what is answered ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One tool call of a reply; the id is made up when empty."""

    name: str
    input: Any
    id: str = ""


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and where: `after` is the number of events that are sent before.

    Kinds: http (status), close (the connection ends; `chunked` says whether that can be noticed), stall (silence until
    the client goes), error_event, garbage (an event that is no JSON), cut_json (a tool's input ends too early),
    no_stop (everything but the end of the message), drip (`pause_s` between events, otherwise right), html.
    """

    kind: str
    after: int = 0
    status: int = 500
    body: Json = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = True
    pause_s: float = 0.0


@dataclass(frozen=True)
class Reply:
    """One answer of the model: prose, then calls. `stop_reason` follows from them unless it is given."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    stop_reason: str | None = None
    thinking: str = ""
    usage: Mapping[str, int] = field(default_factory=dict)
    model: str | None = None
    fault: Fault | None = None
    piece_size: int = 12

    def failing(self, fault: Fault) -> "Reply":
        """This reply, going wrong."""
        return replace(self, fault=fault)


Brain = Callable[[ParsedRequest], Reply]


def say(text: str, **more: Any) -> Reply:
    """A reply of prose."""
    return Reply(text=text, **more)


def calls(*wanted: Call, text: str = "", **more: Any) -> Reply:
    """A reply that calls tools."""
    return Reply(text=text, calls=wanted, **more)


def call(name: str, **arguments: Any) -> Reply:
    """A reply that calls one tool."""
    return calls(Call(name, arguments))


def edit(path: str, old_text: str, new_text: str) -> Call:
    """A call of edit_file."""
    return Call("edit_file", {"path": path, "old_text": old_text, "new_text": new_text})


def finish(summary: str = "Done.") -> Call:
    """A call of finish_step."""
    return Call("finish_step", {"summary": summary})


def plan(*titles: str, assessment: str | None = None) -> Reply:
    """A plan with one step for each title."""
    steps = [{"title": title, "detail": title, "files": [], "acceptance": "the tests pass"} for title in titles]
    kind = assessment or ("simple" if len(steps) == 1 else "multi_step")
    return call("submit_plan", assessment=kind, steps=steps)


def reflect(decision: str, reason: str = "The tests say so.", **more: Any) -> Reply:
    """A judgement."""
    return call("submit_reflection", assessment=reason, decision=decision, reason=reason, **more)


# --- faults -----------------------------------------------------------------------------------------------------


def http_error(status: int, retry_after: float | str | None = None, message: str = "scripted failure") -> Reply:
    """An answer with an HTTP status of failure."""
    kinds = {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    body = {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}}
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Reply(fault=Fault("http", status=status, body=body, headers=headers))


_ANSWER = Reply(text="This answer never ends well, whatever it says.")


def half_closed(after: int = 4, reply: Reply = _ANSWER, *, chunked: bool = True) -> Reply:
    """The connection ends after some events. Without chunks the client cannot tell it from a right end."""
    return reply.failing(Fault("close", after=after, chunked=chunked))


def stall(after: int = 3, reply: Reply = _ANSWER) -> Reply:
    """Silence after some events, until the client hangs up. `after=0`: not even headers."""
    return reply.failing(Fault("stall", after=after))


def error_event(after: int = 3, kind: str = "overloaded_error", message: str = "Overloaded") -> Reply:
    """An SSE `error` event after some events."""
    body = {"type": "error", "error": {"type": kind, "message": message}}
    return _ANSWER.failing(Fault("error_event", after=after, body=body))


def garbage(after: int = 3) -> Reply:
    """An event whose data is not JSON."""
    return _ANSWER.failing(Fault("garbage", after=after))


def no_stop(reply: Reply = _ANSWER, *, chunked: bool = False) -> Reply:
    """A stream without message_delta and message_stop, ended like a right one."""
    return reply.failing(Fault("no_stop", chunked=chunked))


def cut_json(name: str = "edit_file", stop_reason: str = "tool_use") -> Reply:
    """A tool call whose input is not a whole JSON object."""
    return calls(Call(name, {"path": "a.py", "old_text": "x", "new_text": "y"}), stop_reason=stop_reason).failing(
        Fault("cut_json")
    )


def html() -> Reply:
    """A proxy's page with status 200."""
    return Reply(fault=Fault("html"))


def refusal(text: str = "") -> Reply:
    """The model declines."""
    return Reply(text=text, stop_reason="refusal")


def too_long(text: str = "This goes on and") -> Reply:
    """The answer is cut by max_tokens."""
    return Reply(text=text, stop_reason="max_tokens")


def drip(reply: Reply, pause_s: float = 0.05) -> Reply:
    """A right answer, slowly."""
    return reply.failing(Fault("drip", pause_s=pause_s))


# --- brains -------------------------------------------------------------------------------------------------------


class ScriptedBrain:
    """Answers from one queue for each phase; a reply may also be a callable from ParsedRequest to Reply.

    Defaults for an empty queue: planning a plan of one step, execution finish_step, reflection `retry`, chat "Yes.".
    """

    def __init__(
        self,
        execution: Iterable[Reply | Brain] = (),
        *,
        planning: Iterable[Reply | Brain] = (),
        reflection: Iterable[Reply | Brain] = (),
        chat: Iterable[Reply | Brain] = (),
    ) -> None:
        queues = {"planning": planning, "execution": execution, "reflection": reflection, "chat": chat}
        self._queues = {phase: list(queue) for phase, queue in queues.items()}
        self._lock = threading.Lock()

    def __call__(self, request: ParsedRequest) -> Reply:
        """The next reply of the request's phase."""
        with self._lock:
            queue = self._queues[request.phase]
            answer = queue.pop(0) if queue else DEFAULTS[request.phase]
        return answer if isinstance(answer, Reply) else answer(request)

    def add(self, phase: str, *replies: Reply | Brain) -> None:
        """Appends to a queue while the server runs."""
        with self._lock:
            self._queues[phase].extend(replies)

    @property
    def left(self) -> dict[str, int]:
        """How many replies were not asked for."""
        return {phase: len(queue) for phase, queue in self._queues.items()}


DEFAULTS: Mapping[str, Reply] = {
    "planning": plan("Do it"),
    "execution": calls(finish()),
    "reflection": reflect("retry"),
    "chat": say("Yes."),
}


# --- the wire -------------------------------------------------------------------------------------------------------


def content_of(reply: Reply, ids: Iterator[int]) -> list[Json]:
    """The blocks of a whole message."""
    blocks: list[Json] = []
    if reply.thinking:
        blocks.append({"type": "thinking", "thinking": reply.thinking, "signature": "sig-" + "x" * 20})
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    for wanted in reply.calls:
        name = wanted.id or f"toolu_{next(ids):06d}"
        blocks.append({"type": "tool_use", "id": name, "name": wanted.name, "input": wanted.input})
    return blocks


def stop_reason_of(reply: Reply) -> str:
    """The reason that fits the content, or the given one."""
    return reply.stop_reason or ("tool_use" if reply.calls else "end_turn")


def usage_of(reply: Reply) -> dict[str, int]:
    """Made-up counts; `reply.usage` goes over them."""
    size = len(reply.text) + sum(len(json.dumps(wanted.input)) for wanted in reply.calls)
    return {
        "input_tokens": 100,
        "output_tokens": max(1, size // 4),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        **reply.usage,
    }


def events_of(reply: Reply, content: Sequence[Json], message_id: str, model: str) -> Iterator[tuple[str, Json]]:
    """The stream of a whole message, cut in small pieces, with a ping."""
    usage = usage_of(reply)
    start: Json = {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": model,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    yield "message_start", {"message": start}
    yield "ping", {}
    for index, block in enumerate(content):
        yield from _block_events(index, block, reply)
    if reply.fault is not None and reply.fault.kind == "no_stop":
        return
    delta = {"stop_reason": stop_reason_of(reply), "stop_sequence": None}
    yield "message_delta", {"delta": delta, "usage": {"output_tokens": usage["output_tokens"]}}
    yield "message_stop", {}


def _block_events(index: int, block: Json, reply: Reply) -> Iterator[tuple[str, Json]]:
    empty: Mapping[str, Json] = {
        "text": {"text": ""},
        "tool_use": {"input": {}},
        "thinking": {"thinking": "", "signature": ""},
    }
    yield "content_block_start", {"index": index, "content_block": {**block, **empty[block["type"]]}}
    for delta in _deltas(block, reply):
        yield "content_block_delta", {"index": index, "delta": delta}
    yield "content_block_stop", {"index": index}


def _deltas(block: Json, reply: Reply) -> Iterator[Json]:
    match block["type"]:
        case "text":
            yield from ({"type": "text_delta", "text": part} for part in _pieces(block["text"], reply.piece_size))
        case "thinking":
            pieces = _pieces(block["thinking"], reply.piece_size)
            yield from ({"type": "thinking_delta", "thinking": part} for part in pieces)
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            written = json.dumps(block["input"])
            if reply.fault is not None and reply.fault.kind == "cut_json":
                written = written[: len(written) // 2]
            yield {"type": "input_json_delta", "partial_json": ""}
            pieces = _pieces(written, reply.piece_size)
            yield from ({"type": "input_json_delta", "partial_json": part} for part in pieces)


def _pieces(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


class Handler(BaseHTTPRequestHandler):
    """One connection. HTTP/1.1, chunked unless a fault wants the body ended by closing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else most answers wait 40 ms for the client's acknowledgement of their headers
    page = "/v1/messages"
    server: "_Server"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: tests read `requests`."""

    def do_GET(self) -> None:
        """`/v1/models/{id}`, which health checks ask; every model exists."""
        if self.path.startswith("/v1/models/") and self.server.owner.lists_models:
            name = self.path.removeprefix("/v1/models/")
            self._json(200, {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"})
        else:
            self._json(404, {"type": "error", "error": {"type": "not_found_error", "message": "no such page"}})

    def do_POST(self) -> None:
        """`page`, streamed or not."""
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.split("?")[0] != self.page:
            self._json(404, {"type": "error", "error": {"type": "not_found_error", "message": self.path}})
            return
        try:
            body = json.loads(raw)
        except ValueError:
            self._json(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "not JSON"}})
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = self.server.owner.record(self.path, headers, body, int(self.client_address[1]))
        try:
            self._answer(request, self.server.owner.think(request))
        except (BrokenPipeError, ConnectionResetError):
            self.server.owner.note_hang_up(request)
            self.close_connection = True

    def _answer(self, request: ParsedRequest, reply: Reply) -> None:
        fault = reply.fault
        if fault is not None and fault.kind == "http":
            self._json(fault.status, fault.body, fault.headers)
        elif fault is not None and fault.kind == "html":
            self._send(200, "text/html", b"<html><body>Sign in to the network</body></html>")
        elif request.body.get("stream"):
            self._stream(request, reply)
        elif fault is not None and fault.kind == "stall":
            self._wait_for_hang_up(request)
        else:
            self._whole(request, reply)

    def _whole(self, request: ParsedRequest, reply: Reply) -> None:
        message = {
            "id": f"msg_{request.number:06d}",
            "type": "message",
            "role": "assistant",
            "content": content_of(reply, self.server.owner.ids),
            "model": reply.model or request.body.get("model", "scripted"),
            "stop_reason": stop_reason_of(reply),
            "stop_sequence": None,
            "usage": usage_of(reply),
        }
        self._json(200, message)

    def _stream(self, request: ParsedRequest, reply: Reply) -> None:
        fault = reply.fault or Fault("")
        if fault.kind == "stall" and fault.after == 0:
            self._wait_for_hang_up(request)
            return
        chunked = fault.chunked or fault.kind not in ("close", "no_stop")
        self._head(chunked)
        content = content_of(reply, self.server.owner.ids)
        model = reply.model or request.body.get("model", "scripted")
        for number, (name, data) in enumerate(self._events(reply, content, f"msg_{request.number:06d}", model)):
            if number >= fault.after and self._went_wrong(request, fault, chunked):
                return
            if fault.kind == "drip" and self.server.stopped.wait(fault.pause_s):
                break
            self._event(name, data, chunked)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True

    def _events(self, reply: Reply, content: Sequence[Json], message_id: str, model: str) -> Iterator[tuple[str, str]]:
        """Names and data."""
        for name, data in events_of(reply, content, message_id, model):
            yield name, json.dumps({"type": name, **data})

    def _went_wrong(self, request: ParsedRequest, fault: Fault, chunked: bool) -> bool:
        match fault.kind:
            case "close":
                self.close_connection = True
                self.wfile.flush()
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
            case "stall":
                self._wait_for_hang_up(request)
            case "error_event":
                self._event("error", json.dumps(fault.body), chunked)
                self.wfile.write(b"0\r\n\r\n")
            case "garbage":
                self._event("content_block_delta", '{"type": "content_block_delta", "index": 0, "del', chunked)
                self.wfile.write(b"0\r\n\r\n")
            case _:
                return False
        return True

    def _wait_for_hang_up(self, request: ParsedRequest) -> None:
        """Until the client closes its end or the server stops."""
        self.close_connection = True
        self.connection.settimeout(0.02)
        while not self.server.stopped.is_set():
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.server.owner.note_hang_up(request)

    def _head(self, chunked: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("request-id", "req_scripted")
        if chunked:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("connection", "close")
        self.end_headers()

    def _event(self, name: str, data: str, chunked: bool) -> None:
        raw = f"event: {name}\ndata: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw) if chunked else raw)
        self.wfile.flush()

    def _json(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(body).encode(), headers)

    def _send(self, status: int, kind: str, raw: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(raw)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, owner: "AnthropicServer", port: int) -> None:
        super().__init__(("127.0.0.1", port), owner.handler)
        self.owner = owner
        self.stopped = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is kept for `errors`."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):
            self.owner.errors.append(error)


class AnthropicServer:
    """The server in a thread of its own; `url` is what ANTHROPIC_BASE_URL wants. Also a context manager.

    `requests` are all that came, in order; `hang_ups` the numbers of those whose client left before the end; `errors`
    what went wrong in the brain (the client then gets a 500).
    """

    handler: type[Handler] = Handler
    asked: type[ParsedRequest] = ParsedRequest

    def __init__(self, brain: Brain | None = None, *, port: int = 0, log: Path | None = None) -> None:
        self.brain: Brain = brain or ScriptedBrain()
        self.requests: list[ParsedRequest] = []
        self.hang_ups: list[int] = []
        self.errors: list[BaseException] = []
        self.lists_models = True
        self.ids = itertools.count(1)
        self._log = log
        self._arrived = threading.Condition()
        self._server = _Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "AnthropicServer":
        """Begins to serve."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends every connection and the thread."""
        self._server.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> "AnthropicServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def in_phase(self, phase: str) -> list[ParsedRequest]:
        """The requests of one phase."""
        return [request for request in self.requests if request.phase == phase]

    def wait_for(self, count: int, timeout_s: float = 10.0) -> None:
        """Blocks until that many requests came. Raises TimeoutError."""
        self._wait(lambda: len(self.requests) >= count, timeout_s)

    def wait_for_hang_up(self, timeout_s: float = 10.0) -> None:
        """Blocks until some client left before its answer's end. Raises TimeoutError."""
        self._wait(lambda: bool(self.hang_ups), timeout_s)

    def _wait(self, true: Callable[[], bool], timeout_s: float) -> None:
        with self._arrived:
            if not self._arrived.wait_for(true, timeout_s):
                raise TimeoutError(f"{len(self.requests)} requests and {len(self.hang_ups)} hang-ups so far")

    # --- for the handler ---

    def record(self, path: str, headers: Mapping[str, str], body: Json, connection: int = 0) -> ParsedRequest:
        """Keeps a request and numbers it."""
        with self._arrived:
            request = self.asked(len(self.requests), path, headers, body, connection)
            self.requests.append(request)
            if self._log is not None:
                with self._log.open("a", encoding="utf-8") as log:
                    log.write(json.dumps({"path": path, "body": body}) + "\n")
            self._arrived.notify_all()
        return request

    def think(self, request: ParsedRequest) -> Reply:
        """The brain's reply; a brain that raises is a 500 and an entry of `errors`."""
        try:
            return self.brain(request)
        except Exception as error:
            self.errors.append(error)
            return http_error(500, message=f"the brain raised {type(error).__name__}: {error}")

    def note_hang_up(self, request: ParsedRequest) -> None:
        """Keeps that a client left."""
        with self._arrived:
            self.hang_ups.append(request.number)
            self._arrived.notify_all()


# --- as a program ---------------------------------------------------------------------------------------------------


def load_brain(script: Path) -> Brain:
    """The `brain` of a Python file. It may import this module as `tests.anthropic_server` or `anthropic_server`."""
    sys.modules.setdefault("anthropic_server", sys.modules[__name__])
    sys.modules.setdefault("tests.anthropic_server", sys.modules[__name__])
    spec = importlib.util.spec_from_file_location("scripted_brain", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    brain: Brain = module.brain
    return brain


def main() -> None:
    """Serves until it is told to end."""
    parser = argparse.ArgumentParser(description="A scripted endpoint of the Anthropic Messages API.")
    parser.add_argument("--script", type=Path)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    brain = load_brain(arguments.script) if arguments.script else None
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with AnthropicServer(brain, port=arguments.port, log=arguments.log) as server:
        fresh = arguments.port_file.with_suffix(".tmp")
        fresh.write_text(str(server.port))
        fresh.replace(arguments.port_file)
        print(server.url, flush=True)
        while not ended.wait(0.5):
            pass


if __name__ == "__main__":
    main()
