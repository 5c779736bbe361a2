"""Owns the runs of one gate: each in a fresh candidate of exactly its tree, several at once where there is room."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from agent_lsp.agent.validation_pace import hurried
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.errors import CandidateError, RunnerUnavailableError
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import Candidate, CandidatePool, RunnerFinder, SandboxKind, SuiteRequest, SuiteRunner
from agent_lsp.domain.script_outline import ScriptReader
from agent_lsp.domain.sharding import Room, Shard, as_one, plan_shards
from agent_lsp.domain.suite_ports import RecallingRunner, SuiteHistory
from agent_lsp.domain.verdict import SuiteReport

A = TypeVar("A")
B = TypeVar("B")
K = TypeVar("K")
V = TypeVar("V")

OnProgress = Callable[[str, float | None], None]

ISOLATING: Final = (SandboxKind.OVERLAY, SandboxKind.BUBBLEWRAP)
_HINT_LOST: Final = (
    "If it happens again, either the change or a test ends processes that are not its own, or the memory does not "
    "suffice: `agent-lsp doctor` tells what a sandbox may use."
)
_KEPT: Final = 8
"""Baselines, and runners, that are remembered."""


@dataclass(frozen=True, slots=True)
class GateOptions:
    """`timeout_s` bounds each run of the tests. `parallel` runs several at once where candidates are isolated.

    `room` tells what the machine has free: without it, both sides of a comparison run at once and no run is split.
    `history` is kept of tests and used. `note_of_copies` is what each verdict says of tests that ran in a plain copy.
    `scripts` reads tests of JavaScript.
    """

    timeout_s: float = 600.0
    parallel: bool = True
    note_of_copies: str = ""
    room: Callable[[], Room] | None = None
    history: SuiteHistory | None = None
    scripts: ScriptReader | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How the tests of one validation are run: after `enough_s` no further one is begun, where the runner can do that.

    `in_one_piece` splits no run; `parts` is then what a run in parts of the same change showed, to learn from it.
    """

    enough_s: float | None = None
    in_one_piece: bool = False
    parts: SuiteReport | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One validation: the trees to test and what to run in them."""

    base_tree: str
    tree: str
    edits: tuple[FileEdit, ...]
    goal_tests: tuple[CaseId, ...]
    tests: tuple[str, ...]
    watch: tuple[str, ...]
    tell: OnProgress
    manner: Manner = field(default_factory=Manner)

    @property
    def enough_s(self) -> float | None:
        """See Manner."""
        return self.manner.enough_s

    @property
    def paths(self) -> tuple[str, ...]:
        """What the change touches, on either side."""
        return tuple(sorted({path for edit in self.edits for path in (edit.path, edit.base_path)}))

    @property
    def first(self) -> tuple[str, ...]:
        """Files whose tests are to be run before all others: those of the goal tests."""
        return tuple(dict.fromkeys(goal.partition("::")[0] for goal in self.goal_tests))


@dataclass(slots=True)
class _Counter:
    """Adds up the progress of runs that belong together."""

    tell: OnProgress
    what: str
    ended: int = 0
    collected: dict[int, int] = field(default_factory=dict)

    def of(self, part: int) -> Callable[[CaseId, int], None]:
        """What hears of one of the runs."""

        def heard(_case_id: CaseId, collected: int) -> None:
            self.ended += 1
            self.collected[part] = collected
            total = sum(self.collected.values())
            share = min(1.0, self.ended / total) if total else None
            self.tell(f"Running tests {self.what}: {self.ended} of {total}", share)

        return heard


class SuiteRuns:
    """Opens candidates, finds the runner of each base once, and remembers the runs of unchanged trees."""

    def __init__(self, pool: CandidatePool, finder: RunnerFinder, options: GateOptions) -> None:
        self._pool, self._finder, self._options = pool, finder, options
        self._runners: dict[str, SuiteRunner] = {}
        self._baselines: dict[tuple[str, tuple[str, ...], str], SuiteReport] = {}
        self._finding = asyncio.Lock()
        self._peak_bytes = 0

    async def run(
        self,
        job: Job,
        tree: str,
        request: SuiteRequest,
        what: str,
        *,
        heard: Callable[[CaseId, int], None] | None = None,
    ) -> SuiteReport:
        """One run of a tree. Raises RunnerUnavailableError, ConfigError, or CandidateError if no copy can be made."""
        limit_s = min(request.timeout_s, self._options.timeout_s)
        request = replace(request, timeout_s=limit_s, changed=job.paths)
        if heard is None:
            job.tell(f"Running tests {what}", None)
        candidate = await self._pool.open(tree)
        try:
            runner = await self.runner(job.base_tree, candidate)
            report = await _unless_lost(runner.run(candidate, request, heard or _Counter(job.tell, what).of(0)), what)
            self._peak_bytes = max(self._peak_bytes, report.peak_bytes)
            return report
        finally:
            await candidate.close()

    async def runner(self, tree: str, candidate: Candidate) -> SuiteRunner:
        """One search for a tree's runner, even when both sides ask at once."""
        async with self._finding:
            runner = self._runners.get(tree)
            if runner is None:
                runner = await self._finder.find(candidate)
                _remember(self._runners, tree, runner)
            return runner

    # --- without the change --------------------------------------------------------------------------------------

    async def known(self, job: Job) -> SuiteReport | None:
        """A run of the base from before."""
        runner = self._runners.get(job.base_tree)
        recalling = _recalling(runner)
        kept = self._baselines.get((job.base_tree, job.tests, runner.name)) if runner else None
        if kept is not None:
            return kept
        if runner is not None and recalling is None:
            return None
        candidate = await self._pool.open(job.base_tree)
        try:
            recalling = _recalling(await self.runner(job.base_tree, candidate))
            if recalling is None:
                return None
            request = SuiteRequest(job.tests, recall=True, first=job.first, changed=job.paths)
            found = await recalling.recalled(candidate, request)
            self._peak_bytes = max(self._peak_bytes, found.peak_bytes if found is not None else 0)
            return found
        finally:
            await candidate.close()

    async def baseline(
        self, job: Job, other: SuiteReport | None = None, beat: Callable[[], None] | None = None
    ) -> SuiteReport:
        """A run of the base, kept. `other` is that of the changed side, `beat` is called for each test that ended."""
        request = SuiteRequest(job.tests, recall=True, first=job.first, enough_s=job.enough_s)
        if other is not None:
            request = hurried(request, other, self._options.timeout_s)
        what = "without the change"
        job.tell(f"Running tests {what}", None)
        told = _Counter(job.tell, what).of(0)

        def heard(case_id: CaseId, collected: int) -> None:
            told(case_id, collected)
            if beat is not None:
                beat()

        report = await self.run(job, job.base_tree, request, what, heard=heard)
        runner = self._runners[job.base_tree]
        if report.finished and not report.cut_short and not getattr(runner, "remembers", False):
            _remember(self._baselines, (job.base_tree, job.tests, runner.name), report)
        return report

    # --- in parts --------------------------------------------------------------------------------------------------

    async def parts(self, job: Job, known: SuiteReport) -> tuple[Shard, ...]:
        """How to split the run with the change; empty where it is better, or known to be necessary, in one piece."""
        runner = _recalling(self._runners.get(job.base_tree))
        room = self._room()
        if job.manner.in_one_piece or room is None or runner is None or not runner.splits or not known.finished:
            return ()
        shards = plan_shards(known, room, job.first)
        if not shards or self._options.history is None:
            return shards
        environment = runner.environment
        return () if environment is None or await self._options.history.in_one_piece(environment) else shards

    async def in_parts(
        self, job: Job, known: SuiteReport, request: SuiteRequest, shards: tuple[Shard, ...]
    ) -> SuiteReport:
        """The run with the change, its parts at once. What one part raises stops the others."""
        what = f"with the change, in {len(shards)} parts at once"
        counter = _Counter(job.tell, what)
        job.tell(f"Running tests {what}", None)
        began_s = time.monotonic()
        async with _Together() as together:
            tasks = [
                together.start(self.run(job, job.tree, replace(request, shard=shard), what, heard=counter.of(number)))
                for number, shard in enumerate(shards)
            ]
            reports = [await task for task in tasks]
        merged = as_one(reports, known.cases.keys(), time.monotonic() - began_s)
        if (runner := _recalling(self._runners[job.base_tree])) is not None:
            await runner.learn(replace(request, shard=Shard(())), merged)
        return merged

    async def keep_in_one_piece(self, job: Job, why: str) -> None:
        """Running in parts made a difference: in this environment it is not done again."""
        runner = _recalling(self._runners.get(job.base_tree))
        if self._options.history is None or runner is None:
            return
        if runner.environment is not None:
            await self._options.history.keep_in_one_piece(runner.environment, why)

    def _room(self) -> Room | None:
        apart = self._options.parallel and self._pool.kind in ISOLATING
        return self._options.room() if apart and self._options.room is not None else None

    @property
    def timeout_s(self) -> float:
        """The longest that a run may take."""
        return self._options.timeout_s

    # --- at once -----------------------------------------------------------------------------------------------------

    @property
    def at_once(self) -> bool:
        """Whether two runs go at the same time: where they are isolated and memory allows."""
        if not self._options.parallel or self._pool.kind not in ISOLATING:
            return False
        room = self._room()
        return room is None or replace(room, cores=2).fits(self._peak_bytes) >= 2

    async def each(self, first: Callable[[], Awaitable[A]], second: Callable[[], Awaitable[B]]) -> tuple[A, B]:
        """Both results: at the same time where that may be; the other one is stopped when one raises."""
        if not self.at_once:
            return await first(), await second()
        async with _Together() as together:
            one, other = together.start(first()), together.start(second())
            await asyncio.wait((one, other), return_when=asyncio.FIRST_EXCEPTION)
            for task in (one, other):
                if task.done():
                    task.result()
            return one.result(), other.result()


class _Together:
    """Tasks that end with the block, whatever ends it."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Future[object]] = []

    async def __aenter__(self) -> "_Together":
        return self

    def start(self, work: Awaitable[A]) -> "asyncio.Future[A]":
        """Begins one."""
        task = asyncio.ensure_future(work)
        self._tasks.append(task)  # type: ignore[arg-type]
        return task

    async def __aexit__(self, *_failure: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _unless_lost(run: Coroutine[object, object, A], what: str) -> A:
    """A run in a copy that is there. Where something ends that copy, the tests told nothing, whoever did it."""
    try:
        return await run
    except CandidateError as error:
        reason = f"The copy of the workspace was lost while the tests ran in it {what}: {error.message}."
        raise RunnerUnavailableError(reason, hint=_HINT_LOST) from error


def _recalling(runner: object) -> RecallingRunner | None:
    return runner if isinstance(runner, RecallingRunner) else None


def _remember(kept: dict[K, V], key: K, value: V) -> None:
    kept[key] = value
    while len(kept) > _KEPT:
        del kept[next(iter(kept))]
