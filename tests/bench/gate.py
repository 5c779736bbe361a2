"""Owns the measurements of the gate on real suites, against the bare `pytest` that a person runs there."""

import os
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent_lsp.app.configuration import Configuration
from agent_lsp.app.laboratory import Laboratory, laboratory
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.verdict import Decision
from agent_lsp.workspace.layout import CACHE_VARIABLE, cache_dir
from agent_lsp.workspace.process import Start, run
from tests.bench.measure import Row, say, seconds
from tests.bench.suites import SUITES, RealSuite, SuiteMissingError, ready

_BARE_S: Final = 600.0
_STAGED: Final = {"tests": {"staged_over_s": 0.5, "staged_budget_s": 5.0}}
_REMEMBERED: Final = ("baselines", "bytecode", "suite.json.z", "history.json", "imports.json.z")
"""What the gate keeps of a workspace besides its copies."""


@dataclass(slots=True)
class _Times:
    bare: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)
    impacted: list[float] = field(default_factory=list)
    followed: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)


class _Project:
    """A real project with a fault in it, and changes that mend it."""

    def __init__(self, suite: RealSuite, root: Path) -> None:
        self.suite, self.root = suite, root
        self._text = (root / suite.file).read_text()
        assert suite.right in self._text, suite.title
        self._number = 0

    async def bare(self) -> None:
        """As a person runs it: everything it has cached is there."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        await run(Start([".venv/bin/python", "-m", "pytest", "-q"], cwd=self.root, env=env, timeout_s=_BARE_S))

    def forget(self) -> None:
        """As in a workspace that the gate has seen no test of."""
        for name in _REMEMBERED:
            path = cache_dir(self.root) / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    async def verdict(self, lab: Laboratory) -> None:
        """Of a change that no run has seen; where only some of the tests ran, it may be that none of them showed it."""
        self._number += 1
        path, snapshot = self.suite.file, await lab.trees.snapshot(())
        wrong = self._text.replace(self.suite.right, self.suite.wrong, 1).encode()
        base = await lab.trees.write(snapshot.tree, [FileEdit(path, Entry(self._text.encode()), Entry(wrong))])
        mended = f"{self._text}\n# {self._number}\n".encode()
        evidence = await lab.gate.validate(base, (FileEdit(path, Entry(wrong), Entry(mended)),))
        verdict = evidence.verdict
        right = verdict.decision is Decision.PROVEN if verdict.selection == "full" else verdict.decision.acceptable
        assert right, (self.suite.title, verdict)

    async def run(self, lab: Laboratory, watch: tuple[str, ...]) -> None:
        """The tests once in a candidate, with the statements of these files followed."""
        candidate = await lab.pool.open((await lab.trees.snapshot(())).tree)
        try:
            report = await lab.gate.run_once(candidate, watch=watch)
        finally:
            await candidate.close()
        assert report.finished, (self.suite.title, report.trouble)
        assert bool(report.executed) == bool(watch), (self.suite.title, watch)


async def measure_gates(folder: Path, suites: Sequence[RealSuite] = SUITES) -> list[Row]:
    """Rows of every suite that can be had."""
    os.environ[CACHE_VARIABLE] = str(folder / "gate-cache")
    found: list[Row] = []
    for suite in suites:
        try:
            project = _Project(suite, ready(suite))
        except SuiteMissingError as error:
            say(str(error))
            continue
        found += _rows(suite, await _measured(project))
    return found


async def _measured(project: _Project) -> _Times:
    """The order changes in every round, so that what the machine does besides hits all alike."""
    times = _Times()
    await project.bare()
    await _verdicts(project, _Times())
    for number in range(project.suite.rounds):
        say(f"{project.suite.title}: round {number + 1} of {project.suite.rounds}")
        for turn in range(2):
            if (turn + number) % 2:
                times.bare += [await seconds(project.bare), await seconds(project.bare)]
            else:
                await _verdicts(project, times)
    return times


async def _verdicts(project: _Project, times: _Times) -> None:
    """A first verdict, a second on the same base in the same runtime, and a second one by the affected tests alone."""
    project.forget()
    for settings, asked in (({}, (times.first, times.second)), (_STAGED, ([], times.impacted))):
        lab = laboratory(project.root, Configuration(project.root, lambda _event, _data: None, settings))
        await lab.pool.start()
        try:
            for into in asked:
                into.append(await _seconds_of_verdict(project, lab))
            if not settings:
                await _runs(project, lab, times)
        finally:
            await lab.gate.close()
            await lab.pool.close()


async def _runs(project: _Project, lab: Laboratory, times: _Times) -> None:
    """One run with the lines of the changed file followed and one without, each first by turns."""
    pair = ((times.followed, (project.suite.file,)), (times.plain, ()))
    for into, watch in pair if len(times.plain) % 2 else reversed(pair):
        into.append(await seconds(lambda watch=watch: project.run(lab, watch)))  # type: ignore[misc]


async def _seconds_of_verdict(project: _Project, lab: Laboratory) -> float:
    return await seconds(lambda: project.verdict(lab))


def _rows(suite: RealSuite, times: _Times) -> list[Row]:
    bare_s, first_s, second_s, impacted_s = map(
        statistics.median, (times.bare, times.first, times.second, times.impacted)
    )
    followed_s, plain_s = statistics.median(times.followed), statistics.median(times.plain)

    def row(what: str, ours_s: float, theirs_s: float, aim: str) -> Row:
        return Row(f"{suite.title}: {what}", f"{ours_s:.2f} s", f"{theirs_s:.2f} s", ours_s / theirs_s, aim)

    return [
        row("first verdict, against bare `pytest` twice", first_s, 2 * bare_s, "≤ 1.5 ×"),
        row("second verdict on an unchanged base, against bare `pytest`", second_s, bare_s, "≤ 0.5 ×"),
        row("verdict by the affected tests, against one by all", impacted_s, second_s, ""),
        row("a run with the changed file's lines followed, against one without", followed_s, plain_s, ""),
    ]
