"""How frames are found in bytes, and how bytes go to and from an editor, whatever it does with its end."""

import asyncio
import contextlib
import fcntl
import gc
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.server.wire import FRAME_LIMIT_BYTES, FrameDecoder, Noise
from tests.server.conftest import SERVE, Connect
from tests.server.flows import run, wait_state
from tests.server.raw_client import BARE, VSCODE, NoAnswerError, RawClient, RpcError

Items = list[bytes | Noise]


def frame(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def decoded(*pieces: bytes) -> Items:
    decoder = FrameDecoder()
    return [item for piece in pieces for item in decoder.feed(piece)]


def bodies(items: Items) -> list[bytes]:
    return [item for item in items if isinstance(item, bytes)]


def noises(items: Items) -> list[str]:
    return [item.text for item in items if isinstance(item, Noise)]


# --- frames ----------------------------------------------------------------------------------------------------------

ODD_HEADERS = (
    b'Content-Length: 7\r\n\r\n{"a":1}',
    b'content-length:7\n\n{"a":1}',
    b'CONTENT-LENGTH :  7  \r\n\r\n{"a":1}',
    b'Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 7\r\n\r\n{"a":1}',
    b'Content-Length: 7\r\nContent-Type: x\r\nX-More: y\r\n\r\n{"a":1}',
    b'Content-Length: 9\r\nContent-Length: 7\r\n\r\n{"a":1}',
    b'\r\nContent-Length: 7\r\n\r\n{"a":1}',
    b'Content-Length: 13\r\n\r\n{"a":\r\n\r\n"b"}',
)
ODD_BODIES = [b'{"a":1}'] * 7 + [b'{"a":\r\n\r\n"b"}']


@pytest.mark.parametrize("size", [1, 2, 3, 7, 19, 64, 1000])
def test_frames_are_found_however_their_bytes_are_cut(size: int) -> None:
    stream = b"".join(ODD_HEADERS)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert decoded(*pieces) == ODD_BODIES


def test_a_header_that_says_nothing_useful_costs_its_own_message_alone() -> None:
    for broken in (b"Content-Length: many", b"Content-Length: -7", b"Content-Lenght: 7", b"no header at all", b":"):
        stream = broken + b"\r\n\r\n" + b'{"lost":1}' + frame(b'{"a":1}') + frame(b'{"b":2}')
        for size in (1, 5, 1000):
            found = decoded(*(stream[at : at + size] for at in range(0, len(stream), size)))
            assert bodies(found) == [b'{"a":1}', b'{"b":2}'], broken
            assert noises(found) == ["a header without a usable Content-Length"], broken


def test_a_length_that_is_said_too_long_ends_where_the_next_header_begins() -> None:
    stream = b'Content-Length: 5000000\r\n\r\n{"a":1}' + frame(b'{"b":2}') + frame(b'{"c":3}')
    for cut in range(len(stream)):
        found = decoded(stream[:cut], stream[cut:])
        assert bodies(found) == [b'{"a":1}', b'{"b":2}', b'{"c":3}'], cut
        assert noises(found) == ["Content-Length said 5000000, but the next header came after 7 bytes"], cut
    assert bodies(decoded(*(stream[at : at + 1] for at in range(len(stream))))) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def test_a_length_that_is_said_too_short_costs_its_own_message_alone() -> None:
    found = decoded(b'Content-Length: 4\r\n\r\n{"a":1}' + frame(b'{"b":2}') + frame(b'{"c":3}'))
    assert bodies(found) == [b'{"a"', b'{"b":2}', b'{"c":3}']
    assert noises(found) == ["bytes that are no header were skipped"]


def test_the_words_of_a_header_inside_a_json_string_are_text() -> None:
    body = json.dumps({"text": "\nContent-Length: 5\r\n\r\nhello"}, indent=1).encode()
    stream = frame(body) * 2
    assert decoded(*(stream[at : at + 10] for at in range(0, len(stream), 10))) == [body, body]


def test_a_length_beyond_the_limit_is_refused_and_the_next_message_is_read() -> None:
    found = decoded(b"Content-Length: %d\r\n\r\n{" % (FRAME_LIMIT_BYTES + 1) + b'"x":1}' + frame(b'{"a":1}'))
    assert bodies(found) == [b'{"a":1}']
    assert str(FRAME_LIMIT_BYTES) in noises(found)[0]


def test_rubbish_without_end_takes_no_memory_and_is_told_once() -> None:
    decoder = FrameDecoder()
    tracemalloc.start()
    found: Items = []
    for _ in range(400):
        found += decoder.feed(b"x" * 65536)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1_000_000
    assert len(found) == 1
    assert bodies(decoder.feed(b"\n" + frame(b'{"a":1}'))) == [b'{"a":1}']


def _decode_s(megabytes: int) -> float:
    """Seconds to take a message of lines in pieces as a pipe gives them."""
    piece = (b'"' + b"x" * 78 + b'"\n') * 800
    count = megabytes * 1_000_000 // len(piece)
    decoder = FrameDecoder()
    began = time.process_time()
    decoder.feed(b"Content-Length: %d\r\n\r\n" % (count * len(piece)))
    found = [item for _ in range(count) for item in decoder.feed(piece)]
    took_s = time.process_time() - began
    assert [len(body) for body in bodies(found)] == [count * len(piece)]
    return took_s


def test_the_time_for_a_large_message_grows_with_its_size_alone() -> None:
    small_s = min(_decode_s(5) for _ in range(3))
    assert _decode_s(50) < 10 * small_s * 3 + 0.05


def test_a_large_message_is_let_go_once_it_was_given_out() -> None:
    decoder = FrameDecoder()
    tracemalloc.start()
    decoder.feed(b"Content-Length: 50000000\r\n\r\n")
    for _ in range(50):
        last = decoder.feed(b"x" * 1_000_000)
    assert len(bodies(last)[0]) == 50_000_000
    del last
    gc.collect()
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept_bytes < 1_000_000  # of 50,000,000; what else this process does is counted too


# --- a server's own input --------------------------------------------------------------------------------------------


def initialize(**params: Any) -> bytes:
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"processId": None, "capabilities": {}}}
    return frame(json.dumps({**body, **params}).encode())


