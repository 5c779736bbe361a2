"""Owns the measurement of warm runs against cold ones: a handful of tests, and the edits that a search tries."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from agent_lsp.agent.engines import StepTask
from agent_lsp.agent.repair.engine import embedded
from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.plan import Assessment, Plan, Step
from agent_lsp.domain.ports import Candidate, Clock, SuiteRequest
from agent_lsp.domain.task import Goal
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.warm import WarmRuns
from agent_lsp.workspace.runners.warm_memory import WarmMemory
from agent_lsp.workspace.snapshot import GitTrees
from tests.bench.measure import Row, alternate, milliseconds, say, seconds
from tests.bench.suites import SUITES, RealSuite, SuiteMissingError, ready

_HANDFUL: Final[Mapping[str, tuple[str, ...]]] = {
    "click": (
        "tests/test_normalization.py::test_option_normalization",
        "tests/test_normalization.py::test_command_normalization",
    ),
    "Jinja2": ("tests/test_filters.py::TestFilter::test_upper", "tests/test_filters.py::TestFilter::test_join"),
}
_LASTING: Final[Mapping[str, str]] = {"Jinja2": 'return soft_str(s).upper().join("()")'}
"""Faults that no small edit mends, where the one that the suite is measured with would be found at once."""

_ROUNDS: Final = 15
_TRIES: Final = 60
_LONGEST_S: Final = 600.0
_CLOCK: Final = Clock(time.time, time.monotonic, asyncio.sleep)


async def measure_warm(folder: Path) -> list[Row]:
    """Two rows for each project that can be had."""
    rows = []
    for known in SUITES:
        if known.name not in _HANDFUL:
            continue
        try:
            root = ready(known)
        except SuiteMissingError as error:
            say(str(error))
            continue
        suite = replace(known, wrong=_LASTING.get(known.name, known.wrong))
        say(f"warm runs: {suite.title}")
        cache = folder / suite.name
        rows += [await _handful(suite, root, cache / "handful"), await _search(suite, root, cache / "search")]
    return rows


@asynccontextmanager
async def _broken(suite: RealSuite, root: Path, cache: Path) -> AsyncIterator[tuple[GitTrees, Pool, str]]:
    """The project with the fault in it, as a tree."""
    trees = GitTrees(root, cache)
    pool = Pool(root, cache, trees)
    await pool.start()
    try:
        right = (root / suite.file).read_bytes()
        wrong = right.replace(suite.right.encode(), suite.wrong.encode(), 1)
        snapshot = await trees.snapshot(())
        yield trees, pool, await trees.write(snapshot.tree, [FileEdit(suite.file, Entry(right), Entry(wrong))])
    finally:
        await pool.close()


def _finder(cache: Path, *, warm: bool) -> WorkspaceRunnerFinder:
    runs = WarmRuns(WarmMemory(cache / "warm.json")) if warm else None
    return WorkspaceRunnerFinder(RunnerOptions(timeout_s=_LONGEST_S), runs)


async def _handful(suite: RealSuite, root: Path, cache: Path) -> Row:
    """One run of two tests in a candidate that has run them before."""
    runs = WarmRuns(WarmMemory(cache / "warm.json"))
    async with _broken(suite, root, cache) as (_, pool, tree):
        candidate = await pool.open(tree)
        runner = await WorkspaceRunnerFinder(RunnerOptions(timeout_s=_LONGEST_S), runs).find(candidate)
        tests = _HANDFUL[suite.name]

        async def run(*, warm: bool) -> None:
            report = await runner.run(candidate, SuiteRequest(tests, warm=warm))
            assert len(report.cases) >= len(tests), report.trouble

        for _ in range(20):
            await run(warm=True)
            if not runs.last_note:
                break
        warm_s, cold_s = await alternate(
            _ROUNDS, lambda: seconds(lambda: run(warm=True)), lambda: seconds(lambda: run(warm=False))
        )
        assert not runs.last_note, runs.last_note
    name = f"{suite.title}: a run of two tests, warm against cold"
    return Row(name, milliseconds(warm_s), milliseconds(cold_s), warm_s / cold_s, "")


async def _search(suite: RealSuite, root: Path, cache: Path) -> Row:
    """Edits a minute that the embedded engine tries, from its first one on: what is cold, loads or compares counts."""
    rates = []
    for warm in (True, False):
        async with _broken(suite, root, cache / str(warm)) as (trees, pool, tree):
            candidate = await pool.open(tree)
            finder = _finder(cache / str(warm), warm=warm)
            rates.append(await _tries_a_minute(trees, pool, candidate, finder, suite))
    name = f"{suite.title}: edits a minute that the embedded engine tries, warm against cold"
    return Row(name, f"{rates[0]:.0f}", f"{rates[1]:.0f}", rates[0] / rates[1], "")


async def _tries_a_minute(
    trees: GitTrees, pool: Pool, candidate: Candidate, finder: WorkspaceRunnerFinder, suite: RealSuite
) -> float:
    gate = Gate(trees, pool, finder, GateOptions(_LONGEST_S))
    file = _HANDFUL[suite.name][0].partition("::")[0]
    goal = Goal("make the failing tests pass", scope=(file,))
    engines = embedded(finder, gate, _CLOCK, RepairOptions(_TRIES, _LONGEST_S))(goal)
    assert engines is not None
    durations_s: list[float] = []

    def journal(kind: EventKind, data: Mapping[str, Any]) -> None:
        if kind is EventKind.SEARCH_TRY and data["result"] == "still fails":
            durations_s.append(data["durationS"])

    plan = Plan(Assessment.SIMPLE, (Step("Make the failing tests pass"),))
    await engines.execution.execute(
        StepTask(goal, plan, 0, candidate, candidate.tree, "", lambda _message, _share: None, journal)
    )
    assert durations_s, "nothing was tried"
    say(f"{suite.title}: {len(durations_s)} edits")
    return 60.0 * len(durations_s) / sum(durations_s)
