"""Owns a small world for review: real files, an editor in memory that can misbehave, a gate that judges contents."""

import asyncio
import errno
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent_lsp.agent.review import Review
from agent_lsp.agent.shelf import ReviewHooks, ReviewOptions, ReviewPorts
from agent_lsp.agent.validation import Gate
from agent_lsp.domain.changes import Entry, FileEdit, FileMode
from agent_lsp.domain.errors import RefusedError
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.goal_findings import split_goals
from agent_lsp.domain.keeping import Checkpoint, CheckpointRow, CheckpointState
from agent_lsp.domain.ports import Buffer, BufferChange, BufferOutcome, Clock, Snapshot, Was
from agent_lsp.domain.task import Goal, RunState
from agent_lsp.domain.verdict import Decision, Evidence, SuiteReport, Verdict
from agent_lsp.workspace.files import DiskFiles
from tests.plain import PlainTrees

Effect = Callable[[str], None]


def no_effect(_: str) -> None:
    """Nothing goes wrong."""


class Killed(BaseException):
    """The process is gone: nothing more happens in it."""


class GuardedFiles(DiskFiles):
    """The real files. `guard` is told before and after each effect; `refuses` holds paths that cannot be written."""

    def __init__(self, root: Path, guard: Effect = no_effect) -> None:
        super().__init__(root)
        self.guard = guard
        self.refuses: dict[str, OSError | RefusedError] = {}
        self.writes: list[str] = []

    async def replace(self, path: str, entry: Entry | None, was: Entry | Was | None = Was.ANYTHING) -> None:
        self.guard(f"before {path}")
        if path in self.refuses:
            raise self.refuses[path]
        self.writes.append(path)
        await super().replace(path, entry, was)
        self.guard(f"after {path}")


class MemoryEditor:
    """Open documents. `refuses` says no, `lies` says yes and does nothing, `meanwhile` runs before an edit."""

    def __init__(self, guard: Effect = no_effect) -> None:
        self.documents: dict[str, Buffer] = {}
        self.guard = guard
        self.refuses: set[str] = set()
        self.lies: set[str] = set()
        self.meanwhile: Callable[[str], None] = no_effect
        self.edits: list[BufferChange] = []
        self.transactional = False
        self.together: list[list[str]] = []

    def open(self, path: str, text: str, version: int = 1) -> None:
        self.documents[path] = Buffer(path, version, text)

    def type(self, path: str, old: str, new: str) -> None:
        """The person replaces some text."""
        known = self.documents[path]
        assert old in known.text
        self.open(path, known.text.replace(old, new, 1), known.version + 1)

    async def buffers(self) -> Sequence[Buffer]:
        return tuple(self.documents.values())

    async def edit(self, change: BufferChange) -> BufferOutcome:
        self.guard(f"before {change.path}")
        self.meanwhile(change.path)
        self.edits.append(change)
        known = self.documents.get(change.path)
        if known is None:
            return BufferOutcome(False, reason="it is not open")
        if change.path in self.lies:
            return BufferOutcome(True, known.version + 1, change.new_text)
        if change.path in self.refuses:
            return BufferOutcome(False, known.version, known.text, "the editor said no")
        if known.version != change.version or known.text != change.old_text:
            return BufferOutcome(False, known.version, known.text, "it changed")
        self.open(change.path, change.new_text, known.version + 1)
        self.guard(f"after {change.path}")
        return BufferOutcome(True, known.version + 1, change.new_text)

    async def edit_together(self, changes: Sequence[BufferChange]) -> Sequence[BufferOutcome] | None:
        if not self.transactional:
            return None
        self.together.append([change.path for change in changes])
        refused = self.refuses & {change.path for change in changes}
        if refused:
            held = [self.documents[change.path] for change in changes]
            return [BufferOutcome(False, buffer.version, buffer.text, "the editor said no") for buffer in held]
        return [await self.edit(change) for change in changes]


