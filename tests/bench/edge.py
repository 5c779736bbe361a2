"""Owns the measurements of the edge: start, idle memory, and code actions while a run validates."""

import asyncio
import os
import sys
import time
from pathlib import Path

from agent_lsp.app.demo.client import Client
from agent_lsp.app.demo.sample_project import BUGGY_FILE, make_sample_project
from tests.bench.measure import Row, alternate, milliseconds, percentile

OURS = [sys.executable, "-m", "agent_lsp", "serve"]
BARE = [sys.executable, str(Path(__file__).with_name("bare_server.py"))]
START_ROUNDS = 9
ACTIONS = 400
SLOW_SUITE = "import time\n\n\ndef test_slow():\n    time.sleep(6)\n"


class Server:
    """One server process with an editor; `client` speaks with it."""

    def __init__(self, argv: list[str], root: Path, cache: Path) -> None:
        self.argv, self.root = argv, root
        self.env = {**os.environ, "AGENT_LSP_CACHE_DIR": str(cache), "AGENT_LSP_MODEL__PROVIDER": "embedded"}

    async def __aenter__(self) -> "Server":
        self.process = await asyncio.create_subprocess_exec(
            *self.argv, cwd=self.root, env=self.env, stdin=-1, stdout=-1, stderr=asyncio.subprocess.DEVNULL
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.client = Client(self.process.stdout, self.process.stdin, lambda _method, _params: None)
        self.reading = asyncio.create_task(self.client.serve())
        return self

    async def initialize(self) -> None:
        uri = self.root.as_uri()
        folders = [{"uri": uri, "name": "bench"}]
        params = {"processId": os.getpid(), "rootUri": uri, "capabilities": {}, "workspaceFolders": folders}
        await self.client.request("initialize", params)
        self.client.notify("initialized", {})

    async def action_s(self, uri: str, line: int) -> float:
        place = {"line": line, "character": 0}
        params = {"textDocument": {"uri": uri}, "range": {"start": place, "end": place}, "context": {"diagnostics": []}}
        began = time.perf_counter()
        await self.client.request("textDocument/codeAction", params)
        return time.perf_counter() - began

    async def __aexit__(self, *_: object) -> None:
        await self.client.request("shutdown", None)
        self.client.notify("exit", None)
        await asyncio.wait_for(self.process.wait(), 15)
        await self.reading
        assert self.process.stdin is not None
        self.process.stdin.close()


async def _start_s(argv: list[str], root: Path, cache: Path) -> float:
    began = time.perf_counter()
    async with Server(argv, root, cache) as server:
        await server.initialize()
        return time.perf_counter() - began


def _resident_mib(pid: int) -> float:
    """Proportional set size: shared pages are counted by their share."""
    for line in (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no Pss in smaps_rollup")


async def _idle_mib(argv: list[str], root: Path, cache: Path) -> float:
    async with Server(argv, root, cache) as server:
        await server.initialize()
        uri = server.client.open(root / BUGGY_FILE)
        await server.action_s(uri, 0)
        await asyncio.sleep(2)
        return _resident_mib(server.process.pid)


async def measure_start(root: Path, cache: Path) -> list[Row]:
    """Start to the `initialize` reply, and idle memory, against a bare pygls server."""
    ours_s, bare_s = await alternate(
        START_ROUNDS, lambda: _start_s(OURS, root, cache), lambda: _start_s(BARE, root, cache)
    )
    ours_mib, bare_mib = await alternate(3, lambda: _idle_mib(OURS, root, cache), lambda: _idle_mib(BARE, root, cache))
    return [
        Row("start to `initialize` reply, against bare pygls", milliseconds(ours_s), milliseconds(bare_s),
            ours_s / bare_s, "≤ 1.1 ×"),
        Row("idle memory of the edge, against bare pygls", f"{ours_mib:.1f} MiB", f"{bare_mib:.1f} MiB",
            ours_mib / bare_mib, "told"),
    ]  # fmt: skip


async def measure_actions(folder: Path) -> list[Row]:
    """p50 and p99 of `textDocument/codeAction` while a run is validating, against the same server idle."""
    root = folder / "actions"
    root.mkdir()
    await make_sample_project(root)
    (root / "tests" / "test_slow.py").write_text(SLOW_SUITE)
    async with Server(OURS, root, folder / "cache") as server:
        await server.initialize()
        uri = server.client.open(root / BUGGY_FILE)
        for _ in range(50):
            await server.action_s(uri, 3)
        idle = await _paced(server, uri, ACTIONS)
        answer = await server.client.command("agent.run", {"goal": "make the failing tests pass", "uri": uri})
        busy: list[float] = []
        async with asyncio.timeout(120):
            while len(busy) < ACTIONS:
                state = (await server.client.command("agent.status", answer))["runs"][0]["state"]
                assert state not in ("failed", "cancelled", "proposed"), f"the run was {state} too early"
                busy += await _paced(server, uri, 20)
        await server.client.command("agent.control", {**answer, "action": "cancel"})
    rows = []
    for name, share in (("p50", 0.50), ("p99", 0.99)):
        ours, theirs = percentile(busy, share), percentile(idle, share)
        title = f"`codeAction` {name} while tests run, against idle"
        rows.append(
            Row(title, milliseconds(ours), milliseconds(theirs), ours / theirs, "≤ 1.5 ×" if share > 0.9 else "")
        )
    return rows


async def _paced(server: Server, uri: str, count: int) -> list[float]:
    """An editor's pace: one request every 10 ms."""
    taken = []
    for _ in range(count):
        taken.append(await server.action_s(uri, 3))
        await asyncio.sleep(0.01)
    return taken
