"""Owns the stage on which runs are killed: a real runtime, real files, a model behind real HTTP, kill -9 at any moment.

The points of a seed are the same each time; the moment is the n-th event that the runtime tells, or the n-th request
that the model gets, and a random part of a hundredth of a second after it.
"""

import asyncio
import os
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_lsp.domain.errors import LinkClosedError
from agent_lsp.link.peer import LINE_LIMIT_BYTES, Peer, PeerError
from tests.anthropic_server import AnthropicServer, Call, ParsedRequest, Reply, calls, edit, finish, plan, reflect
from tests.scenarios.scene import environment, write_project

WRONG = "def add(a, b):\n    return a - b\n"
RIGHT = "def add(a, b):\n    return a + b\n"
CHECK = """import importlib.util, sys
spec = importlib.util.spec_from_file_location("calc", "calc.py")
calc = importlib.util.module_from_spec(spec)
spec.loader.exec_module(calc)
good = calc.add(1, 2) == 3
case = '<testcase classname="check" name="add"/>'
if not good:
    case = case[:-2] + '><failure message="add is wrong"/></testcase>'
open(sys.argv[1], "w").write(f'<testsuite name="check" tests="1">{case}</testsuite>')
sys.exit(0 if good else 1)
"""
FILES: Mapping[str, str | bytes] = {"calc.py": WRONG, "check.py": CHECK, "README.md": "Adds.\n"}
TURNS = 9
"""What the run of `scripted` costs, however often it is killed."""

WAIT_S = 120.0
MOST_EVENTS = 45
AT_ONCE = 4


def scripted(request: ParsedRequest) -> Reply:
    """The same answer to the same question, whoever asks it again: a wrong change, a question, a right change."""
    said = sum(1 for message in request.messages if message["role"] == "assistant")
    if request.phase == "planning":
        return [calls(Call("read_file", {"path": "calc.py"})), plan("Mend add")][said]
    if request.phase == "reflection":
        return reflect("retry")
    return [
        calls(Call("read_file", {"path": "calc.py"}), edit("calc.py", "a - b", "a * b")),
        calls(Call("run_command", {"command": "echo noted > NOTES.md"})),
        calls(Call("ask_user", {"question": "Which way?", "options": ["plus", "minus"]})),
        calls(finish("tried")),
        calls(edit("calc.py", "a * b", "a + b")),
        calls(finish("mended")),
    ][said]


Kill = tuple[str, int, float]
"""What is counted, how many of it, and seconds after it."""


@dataclass
class Batch:
    """Runs that are at work at the same time, and when their process is killed."""

    runs: tuple[str, ...]
    kills: list[Kill]
    killed: int = 0
    told: list[str] = field(default_factory=list)


def batches(seed: int, count: int) -> list[Batch]:
    """The kill points of a seed: so many runs, a few at a time, each batch killed twice."""
    chance = random.Random(seed)
    made = []
    for first in range(0, count, AT_ONCE):
        kills = []
        for _ in range(2):
            by_event = chance.random() < 0.7
            limit = chance.randrange(1, MOST_EVENTS * AT_ONCE if by_event else TURNS * AT_ONCE)
            kills.append(("event" if by_event else "request", limit, chance.random() * 0.01))
        made.append(Batch(tuple(f"r_{number}" for number in range(first, min(first + AT_ONCE, count))), kills))
    return made


class Stage:
    """One workspace and one model; runtimes come and go."""

    def __init__(self, folder: Path, model: AnthropicServer) -> None:
        self.root, self.model = folder / "project", model
        self.root.mkdir()
        write_project(self.root, FILES)
        (folder / "home").mkdir()
        extra = {
            "AGENT_LSP_TESTS__RUNNER": "command",
            "AGENT_LSP_TESTS__COMMAND": f"{sys.executable} -S check.py {{junit}}",
        }
        self.environment = environment(folder / "home", model, extra)

    async def live_through(self, batch: Batch) -> dict[str, dict[str, Any]]:
        """The runs from their start to their offers, with every kill in between; what there was to see of each."""
        before = len(self.model.requests)
        kills = list(batch.kills)
        while True:
            life = Life(self, batch.runs, kills.pop(0) if kills else None)
            proposals = await life.through()
            batch.told += life.told
            if proposals is not None:
                break
            batch.killed += 1
        asked = [_TOOK.sub("", str(request.body["messages"])) for request in self.model.requests[before:]]
        seen = {}
        for run_id, proposal in proposals.items():
            bodies = Counter(body for body in asked if f"{goal_of(run_id)}." in body)
            counted = {"asked": sum(bodies.values()), "distinct": len(bodies), "most": max(bodies.values())}
            seen[run_id] = {"proposal": proposal, "killed": batch.killed, **counted}
        return seen


