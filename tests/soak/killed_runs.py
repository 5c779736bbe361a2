"""Owns the stage on which runs are killed: a real runtime, real files, a model behind real HTTP, kill -9 at any moment.

The points of a seed are the same each time; the moment is the n-th event that the runtime tells, or the n-th request
that the model gets, and a random part of a hundredth of a second after it. At times not the runtime is killed but the
edge that it serves: both pipes between them end at once, as they do when that process is gone.
"""

import asyncio
import itertools
import os
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
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
TURNS, TURNS_OF_TWO_STEPS = 9, 12
"""What the run of `scripted` costs, however often it is killed."""

TWO_STEPS = "in two steps"

WAIT_S = 120.0
MOST_EVENTS = 45
AT_ONCE = 4


def scripted(request: ParsedRequest) -> Reply:
    """The same answer to the same question, whoever asks it again: a wrong change, a question, a right change.

    A run in two steps goes on with its readme.
    """
    said = sum(1 for message in request.messages if message["role"] == "assistant")
    two = TWO_STEPS in request.text
    if request.phase == "planning":
        return [calls(Call("read_file", {"path": "calc.py"})), plan("Mend add", *(["Tell of it"] if two else []))][said]
    if request.phase == "reflection":
        return reflect("retry" if "+    return a * b" in str(request.messages[-1]["content"]) else "continue")
    return [
        calls(Call("read_file", {"path": "calc.py"}), edit("calc.py", "a - b", "a * b")),
        calls(Call("run_command", {"command": "echo noted >> NOTES.md"})),
        calls(Call("ask_user", {"question": "Which way?", "options": ["plus", "minus"]})),
        calls(finish("tried")),
        calls(edit("calc.py", "a * b", "a + b")),
        calls(finish("mended")),
        calls(edit("README.md", "Adds.", "Adds two.")),
        calls(finish("told")),
    ][said]


@dataclass(frozen=True, slots=True)
class Kill:
    """After how many events or requests, how many seconds after that, and whether of the edge alone."""

    by: str
    count: int
    after_s: float
    edge: bool


@dataclass
class Batch:
    """Runs that are at work at the same time, and when their process is killed."""

    runs: tuple[str, ...]
    kills: list[Kill]
    killed: int = 0
    edges: int = 0
    """How many of these were of the edge."""
    paused: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)


def batches(seed: int) -> Iterator[Batch]:
    """The kill points of a seed: a few runs at a time, each batch killed twice; every fourth kill is of the edge."""
    chance = random.Random(seed)
    for number in itertools.count():
        kills = []
        for second in (False, True):
            by_event = chance.random() < 0.7
            count = chance.randrange(1, MOST_EVENTS * AT_ONCE if by_event else TURNS * AT_ONCE)
            edge = not second and number % 2 == 0
            kills.append(Kill("event" if by_event else "request", count, chance.random() * 0.01, edge))
        yield Batch(tuple(f"r_{number * AT_ONCE + run}" for run in range(AT_ONCE)), kills)


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
            life = Life(self, batch, kills.pop(0) if kills else None)
            proposals = await life.through()
            if proposals is not None:
                break
            batch.killed += 1
            batch.edges += life.edge_is_dead
        asked = [_TOOK.sub("", str(request.body["messages"])) for request in self.model.requests[before:]]
        seen = {}
        for run_id, proposal in proposals.items():
            bodies = Counter(body for body in asked if f"{goal_of(run_id)}." in body)
            counted = {"asked": sum(bodies.values()), "distinct": len(bodies), "most": max(bodies.values())}
            seen[run_id] = {"proposal": proposal, "killed": batch.killed, **counted}
        return seen


def goal_of(run_id: str) -> str:
    """The goal of a run, with its id in it."""
    return f"make add add{f' {TWO_STEPS}' if _kind(run_id) == 1 else ''}, says {run_id}"


def turns_of(run_id: str) -> int:
    """How many turns it costs."""
    return TURNS_OF_TWO_STEPS if _kind(run_id) == 1 else TURNS


def _kind(run_id: str) -> int:
    """Of four at a time: 1 is in two steps, 2 is paused and resumed."""
    return int(run_id.removeprefix("r_")) % AT_ONCE


class Life:
    """One runtime process, from its start to its kill or to all offers."""

    def __init__(self, stage: Stage, batch: Batch, kill: Kill | None) -> None:
        self.stage, self.batch, self.runs, self.kill = stage, batch, batch.runs, kill
        self.edge_is_dead = False
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
            if self.edge_is_dead:
                async with asyncio.timeout(WAIT_S):
                    await self.process.wait()  # it leaves by itself
            elif self.process.returncode is None:
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
            self.batch.told.append(" ".join(row["state"] for row in rows))
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
            elif row["state"] == "executing" and _kind(row["runId"]) == 2 and row["runId"] not in self.batch.paused:
                self.batch.paused.add(row["runId"])
                await self._call("control", runId=row["runId"], action="pause")
            elif row["state"] == "paused":
                await self._call("control", runId=row["runId"], action="resume")
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
        if self.kill is not None and self.kill.by == "event" and self._events == self.kill.count:
            self._kill_soon()

    async def _count_requests(self) -> None:
        while self.kill is not None and self.kill.by == "request":
            if len(self.stage.model.requests) - self._requests >= self.kill.count:
                self._kill_soon()
                return
            await asyncio.sleep(0.001)

    def _kill_soon(self) -> None:
        assert self.kill is not None
        deed = self._kill_edge if self.kill.edge else self._kill
        asyncio.get_running_loop().call_later(self.kill.after_s, deed)
        self.kill = None

    def _kill(self) -> None:
        if self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)

    def _kill_edge(self) -> None:
        """What the runtime sees of an edge that was killed: both its pipes end."""
        if self.process.returncode is None:
            self.edge_is_dead = True
            for pipe in (0, 1):
                vars(self.process)["_transport"].get_pipe_transport(pipe).close()


_TOOK = re.compile(r", \d+\.\d+ s\)")
"""How long the tests took, in a reflection: a verdict that was being had is had again."""


async def _no_buffers(_: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"buffers": []}


def trouble(run_id: str, seen: Mapping[str, Any], root: Path) -> list[str]:
    """What is not as it must be after a run that was killed."""
    proposal, turns = seen["proposal"], turns_of(run_id)
    found = []
    added = [line for line in proposal["diff"].splitlines() if re.match(r"\+[^+]", line)]
    more = ["+Adds two."] if turns == TURNS_OF_TWO_STEPS else []
    if sorted(added) != sorted(["+    return a + b", "+noted", *more]):
        found.append(f"the change is another: {proposal['diff']}")
    if proposal["verdict"]["decision"] not in ("proven", "passed"):
        found.append(f"the verdict is {proposal['verdict']}")
    if seen["distinct"] != turns:
        found.append(f"{seen['distinct']} different turns were asked for instead of {turns}")
    if seen["asked"] > turns + seen["killed"] or seen["most"] > 1 + seen["killed"]:
        found.append(f"{seen['asked']} requests for {turns} turns and {seen['killed']} kills")
    if (root / "calc.py").read_text() != WRONG or (root / "NOTES.md").exists():
        found.append("the workspace was touched")
    return found
