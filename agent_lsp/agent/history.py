"""Owns looking back: what was applied, taking it back and forward again, and what a start finds of earlier ones."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from agent_lsp.agent.accept import Accept, Answer
from agent_lsp.agent.apply import Deed, perform
from agent_lsp.agent.proposal_records import brought_back
from agent_lsp.agent.proposals import Proposal
from agent_lsp.agent.recovery import Recovered, close_runs, recover
from agent_lsp.agent.retest import Retest
from agent_lsp.agent.rollback import listed, undoing, written
from agent_lsp.agent.shelf import ReviewHooks, ReviewPorts, Shelf, wanted_text
from agent_lsp.agent.sight import look
from agent_lsp.domain.changes import unified_diff
from agent_lsp.domain.errors import AgentLspError, UnknownIdError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.keeping import Checkpoint

logger = logging.getLogger(__name__)

UNDO_STOPPED: Final = "It was cancelled before anything was written."

_UNDO, _REDO = "Undo ", "Redo "


class History:
    """The commands about checkpoints, and what a start finds of earlier ones."""

    def __init__(self, ports: ReviewPorts, hooks: ReviewHooks, shelf: Shelf, retest: Retest, accept: Accept) -> None:
        self._ports, self._hooks, self._shelf, self._retest, self._accept = ports, hooks, shelf, retest, accept
        self._undoing: set[asyncio.Task[Answer]] = set()

    # --- checkpoints -----------------------------------------------------------------------------------------------

    async def checkpoints(self, args: Mapping[str, Any]) -> Answer:
        """`{checkpoints}`, newest first; of one run with `runId`."""
        run_id = args.get("runId")
        rows = listed(await self._ports.checkpoints.rows())
        return {"checkpoints": [row for row in rows if run_id in (None, row["runId"])]}

    async def preview(self, args: Mapping[str, Any]) -> Answer:
        """`{checkpointId, summary, diff, possible, reason?}`: what rolling it back would do to the text as it is.

        Where it cannot be done, the reason and the diff of what was written.
        """
        checkpoint = await self._find(wanted_text(args, "checkpointId"))
        told = {"checkpointId": checkpoint.id, "summary": _opposite(checkpoint.label)}
        try:
            sight = await look(self._ports.files, self._ports.editor)
            edits = await undoing(checkpoint, sight, self._ports.trees)
        except AgentLspError as error:
            diff = unified_diff(written(checkpoint))
            return {**told, "diff": diff, "possible": False, "reason": error.message}
        return {**told, "diff": unified_diff(edits), "possible": True}

    async def rollback(self, args: Mapping[str, Any]) -> Answer:
        """`{applied, reason?, checkpointId?}`; the new checkpoint undoes the undoing."""
        checkpoint_id = wanted_text(args, "checkpointId")
        task = asyncio.get_running_loop().create_task(self._rollback(checkpoint_id), name=checkpoint_id)
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            if not self._accept.stop(task):
                task.add_done_callback(self._tell_undone)
            raise
        return {"applied": False, "reason": UNDO_STOPPED} if task.cancelled() else task.result()

    def at_work(self, checkpoint_id: str | None = None) -> "list[asyncio.Task[Answer]]":
        """Rollbacks that have not ended: of this checkpoint, or all."""
        return [task for task in self._undoing if checkpoint_id in (None, task.get_name())]

    # --- the start -------------------------------------------------------------------------------------------------

    async def recover(self) -> Recovered:
        """Mends what a crash left; run once at the start, before anything else, and safe to repeat.

        Runs whose change is kept on offer are left to `bring_back`, those at work to whoever resumes them; all others
        that nobody works on are closed.
        """
        ports = self._ports
        async with self._accept.writing.alone(mend=False):
            found = await recover(ports.hands, ports.open_runs)
        offered = await ports.keeper.runs() if ports.keeper is not None else frozenset()
        at_work = await ports.runs.left() if ports.runs is not None else {}
        closed = [run_id for run_id in found.closed_runs if run_id not in offered and run_id not in at_work]
        await close_runs(ports.hands, closed)
        if found.message:
            ports.publish("message", {"level": "warning", "text": found.message})
        return Recovered(found.undone, found.restored, found.left, tuple(closed))

    async def bring_back(self) -> Sequence[Proposal]:
        """Offers again what an earlier process had on offer; what moved meanwhile is stale and tested again."""
        keeper = self._ports.keeper
        found = []
        for record in await keeper.adopt() if keeper is not None else ():
            try:
                proposal = brought_back(record)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                logger.warning("the proposal %s of an earlier version cannot be offered again: %r", record.id, error)
                self._shelf.forget(record.id)
                await close_runs(self._ports.hands, [record.run_id])
                continue
            found.append(await self._offer_again(proposal))
        await self._accept.writing.tell()
        return found

    async def _offer_again(self, proposal: Proposal) -> Proposal:
        """Marked by what its bytes now are before anybody sees it."""
        proposal = await self._with_checkpoint(proposal)
        proposal = replace(proposal, stale_paths=await self._moved(proposal))
        self._shelf.note(proposal, EventKind.NOTE, {"text": f"{proposal.id} is on offer again after a new start"})
        self._shelf.put(proposal)
        if self._hooks.on_back is not None:
            await self._hooks.on_back(proposal)
        if proposal.stale or proposal.trouble:
            self._retest.start(proposal.id)
        return proposal

    async def _moved(self, proposal: Proposal) -> frozenset[str]:
        try:
            return await (await look(self._ports.files, self._ports.editor)).moved(proposal.witness)
        except (AgentLspError, TimeoutError) as error:
            logger.warning("whether %s is stale could not be seen: %s", proposal.id, error)
            return frozenset(edit.base_path for edit in proposal.edits)

    async def _with_checkpoint(self, proposal: Proposal) -> Proposal:
        """Its process may have died between writing the change and closing the proposal."""
        rows = listed(await self._ports.checkpoints.rows())
        mine = (row for row in rows if row["proposalId"] == proposal.id and "undoes" not in row)
        done = next((str(row["checkpointId"]) for row in mine if row["state"] == "applied"), None)
        return proposal if done is None else replace(proposal, checkpoint_id=done)

    # --- rolling back ------------------------------------------------------------------------------------------------

    async def _find(self, checkpoint_id: str) -> Checkpoint:
        checkpoint = await self._ports.checkpoints.get(checkpoint_id)
        if checkpoint is None:
            raise UnknownIdError(
                f"there is no checkpoint {checkpoint_id}",
                hint="Only the newest ones are kept (proposal.checkpoints); agent.checkpoints lists them.",
            )
        return checkpoint

    async def _rollback(self, checkpoint_id: str) -> Answer:
        checkpoint = await self._find(checkpoint_id)
        try:
            async with self._accept.writing.alone():
                sight = await look(self._ports.files, self._ports.editor)
                edits = await undoing(checkpoint, sight, self._ports.trees)
                deed = Deed(
                    self._ports.new_id("c"),
                    checkpoint.run_id,
                    checkpoint.proposal_id,
                    _opposite(checkpoint.label),
                    edits,
                    EventKind.ROLLBACK_INTENT,
                    EventKind.ROLLBACK_DONE,
                    {"undoes": checkpoint_id},
                    checkpoint_id,
                )
                with self._accept.point_of_no_return():
                    outcome = await perform(self._ports.hands, deed)
                    if not outcome.applied:
                        return {"applied": False, "reason": outcome.reason}
                    await self._accept.look_again()
        except AgentLspError as error:
            return {"applied": False, "reason": error.message}
        return {"applied": True, "checkpointId": deed.checkpoint_id}

    def _tell_undone(self, done: "asyncio.Task[Answer]") -> None:
        if not done.cancelled() and done.exception() is None and done.result()["applied"]:
            text = "The change was rolled back all the same: its files were being written when you cancelled."
            self._ports.publish("message", {"level": "warning", "text": text})


def _opposite(label: str) -> str:
    """What taking back something of this name is called."""
    if label.startswith(_UNDO):
        return _REDO + label.removeprefix(_UNDO)
    return _UNDO + label.removeprefix(_REDO)