def goal_of(run_id: str) -> str:
    """The goal of a run, with its id in it."""
    return f"make add add, says {run_id}"


class Life:
    """One runtime process, from its start to its kill or to all offers."""

    def __init__(self, stage: Stage, runs: Sequence[str], kill: Kill | None) -> None:
        self.stage, self.runs, self.kill = stage, runs, kill
        self.told: list[str] = []
        self._events = 0
        self._moved = asyncio.Event()
        self._requests = len(stage.model.requests)

    async def through(self) -> dict[str, Mapping[str, Any]] | None:
        """The proposals; None where the process was killed before."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent_lsp", "runtime", "--root", str(self.stage.root)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self.stage.environment,
            limit=LINE_LIMIT_BYTES,
        )
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.peer = Peer(self.process.stdout, self.process.stdin, {"buffers": _no_buffers}, self._hear)
        serving = asyncio.ensure_future(self.peer.serve())
        serving.add_done_callback(lambda _: self._moved.set())  # a process that is gone answers the next call so
        watching = asyncio.ensure_future(self._count_requests())
        try:
            async with asyncio.timeout(WAIT_S):
                return await self._steer()
        except LinkClosedError:
            return None
        finally:
            watching.cancel()
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()
            self.peer.close()
            serving.cancel()
            await asyncio.gather(serving, watching, return_exceptions=True)

    async def _steer(self) -> dict[str, Mapping[str, Any]]:
        await self._call("checkpoints")  # answered when everything has come back
        known = {row["runId"] for row in (await self._call("status"))["runs"]}
        for run_id in self.runs:
            if run_id not in known:
                await self._call("run", runId=run_id, goal=goal_of(run_id) + ".", mode="plan")
        while True:
            self._moved.clear()
            rows = [row for row in (await self._call("status"))["runs"] if row["runId"] in self.runs]
            self.told.append(" ".join(row["state"] for row in rows))
            for row in rows:
                await self._serve(row)
            if all(row["state"] == "proposed" for row in rows):
                return {row["runId"]: await self._taken(row["proposalId"]) for row in rows}
            await self._moved.wait()

    async def _serve(self, row: Mapping[str, Any]) -> None:
        assert row["state"] not in ("failed", "cancelled", "discarded"), row
        try:
            if row["state"] == "awaiting_approval":
                await self._call("plan_approve", runId=row["runId"])
            elif row["state"] == "blocked":
                await self._call("answer", runId=row["runId"], answer="plus")
        except PeerError as error:
            if error.code != "refused":
                raise

    async def _taken(self, proposal_id: str) -> Mapping[str, Any]:
        proposal = await self._call("proposal", proposalId=proposal_id)
        self.kill = None  # what is discarded below is no longer the run's
        await self._call("discard", proposalId=proposal_id)
        return proposal

    async def _call(self, name: str, **args: Any) -> Mapping[str, Any]:
        return await self.peer.call(name, args, timeout_s=WAIT_S)

    def _hear(self, event: str, data: Mapping[str, Any]) -> None:
        self._moved.set()
        self._events += data.get("runId") in self.runs
        if self.kill is not None and self.kill[0] == "event" and self._events == self.kill[1]:
            self._kill_soon()

    async def _count_requests(self) -> None:
        while self.kill is not None and self.kill[0] == "request":
            if len(self.stage.model.requests) - self._requests >= self.kill[1]:
                self._kill_soon()
                return
            await asyncio.sleep(0.001)

    def _kill_soon(self) -> None:
        assert self.kill is not None
        asyncio.get_running_loop().call_later(self.kill[2], self._kill)
        self.kill = None

    def _kill(self) -> None:
        if self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)


_TOOK = re.compile(r", \d+\.\d+ s\)")
"""How long the tests took, in a reflection: a verdict that was being had is had again."""


async def _no_buffers(_: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"buffers": []}


def trouble(seen: Mapping[str, Any], root: Path) -> list[str]:
    """What is not as it must be after a run that was killed."""
    proposal = seen["proposal"]
    found = []
    if "+    return a + b" not in proposal["diff"] or "NOTES.md" not in proposal["diff"]:
        found.append(f"the change is another: {proposal['diff']}")
    if proposal["verdict"]["decision"] not in ("proven", "passed"):
        found.append(f"the verdict is {proposal['verdict']}")
    if seen["distinct"] != TURNS:
        found.append(f"{seen['distinct']} different turns were asked for instead of {TURNS}")
    if seen["asked"] > TURNS + seen["killed"] or seen["most"] > 1 + seen["killed"]:
        found.append(f"{seen['asked']} requests for {TURNS} turns and {seen['killed']} kills")
    if (root / "calc.py").read_text() != WRONG or (root / "NOTES.md").exists():
        found.append("the workspace was touched")
    return found
