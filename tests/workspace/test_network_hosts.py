"""What commands in real sandboxes reach when the settings list hosts: those, through the proxy, and nothing else."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent_lsp.agent.tools.run_command import TOOL, RunCommand
from agent_lsp.agent.tools.tool import Bench
from agent_lsp.app.configuration import Configuration
from agent_lsp.app.laboratory import conditions, laboratory
from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.network_hosts import HostList
from agent_lsp.domain.ports import Candidate, Command, CommandResult, SandboxKind, SuiteRequest
from agent_lsp.domain.verdict import Outcome, SuiteReport
from agent_lsp.settings.model import SandboxSettings, Settings
from agent_lsp.workspace import holder_door
from agent_lsp.workspace.candidate import HeldCandidate
from agent_lsp.workspace.host_proxy import HostProxy
from agent_lsp.workspace.lookup import Lookups
from agent_lsp.workspace.probe import reaches_hosts, working_kind
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.session import Session
from agent_lsp.workspace.sight import Access
from tests.workspace.scenes import ISOLATED, KINDS, Scene, put, scene

each_isolated = pytest.mark.parametrize("kind", ISOLATED)
each_kind = pytest.mark.parametrize("kind", KINDS)

OUTSIDE = "127.0.0.2"
"""An address of this machine that clients do not take for one which needs no proxy."""

ASK = """
import http.client, socket, sys, urllib.error, urllib.request
def told(what, *args):
    try:
        print(what(*args))
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode().strip())
    except OSError as error:
        print(type(error).__name__, error)
def get(url):
    return urllib.request.urlopen(url, timeout=10).read().decode()
def tunnel(host, port):
    line = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    line.set_tunnel(host, port)
    line.request("GET", "/tunnel")
    return line.getresponse().read().decode()
def direct(host, port):
    return socket.create_connection((host, port), 2).getpeername()
