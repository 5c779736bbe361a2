"""Owns a place to try the embedded engines: a project of real files, the real pytest runner, and what came of it."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_lsp.agent.engines import Engines, StepOutcome, StepTask
from agent_lsp.agent.repair.engine import embedded
from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.domain.changes import FileEdit, unified_diff
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.plan import Assessment, Plan, Step
from agent_lsp.domain.ports import Candidate, Clock, SuiteRunner
from agent_lsp.domain.task import Goal
from agent_lsp.workspace.runners.interpreter import Interpreter
from agent_lsp.workspace.runners.pytest_runner import PytestRunner
from tests.plain import PlainCandidate, PlainPool, PlainTrees

CLOCK = Clock(time.time, time.monotonic, asyncio.sleep)


class OwnPytest:
    """Finds the pytest that runs this very test, without asking it each time."""

    async def find(self, candidate: Candidate) -> SuiteRunner:
        return PytestRunner(Interpreter(sys.executable, "the test", pytest="here"))


FINDER = OwnPytest()


@dataclass
class Bench:
    """One project, one run of the embedded engines on it, and all that they said."""

    root: Path
    options: RepairOptions = field(default_factory=RepairOptions)
    clock: Clock = CLOCK
    told: list[tuple[str, float | None]] = field(default_factory=list)
    tries: list[Mapping[str, Any]] = field(default_factory=list)
    changes: tuple[FileEdit, ...] = ()
    seconds: float = 0.0
    on_try: Callable[[Mapping[str, Any]], None] = lambda _: None

    async def repair(self, goal: Goal) -> StepOutcome:
        """Plans and executes; raises AssertionError for a goal that is not served."""
        task, engines = await self.open(goal)
        try:
            started = time.monotonic()
            outcome = await engines.execution.execute(task)
            self.seconds = time.monotonic() - started
            self.changes = await task.candidate.harvest()
            return outcome
        finally:
            await task.candidate.close()

    async def open(self, goal: Goal) -> tuple[StepTask, Engines]:
        """A candidate of the project, the engines for the goal, and the step's task."""
        trees = PlainTrees(self.root)
        self.tree = (await trees.snapshot([])).tree
        pool = PlainPool(trees)
        gate = Gate(trees, pool, FINDER, GateOptions(timeout_s=60.0))
        self.candidate: PlainCandidate = await pool.open(self.tree)
        engines = embedded(FINDER, gate, self.clock, self.options)(goal)
        assert engines is not None, "the goal is not served"
        plan = Plan(Assessment.SIMPLE, (Step("Make the failing tests pass"),))
        task = StepTask(goal, plan, 0, self.candidate, self.tree, "", self._tell, self._journal)
        return task, engines

    def diff(self) -> str:
        """What the engines left in the candidate."""
        return unified_diff(self.changes)

    def added_lines(self) -> list[str]:
        """Lines of the diff that the change brings, without indentation."""
        return [
            line[1:].strip() for line in self.diff().splitlines() if line.startswith("+") and not line.startswith("+++")
        ]

    def _tell(self, message: str, percentage: float | None) -> None:
        self.told.append((message, percentage))

    def _journal(self, kind: EventKind, data: Mapping[str, Any]) -> None:
        if kind is EventKind.SEARCH_TRY:
            self.tries.append(data)
            self.on_try(data)


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    """Writes a project."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root