def request(msg_id: int, method: str, **params: Any) -> bytes:
    return frame(json.dumps({"jsonrpc": "2.0", "id": msg_id, "method": method, "params": params}).encode())


GOODBYE = frame(b'{"jsonrpc":"2.0","id":99,"method":"shutdown"}') + frame(b'{"jsonrpc":"2.0","method":"exit"}')


def answers(output: bytes) -> dict[Any, Any]:
    """The answers of a whole session by their ids; more than one for an id fails."""
    found: dict[Any, Any] = {}
    for body in bodies(decoded(output)):
        message = json.loads(body)
        if "method" not in message:
            assert message["id"] not in found or message["id"] is None
            found[message["id"]] = message
    return found


@pytest.fixture
def two_ends() -> Iterator[Callable[[str], tuple[int, int, int, int]]]:
    """Makes (ours to write, ours to read, its stdin, its stdout) of a kind; closes what is left."""
    opened: list[int] = []

    def make(kind: str) -> tuple[int, int, int, int]:
        if kind == "pipes":
            incoming, ours_out = os.pipe()
            ours_in, outgoing = os.pipe()
        elif kind == "sockets":
            left, right = (socket.socketpair() for _ in range(2))
            ours_out, incoming, ours_in, outgoing = (end.detach() for end in (*left, *right))
        else:
            ours_out, incoming = pty.openpty()
            tty.setraw(incoming)
            ours_in, outgoing = ours_out, os.dup(incoming)
        opened.extend({incoming, ours_out, ours_in, outgoing})
        return ours_out, ours_in, incoming, outgoing

    yield make
    for descriptor in opened:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def read_until(descriptor: int, wanted: bytes, seconds: float = 10) -> bytes:
    """What comes, up to the first time that it holds what is wanted."""
    found = b""
    until_s = time.monotonic() + seconds
    while wanted not in found:
        assert time.monotonic() < until_s, found
        found += os.read(descriptor, 65536)
    return found


@pytest.mark.parametrize("kind", ["pipes", "sockets", "terminal"])
def test_the_editors_line_may_be_of_any_kind_and_its_flags_are_not_touched(kind: str, two_ends: Any) -> None:
    ours_out, ours_in, incoming, outgoing = two_ends(kind)
    server = subprocess.Popen(SERVE, stdin=incoming, stdout=outgoing, stderr=subprocess.PIPE)
    try:
        os.write(ours_out, initialize())
        found = read_until(ours_in, b"positionEncoding")
        for byte in request(2, "no/such"):  # byte by byte
            os.write(ours_out, bytes([byte]))
        found += read_until(ours_in, b'"id":2')
        for descriptor in (incoming, outgoing):  # the same opened files as the server's: strangers share them
            assert not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK
        os.write(ours_out, request(3, "no/such") + request(4, "no/such") + GOODBYE)
        found += read_until(ours_in, b'"id":99')
        assert server.wait(10) == 0
        told = answers(found[found.index(b"Content-Length") :])
        assert [told[number]["error"]["code"] for number in (2, 3, 4)] == [-32601] * 3
    finally:
        server.kill()
        server.communicate()


