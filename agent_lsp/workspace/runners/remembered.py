"""Owns remembering: a runner that answers for an unchanged tree from a kept run, and whose runs are learned from."""

import asyncio
import posixpath
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from agent_lsp.domain.baseline import Baseline, BaselineKey
from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import Candidate, RunnerFinder, SuiteRequest, SuiteRunner, Trees
from agent_lsp.domain.suite_ports import Baselines, Screened, Screening, ScreeningRunner, SuiteMemory
from agent_lsp.domain.verdict import SuiteReport
from agent_lsp.workspace.fingerprint import Fingerprints
from agent_lsp.workspace.runners.bytecode import BytecodePacks
from agent_lsp.workspace.runners.folder_runner import FolderRunner, FolderView
from agent_lsp.workspace.runners.injected import OnCase
from agent_lsp.workspace.runners.pytest_runner import PytestRunner
from agent_lsp.workspace.runners.several import SeveralRunners
from agent_lsp.workspace.runners.unittest_runner import UnittestRunner

_AT_ONCE_S: Final = 0.02
_INSTALLED: Final = (
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    ".pnp.cjs",
    "node_modules/.package-lock.json",
    "node_modules/.yarn-integrity",
    "node_modules/.yarn-state.yml",
    "node_modules/.modules.yaml",
    ".venv/pyvenv.cfg",
)
"""What package managers write anew with each installation, so that its time tells of one."""

_KEPT: Final = 8
"""Runs of runners without a fingerprint that are remembered while the runtime lives."""


@dataclass(frozen=True, slots=True)
class Remembering:
    """What remembering needs of one workspace."""

    root: Path
    trees: Trees
    baselines: Baselines
    memory: SuiteMemory
    fingerprints: Fingerprints
    learns: bool = True
    bytecode: BytecodePacks | None = None


class RememberingFinder:
    """A finder whose runners remember."""

    def __init__(self, finder: RunnerFinder, world: Remembering) -> None:
        self._finder, self._world = finder, world

    async def find(self, candidate: Candidate) -> SuiteRunner:
        """See RunnerFinder."""
        runner = await self._finder.find(candidate)
        if not isinstance(runner, SeveralRunners):
            return RememberingRunner(runner, self._world)
        world = replace(self._world, learns=False)
        return runner.wrapped(lambda part: RememberingRunner(part, world), self._world.memory.learn)


