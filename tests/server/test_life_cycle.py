"""How a server begins and ends, and that it takes its children with it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.server.conftest import SERVE, Connect
from tests.server.flows import proposed, run, settled, status, wait_state
from tests.server.raw_client import BARE, NEOVIM, VSCODE, RawClient, RpcError, with_capabilities

KERNEL = -signal.SIGALRM
"""How a server ends that its machine kept waiting: the kernel has the last word (agent_lsp/server/hosting.py)."""


def children(pid: int) -> list[int]:
    """Children of a process, zombies left out."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().rpartition(")")
            state, parent = rest.split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(name.split()[0]))
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def gone(*pids: int) -> None:
    async with asyncio.timeout(5):
        while any(alive(pid) for pid in pids):
            await asyncio.sleep(0.02)


async def test_initialize_tells_what_the_server_can_and_that_it_knows_our_extension(connect: Connect) -> None:
    client = await connect()
    capabilities = client.capabilities
    assert capabilities["experimental"]["agentLsp"]["version"] == "1"
    assert {"plan", "proposal", "hunks", "checkpoints"} <= set(capabilities["experimental"]["agentLsp"]["features"])
    assert "agent.run" in capabilities["executeCommandProvider"]["commands"]
    assert capabilities["textDocumentSync"] == {"openClose": True, "change": 2, "save": {"includeText": False}}
    assert capabilities["workspace"]["workspaceFolders"] == {"supported": True, "changeNotifications": True}
    assert await client.close() == 0


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["utf-8", "utf-16"], "utf-8"), (["utf-7", "utf-32"], "utf-32"), (["utf-16"], "utf-16"), ([], "utf-16")],
)
async def test_the_first_encoding_of_the_client_that_exists_wins(
    connect: Connect, offered: list[str], chosen: str
) -> None:
    client = await connect(with_capabilities(VSCODE, general__positionEncodings=offered))
    assert client.encoding == chosen


async def test_exit_without_shutdown_is_status_1(connect: Connect) -> None:
    client = await connect()
    client.notify("exit", None)
    assert await client.wait_exit() == 1


async def test_exit_before_initialize_is_status_1() -> None:
    client = RawClient()
    await client.start(SERVE)
    client.notify("exit", None)
    assert await client.wait_exit() == 1
    await client.kill()


async def test_requests_before_initialize_and_after_shutdown_are_refused_and_answered(root: Path) -> None:
    client = RawClient()
    await client.start(SERVE)
    with pytest.raises(RpcError) as early:
        await client.raw_request("textDocument/codeAction", {})
    assert early.value.code == -32002
    await client.initialize(VSCODE, root)
    with pytest.raises(RpcError) as twice:
        await client.initialize(VSCODE, root)
    assert twice.value.code == -32600
    await client.request("shutdown", None)
    with pytest.raises(RpcError) as late:
        await client.command("agent.status")
    assert late.value.code == -32600
    client.notify("exit", None)
    assert await client.wait_exit() == 0
    await client.kill()


async def test_a_closed_pipe_ends_the_server_and_its_runtime_quickly(connect: Connect, root: Path) -> None:
    client = await connect()
    run_id = await run(client, "work for long", uri=client.open(root / "calc.py"))
    await wait_state(client, run_id, "executing")
    runtimes = children(client.process.pid)
    assert len(runtimes) == 1
    assert client.process.stdin is not None
    began = time.monotonic()
    client.process.stdin.close()
    assert await client.wait_exit() in (1, KERNEL)
    assert time.monotonic() - began < 2
    await gone(*runtimes)


async def test_a_dead_editor_ends_the_server_though_a_sibling_holds_its_pipe(connect: Connect, root: Path) -> None:
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    client = await connect(VSCODE, process_id=editor.pid)
    run_id = await run(client, "work for long", uri=client.open(root / "calc.py"))
    await wait_state(client, run_id, "executing")
    runtimes = children(client.process.pid)
    editor.kill()
    assert await client.wait_exit() in (1, KERNEL)
    await gone(*runtimes)
    editor.communicate()


async def test_an_editor_that_is_dead_already_ends_the_server(root: Path) -> None:
    gone_editor = subprocess.Popen([sys.executable, "-c", ""])
    gone_editor.wait()
    client = RawClient()
    await client.start(SERVE)
    with contextlib.suppress(ConnectionError):
        await client.initialize(VSCODE, root, process_id=gone_editor.pid)
    assert await client.wait_exit() == 1
    await client.kill()