def test_input_and_output_may_be_files(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(initialize() + request(2, "no/such") + GOODBYE)
    with (tmp_path / "in").open("rb") as incoming, (tmp_path / "out").open("wb") as outgoing:
        done = subprocess.run(SERVE, stdin=incoming, stdout=outgoing, stderr=subprocess.PIPE, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    told = answers((tmp_path / "out").read_bytes())
    assert told[2]["error"]["code"] == -32601
    assert told[99]["result"] is None


@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_a_closed_standard_descriptor_is_survived_and_never_mistaken_for_the_protocol(closed: str) -> None:
    words = " ".join(f"'{word}'" for word in SERVE)
    conversation = initialize() + request(2, "no/such") + GOODBYE
    done = subprocess.run(
        ["sh", "-c", f"exec {words} {closed}>&-"], input=conversation, capture_output=True, timeout=20, check=False
    )
    assert b"Traceback" not in done.stderr
    if closed == "2":
        assert done.returncode == 0
        assert answers(done.stdout)[2]["error"]["code"] == -32601
    elif closed == "0":
        assert done.returncode == 1
        assert done.stdout == b""


async def test_a_broken_header_is_answered_told_and_the_next_request_too(connect: Connect) -> None:
    client = await connect()
    assert client.process.stdin is not None
    client.judge.unreadable()
    client.process.stdin.write(b'Content-Length: nine\r\n\r\n{"jsonrpc":"2.0"}')
    with pytest.raises(RpcError):
        await client.raw_request("no/such", {})
    client.judge.unreadable()
    client.judge.client_raw({"jsonrpc": "2.0", "id": "long", "method": "no/such"})
    client.process.stdin.write(b'Content-Length: 900\r\n\r\n{"jsonrpc":"2.0","id":"long","method":"no/such"}')
    with pytest.raises(RpcError):
        await client.raw_request("no/such", {})
    unclear = [row["error"] for row in client.messages if "method" not in row and row["id"] is None]
    assert [(row["code"], row["message"].split(",")[0]) for row in unclear] == [
        (-32700, "a header without a usable Content-Length"),
        (-32700, "Content-Length said 900"),
    ]
    assert [row["error"]["code"] for row in client.messages if row.get("id") == "long"] == [-32601]
    assert await client.close() == 0


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


async def test_a_message_of_50_mb_is_answered_and_its_memory_is_given_back(connect: Connect) -> None:
    client = await connect()
    with pytest.raises(RpcError):
        await client.raw_request("no/such", {})
    before_mib = resident_mib(client.process.pid)
    with pytest.raises(RpcError) as large:
        await client.raw_request("no/such", {"text": "x" * 50_000_000})
    assert large.value.code == -32601
    with pytest.raises(RpcError):
        await client.raw_request("no/such", {})
    assert resident_mib(client.process.pid) - before_mib < 20
    assert await client.close() == 0


# --- an editor that does not listen ----------------------------------------------------------------------------------


def children_of(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


async def test_an_editor_that_stops_reading_is_still_heard_and_its_end_is_noticed(connect: Connect, root: Path) -> None:
    client = await connect(BARE)  # the start of a runtime waits for no answer of it
    uri = client.open(root / "calc.py")
    transport = client.process.stdout._transport  # type: ignore[union-attr]
    transport.pause_reading()
    try:
        for _ in range(2000):
            client.ask("textDocument/codeLens", {"textDocument": {"uri": uri}, "workDoneToken": "x" * 300})
        assert not children_of(client.process.pid)
        client.ask("workspace/executeCommand", {"command": "agent.run", "arguments": [{"goal": "work", "uri": uri}]})
        async with asyncio.timeout(10):
            while not children_of(client.process.pid):  # the command was taken: its runtime starts
                await asyncio.sleep(0.02)
        assert client.process.stdin is not None
        began_s = time.monotonic()
        client.process.stdin.close()
        async with asyncio.timeout(5):
            while Path(f"/proc/{client.process.pid}/task").exists() and children_of(client.process.pid):
                await asyncio.sleep(0.01)
        assert time.monotonic() - began_s < 1
    finally:
        transport.resume_reading()
    assert await client.wait_exit() in (1, -signal.SIGALRM)  # the kernel has the last word


async def test_more_than_the_backlog_that_nobody_reads_ends_the_session(connect: Connect, root: Path) -> None:
    code = "import agent_lsp.server.transport as transport; transport.BACKLOG_LIMIT_BYTES = 100_000"
    client = await connect(BARE, env={"EXECUTE": code})
    await client.wait_for("window/logMessage")
    uri = client.open(root / "calc.py")
    transport = client.process.stdout._transport  # type: ignore[union-attr]
    transport.pause_reading()
    for _ in range(10_000):
        client.ask("textDocument/codeLens", {"textDocument": {"uri": uri}})
    async with asyncio.timeout(10):
        while Path(f"/proc/{client.process.pid}").exists() and client.process.returncode is None:
            await asyncio.sleep(0.02)
    transport.resume_reading()
    assert await client.wait_exit() == 1
    assert b"it does not read; 0 MiB were waiting for it" in bytes(client.stderr)


async def test_an_editor_that_answers_none_of_our_requests_cannot_hold_the_end_of_a_run(root: Path) -> None:
    def never(_: Any) -> Any:
        raise NoAnswerError

    asked = (
        "window/workDoneProgress/create",
        "workspace/applyEdit",
        "client/registerCapability",
        "workspace/codeLens/refresh",
        "window/showMessageRequest",
    )
    client = RawClient(handlers=dict.fromkeys(asked, never))
    await client.start(SERVE)
    try:
        await client.initialize(VSCODE, root)
        working = await run(client, "work for long", uri=client.open(root / "calc.py"))
        await wait_state(client, working, "executing", timeout_s=20)
        fixing = await run(client, "fix add")
        row = await wait_state(client, fixing, "proposed")
        _, apply = client.ask(
            "workspace/executeCommand", {"command": "agent.apply", "arguments": [{"proposalId": row["proposalId"]}]}
        )
        await client.wait_for("workspace/applyEdit")
        began_s = time.monotonic()
        assert (await client.command("agent.control", {"runId": working, "action": "cancel"}))["state"] == "cancelled"
        assert time.monotonic() - began_s < 1
        answer = await asyncio.wait_for(apply, 3)
        assert answer["applied"] is False
        assert await client.close() == 0
    finally:
        await client.kill()


# --- strangers -------------------------------------------------------------------------------------------------------

STRAY = """
import ctypes, faulthandler, sys
print("printed")
sys.__stdout__.write("printed by the interpreter")
sys.__stdout__.flush()
os.write(1, b"Content-Length: 3\\r\\n\\r\\nwritten")
os.system("printf 'by a child'")
c = ctypes.CDLL(None)
c.puts(b"by C")
c.fflush(None)
faulthandler.dump_traceback(file=1)
assert sys.stdin.read() == ""
assert os.read(0, 10) == b""
"""


async def test_nothing_that_a_library_prints_or_reads_touches_the_protocol(connect: Connect) -> None:
    client = await connect(env={"EXECUTE": STRAY})  # the client fails on anything but frames
    with pytest.raises(RpcError):
        await client.raw_request("no/such", {})
    await client.wait_for("window/logMessage")
    assert await client.close() == 0
    for text in (b"printed", b"by the interpreter", b"written", b"by a child", b"by C", b"most recent call first"):
        assert text in bytes(client.stderr)
    assert b"AssertionError" not in bytes(client.stderr)


async def test_children_of_the_server_have_none_of_its_descriptors(connect: Connect, tmp_path: Path) -> None:
    listing = tmp_path / "descriptors"
    code = f"os.system('readlink /proc/self/fd/* > {listing} 2>/dev/null; true')"
    client = await connect(env={"EXECUTE": code})
    pid = client.process.pid
    await client.wait_for("window/logMessage")
    protocol = {os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd") if int(number) > 2}
    inherited = set(listing.read_text().split())
    assert any(name.startswith(("pipe:", "socket:")) for name in protocol)
    assert not {name for name in protocol if name.startswith(("pipe:", "socket:"))} & inherited
    assert await client.close() == 0


# --- the first records of the log ------------------------------------------------------------------------------------

REAL = [sys.executable, "-m", "agent_lsp", "serve"]


async def test_what_was_refused_before_the_log_was_open_is_in_the_log(root: Path) -> None:
    client = RawClient()
    await client.start(REAL)
    try:
        assert client.process.stdin is not None
        client.judge.unreadable()
        client.judge.unreadable()
        client.process.stdin.write(b"Content-Length: nine\r\n\r\n")
        await client.initialize(VSCODE, root)
        client.process.stdin.write(b"Content-Length: ninety\r\n\r\n")
        await client.wait_for("window/logMessage")
        assert await client.close() == 0
        log = (root / ".agent-lsp" / "copilot_console.log").read_text()
        assert log.count("unreadable input: a header without a usable Content-Length") == 2
        assert b"unreadable" not in bytes(client.stderr)
    finally:
        await client.kill()


def test_without_a_folder_warnings_go_to_standard_error() -> None:
    conversation = initialize() + b"Content-Length: nine\r\n\r\n" + GOODBYE
    done = subprocess.run(REAL, input=conversation, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0
    assert done.stderr.decode().count("WARNING agent_lsp.server.edge: unreadable input") == 1