""".replace("PORT", str(holder_door.PORT))


@asynccontextmanager
async def site(*, silent: bool = False) -> AsyncIterator[tuple[int, list[asyncio.StreamReader]]]:
    """A small HTTP server on this machine, outside of every sandbox: its port, and who has come."""
    guests: list[asyncio.StreamReader] = []
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guests.append(reader)
        try:
            if silent:
                await done.wait()
                return
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhello %s" % (len(path) + 6, path))
            await writer.drain()
        except (OSError, EOFError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, OUTSIDE, 0)
    try:
        yield server.sockets[0].getsockname()[1], guests
    finally:
        done.set()
        server.close()
        await server.wait_closed()


def allowing(*entries: str) -> Access:
    return Access(hosts=HostList.read(entries))


async def opened(made: Scene) -> HeldCandidate:
    """A candidate with a door; skips where a plain copy can have no network of its own."""
    candidate = await made.open()
    assert isinstance(candidate, HeldCandidate)
    if not candidate.reaches_hosts:
        assert candidate.kind is SandboxKind.CLONE
        await candidate.close()
        pytest.skip("a plain copy has no network of its own on this machine")
    return candidate


async def ask(candidate: Candidate, *lines: str) -> CommandResult:
    """Runs lines of Python in a candidate, after the functions that ask."""
    return await candidate.run(Command((sys.executable, "-c", ASK + "\n".join(lines)), timeout_s=30.0))


@each_kind
async def test_a_listed_host_answers_by_request_and_by_tunnel_and_others_are_refused_by_name(
    tmp_path: Path, kind: SandboxKind
) -> None:
    async with site() as (port, _), scene(tmp_path, kind, {"a": ""}, allowing(f"{OUTSIDE}:{port}")) as made:
        candidate = await opened(made)
        done = await ask(
            candidate,
            f"told(get, 'http://{OUTSIDE}:{port}/plain')",
            f"told(tunnel, '{OUTSIDE}', {port})",
            f"told(get, 'http://{OUTSIDE}:{port - 1}/')",
            "told(get, 'http://index.example.net/simple/')",
            "told(tunnel, 'index.example.net', 443)",
        )
        refused = [
            f"{where} is not listed in sandbox.network_hosts of agent-lsp"
            for where in (f"{OUTSIDE}:{port - 1}", "index.example.net:80", "index.example.net:443")
        ]
        assert done.output.splitlines() == [
            "hello /plain",
            "hello /tunnel",
            f"403 {refused[0]}",
            f"403 {refused[1]}",
            f"OSError Tunnel connection failed: 403 {refused[2]}",
        ]
        assert done.refused == tuple(refused)
        assert (await ask(candidate, f"told(get, 'http://{OUTSIDE}:{port}/')")).refused == ()
        await candidate.close()


@each_kind
async def test_what_ignores_the_proxy_reaches_nothing(tmp_path: Path, kind: SandboxKind) -> None:
    async with site() as (port, guests), scene(tmp_path, kind, {"a": ""}, allowing(f"{OUTSIDE}:{port}")) as made:
        candidate = await opened(made)
        done = await ask(
            candidate,
            f"told(direct, '{OUTSIDE}', {port})",
            "told(direct, '192.0.2.1', 443)",
            "told(socket.getaddrinfo, 'index.example.net', 443)",
        )
        assert [line.split()[0] for line in done.output.splitlines()] == [
            "ConnectionRefusedError",
            "OSError",
            "gaierror",
        ]
        assert not guests
        await candidate.close()


@each_isolated
async def test_without_a_list_nothing_listens_and_no_variable_names_a_proxy(tmp_path: Path, kind: SandboxKind) -> None:
    async with scene(tmp_path, kind, {"a": ""}) as made:
        candidate = await made.open()
        done = await ask(
            candidate,
            "import os; print([name for name in os.environ if 'PROXY' in name.upper()])",
            f"told(direct, '127.0.0.1', {holder_door.PORT})",
        )
        assert done.output.splitlines()[0] == "[]"
        assert done.output.splitlines()[1].startswith("ConnectionRefusedError")
        await candidate.close()


def sockets() -> int:
    """How many this process holds."""
    found = 0
    for row in Path("/proc/self/fd").iterdir():
        try:
            found += str(row.readlink()).startswith("socket:")
        except OSError:
            continue
    return found


@each_kind
@pytest.mark.parametrize("end", ["closed", "killed"])
async def test_with_the_candidate_its_open_tunnels_are_gone(tmp_path: Path, kind: SandboxKind, end: str) -> None:
    async with (
        site(silent=True) as (port, guests),
        scene(tmp_path, kind, {"a": ""}, allowing(f"{OUTSIDE}:{port}")) as made,
    ):
        before = sockets()
        candidate = await opened(made)
        run = asyncio.create_task(ask(candidate, f"told(tunnel, '{OUTSIDE}', {port})"))
        async with asyncio.timeout(20):
            while not guests:
                await asyncio.sleep(0.01)
            if end == "killed":
                os.killpg(candidate._session._child.pid, signal.SIGKILL)
            else:
                await candidate.close()
            with pytest.raises(CandidateError):
                await run
            while await guests[0].read(1000):
                continue
            door = candidate._session.door
            while door is not None and door.connections:
                await asyncio.sleep(0.01)
        await candidate.close()
        # What remains is the server's own end of the connection.
        assert sockets() <= before + 1


@each_isolated
async def test_a_host_that_never_answers_holds_up_neither_the_command_nor_the_candidate(
    tmp_path: Path, kind: SandboxKind
) -> None:
    async with (
        site(silent=True) as (port, guests),
        scene(tmp_path, kind, {"a": ""}, allowing(f"{OUTSIDE}:{port}")) as made,
    ):
        candidate = await opened(made)
        hang = (sys.executable, "-c", ASK + f"told(tunnel, '{OUTSIDE}', {port})")
        stopped = await candidate.run(Command(hang, timeout_s=1.5))
        assert stopped.timed_out
        assert guests
        async with asyncio.timeout(10):
            assert (await ask(candidate, "print(1)")).output == "1\n"
            await candidate.close()


async def test_a_workspace_file_opens_no_host_until_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CACHE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"AGENT_LSP_{name}_DIR", str(tmp_path / name))
    toml = f'[sandbox]\nnetwork_hosts = ["{OUTSIDE}:1"]\n'
    root = put(tmp_path / "workspace", {"agent-lsp.toml": toml})
    kind = await working_kind(tmp_path / "probe", None)
    if kind is SandboxKind.CLONE:
        pytest.skip("only a plain copy works on this machine")
    configuration = Configuration(root, lambda _name, _data: None, {})
    for trusted in (False, True):
        built = laboratory(root, configuration)
        candidate = await built.pool.open((await built.trees.snapshot(())).tree)
        try:
            assert isinstance(candidate, HeldCandidate)
            assert candidate.reaches_hosts is trusted
        finally:
            await candidate.close()
            await built.pool.close()
        await configuration.trust(True)


@each_isolated
async def test_a_candidate_is_tried_for_what_doctor_says(tmp_path: Path, kind: SandboxKind) -> None:
    async with scene(tmp_path, kind, {"a": ""}):
        assert await reaches_hosts(tmp_path / "probe", kind, HostList.read(["index.example.net"]))
        assert not await reaches_hosts(tmp_path / "probe", kind, HostList())


async def test_a_copy_without_a_network_of_its_own_has_no_door_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = (
        "import json, sys; from agent_lsp.workspace import holder; config = json.loads(sys.stdin.readline())\n"
        "shut = holder._open_door(config, apart=False)\n"
        "holder.send({'ready': True, 'shut': shut + repr(config['env'])})\n"
        "sys.stdin.read()\n"
    )
    proxy = HostProxy(HostList.read(["index.example.net"]), Lookups())
    before = sockets()
    argv = [sys.executable, "-c", holder]
    session = await Session.start(argv, {"env": {}}, dict(os.environ), tmp_path / "errors", proxy)
    assert session.door is None
    assert await session.end()
    assert sockets() == before
    assert [record.message for record in caplog.records] == [
        "the hosts of sandbox.network_hosts cannot be reached in this sandbox: it has no network of its own{}"
    ]


async def test_the_model_reads_which_host_was_refused(tmp_path: Path) -> None:
    kind = await working_kind(tmp_path / "probe", None)
    async with scene(tmp_path, kind, {"a": ""}, allowing("index.example.net")) as made:
        candidate = await opened(made)
        script = Path(candidate.scratch, "ask.py")
        script.write_text(ASK + "told(tunnel, 'evil.example', 443)")
        command = f"{sys.executable} {script} > /dev/null"

        async def no_suite(*_: object) -> SuiteReport:
            raise AssertionError

        answer = await TOOL.run(RunCommand(command=command), Bench(candidate, no_suite))
        assert answer.text.splitlines()[1:] == [
            "evil.example:443 is not listed in sandbox.network_hosts of agent-lsp.",
            "(no output)",
        ]
        await candidate.close()


async def test_a_run_of_the_tests_reaches_listed_hosts_too(tmp_path: Path) -> None:
    kind = await working_kind(tmp_path / "probe", None)
    async with site() as (port, _):
        test = f"""
import unittest, urllib.request
class Reaching(unittest.TestCase):
    def test_it(self):
        assert urllib.request.urlopen("http://{OUTSIDE}:{port}/x", timeout=10).read() == b"hello /x"
"""
        async with scene(tmp_path, kind, {"test_it.py": test}, allowing(f"{OUTSIDE}:{port}")) as made:
            candidate = await opened(made)
            options = RunnerOptions(runner="unittest", interpreter=sys.executable, root=str(made.root))
            runner = await WorkspaceRunnerFinder(options).find(candidate)
            report = await runner.run(candidate, SuiteRequest(timeout_s=60.0))
            assert [case.outcome for case in report.cases.values()] == [Outcome.PASSED], report
            await candidate.close()


def test_what_is_remembered_of_tests_is_bound_to_the_list_where_there_is_one() -> None:
    def bound(*hosts: str, network: bool = False) -> str:
        return conditions(Settings(sandbox=SandboxSettings(network=network, network_hosts=hosts)))

    assert len({bound(), bound("a.example"), bound("a.example", "b.example")}) == 3
    assert bound("a.example", "b.example") == bound("b.example", "a.example")
    assert bound() == conditions(Settings())
    assert bound("a.example", network=True) == bound(network=True)