async def test_a_termination_signal_ends_the_server_and_its_runtime(connect: Connect, root: Path) -> None:
    client = await connect()
    run_id = await run(client, "work for long", uri=client.open(root / "calc.py"))
    await wait_state(client, run_id, "executing")
    runtimes = children(client.process.pid)
    client.process.send_signal(signal.SIGTERM)
    assert await client.wait_exit() in (128 + signal.SIGTERM, KERNEL)
    await gone(*runtimes)


async def test_a_runtime_that_ignores_stop_is_killed(connect: Connect, root: Path) -> None:
    client = await connect(env={"IGNORES_STOP": "1"})
    run_id = await run(client, "work for long", uri=client.open(root / "calc.py"))
    await wait_state(client, run_id, "executing")
    runtimes = children(client.process.pid)
    assert await client.close() == 0
    await gone(*runtimes)


async def test_an_editor_that_stops_reading_does_not_hold_the_server(connect: Connect, root: Path) -> None:
    client = await connect()
    uri = client.open(root / "calc.py")
    transport = client.process.stdout._transport  # type: ignore[union-attr]
    transport.pause_reading()
    try:
        for _ in range(3000):
            client.raw_ask("textDocument/codeLens", {"textDocument": {"uri": uri}, "padding": "x" * 300})
        assert client.process.stdin is not None
        async with asyncio.timeout(5):
            await client.process.stdin.drain()
        client.process.stdin.close()
        await gone(client.process.pid)
    finally:
        transport.resume_reading()


async def test_stray_prints_and_children_never_reach_the_protocol(connect: Connect, root: Path) -> None:
    client = await connect(env={"PRINT_ON_STDOUT": "Content-Length: 5\r\n\r\nhello"})
    uri, _, _ = await proposed(client, root)
    assert await client.actions(uri, 1)
    assert await client.close() == 0
    assert b"hello" in client.stderr
    assert b"from a child" in client.stderr


async def test_what_is_loaded_late_gets_the_roots_and_the_options(connect: Connect, root: Path) -> None:
    client = await connect(BARE, options={"agentLsp": {"x": 1}})
    await client.wait_for("window/logMessage")
    assert await client.close() == 0
    assert f"initialized {[str(root)]} {{'agentLsp': {{'x': 1}}}}".encode() in client.stderr


async def test_a_runtime_that_dies_is_told_once_its_runs_fail_and_the_next_run_starts_it_again(
    connect: Connect, root: Path
) -> None:
    client = await connect()
    uri = client.open(root / "calc.py")
    working, crashing = await run(client, "work", uri=uri), await run(client, "crash", uri=uri)
    row = await wait_state(client, crashing, "failed")
    assert "signal 9" in row["message"]
    assert (await status(client, working))["state"] == "failed"
    told = await client.wait_until(
        lambda: client.heard(
            "window/showMessage", lambda p: "It is started again, for 2 run(s) at work" in p["message"]
        )
    )
    assert len(told) == 1
    ended = {p["token"] for p in client.heard("$/progress", lambda p: p["value"]["kind"] == "end")}
    assert {p["token"] for p in client.heard("$/progress", lambda p: p["value"]["kind"] == "begin")} <= ended
    _, _, proposal_id = await proposed(client, root)
    answer = await client.command("agent.apply", {"proposalId": proposal_id})
    assert (await settled(client, answer))["applied"] is True


async def test_a_proposal_goes_with_its_runtime(connect: Connect, root: Path) -> None:
    client = await connect(NEOVIM)
    uri, run_id, _ = await proposed(client, root)
    await client.wait_until(lambda: client.diagnostics.get(uri))
    (runtime,) = children(client.process.pid)
    os.kill(runtime, signal.SIGKILL)
    await wait_state(client, run_id, "failed")
    assert client.diagnostics[uri] == []
    assert not [action for action in await client.actions(uri, 1) if action["title"].startswith("Accept")]


async def test_a_runtime_that_cannot_start_is_an_error_of_the_command(connect: Connect, root: Path) -> None:
    client = await connect(env={"START_FAILS": "1"})
    answer = await client.command("agent.run", {"goal": "fix add"})
    assert answer["error"]["code"] == "operator_error"
    assert "no such program" in answer["error"]["message"]
    assert (await client.command("agent.status")) == {"runs": []}
