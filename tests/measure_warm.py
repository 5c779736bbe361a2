"""Runs parts of real suites warm and cold, on sources as they are and broken, and prints where they tell otherwise.

`python -m tests.measure_warm [--selections N] [--seed N] PROJECT ...`: folders with a virtual environment in `.venv`.
Each selection is a test file or some tests of one; every second time a statement of a source file is broken before. A
warm run is compared with a cold one that follows it in the same candidate: outcomes and places by test id, their order,
what was collected, loaded files, lines that ran under which test, files that were read, and the output but for times
and addresses. What two cold runs tell otherwise too is counted as unsteady.
"""

import argparse
import ast
import asyncio
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent_lsp.domain.changes import Entry
from agent_lsp.domain.ports import Candidate, SuiteRequest
from agent_lsp.domain.verdict import SuiteReport
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.injected import Launch, run_injected
from agent_lsp.workspace.runners.warm import WarmRuns
from agent_lsp.workspace.runners.warm_check import differences
from agent_lsp.workspace.runners.warm_memory import WarmMemory
from agent_lsp.workspace.snapshot import GitTrees

RUNS = 6
"""Runs of a selection at most until one is warm: the first is cold, the next ones are while the process loads."""

_VARIES = re.compile(
    r"\bin [\d.]+s\b.*|[\d.]+s (call|setup|teardown)\b.*|0x[0-9a-f]+|\b\d+\.\d+ ?(s|ms|seconds)\b|tests-\w+"
    r"|\b\d{4}-\d\d-\d\d[T ][\d:.,]+|pytest-of-\w+/pytest-\d+|=+|-+"
)


@dataclass
class Tally:
    """What one project's runs came to."""

    name: str
    selections: int = 0
    warm: int = 0
    tests: int = 0
    failing: int = 0
    otherwise: list[str] = field(default_factory=list)
    unsteady: int = 0
    outputs: int = 0
    warm_s: float = 0.0
    cold_s: float = 0.0
    note: str = ""
    skipped: dict[str, str] = field(default_factory=dict)

    def row(self) -> str:
        ratio = f"{self.warm_s / self.cold_s:.2f}" if self.cold_s else "-"
        skipped = ", ".join(self.skipped) or "-"
        return (
            f"| {self.name} | {self.selections} | {self.warm} | {self.tests} | {self.failing} | {len(self.otherwise)} "
            f"| {self.unsteady} | {self.outputs} | {ratio} | {self.note or skipped} |"
        )


HEAD = (
    "| project | selections | warm runs | results | of them bad | told otherwise | unsteady cold too | other output "
    "| warm/cold time | cold because / loaded anew |\n|---|---|---|---|---|---|---|---|---|---|"
)


class Compared(WarmRuns):
    """Compares each warm run, whatever was compared before, and goes on after a difference."""

    def __init__(self, memory: WarmMemory, tally: Tally) -> None:
        super().__init__(memory, after=1)
        self.tally = tally

    async def _forked(self, place, selection, candidate, asked, ran):  # type: ignore[no-untyped-def]
        place.known.skipped |= ran.result.skipped
        warm, tally = ran.report, self.tally
        cold = await self._cold(candidate, asked)
        found = differences(warm, cold)
        again = await self._cold(candidate, asked) if found or _plain(warm) != _plain(cold) else None
        if again is not None:
            unsteady = differences(cold, again)
            tally.unsteady += len(unsteady)
            tally.otherwise += [f"{name}: {text}" for name, text in found.items() if name not in unsteady]
            if _plain(cold) == _plain(again) and _plain(warm) != _plain(cold):
                tally.outputs += 1
                _show(_plain(warm), _plain(cold))
        tally.warm += 1
        tally.tests += len(warm.cases)
        tally.failing += len(warm.failing())
        tally.warm_s += warm.duration_s
        tally.cold_s += cold.duration_s
        return cold

    async def _cold(self, candidate: Candidate, asked: tuple[Launch, SuiteRequest]) -> SuiteReport:
        return (await run_injected(candidate, *asked)).report


def _plain(report: SuiteReport) -> list[str]:
    return [_VARIES.sub("", line).strip() for line in report.output.splitlines()]


