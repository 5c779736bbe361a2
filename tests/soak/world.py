"""Owns the world of the soak test: the real review over real files, git, database and candidates; an editor in memory.

Only the gate may be the quick one, and the editor is not a process. One world serves a whole run.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_lsp.agent.review import Review
from agent_lsp.agent.shelf import ReviewHooks, ReviewOptions, ReviewPorts
from agent_lsp.agent.validator import Judge
from agent_lsp.app.configuration import Configuration
from agent_lsp.app.laboratory import laboratory
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.ports import Clock
from agent_lsp.domain.task import Goal, RunState
from agent_lsp.storage.checkpoints import StoredCheckpoints
from agent_lsp.storage.database import Database
from agent_lsp.storage.journal import StoredJournal
from agent_lsp.storage.proposals import StoredProposals
from agent_lsp.workspace.files import DiskFiles
from agent_lsp.workspace.turn import WorkspaceTurn
from tests.agent.review_world import MemoryEditor
from tests.scenarios.scene import write_project
from tests.soak.gates import SlotGate
from tests.soak.slots import project

Json = dict[str, Any]

CHECKPOINTS_KEPT = 20
TEST_OPTIONS = {"tests": {"mutations": 0, "timeout_s": 120}}


class SoakWorld:
    """A workspace with everything that a runtime has for review. `begin` first, `end` last."""

    def __init__(self, root: Path, *, real_gate: bool) -> None:
        self.root = root
        self.editor = MemoryEditor()
        self.offered = 0
        self.deeds: Counter[str] = Counter()
        self.real_gate = real_gate
        self._configuration = Configuration(root, lambda _name, _data: None, TEST_OPTIONS)
        self.laboratory = laboratory(root, self._configuration)
        self.quick_gate = SlotGate(self.laboratory.trees)
        self.database: Database
        self.review: Review

    @property
    def gate(self) -> Judge:
        return self.laboratory.gate if self.real_gate else self.quick_gate

    async def begin(self) -> None:
        write_project(self.root, project())
        (self.root / ".agent-lsp").mkdir()
        await self._start()

    async def _start(self) -> None:
        """As a runtime starts, the first time and after each end."""
        self.database = Database(self.root / ".agent-lsp" / "state.db", _no_trouble)
        journal = StoredJournal(self.database)
        ports = ReviewPorts(
            trees=self.laboratory.trees,
            files=DiskFiles(self.root),
            editor=self.editor,
            gate=self.gate,
            checkpoints=StoredCheckpoints(self.database, keep_count=CHECKPOINTS_KEPT),
            journal=journal,
            publish=lambda _name, _data: None,
            clock=Clock(time.time, time.monotonic, asyncio.sleep),
            new_id=lambda prefix: f"{prefix}_{os.urandom(6).hex()}",
            open_runs=journal.abandoned_runs,
            keeper=StoredProposals(self.database),
            turn=WorkspaceTurn(self.root),
        )
        options = ReviewOptions(settle_s=None, answer_within_s=300.0, keeps_offers=True)
        self.review = Review(ports, options, ReviewHooks(lambda *_: None, lambda *_: None))
        self._journal = journal
        await self.review.recover()
        await self.review.history.bring_back()

    async def restart(self) -> None:
        self.deeds["started anew"] += 1
        await self.review.close()
        await self.database.close()
        await self._start()

    async def end(self) -> None:
        await self.review.close()
        await self.database.close()
        await self.laboratory.gate.close()
        await self.laboratory.pool.close()

    async def offer(self, after: Mapping[str, bytes]) -> str:
        """What a run offers that leaves these files so. Its id."""
        self.offered += 1
        trees = self.laboratory.trees
        base = await trees.snapshot(await self.editor.buffers())
        before = {path: await trees.read(base.tree, path) for path in after}
        edits = tuple(FileEdit(path, before[path], Entry(content)) for path, content in after.items())
        evidence = await self.gate.validate(base.tree, edits)
        run_id = f"r_{self.offered}"
        self._journal.append(Event(run_id, EventKind.RUN_STARTED, {"goal": "numbers"}))
        return await self.review.offer(run_id, Goal("numbers"), "Other numbers", base, edits, evidence)

    async def at_rest(self) -> None:
        """Returns once nothing is being tested in the background."""
        review = self.review
        while tasks := [*review._retest._running.values(), *review._completion._work._tasks]:
            await asyncio.wait(tasks)

    async def proposal(self, proposal_id: str) -> Json:
        return dict(await self.review.proposal({"proposalId": proposal_id}))

    async def offers(self) -> set[str]:
        """The ids of what waits for the person."""
        return {proposal.id for proposal in self.review._shelf.on_offer()}

    async def kept(self) -> set[str]:
        """Those of them that the next start offers again: a change that failed ended with its run."""
        return {row.id for row in self.review._shelf.on_offer() if row.state is RunState.PROPOSED}


def _no_trouble(text: str) -> None:
    raise AssertionError(f"trouble with the database: {text}")
