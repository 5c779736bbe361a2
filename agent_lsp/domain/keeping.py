"""Owns what outlives a runtime: checkpoints of what was written, proposals on offer, runs at work, and their ports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from agent_lsp.domain.changes import Entry, FileEdit


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """One file that an apply wrote. `in_editor` tells that it went into an open buffer and not to disk."""

    path: str
    before: Entry | None
    after: Entry | None
    in_editor: bool


class CheckpointState(StrEnum):
    """Where the transaction stands; anything but DONE and UNDONE is mended by the next start."""

    INTENDED = "intended"
    DONE = "done"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What an apply (or a rollback) wrote and what it replaced. `undoes` is the checkpoint that a rollback undoes."""

    id: str
    run_id: str
    proposal_id: str
    label: str
    state: CheckpointState
    files: tuple[CheckpointFile, ...]
    time_s: float = 0.0
    undoes: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A checkpoint without its bytes. `size_bytes` is what these take."""

    id: str
    run_id: str
    proposal_id: str
    label: str
    state: CheckpointState
    time_s: float
    undoes: str
    size_bytes: int
    paths: tuple[str, ...]


class Checkpoints(Protocol):
    """Durable checkpoints. Adapter: storage/checkpoints.py."""

    async def save(self, checkpoint: Checkpoint) -> None:
        """Inserts or replaces; on disk when it returns."""
        ...

    async def mark(self, checkpoint_id: str, state: CheckpointState) -> None:
        """Changes the state; on disk when it returns."""
        ...

    async def get(self, checkpoint_id: str) -> Checkpoint | None: ...

    async def unfinished(self) -> Sequence[Checkpoint]:
        """Those that a crash left INTENDED, oldest first."""
        ...

    async def rows(self) -> Sequence[CheckpointRow]:
        """All that are kept, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class KeptProposal:
    """One proposal on offer. `data` is JSON-ready and says everything but the bytes of the edits."""

    id: str
    run_id: str
    data: Mapping[str, Any]
    edits: tuple[FileEdit, ...]
    time_s: float = 0.0


class ProposalKeeper(Protocol):
    """Keeps the proposals that are on offer. Adapter: storage/proposals.py."""

    def keep(self, proposal: KeptProposal) -> None:
        """Inserts or replaces, in the order of the journal's events, without waiting for the disk."""
        ...

    def drop(self, proposal_id: str) -> None:
        """It is no longer on offer."""
        ...

    async def runs(self) -> frozenset[str]:
        """The runs behind all that are kept, whoever keeps them."""
        ...

    async def adopt(self) -> Sequence[KeptProposal]:
        """Those whose process is gone, oldest first; they belong to this process from now on."""
        ...


@dataclass(frozen=True, slots=True)
class KeptDeed:
    """One whole thing that a run has done or was told, which is not to be done, paid or asked for again.

    `data` is JSON-ready. `edits` is what its candidate held from then on, where that changed.
    """

    kind: str
    data: Mapping[str, Any]
    edits: tuple[FileEdit, ...] | None = None


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run at work, as the next start finds it. `starts` counts the starts that found it with exactly these deeds.

    What is not `readable` has as much of its data as could be read, and no deeds.
    """

    id: str
    data: Mapping[str, Any]
    deeds: tuple[KeptDeed, ...]
    starts: int = 0
    time_s: float = 0.0
    readable: bool = True

    @property
    def goal_text(self) -> str:
        """What it was to reach; empty where that cannot be read."""
        return goal_text(self.data)


def goal_text(data: Mapping[str, Any]) -> str:
    """The words of the goal in what was told at a run's beginning, whatever else stands there."""
    goal = data.get("goal")
    return str(goal.get("text", "")) if isinstance(goal, Mapping) else ""


class RunKeeper(Protocol):
    """Keeps what runs at work have done. Adapter: storage/runs.py. Nothing but `flush` and what reads waits."""

    def begin(self, run_id: str, data: Mapping[str, Any]) -> None:
        """A run starts, or starts anew: what was kept of it is dropped."""
        ...

    def add(self, run_id: str, position: int, deed: KeptDeed) -> None:
        """Its next deed; what stands at this position and after it is replaced."""
        ...

    def note(self, run_id: str, data: Mapping[str, Any]) -> None:
        """These keys of what was told at its beginning are otherwise now."""
        ...

    def rest(self, run_id: str) -> None:
        """It waits for a person, or was left in order: the starts that find it so are no failures."""
        ...

    def drop(self, run_id: str) -> None:
        """It came to its end."""
        ...

    async def flush(self) -> None:
        """Returns once all of this is on disk. Raises OperatorError where it cannot be."""
        ...

    async def left(self) -> Mapping[str, Mapping[str, Any]]:
        """What was told at their beginning of the runs whose process is gone, oldest first."""
        ...

    async def adopt(self, run_id: str | None = None) -> Sequence[KeptRun]:
        """Those, or this one of them; they belong to this process from now on."""
        ...
