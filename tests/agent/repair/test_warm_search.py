"""The embedded search with warm runs: it tries the same edits and sees the same come of them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_lsp.agent.engines import StepTask
from agent_lsp.agent.repair.engine import embedded
from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.plan import Assessment, Plan, Step
from agent_lsp.domain.ports import Candidate, SandboxKind, SuiteRequest, SuiteRunner
from agent_lsp.domain.task import Goal
from agent_lsp.domain.verdict import SuiteReport
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.warm import WarmRuns
from agent_lsp.workspace.runners.warm_memory import WarmMemory
from tests.agent.repair.bench import CLOCK
from tests.agent.repair.test_in_sandbox import FEW_PLUGINS
from tests.workspace.scenes import scene

FILES = {
    "pyproject.toml": f'[tool.pytest.ini_options]\npythonpath = ["src"]\naddopts = "{FEW_PLUGINS}"\n',
    "src/shop/__init__.py": "",
    "src/shop/best.py": """def best(a, b, c):
    if a < b and b > c or a == 0:
        return a + b - 2
    return a if a < b else c * 2
""",
    "tests/test_best.py": """from shop.best import best
def test_no_small_edit_does_it(): assert (best(1, 2, 3), best(5, 4, 4), best(9, 0, 1)) == (77, 78, 79)
def test_fine(): assert best(1, 5, 9) == 1
""",
}


@dataclass(frozen=True)
class OneByOne:
    """A finder whose runner knows no quick looks at many edits, as those of other frameworks."""

    finder: WorkspaceRunnerFinder

    async def find(self, candidate: Candidate) -> SuiteRunner:
        return Plain(await self.finder.find(candidate))


@dataclass(frozen=True)
class Plain:
    inner: SuiteRunner

    @property
    def name(self) -> str:
        return self.inner.name

    async def run(
        self, candidate: Candidate, request: SuiteRequest, on_case: Callable[[CaseId, int], None] | None = None
    ) -> SuiteReport:
        return await self.inner.run(candidate, request, on_case)


async def _tries(tmp_path: Path, warm: WarmRuns | None) -> dict[tuple[Any, ...], str]:
    tried: dict[tuple[Any, ...], str] = {}

    def journal(kind: EventKind, data: Mapping[str, Any]) -> None:
        if kind is EventKind.SEARCH_TRY:
            tried[data["path"], data["line"], data["after"], data["template"]] = data["result"]

    tmp_path.mkdir()
    async with scene(tmp_path, SandboxKind.OVERLAY, FILES) as made:
        finder = WorkspaceRunnerFinder(RunnerOptions(interpreter=sys.executable), warm)
        gate = Gate(made.trees, made.pool, finder, GateOptions(timeout_s=60.0))
        engines = embedded(OneByOne(finder), gate, CLOCK, RepairOptions(tries=10, wall_clock_s=600.0))(
            Goal("make the tests pass")
        )
        assert engines is not None
        candidate = await made.open()
        plan = Plan(Assessment.SIMPLE, (Step("Make the failing tests pass"),))
        task = StepTask(Goal("x"), plan, 0, candidate, candidate.tree, "", lambda _m, _s: None, journal)
        outcome = await engines.execution.execute(task)
        assert not outcome.finished
        await candidate.close()
    return tried


async def test_warm_runs_change_nothing_but_the_time_of_a_search(tmp_path: Path) -> None:
    memory = WarmMemory(tmp_path / "warm.json")
    warm = await _tries(tmp_path / "warm", WarmRuns(memory, after=1))
    known = await memory.latest()
    assert known is not None
    assert known.cold == ""
    assert known.forked > 0
    assert known.checked > 0
    cold = await _tries(tmp_path / "cold", None)
    assert len(warm) == len(cold) == 10
    # On a busy machine a try may run out of its time, which also changes the order of the next ones.
    results = {edit: result for edit, result in warm.items() if result != "timed out"}
    assert all(cold[edit] in (result, "timed out") for edit, result in results.items() if edit in cold)
    assert len(results.keys() & cold.keys()) > 4