class MemoryCheckpoints:
    """Checkpoints that outlive a Review."""

    def __init__(self, guard: Effect = no_effect) -> None:
        self.kept: dict[str, Checkpoint] = {}
        self.guard = guard

    async def save(self, checkpoint: Checkpoint) -> None:
        self.guard("before save")
        self.kept[checkpoint.id] = checkpoint
        self.guard("after save")

    async def mark(self, checkpoint_id: str, state: CheckpointState) -> None:
        self.guard(f"before mark {state}")
        self.kept[checkpoint_id] = replace(self.kept[checkpoint_id], state=state)
        self.guard(f"after mark {state}")

    async def get(self, checkpoint_id: str) -> Checkpoint | None:
        return self.kept.get(checkpoint_id)

    async def unfinished(self) -> Sequence[Checkpoint]:
        return [kept for kept in self.kept.values() if kept.state is CheckpointState.INTENDED]

    async def rows(self) -> Sequence[CheckpointRow]:
        return [
            CheckpointRow(
                *(kept.id, kept.run_id, kept.proposal_id, kept.label, kept.state, kept.time_s, kept.undoes, 0),
                tuple(file.path for file in kept.files),
            )
            for kept in reversed(self.kept.values())
        ]


class MemoryJournal:
    """Events that outlive a Review once they are flushed."""

    def __init__(self, guard: Effect = no_effect) -> None:
        self.events: list[Event] = []
        self.flushed = 0
        self.guard = guard

    def append(self, event: Event) -> None:
        self.events.append(replace(event, seq=len(self.events) + 1))

    async def flush(self) -> None:
        self.guard("before flush")
        self.flushed = len(self.events)
        self.guard("after flush")

    async def read(self, run_id: str | None = None) -> Sequence[Event]:
        return [event for event in self.events if run_id in (None, event.run_id)]

    def lose_what_was_not_flushed(self) -> None:
        del self.events[self.flushed :]

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]


Contents = Mapping[str, Entry]
Check = Callable[[Contents], bool]


class ContentGate:
    """Judges like the real gate, with tests that are predicates over the whole content of a tree.

    `held` makes it wait; `runs` maps a test to the lines (one-based) of files that it executes.
    """

    def __init__(self, trees: PlainTrees) -> None:
        self.trees = trees
        self.checks: dict[str, Check] = {}
        self.runs: dict[str, Mapping[str, Sequence[int]]] = {}
        self.decision: Decision | None = None
        self.held: asyncio.Event | None = None
        self.begun = asyncio.Event()
        self.during: Callable[[], None] = lambda: None
        self.calls: list[tuple[tuple[FileEdit, ...], tuple[str, ...]]] = []
        self.fails: Exception | None = None
        self.reads: tuple[str, ...] = ()

    async def validate(
        self,
        base_tree: str,
        edits: tuple[FileEdit, ...],
        *,
        goal_tests: tuple[str, ...] = (),
        scope: tuple[str, ...] = (),
        on_progress: Callable[[str, float | None], None] | None = None,
    ) -> Evidence:
        self.calls.append((tuple(edits), tuple(goal_tests)))
        if on_progress is not None:
            on_progress("running", 50.0)
        self.begun.set()
        if self.held is not None:
            await self.held.wait()
        self.during()
        if self.fails is not None:
            raise self.fails
        before = self.trees.stored[base_tree]
        after = self.trees.stored[await self.trees.write(base_tree, edits)]
        was = {name for name, check in self.checks.items() if check(before)}
        now = {name for name, check in self.checks.items() if check(after)}
        fixed, broken = sorted(now - was), sorted(was - now)
        failing = sorted(set(self.checks) - now - was)
        decision = self.decision or _decide(
            fixed, broken, [test for test in split_goals(goal_tests)[0] if test not in now]
        )
        verdict = Verdict(
            decision,
            ("judged by content",),
            tuple(fixed),
            tuple(broken),
            tuple(failing),
            collected=len(self.checks),
            ran=len(self.checks),
        )
        executed: dict[str, dict[int, frozenset[str]]] = {}
        for test in now:
            for path, lines in self.runs.get(test, {}).items():
                for line in lines:
                    rows = executed.setdefault(path, {})
                    rows[line] = rows.get(line, frozenset()) | {test}
        witness = {path: before[path].sha256 for path in self.reads if path in before}
        return Evidence(verdict, None, SuiteReport("content", executed=executed), witness)


