"""Owns the measurement of the embedded engine on small programs with a known slip: solved, right, how fast.

`python -m tests.bench.repair [--only TEXT] [--time S]` prints a line for each program and leaves the page alone.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

from agent_lsp.agent.engines import StepOutcome, StepTask
from agent_lsp.agent.repair.engine import embedded
from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.plan import Assessment, Plan, Step
from agent_lsp.domain.ports import Clock
from agent_lsp.domain.task import Goal
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.warm import WarmRuns
from agent_lsp.workspace.runners.warm_memory import WarmMemory
from agent_lsp.workspace.snapshot import GitTrees
from tests.bench.measure import NOTHING, Row, say
from tests.repair_bugs.classic_numbers import NUMBERS
from tests.repair_bugs.classic_structures import STRUCTURES
from tests.repair_bugs.everyday import EVERYDAY
from tests.repair_bugs.slip import Slip
from tests.repair_bugs.unseen import UNSEEN
from tests.repair_bugs.unseen2_statements import STATEMENTS
from tests.repair_bugs.unseen2_values import VALUES

CLASSIC: Final = (*NUMBERS, *STRUCTURES)
UNSEEN2: Final = (*VALUES, *STATEMENTS)
SETS: Final = (
    ("classic programs", CLASSIC),
    ("everyday slips", EVERYDAY),
    ("unseen slips", UNSEEN),
    ("unseen2 slips", UNSEEN2),
)
"""The last ones were written after the engine: what says whether the others were learned by heart."""

_CLOCK: Final = Clock(time.time, time.monotonic, asyncio.sleep)
_FEW: Final = 6
"""Of each kind, where not all are asked for."""

_GOAL: Final = Goal("make the failing tests pass")
_PLUGINS: Final = ("pytest_lsp", "pytest-lsp", "hypothesispytest", "anyio", "asyncio", "xdist", "xdist.looponfail")
"""Of the Python that the bench runs in; a project of such a size has none of them."""

_HIDDEN: Final = """
import contextlib, io, json, sys
names, right = {}, 0
with contextlib.redirect_stdout(io.StringIO()):
    exec(compile(sys.argv[1], "program", "exec"), names)
    calls = json.loads(sys.argv[2])
    right = sum(repr(eval(call, names)) == value for call, value in calls)
sys.exit(right != len(calls))
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one search may take, and one run of a program's tests: many of the slips make them hang."""

    search_s: float = 120.0
    suite_s: float = 60.0


WHOLE: Final = Limits()
SHORT: Final = Limits(search_s=60.0, suite_s=20.0)


@dataclass(slots=True)
class Tried:
    """What came of one program."""

    slip: Slip
    solved: bool = False
    right: bool = False
    seconds: float = 0.0
    tries: int = 0
    search_s: float = 0.0
    suite_s: float = 0.0
    change: str = ""
    summary: str = ""
    results: dict[str, int] = field(default_factory=dict)

    def line(self) -> str:
        """For who watches."""
        state = "right" if self.right else "solved, not right" if self.solved else "not solved"
        return f"{self.slip.name}: {state}, {self.tries} tries, {self.seconds:.1f} s {self.change}"


async def measure_repair(folder: Path, *, whole: bool) -> list[Row]:
    """Rows for the classic programs and the everyday ones: for a few of each within minutes, or for all of all sets."""
    rows = []
    for kind, slips in SETS if whole else SETS[:2]:
        chosen = slips if whole else spread(slips, _FEW)
        found = await attempts(folder / kind.split()[0], chosen, WHOLE if whole else SHORT)
        rows += rows_of(f"{len(chosen)} of {len(slips)} {kind}", found)
    return rows


