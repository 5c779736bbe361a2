"""How several clients are served over TCP and WebSocket, who is let in, and how all of it ends."""

import asyncio
import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket
from websockets.typing import Origin

from agent_lsp.app.demo.sample_project import BUGGY_FILE, make_sample_project
from agent_lsp.server.sockets import CLIENT_LIMIT
from agent_lsp.server.wire import FrameDecoder
from tests.server.conftest import SERVE
from tests.server.raw_client import BARE, Json, uri_for
from tests.server.test_leaving import descendants, living

REAL = [sys.executable, "-m", "agent_lsp", "serve"]


class Line:
    """One client's connection: requests one after another; what else is heard is kept, questions get null."""

    def __init__(self, kind: str, port: int) -> None:
        self.heard: list[Json] = []
        self._last_id = 0
        self._open = contextlib.ExitStack()
        self._tcp: socket.socket | None = None
        self._ws: ClientConnection | None = None
        self._messages: queue.SimpleQueue[Json | None] = queue.SimpleQueue()
        if kind == "tcp":
            self._tcp = socket.create_connection(("127.0.0.1", port), timeout=60)
        else:
            self._ws = self._open.enter_context(connect_websocket(f"ws://127.0.0.1:{port}", max_size=None))
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def send(self, text: str) -> None:
        """One message as it is."""
        if self._ws is not None:
            self._ws.send(text)
        elif self._tcp is not None:
            body = text.encode()
            self._tcp.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def notify(self, method: str, params: Any = None) -> None:
        """Says something."""
        self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    def ask(self, method: str, params: Any = None) -> Json:
        """The whole answer to a request."""
        self._last_id += 1
        self.send(json.dumps({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}))
        while (message := self.next()) is not None:
            if message.get("id") == self._last_id and "method" not in message:
                return message
        raise ConnectionError("the server hung up")

    def command(self, name: str, **argument: Any) -> Any:
        """The result of a command."""
        return self.ask("workspace/executeCommand", {"command": name, "arguments": [argument]})["result"]

    def initialize(self, *roots: Path, process_id: int | None = None) -> "Line":
        """Begins the session."""
        folders = [{"uri": uri_for(root), "name": root.name} for root in roots]
        params = {**BARE, "processId": process_id, "rootUri": None, "workspaceFolders": folders}
        assert "result" in self.ask("initialize", params)
        self.notify("initialized", {})
        return self

    def next(self) -> Json | None:
        """The next message; questions of the server are answered on the way. None: the server hung up."""
        message = self._messages.get(timeout=10)
        if message is not None:
            self.heard.append(message)
            if "method" in message and "id" in message:
                self.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": None}))
        return message

    def wait_for_the_end(self) -> None:
        """Until the server hangs up."""
        while self.next() is not None:
            pass

    def close(self) -> None:
        """Hangs up."""
        self._open.close()
        if self._tcp is not None:
            with contextlib.suppress(OSError):
                self._tcp.shutdown(socket.SHUT_RDWR)
        self._listening.join(10)
        if self._tcp is not None:
            self._tcp.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ConnectionClosed):
            if self._ws is not None:
                while True:
                    self._messages.put(json.loads(self._ws.recv()))
            elif self._tcp is not None:
                decoder = FrameDecoder()
                while data := self._tcp.recv(65536):
                    for body in decoder.feed(data):
                        assert isinstance(body, bytes)
                        self._messages.put(json.loads(body))
        self._messages.put(None)