class RememberingRunner:
    """Runs what another runner would; with `recall` in the request, a kept run of the candidate's tree will do.

    The candidate must be as it was opened when `recall` is asked for.
    """

    remembers = True
    """Whether a kept run still holds is known here."""

    def __init__(self, runner: SuiteRunner, world: Remembering) -> None:
        self._runner, self._world = runner, world
        self._folder = runner.folder if isinstance(runner, FolderRunner) else "."
        inner = runner.inner if isinstance(runner, FolderRunner) else runner
        self._python = inner if isinstance(inner, PytestRunner | UnittestRunner) else None
        self._kept: dict[tuple[object, ...], SuiteReport] = {}
        self._base: BaselineKey | None = None

    @property
    def name(self) -> str:
        """The inner runner's."""
        return self._runner.name

    def program(self, candidate: Candidate) -> str | None:
        """The Python of the workspace's own environment, as the candidate starts it; None where there is none."""
        if self._python is None or self._python.interpreter.borrowed:
            return None
        return posixpath.normpath(self._python.interpreter.program(self._view(candidate)))

    @property
    def splits(self) -> bool:
        """Whether it can run a part of the tests."""
        return isinstance(self._python, PytestRunner)

    @property
    def environment(self) -> str | None:
        """See RecallingRunner."""
        return None if self._base is None else self._base.environment

    async def learn(self, request: SuiteRequest, report: SuiteReport) -> None:
        """See RecallingRunner."""
        if self._world.learns:
            await self._world.memory.learn(request, report)

    async def recalled(self, candidate: Candidate, request: SuiteRequest) -> SuiteReport | None:
        """See RecallingRunner."""
        if self._python is None:
            return self._kept.get(await self._short(candidate, request))
        key = await self._key(candidate)
        self._base = key or self._base
        return None if key is None else await self._recalled(key, request)

    async def run(self, candidate: Candidate, request: SuiteRequest, on_case: OnCase | None = None) -> SuiteReport:
        """See SuiteRunner."""
        key = await self._key(candidate) if request.recall else None
        if key is not None and (known := await self._recalled(key, request)) is not None:
            return known
        short = await self._short(candidate, request) if request.recall and self._python is None else None
        if short is not None and short in self._kept:
            return self._kept[short]
        watch = _Stopwatch(on_case)
        self._base = key or self._base
        packs = self._world.bytecode
        if packs is not None and self._base is not None:
            await packs.lend(self._base, candidate)
        try:
            report = await self._runner.run(candidate, request, watch.heard)
        except asyncio.CancelledError:
            self._world.memory.glimpse(watch.durations_s)
            raise
        if key is not None or request.keep:
            await self._keep(key or await self._key(candidate), candidate, request, report)
        elif short is not None and report.finished and not report.cut_short and not request.fail_fast:
            self._kept[short] = report
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        if self._world.learns and request.shard is None:
            await self._world.memory.learn(request, report)
        return report

    async def screen(self, candidate: Candidate, asked: Screening) -> AsyncGenerator[Screened, None]:
        """See ScreeningRunner; nothing of it is kept."""
        if not isinstance(self._python, PytestRunner) or not isinstance(self._runner, ScreeningRunner):
            raise RunnerUnavailableError(f"{self.name} cannot look at many edits at once")
        async with aclosing(self._runner.screen(candidate, asked)) as rows:
            async for row in rows:
                yield row

    async def _keep(
        self, key: BaselineKey | None, candidate: Candidate, request: SuiteRequest, report: SuiteReport
    ) -> None:
        """A finished run of a candidate's tree, for when the tree is a base; its compiled code only if it is one."""
        if key is None or not report.finished or not report.cases or report.cut_short or request.fail_fast:
            return
        ignored = await self._ignored(candidate.tree, report)
        await self._world.baselines.keep(key, Baseline(report, request.tests, ignored))
        if self._world.bytecode is not None and request.recall:
            await self._world.bytecode.take(key, candidate)

    async def _short(self, candidate: Candidate, request: SuiteRequest) -> tuple[object, ...]:
        """What a run of a runner without a fingerprint is known by: its tree, its tests, and what is installed."""
        folders = ("",) if self._folder == "." else ("", f"{self._folder}/")
        return (candidate.tree, request.tests, await asyncio.to_thread(_installed, self._world.root, folders))

    def _view(self, candidate: Candidate) -> Candidate:
        return candidate if self._folder == "." else FolderView(candidate, self._folder)

    async def _key(self, candidate: Candidate) -> BaselineKey | None:
        runner = self._python
        if runner is None:
            return None
        prints = self._world.fingerprints.below(self._folder)
        environment = await prints.of(runner.interpreter, runner.arguments, self._view(candidate))
        return None if environment is None else BaselineKey(candidate.tree, f"{self._runner.name}\0{environment}")

    async def _recalled(self, key: BaselineKey, request: SuiteRequest) -> SuiteReport | None:
        known = await self._world.baselines.find(key)
        if known is None or not known.covers(request.tests):
            return None
        paths = [path for path, _ in known.ignored]
        if await asyncio.to_thread(_marks, self._world.root, paths) != known.ignored:
            return None
        return known.part(request.tests)

    async def _ignored(self, tree: str, report: SuiteReport) -> tuple[tuple[str, str], ...]:
        """What the run read under the root that is in no snapshot: built extensions, local settings, data."""
        inside = set(await self._world.trees.paths(tree))
        outside = [path for path in report.touched if path not in inside and "site-packages/" not in path]
        return await asyncio.to_thread(_marks, self._world.root, sorted(outside))


@dataclass(slots=True)
class _Stopwatch:
    """About how long each test takes, by when it is heard to end; those that are heard at once share the time."""

    to: OnCase | None
    durations_s: dict[CaseId, float] = field(default_factory=dict)
    _last_s: float | None = None
    _together: list[CaseId] = field(default_factory=list)
    _share_s: float = 0.0

    def heard(self, case_id: CaseId, collected: int) -> None:
        """A test ended. The first one has the start of the process in its time, so it says nothing."""
        now_s = time.monotonic()
        if self._last_s is not None:
            gap_s = now_s - self._last_s
            if gap_s > _AT_ONCE_S:
                self._together, self._share_s = [], gap_s
            self._together.append(case_id)
            for other in self._together:
                self.durations_s[other] = self._share_s / len(self._together)
        self._last_s = now_s
        if self.to is not None:
            self.to(case_id, collected)


def _marks(root: Path, paths: list[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for path in paths:
        try:
            stat = (root / path).stat()
            found.append((path, f"{stat.st_size} {stat.st_mtime_ns}"))
        except OSError:
            found.append((path, "-"))
    return tuple(found)


def _installed(root: Path, folders: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The state of what is installed: a package that comes or goes changes the time of some file or folder here."""
    paths = [folder + name for folder in folders for name in _INSTALLED]
    for folder in folders:
        paths += [str(found.relative_to(root)) for found in (root / folder).glob(".venv/lib/python3*/site-packages")]
    return _marks(root, paths)
