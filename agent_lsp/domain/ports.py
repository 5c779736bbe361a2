"""Owns the seams: what the agent needs of the world, one Protocol each. Adapters live in the effect folders."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Any, Protocol

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.conversation import ModelRequest, ModelTurn
from agent_lsp.domain.events import Event
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.sharding import Shard
from agent_lsp.domain.verdict import SuiteReport

# --- the person's text -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Buffer:
    """An open document of the editor: `path` is POSIX relative to the root, `text` what the person sees."""

    path: str
    version: int
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The workspace as the person saw it: one git tree, and the version of every open buffer in it.

    `buffers` maps paths to versions. Buffers of ignored files and of files outside the root are not in it.
    """

    tree: str
    buffers: Mapping[str, int] = field(default_factory=dict)


class Trees(Protocol):
    """Snapshots and git trees in a private git directory. Adapter: workspace/snapshot.py."""

    async def snapshot(self, buffers: Sequence[Buffer]) -> Snapshot:
        """Every file that is not ignored with the buffers laid over. Raises SnapshotError."""
        ...

    async def read(self, tree: str, path: str) -> Entry | None:
        """A file of a tree, or None."""
        ...

    async def contents(self, tree: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Those of `paths` that are in the tree and no large files, read at once."""
        ...

    async def paths(self, tree: str) -> Sequence[str]:
        """All files of a tree, sorted."""
        ...

    async def hashes(self, tree: str, paths: Sequence[str]) -> Mapping[str, str]:
        """sha256 of the bytes of those of `paths` that are in the tree."""
        ...

    async def write(self, tree: str, edits: Sequence[FileEdit]) -> str:
        """The id of `tree` with the edits' `after` sides laid over. The edits' `before` is not compared."""
        ...

    async def diff(self, old: str, new: str) -> tuple[FileEdit, ...]:
        """What leads from one tree to the other, sorted by path; exact renames are told as such."""
        ...

    async def merge_text(self, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        """Three-way merge (git merge-file), or None where it conflicts."""
        ...


class Was(Enum):
    """What a file is before it is replaced, where nobody says: whatever it is."""

    ANYTHING = auto()


class Files(Protocol):
    """The person's files on disk. Only apply uses the writing half. Adapter: workspace/files.py."""

    async def read(self, path: str) -> Entry | None:
        """What lies on disk at a path relative to the root, or None."""
        ...

    async def replace(self, path: str, entry: Entry | None, was: Entry | Was | None = Was.ANYTHING) -> None:
        """Writes, creates (with its folders) or deletes one file: temporary file, fsync, rename, fsync of the folder.

        Keeps owner and permission bits of what it replaces. Raises RefusedError with what to do, and StaleError where
        the file is not what it `was`, be it since the last moment; it is left alone then.
        """
        ...

    async def hold_room(self, size_bytes: int) -> Callable[[], None]:
        """Takes so much of the disk until the answer is called, so that putting files back finds it free.

        Raises RefusedError where the disk has not that much left.
        """
        ...

    async def tidy(self, paths: Collection[str], created: Collection[str] = ()) -> None:
        """Removes what interrupted writes of these files left; only for who may write alone in the workspace now."""
        ...


class Turn(Protocol):
    """Whose turn it is to write in the workspace: one at a time, of all processes. Adapter: workspace/turn.py."""

    def taken(self) -> AbstractAsyncContextManager[None]:
        """Holds the turn. Raises RefusedError where another process keeps it."""
        ...


class Editor(Protocol):
    """The editor, wherever it is. Adapters: link (an LSP client behind the edge), app (a terminal without buffers)."""

    async def buffers(self) -> Sequence[Buffer]:
        """All open documents under the root, now."""
        ...

    async def edit(self, change: "BufferChange") -> "BufferOutcome":
        """Sends one versioned edit and believes only what the editor holds afterwards. Never raises for a refusal."""
        ...

    async def edit_together(self, changes: "Sequence[BufferChange]") -> "Sequence[BufferOutcome] | None":
        """All in one request, which is one undo for the person; None where the editor is not transactional."""
        ...


@dataclass(frozen=True, slots=True)
class BufferChange:
    """New text for one open document, refused unless it still is `version` with `old_text`."""

    path: str
    version: int
    old_text: str
    new_text: str
    label: str


@dataclass(frozen=True, slots=True)
class BufferOutcome:
    """What the editor holds after an edit: `applied` only if its text now is the wanted one."""

    applied: bool
    version: int = 0
    text: str = ""
    reason: str = ""


# --- where the agent works -------------------------------------------------------------------------------


class SandboxKind(StrEnum):
    """How a candidate is made; `doctor` and the verdict's reasons name it."""

    OVERLAY = "overlay"
    BUBBLEWRAP = "bubblewrap"
    CLONE = "clone"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A process that waits in a candidate and becomes commands by forking; `argv` starts it.

    `key` names what it has loaded: for another key another process is started.
    """

    key: str
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run in a candidate: `argv` as a list, `cwd` relative to the root, time in seconds.

    `env` is laid over the candidate's clean environment. Output over `output_limit_bytes` keeps head and tail.
    With `prepared` it may be forked from such a process, which must make no difference but in time.
    """

    argv: tuple[str, ...]
    cwd: str = "."
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 120.0
    output_limit_bytes: int = 200_000
    prepared: Prepared | None = None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. `exit_status` is negative for a signal and None after a time-out.

    `forked` tells that it came from a prepared process, else `note` why not; `skipped` is what that did not load ahead.
    `refused` says, a sentence each, which hosts commands of the candidate asked for meanwhile and may not reach.
    """

    exit_status: int | None
    output: str
    timed_out: bool
    duration_s: float
    forked: bool = False
    note: str = ""
    skipped: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


class Candidate(Protocol):
    """A copy-on-write view of a frozen tree; all of it goes away with `close`. Adapter: workspace/candidate.py.

    Paths are POSIX and relative to the root; every operation resolves symlinks and refuses to leave the root
    or to touch `.git`. `root` is where commands see the workspace, `scratch` a writable folder outside it
    that commands see at the same path as we do.
    """

    @property
    def tree(self) -> str: ...
    @property
    def kind(self) -> SandboxKind: ...
    @property
    def root(self) -> str: ...
    @property
    def scratch(self) -> str: ...

    async def read(self, path: str) -> Entry | None:
        """A file as the candidate sees it (ignored files included), or None."""
        ...

    async def write(self, path: str, entry: Entry | None) -> None:
        """Writes, creates with folders, or (None) deletes. Raises ToolError for a path that may not be written."""
        ...

    async def paths(self, under: str = ".") -> Sequence[str]:
        """Files that are not ignored, as they now are in the candidate, sorted."""
        ...

    async def run(self, command: Command) -> CommandResult:
        """Runs in the sandbox, of the network what is allowed, its own process group. Cancelling kills it."""
        ...

    async def harvest(self) -> tuple[FileEdit, ...]:
        """What differs from `tree` now, ignored files left out."""
        ...

    async def close(self) -> None:
        """Kills everything in it and removes it; safe to repeat and after a crash of the holder."""
        ...


class CandidatePool(Protocol):
    """Makes candidates. Adapter: workspace/pool.py."""

    @property
    def kind(self) -> SandboxKind: ...

    async def open(self, tree: str) -> Candidate:
        """A fresh candidate of a tree. Raises CandidateError."""
        ...


# --- tests ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CaseLimits:
    """The time that some tests get, in the place of `test_limit_s`; with `once_hung` only after a test of the run was
    stopped at its end. Those that are stopped by a limit of their own make none of the others shorter."""

    seconds: Mapping[CaseId, float]
    once_hung: bool = False


@dataclass(frozen=True, slots=True)
class SuiteRequest:
    """Which tests to run and what to watch.

    `tests` are ids or paths (empty: the whole suite). `watch` are the changed source files: their
    lines, and where they were loaded from, are reported. `fail_fast` stops at the first failure. `recall` takes a
    kept run of the same tree in the same environment for it, where there is one. `first` are files whose tests go
    before all others. A test that takes longer than `test_limit_s` is stopped and counts as an error, where the
    runner can do that (None: a part of `timeout_s`); `case_limits` are those of single tests. `changed` are the paths
    that the change touches, on either side: of several projects in a workspace only those that they can affect are
    asked (empty: all). `warm` allows a run that is forked from a process which has loaded the test framework before:
    for tries, never for a verdict. `shard` runs a part of it, where the runner can do that (see RecallingRunner). After
    `enough_s` no further test is begun, where the runner can do that: what has ended is a whole report, and
    `cut_short`. With `keep` the run is kept as `recall` takes it: the candidate's tree may be a base one day.
    """

    tests: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()
    timeout_s: float = 600.0
    fail_fast: bool = False
    recall: bool = False
    first: tuple[str, ...] = ()
    test_limit_s: float | None = None
    changed: tuple[str, ...] = ()
    warm: bool = False
    shard: Shard | None = None
    enough_s: float | None = None
    keep: bool = False
    case_limits: CaseLimits | None = None


class SuiteRunner(Protocol):
    """Runs a workspace's tests inside a candidate. Adapters: workspace/runners/."""

    @property
    def name(self) -> str: ...

    async def run(
        self,
        candidate: Candidate,
        request: SuiteRequest,
        on_case: Callable[[CaseId, int], None] | None = None,
    ) -> SuiteReport:
        """Raises RunnerUnavailableError if the run could not start. A failing test is not an error.

        `on_case` hears of each test that ended and of how many were collected.
        """
        ...


class RunnerFinder(Protocol):
    """Finds the workspace's runner. Adapter: workspace/runners/detect.py."""

    async def find(self, candidate: Candidate) -> SuiteRunner:
        """Raises RunnerUnavailableError with what was looked for and what to set."""
        ...


# --- models -----------------------------------------------------------------------------------------------------


class Model(Protocol):
    """A language model. Adapters: providers/; in tests the real adapter against a real HTTP server."""

    @property
    def name(self) -> str: ...

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """One whole answer; `on_text` hears prose as it streams.

        Raises ModelUnavailableError, ModelRejectedError or ModelBrokenError. Does not retry by itself.
        """
        ...


# --- memory of what happened --------------------------------------------------------------------------------------


class Journal(Protocol):
    """The one stream of events of a workspace. Adapter: storage/journal.py."""

    def append(self, event: Event) -> None:
        """Stores one event, in order, without waiting for the disk."""
        ...

    async def flush(self) -> None:
        """Returns once everything appended so far is on disk; before every effect on the person's files."""
        ...

    async def read(self, run_id: str | None = None) -> Sequence[Event]:
        """Events in order; all of them without a run id."""
        ...


# --- time and names -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as functions, so that tests can hold it: both in seconds."""

    now: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


Publish = Callable[[str, Mapping[str, Any]], None]
"""Sends one event `(name, JSON-ready data)` to whoever watches the runtime; see link/messages.py."""