class SocketServer:
    """One server process that listens."""

    def __init__(self, argv: list[str], stdin: int, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(argv, stdin=stdin, stderr=subprocess.PIPE, env={**os.environ, **env})
        assert self.process.stderr is not None
        self.told = self.process.stderr.readline().decode()
        self.kind = "ws" if "ws://" in self.told else "tcp"
        self.port = int(self.told.rsplit(":", 1)[-1])
        self.lines: list[Line] = []

    def client(self) -> Line:
        """Connects."""
        line = Line(self.kind, self.port)
        self.lines.append(line)
        return line

    def end(self) -> str:
        """Kills what is left; the rest of standard error."""
        self.process.kill()
        for line in self.lines:
            line.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        assert self.process.stderr is not None
        told = self.process.stderr.read().decode()
        self.process.stderr.close()
        self.process.wait()
        return told


Start = Callable[..., SocketServer]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start("tcp")` with the fake runtime; other arguments of the real program with `start(argv=…)`."""
    servers: list[SocketServer] = []

    def begin(
        kind: str = "tcp", *, argv: list[str] | None = None, stdin: int = subprocess.DEVNULL, **env: str
    ) -> SocketServer:
        server = SocketServer(argv or [*SERVE, kind], stdin, env)
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.end()


@pytest.fixture
def other_root(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    return folder


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> float:
    """Seconds that it took."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < seconds, "it did not come"
        time.sleep(0.01)
    return time.monotonic() - began_s


def work(line: Line, server: SocketServer) -> set[int]:
    """Starts a run that goes on for ever; the processes of its runtime."""
    before = descendants(server.process.pid)
    assert "runId" in line.command("agent.run", goal="work for long")
    wait_until(lambda: len(descendants(server.process.pid)) > len(before))
    return descendants(server.process.pid) - before


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_each_client_has_a_session_of_its_own_and_ends_only_that(
    start: Start, kind: str, root: Path, other_root: Path
) -> None:
    server = start(kind)
    first, second = server.client().initialize(root), server.client().initialize(other_root)
    runtime, other_runtime = work(first, server), work(second, server)
    assert len(first.command("agent.status")["runs"]) == 1
    first.notify("exit")  # without shutdown: of no concern to the other
    first.wait_for_the_end()
    wait_until(lambda: not living(runtime))
    assert len(second.command("agent.status")["runs"]) == 1
    third = server.client().initialize(root)
    assert third.command("agent.status")["runs"] == []
    third.close()  # hangs up without a word
    assert second.ask("no/such")["error"]["code"] == -32601
    assert living(other_runtime) == other_runtime
    assert second.ask("shutdown")["result"] is None
    second.notify("exit")
    second.wait_for_the_end()
    assert not living(other_runtime)
    assert server.process.poll() is None


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_a_signal_ends_every_session_at_once(start: Start, kind: str, root: Path, other_root: Path) -> None:
    server = start(kind, IGNORES_STOP="1")
    lines = [server.client().initialize(folder) for folder in (root, other_root)]
    runtimes = work(lines[0], server) | work(lines[1], server)
    began_s = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) in (128 + signal.SIGTERM, -signal.SIGALRM)
    assert time.monotonic() - began_s < 1
    wait_until(lambda: not living(runtimes), 1)
    for line in lines:
        line.wait_for_the_end()


def test_a_pipe_at_standard_input_ends_it_and_dev_null_does_not(start: Start, root: Path) -> None:
    child = start(stdin=subprocess.PIPE)
    line = child.client().initialize(root)
    runtime = work(line, child)
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.process.wait(10) in (0, -signal.SIGALRM)
    wait_until(lambda: not living(runtime), 1)
    daemon = start(stdin=subprocess.DEVNULL)
    daemon.client().initialize(root)
    assert daemon.process.poll() is None


def test_the_death_of_one_editor_ends_only_its_session(start: Start, root: Path, other_root: Path) -> None:
    server = start()
    editor = subprocess.Popen(["sleep", "60"])
    try:
        mortal = server.client().initialize(root, process_id=editor.pid)
        other = server.client().initialize(other_root, process_id=os.getpid())
        runtime = work(mortal, server)
        editor.kill()
        mortal.wait_for_the_end()
        wait_until(lambda: not living(runtime), 1)
        assert other.command("agent.status") == {"runs": []}
    finally:
        editor.kill()
        editor.wait()


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_one_client_too_many_is_told_so(start: Start, kind: str) -> None:
    server = start(kind)
    for _ in range(CLIENT_LIMIT):
        server.client().initialize()
    refused = server.client()
    answer = refused.ask("initialize", {"processId": None, "capabilities": {}})
    assert answer["error"]["code"] == -32803
    assert f"{CLIENT_LIMIT} clients" in answer["error"]["message"]
    refused.wait_for_the_end()
    server.lines[0].notify("exit")
    server.lines[0].wait_for_the_end()
    server.client().initialize()


HOSTILE = {
    "a page that posts": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n"
    b'Content-Length: 46\r\n\r\n{"jsonrpc":"2.0","id":1,"method":"initialize"}',
    "a page that gets": b"GET / HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "one letter": b"G",
}


@pytest.mark.parametrize("who", HOSTILE)
def test_who_does_not_speak_the_protocol_is_dropped_unheard(start: Start, who: str) -> None:
    server = start("tcp")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as stranger:
        stranger.sendall(HOSTILE[who])
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1000) == b""
    server.client().initialize()


def test_a_message_in_a_frame_of_text_may_be_anything_but_is_answered(start: Start) -> None:
    line = start("ws").client().initialize()
    line.send("no json")
    heard: Json = {}
    while (heard := line.next() or {}).get("id", 0) is not None:
        pass
    assert heard["error"]["code"] == -32700
    assert line.ask("no/such", {"text": "ä" * 3_000_000})["error"]["code"] == -32601


def test_a_web_page_must_not_open_a_websocket_unless_it_is_listed(start: Start) -> None:
    server = start(argv=[*REAL, "--ws", "127.0.0.1:0", "--allow-origin", "https://ide.example"])
    url = f"ws://127.0.0.1:{server.port}"
    for origin in ("https://evil.example", "http://127.0.0.1", "null"):
        with pytest.raises(InvalidStatus) as refused, connect_websocket(url, origin=Origin(origin)):
            pass
        assert refused.value.response.status_code == 403
    for listed in (Origin("https://ide.example"), None):
        with connect_websocket(url, origin=listed) as connection:
            connection.send('{"jsonrpc":"2.0","id":1,"method":"no/such"}')
            assert json.loads(connection.recv())["error"]["code"] in (-32601, -32002)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--tcp", "0.0.0.0:0"], "--allow-remote"),
        (["--ws", "[::]:0"], "--allow-remote"),
        (["--tcp", "example.org:2087"], "--allow-remote"),
        (["--tcp", "2087"], "127.0.0.1:2087"),
        (["--tcp", "127.0.0.1:99999"], "HOST:PORT"),
        (["--tcp", "::1:0"], "[::1]:0"),
        (["--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0"], "not allowed with"),
    ],
)
def test_an_address_that_others_reach_or_that_is_none_is_refused_with_a_hint(arguments: list[str], hint: str) -> None:
    done = subprocess.run([*REAL, *arguments], stdin=-3, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_a_clear_error_and_allow_remote_allows(start: Start) -> None:
    server = start(argv=[*REAL, "--tcp", "0.0.0.0:0", "--allow-remote"])
    assert server.told.startswith("agent-lsp: listening on tcp://0.0.0.0:")
    argv = [*REAL, "--tcp", f"127.0.0.1:{server.port}"]
    done = subprocess.run(argv, stdin=-3, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "cannot be listened on" in done.stderr


def test_each_workspace_has_its_own_log(start: Start, root: Path, other_root: Path) -> None:
    server = start(argv=[*REAL, "--tcp", "127.0.0.1:0"])
    lines = [server.client(), server.client()]
    for line, folder in zip(lines, (root, other_root), strict=True):
        line.send("no json at all")  # before there is a log
        line.initialize(folder)
        wait_until(lambda folder=folder: "serves" in told_in(folder))  # type: ignore[misc]
        line.ask("shutdown")
        line.notify("exit")
        line.wait_for_the_end()
    for folder, other in ((root, other_root), (other_root, root)):
        assert f"in {folder}" in told_in(folder)
        assert str(other) not in told_in(folder)
        assert told_in(folder).count("not JSON") == 1


def told_in(folder: Path) -> str:
    """What the log of a workspace says so far."""
    path = folder / ".agent-lsp" / "copilot_console.log"
    return path.read_text() if path.exists() else ""


# --- two sessions on one workspace -----------------------------------------------------------------------------------


def proposal_of(line: Line, run_id: str) -> str:
    """Waits for the proposal of a run."""
    until_s = time.monotonic() + 90
    while time.monotonic() < until_s:
        row = line.command("agent.status", runId=run_id)["runs"][0]
        assert row["state"] not in ("failed", "cancelled"), row
        if row["state"] == "proposed":
            return str(row["proposalId"])
        time.sleep(0.1)
    raise AssertionError("no proposal came")


def test_two_clients_may_work_on_one_workspace_at_once(start: Start, tmp_path: Path) -> None:
    root = tmp_path / "sample"
    root.mkdir()
    asyncio.run(make_sample_project(root))
    before = (root / BUGGY_FILE).read_bytes()
    env = {"AGENT_LSP_CACHE_DIR": str(tmp_path / "cache"), "AGENT_LSP_MODEL__PROVIDER": "embedded"}
    server = start(argv=[*REAL, "--tcp", "127.0.0.1:0"], **env)
    lines = [server.client().initialize(root) for _ in range(2)]
    goal = "make the failing tests pass"
    runs = [line.command("agent.run", goal=goal, uri=uri_for(root / BUGGY_FILE))["runId"] for line in lines]
    first, second = (proposal_of(line, run_id) for line, run_id in zip(lines, runs, strict=True))
    assert lines[0].command("agent.apply", proposalId=first)["applied"] is True
    after = (root / BUGGY_FILE).read_bytes()
    assert after != before
    late = lines[1].command("agent.apply", proposalId=second)  # made for bytes that are gone
    assert late["applied"] is False
    assert (root / BUGGY_FILE).read_bytes() == after
    for line in lines:
        line.ask("shutdown")
        line.notify("exit")
        line.wait_for_the_end()
    connection = apsw.Connection(str(root / ".agent-lsp" / "state.db"))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    states = connection.execute("SELECT run_id, data FROM events WHERE kind = 'run.ended'").fetchall()
    connection.close()
    assert {str(row[0]) for row in states} == {runs[0]}, "what was not applied stays on offer"
    assert not any("unexpectedly" in str(row[1]) for row in states)
