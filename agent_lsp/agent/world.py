"""Owns what a run is given of the world, and the place it works in: a snapshot and the candidate made of it."""

import asyncio
from dataclasses import dataclass

from agent_lsp.agent.ledger import Ledger
from agent_lsp.agent.merging import merge_entries
from agent_lsp.agent.resumed_candidate import ResumedCandidate
from agent_lsp.agent.validator import Reviewer, Validator
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.errors import CandidateError, ToolError
from agent_lsp.domain.keeping import RunKeeper
from agent_lsp.domain.ports import Candidate, CandidatePool, Clock, Editor, Journal, Publish, Snapshot, Trees


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside of a run that it works with; `app` builds it once."""

    trees: Trees
    pool: CandidatePool
    editor: Editor
    gate: Validator
    review: Reviewer
    journal: Journal
    clock: Clock
    publish: Publish
    runs: RunKeeper | None = None


class Workshop:
    """The snapshot a run started from and the one candidate it works in."""

    def __init__(self, world: World, ledger: Ledger | None = None) -> None:
        self._world, self._ledger = world, ledger or Ledger("")
        self._base: Snapshot | None = None
        self._candidate: Candidate | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def base(self) -> Snapshot:
        """What the person saw when the candidate was opened."""
        assert self._base is not None, "open comes first"
        return self._base

    @property
    def opened(self) -> bool:
        """Whether there is a candidate."""
        return self._candidate is not None

    @property
    def candidate(self) -> Candidate:
        """Where the agent works. Raises CandidateError if it was closed."""
        if self._candidate is None:
            raise CandidateError("the copy of the workspace is closed")
        return self._candidate

    async def open(self) -> Snapshot:
        """Takes a fresh snapshot and opens its candidate; the one before is closed."""
        await self.close()
        self._base = await self._world.trees.snapshot(await self._world.editor.buffers())
        candidate = await self._world.pool.open(self._base.tree)
        self._candidate = candidate if self._ledger.live else ResumedCandidate(candidate, self._ledger)
        return self._base

    async def close(self) -> None:
        """Closes the candidate; cancelling the caller does not stop that. Safe to repeat."""
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            task = asyncio.get_running_loop().create_task(candidate.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            await asyncio.shield(task)

    async def closed(self) -> None:
        """Returns once nothing is being closed any more."""
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def carry_over(self, edits: tuple[FileEdit, ...]) -> tuple[str, ...]:
        """Lays an earlier change over the fresh candidate; gives the paths where the text no longer allows it."""
        lost = []
        for edit in edits:
            try:
                if not await self._lay(edit):
                    lost.append(edit.path)
            except ToolError:
                lost.append(edit.path)
        return tuple(lost)

    async def _lay(self, edit: FileEdit) -> bool:
        candidate = self.candidate
        now = await self._world.trees.read(self.base.tree, edit.base_path)
        after = edit.after
        if now != edit.before:
            if now is None or edit.before is None or after is None:
                return False
            after = await merge_entries(self._world.trees, edit.before, now, after)
            if after is None:
                return False
        await candidate.write(edit.path, after)
        if edit.old_path is not None:
            await candidate.write(edit.old_path, None)
        return True