def spread(slips: Sequence[Slip], count: int) -> tuple[Slip, ...]:
    """So many of them, evenly from first to last: the same ones each time."""
    return tuple(slips[number * len(slips) // count] for number in range(count))


async def attempts(folder: Path, slips: Sequence[Slip], limits: Limits = WHOLE) -> list[Tried]:
    """Every program repaired once."""
    found = []
    for number, slip in enumerate(slips):
        found.append(await attempt(folder / f"{slip.name.replace(' ', '-')}-{number}", slip, limits))
        say(found[-1].line())
    return found


async def attempt(folder: Path, slip: Slip, limits: Limits) -> Tried:
    """One program in a workspace of its own."""
    root, cache, tried = folder / "workspace", folder / "cache", Tried(slip)
    root.mkdir(parents=True)
    plugins = " ".join(f"-p no:{name}" for name in _PLUGINS)
    files = {"pyproject.toml": f'[tool.pytest.ini_options]\naddopts = "{plugins}"\n', **slip.files()}
    for name, text in {**files, "program.py": slip.right_text()}.items():
        (root / name).write_text(text)
    tried.suite_s = await asyncio.to_thread(_suite_s, root)
    (root / "program.py").write_text(files["program.py"])
    trees = GitTrees(root, cache)
    pool = Pool(root, cache, trees)
    await pool.start()
    try:
        began = time.monotonic()
        outcome, text = await _repaired(tried, trees, pool, cache, limits)
        tried.seconds = time.monotonic() - began
    finally:
        await pool.close()
    tried.solved, tried.summary = outcome.finished, outcome.summary
    if outcome.finished:
        tried.right = await asyncio.to_thread(_is_right, slip, text)
        before = slip.wrong_text().splitlines()
        tried.change = " / ".join(line.strip() for line in text.splitlines() if line not in before)
    return tried


async def _repaired(tried: Tried, trees: GitTrees, pool: Pool, cache: Path, limits: Limits) -> tuple[StepOutcome, str]:
    finder = WorkspaceRunnerFinder(RunnerOptions(interpreter=sys.executable), WarmRuns(WarmMemory(cache / "warm.json")))
    gate = Gate(trees, pool, finder, GateOptions(timeout_s=limits.suite_s))
    options = RepairOptions(wall_clock_s=limits.search_s)
    engines = embedded(finder, gate, _CLOCK, options)(_GOAL)
    assert engines is not None

    def journal(kind: EventKind, data: Mapping[str, Any]) -> None:
        if kind is EventKind.SEARCH_TRY:
            tried.tries = max(tried.tries, data["try"])
            tried.search_s += data["durationS"]
            tried.results[data["result"]] = tried.results.get(data["result"], 0) + 1

    candidate = await pool.open((await trees.snapshot(())).tree)
    try:
        plan = Plan(Assessment.SIMPLE, (Step("Make the failing tests pass"),))
        outcome = await engines.execution.execute(
            StepTask(_GOAL, plan, 0, candidate, candidate.tree, "", lambda _message, _share: None, journal)
        )
        entry = await candidate.read("program.py")
        return outcome, entry.content.decode() if entry is not None else ""
    finally:
        await candidate.close()


def _suite_s(root: Path) -> float:
    """Seconds of a bare run of the project's tests."""
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    quiet = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    began_s = time.monotonic()
    subprocess.run(argv, cwd=root, env=quiet, capture_output=True, timeout=WHOLE.suite_s, check=True)
    return time.monotonic() - began_s


def _is_right(slip: Slip, text: str) -> bool:
    """Whether the repaired program gives what the right one gives for calls that no test of the project makes."""
    calls = list(zip(slip.hidden, slip.expected(slip.hidden), strict=True))
    program = f"{text}\n{dedent(slip.setup)}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", _HIDDEN, program, json.dumps(calls)], capture_output=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def rows_of(title: str, tried: Sequence[Tried]) -> list[Row]:
    """How many were solved and are right, how many edits were tried in a minute, and how long one took."""
    count = len(tried)
    solved, right = sum(row.solved for row in tried), sum(row.right for row in tried)
    tries, spent_s = sum(row.tries for row in tried), sum(row.search_s for row in tried)
    each_s, suite_s = (
        statistics.median(times) for times in zip(*((row.seconds, row.suite_s) for row in tried), strict=True)
    )
    a_minute, bare = 60 * tries / max(0.001, spent_s), 60 / max(0.001, suite_s)
    return [
        Row(f"{title}: all tests pass", f"{solved} of {count}", NOTHING, solved / count, ""),
        Row(f"{title}: right too, of those", f"{right} of {solved}", NOTHING, right / max(1, solved), ""),
        Row(
            f"{title}: edits tried in a minute, against bare `pytest` runs of the right programs",
            f"{a_minute:.0f}",
            f"{bare:.0f}",
            a_minute / bare,
            "",
        ),
        Row(
            f"{title}: seconds for one (median), against one such run",
            f"{each_s:.1f} s",
            f"{suite_s:.1f} s",
            each_s / max(0.001, suite_s),
            "",
        ),
    ]


def main() -> None:
    """Measures and prints; for work on the engine."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.repair")
    parser.add_argument("--only", default="", help="programs whose name has this text")
    parser.add_argument(
        "--time", type=float, default=WHOLE.search_s, metavar="S", help="longest search for one program"
    )
    options = parser.parse_args()
    for kind, slips in SETS:
        title = kind.split()[0]
        chosen = [slip for slip in slips if options.only in slip.name or options.only == title]
        if not chosen:
            continue
        with tempfile.TemporaryDirectory(prefix="agent-lsp-bench-") as folder:
            tried = asyncio.run(attempts(Path(folder), chosen, Limits(options.time)))
        for row in rows_of(title, tried):
            print(f"{row.name}: {row.subject} ({row.baseline})")


if __name__ == "__main__":
    main()
