"""The embedded engines in a real candidate: sandboxed, on a git workspace, with the runner that is found there."""

import sys
from pathlib import Path

from agent_lsp.agent.engines import StepTask
from agent_lsp.agent.repair.engine import embedded
from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.domain.changes import unified_diff
from agent_lsp.domain.plan import Assessment, Plan, Step
from agent_lsp.domain.task import Goal
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.snapshot import GitTrees
from tests.agent.repair.bench import CLOCK, lay_out

FEW_PLUGINS = "-p no:pytest_lsp -p no:pytest-lsp -p no:hypothesispytest -p no:anyio -p no:asyncio"


async def test_a_repair_in_a_sandbox_is_proven_and_leaves_the_workspace_as_it_is(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": f'[tool.pytest.ini_options]\npythonpath = ["src"]\naddopts = "{FEW_PLUGINS}"\n',
        "src/shop/__init__.py": "",
        "src/shop/best.py": "def best(a, b):\n    return a if a<b else b\n",
        "tests/test_best.py": """from shop.best import best

def test_same(): assert best(1, 1) == 1
def test_first(): assert best(2, 1) == 2
def test_second(): assert best(1, 2) == 2
""",
    }
    root = lay_out(tmp_path / "workspace", files)
    trees = GitTrees(root, tmp_path / "cache")
    pool = Pool(root, tmp_path / "cache", trees)
    finder = WorkspaceRunnerFinder(RunnerOptions(interpreter=sys.executable))
    gate = Gate(trees, pool, finder, GateOptions(timeout_s=60.0))
    goal = Goal("make the failing tests pass")
    engines = embedded(finder, gate, CLOCK)(goal)
    assert engines is not None
    results = []
    await pool.start()
    try:
        tree = (await trees.snapshot([])).tree
        candidate = await pool.open(tree)
        plan = Plan(Assessment.SIMPLE, (Step("Make the failing tests pass"),))
        task = StepTask(
            goal,
            plan,
            0,
            candidate,
            tree,
            "",
            lambda _message, _share: None,
            lambda _kind, data: results.append((data["after"], data["result"])),
        )
        outcome = await engines.execution.execute(task)
        changes = await candidate.harvest()
        await candidate.close()
    finally:
        await pool.close()
    assert outcome.finished, outcome.reason
    assert results[-1] == ("return a if a>b else b", "proven")
    assert [edit.path for edit in changes] == ["src/shop/best.py"]
    assert "+    return a if a>b else b\n" in unified_diff(changes)
    assert (root / "src/shop/best.py").read_text() == files["src/shop/best.py"]