def _show(warm: Sequence[str], cold: Sequence[str]) -> None:
    for line in list(dict.fromkeys(line for line in warm if line not in cold))[:3]:
        print("   only warm:", line[:150])
    for line in list(dict.fromkeys(line for line in cold if line not in warm))[:3]:
        print("   only cold:", line[:150])


def _mutants(text: str, dice: random.Random) -> Iterator[str]:
    """The text with one returned value lost, or one comparison turned round."""
    lines = text.splitlines(keepends=True)
    places = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Return) and node.value is not None and node.value.lineno == node.value.end_lineno:
            places.append((node.value, "None"))
        elif isinstance(node, ast.Compare) and len(node.ops) == 1 and node.lineno == node.end_lineno:
            places.append((node, f"not ({ast.get_source_segment(text, node)})"))
    dice.shuffle(places)
    for node, new in places:
        line = lines[node.lineno - 1]
        if line.isascii():
            yield "".join(
                [
                    *lines[: node.lineno - 1],
                    line[: node.col_offset] + new + line[node.end_col_offset :],
                    *lines[node.lineno :],
                ]
            )


async def _selections(candidate: Candidate, dice: random.Random, count: int) -> list[str]:
    paths = [path for path in await candidate.paths() if not path.startswith(("examples/", "docs/", "doc/"))]
    files = [path for path in paths if re.search(r"(^|/)(test_[^/]*|[^/]*_test)\.py$", path)]
    return dice.sample(files, min(count, len(files)))


async def _project(root: Path, count: int, seed: int) -> Tally:
    tally, dice = Tally(root.name), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="agent-lsp-warm-") as cache:
        trees = GitTrees(root, Path(cache))
        pool = Pool(root, Path(cache), trees)
        await pool.start()
        runs = Compared(WarmMemory(Path(cache) / "warm.json"), tally)
        candidate = await pool.open((await trees.snapshot([])).tree)
        try:
            runner = await WorkspaceRunnerFinder(RunnerOptions(timeout_s=600), runs).find(candidate)
            for number, file in enumerate(await _selections(candidate, dice, count)):
                tests: tuple[str, ...] = (file,)
                first = await runner.run(candidate, SuiteRequest(tests, timeout_s=600, warm=True))
                if number % 2 and first.cases:
                    tests = tuple(dice.sample(sorted(first.cases), min(4, len(first.cases))))
                read = [path for path in sorted(first.touched) if "packages" not in path and path.endswith(".py")]
                sources = [path for path in read if "test" not in path and not path.endswith("__init__.py")]
                watch = tuple(dice.sample(sources, min(3, len(sources))))
                stem = Path(file).stem.replace("test_", "")
                watch = tuple(dict.fromkeys([*(path for path in sources if Path(path).stem == stem), *watch]))
                tally.selections += 1
                await _selection(candidate, runner, (tests, watch), tally, dice if number % 4 > 1 else None)
                print(f"{root.name}: {tests[0]} … {tally.warm} warm, {runs.last_note}", flush=True)
                cold = next((place.cold for place in runs._environments.values() if place.cold), "")
                if cold:
                    tally.note = cold
                    break
            for place in runs._environments.values():
                tally.skipped |= place.known.skipped
        finally:
            await candidate.close()
            await pool.close()
    return tally


async def _selection(candidate, runner, asked, tally, dice) -> None:  # type: ignore[no-untyped-def]
    tests, watch = asked
    path = watch[0] if watch and dice is not None else ""
    entry = await candidate.read(path) if path else None
    if entry is not None:
        broken = next(_mutants(entry.content.decode(), dice), None)
        if broken is not None:
            await candidate.write(path, Entry(broken.encode(), entry.mode))
    before = tally.warm
    for _ in range(RUNS):
        await runner.run(candidate, SuiteRequest(tests, watch, timeout_s=600, warm=True))
        if tally.warm > before:
            break
        await asyncio.sleep(0.5)
    if entry is not None:
        await candidate.write(path, entry)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.measure_warm")
    parser.add_argument("projects", nargs="+", type=Path, metavar="PROJECT")
    parser.add_argument("--selections", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rows = []
    for root in options.projects:
        tally = await _project(root.resolve(), options.selections, options.seed)
        rows.append(tally.row())
        for text in tally.otherwise[:6]:
            print("   OTHERWISE", tally.name, text[:300])
        print(rows[-1], flush=True)
    print("\n".join([HEAD, *rows]))


if __name__ == "__main__":
    asyncio.run(main())