def _decide(fixed: Sequence[str], broken: Sequence[str], goals_failing: Sequence[str]) -> Decision:
    if broken:
        return Decision.REGRESSED
    if goals_failing:
        return Decision.FAILED
    return Decision.PROVEN if fixed else Decision.PASSED


@dataclass(slots=True)
class World:
    """Everything a Review needs, and what it told."""

    root: Path
    options: ReviewOptions = field(default_factory=lambda: ReviewOptions(settle_s=None, answer_within_s=5.0))
    guard: Effect = no_effect
    trees: PlainTrees = field(init=False)
    files: GuardedFiles = field(init=False)
    editor: MemoryEditor = field(init=False)
    gate: ContentGate = field(init=False)
    real_gate: Gate | None = None
    checkpoints: MemoryCheckpoints = field(init=False)
    journal: MemoryJournal = field(init=False)
    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    states: list[tuple[RunState, str]] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    review: Review = field(init=False)
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.trees = PlainTrees(self.root)
        self.files = GuardedFiles(self.root, self.call_guard)
        self.editor = MemoryEditor(self.call_guard)
        self.gate = ContentGate(self.trees)
        self.checkpoints = MemoryCheckpoints(self.call_guard)
        self.journal = MemoryJournal(self.call_guard)
        self.review = self.new_review()

    def call_guard(self, name: str) -> None:
        self.guard(name)

    def new_review(self, **ports: Any) -> Review:
        """A Review over the same world, as after a restart."""
        made = ReviewPorts(
            self.trees,
            self.files,
            self.editor,
            self.gate if self.real_gate is None else self.real_gate,
            ports.get("checkpoints", self.checkpoints),
            ports.get("journal", self.journal),
            lambda name, data: self.events.append((name, data)),
            Clock(time.time, time.monotonic, asyncio.sleep),
            lambda prefix: f"{prefix}_{next(self.ids)}",
            mutants=ports.get("mutants"),
            keeper=ports.get("keeper"),
        )
        hooks = ReviewHooks(
            lambda _, state, message: self.states.append((state, message)),
            lambda _run, _proposal, feedback: self.feedback.append(feedback),
        )
        return Review(made, self.options, hooks)

    def put(self, path: str, content: str | bytes, *, executable: bool = False) -> None:
        """A file on disk."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        if executable:
            target.chmod(0o755)

    def disk(self, path: str) -> bytes | None:
        target = self.root / path
        return target.read_bytes() if target.exists() else None

    async def snapshot(self) -> Snapshot:
        return await self.trees.snapshot(await self.editor.buffers())

    async def edit(
        self, path: str, after: str | bytes | None, *, to: str | None = None, mode: FileMode | None = None
    ) -> FileEdit:
        """An edit of a file as the snapshot has it now; `to` moves it."""
        snapshot = await self.snapshot()
        before = self.trees.stored[snapshot.tree].get(path)
        if after is None:
            return FileEdit(path, before, None)
        content = after.encode() if isinstance(after, str) else after
        entry = Entry(content, mode or (before.mode if before else FileMode.FILE))
        return FileEdit(to or path, before, entry, path if to else None)

    async def offer(self, *edits: FileEdit, goal: Goal | None = None, evidence: Evidence | None = None) -> str:
        """Offers edits with the gate's own evidence."""
        base = await self.snapshot()
        goal = goal or Goal("make it work")
        if evidence is None:
            evidence = await self.gate.validate(base.tree, edits, goal_tests=goal.tests)
            self.gate.calls.clear()
        return await self.review.offer("r_1", goal, "Make it work", base, edits, evidence)

    def last(self, name: str) -> Mapping[str, Any]:
        """The newest event of a name."""
        return [data for event, data in self.events if event == name][-1]

    def names(self) -> list[str]:
        return [name for name, _ in self.events]


async def until(true: Callable[[], bool]) -> None:
    """Returns as soon as it is true; the event loop gets its turn in between."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.002)


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")
