"""Owns what a person can do with a proposal: look, accept, discard, test again, undo."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent_lsp.agent.accept import STOPPED, Accept, Answer, refusal
from agent_lsp.agent.apply import Deed, perform
from agent_lsp.agent.followup import Followup
from agent_lsp.agent.proposals import Proposal, resting_state, wanted_hunks, without
from agent_lsp.agent.recovery import Recovered, recover
from agent_lsp.agent.retest import Retest
from agent_lsp.agent.rollback import undoing
from agent_lsp.agent.shelf import ReviewHooks, ReviewOptions, ReviewPorts, Shelf, record_of, wanted_list, wanted_text
from agent_lsp.agent.sight import look
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.errors import AgentLspError, RefusedError, UnknownIdError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ids import ProposalId
from agent_lsp.domain.ports import Snapshot
from agent_lsp.domain.task import Goal, RunState
from agent_lsp.domain.verdict import Evidence

logger = logging.getLogger(__name__)

ABANDON_WITHIN_S: Final = 0.8
UNDO_STOPPED: Final = "It was cancelled before anything was written."


class Review:
    """The commands of PROTOCOL.md section 3 that are about proposals, in the shapes of link/messages.py.

    A command that cannot end in time answers `pending` and goes on by itself; the events tell how it ended.
    """

    def __init__(self, ports: ReviewPorts, options: ReviewOptions, hooks: ReviewHooks) -> None:
        self._ports, self._options, self._hooks = ports, options, hooks
        self._shelf = Shelf(ports, options, hooks)
        self._retest = Retest(ports, options, self._shelf)
        self._accept = Accept(ports, options, self._shelf, self._retest)
        self._accepting: asyncio.Task[Answer] | None = None
        self._accepting_id = ""
        self._undoing: set[asyncio.Task[Answer]] = set()
        self._followup = Followup(ports.whole, self._shelf, ports.publish) if ports.whole is not None else None
        self._shelf.watcher = self._followup.heard if self._followup is not None else None

    async def offer(
        self, run_id: str, goal: Goal | str, summary: str, base: Snapshot, edits: Sequence[FileEdit], evidence: Evidence
    ) -> ProposalId:
        """Publishes the proposal; all of it can be served when this returns."""
        if not edits:
            raise RefusedError("there is nothing to propose: no file was changed")
        goal = Goal(goal) if isinstance(goal, str) else goal
        proposal = Proposal(
            ProposalId(self._ports.new_id("p")),
            run_id,
            goal,
            summary,
            base,
            tuple(edits),
            evidence,
            goal_tests=goal.tests,
            state=resting_state(evidence.verdict),
        )
        self._shelf.note(proposal, EventKind.PROPOSAL, record_of(proposal))
        self._shelf.put(proposal)
        try:
            if (await self._shelf.check(proposal.id)).stale:
                self._retest.after_pause(proposal.id)
        except AgentLspError as error:
            logger.warning("whether %s is stale could not be seen: %s", proposal.id, error)
        return proposal.id

    async def proposal(self, args: Mapping[str, Any]) -> Answer:
        """The `proposal` event's data."""
        return self._shelf.data_of(self._find(args))

    async def apply(self, args: Mapping[str, Any]) -> Answer:
        """`{applied, checkpointId?, reason?, pending?, verdict}`. All hunks without `hunks`."""
        proposal = self._find(args)
        if not proposal.is_open:
            return refusal(f"This proposal was already {proposal.state.value}.", proposal.verdict)
        wanted = wanted_hunks(proposal, wanted_list(args, "hunks"))
        if self._accepting is not None and not self._accepting.done():
            return refusal("Another change is being applied; wait until it is done.", proposal.verdict)
        task = asyncio.get_running_loop().create_task(self._accept.accept(proposal.id, wanted))
        self._accepting, self._accepting_id = task, proposal.id
        try:
            await asyncio.wait({task}, timeout=self._options.answer_within_s)
        except asyncio.CancelledError:
            if not self._accept.stop(task):
                task.add_done_callback(lambda done: self._tell_too_late(proposal, done))
            raise
        if task.cancelled():
            return refusal(STOPPED, self._shelf.get(proposal.id).verdict)
        if task.done():
            return task.result()
        task.add_done_callback(lambda done: self._tell_late(proposal, done))
        return {"applied": False, "pending": True, "verdict": self._shelf.get(proposal.id).verdict.to_json()}

    async def discard(self, args: Mapping[str, Any]) -> Answer:
        """`{state}`. What is left after some hunks went is tested again in the background."""
        proposal = self._find(args)
        if not proposal.is_open:
            return {"state": proposal.state.value}
        if self._accepting_id == proposal.id and self._accepting is not None and not self._accepting.done():
            raise RefusedError("this proposal is being applied", hint="Wait until it is done, then roll it back.")
        dropped = wanted_hunks(proposal, wanted_list(args, "hunks"))
        feedback = str(args.get("feedback") or "")
        self._shelf.note(proposal, EventKind.DISCARDED, {"hunks": sorted(dropped), "feedback": feedback})
        left = without(proposal, dropped)
        if left.edits:
            self._shelf.put(left)
            self._retest.start(proposal.id)
        else:
            self._retest.cancel(proposal.id)
            self._shelf.close(proposal, RunState.DISCARDED, "discarded")
        if feedback:
            self._hooks.on_feedback(proposal.run_id, proposal.id, feedback)
        return {"state": (RunState.VALIDATING if left.edits else RunState.DISCARDED).value}

    async def revalidate(self, args: Mapping[str, Any]) -> Answer:
        """`{verdict, pending?}`. The proposal keeps its id and its hunks theirs."""
        proposal = self._find(args)
        if not proposal.is_open:
            return {"verdict": proposal.verdict.to_json()}
        over = await self._retest.wait(proposal.id, self._options.answer_within_s)
        verdict = self._shelf.get(proposal.id).verdict.to_json()
        return {"verdict": verdict} if over else {"verdict": verdict, "pending": True}

    async def abandon(self, args: Mapping[str, Any]) -> Answer:
        """`{state}`. Ends what a person wished for and no longer wants: an apply or a revalidation, or a rollback."""
        checkpoint_id = args.get("checkpointId")
        if isinstance(checkpoint_id, str):
            tasks = [task for task in self._undoing if task.get_name() == checkpoint_id]
            await self._stop(tasks)
            return {"state": ""}
        proposal = self._find(args)
        testing = self._retest.running(proposal.id)
        if self._accepting is not None and not self._accepting.done() and self._accepting_id == proposal.id:
            await self._stop([self._accepting])
        self._retest.cancel(proposal.id)
        if testing:
            await asyncio.wait(testing, timeout=ABANDON_WITHIN_S)
        return {"state": self._shelf.get(proposal.id).state.value}

    async def _stop(self, tasks: "Sequence[asyncio.Task[Answer]]") -> None:
        for task in tasks:
            if not self._accept.stop(task):
                raise RefusedError("files are being written", hint="Wait until it is done, then roll it back.")
        if tasks:
            await asyncio.wait(tasks, timeout=ABANDON_WITHIN_S)

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

    async def stale(self, args: Mapping[str, Any]) -> Answer:
        """The editor saw text move under a proposal; no paths: it moved back, which the bytes must confirm."""
        proposal = self._find(args)
        if not proposal.is_open:
            return {}
        paths = frozenset(wanted_list(args, "paths") or ())
        marked = self._shelf.mark_stale(proposal, paths) if paths else await self._shelf.check(proposal.id)
        if marked.stale:
            self._retest.after_pause(marked.id)
        return {}

    async def followed(self, proposal_id: str) -> None:
        """Waits for the whole suite where a selection of the tests made the verdict: for those who look only once."""
        if self._followup is not None:
            await self._followup.over(proposal_id)

    async def recover(self) -> Recovered:
        """Mends what a crash left; run once at the start, before anything else, and safe to repeat."""
        async with self._accept.writing:
            found = await recover(self._ports.hands, self._ports.open_runs)
        if found.message:
            self._ports.publish("message", {"level": "warning", "text": found.message})
        return found

    async def close(self) -> None:
        """Ends all work. A transaction that has begun is finished first: half of it is never left."""
        async with self._accept.writing:
            tasks = [task for task in (self._accepting, *self._undoing) if task is not None and not task.done()]
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._retest.close()
        if self._followup is not None:
            await self._followup.close()

    async def _rollback(self, checkpoint_id: str) -> Answer:
        checkpoint = await self._ports.checkpoints.get(checkpoint_id)
        if checkpoint is None:
            raise UnknownIdError(f"there is no checkpoint {checkpoint_id}", hint="Only the newest ones are kept.")
        async with self._accept.writing:
            try:
                sight = await look(self._ports.files, self._ports.editor)
                edits = await undoing(checkpoint, sight, self._ports.trees)
            except AgentLspError as error:
                return {"applied": False, "reason": error.message}
            new_id = self._ports.new_id("c")
            deed = Deed(
                new_id,
                checkpoint.run_id,
                checkpoint.proposal_id,
                f"Undo {checkpoint.label}",
                edits,
                EventKind.ROLLBACK_INTENT,
                EventKind.ROLLBACK_DONE,
                {"undoes": checkpoint_id},
            )
            with self._accept.point_of_no_return():
                outcome = await perform(self._ports.hands, deed)
                if not outcome.applied:
                    return {"applied": False, "reason": outcome.reason}
                await self._accept.look_again()
        return {"applied": True, "checkpointId": new_id}

    def _find(self, args: Mapping[str, Any]) -> Proposal:
        return self._shelf.get(wanted_text(args, "proposalId"))

    def _tell_late(self, proposal: Proposal, done: "asyncio.Task[Answer]") -> None:
        """The person was told `pending`: a refusal must not be silent."""
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            logger.error("applying %s failed", proposal.id, exc_info=error)
            reason = f"{type(error).__name__}: {error}"
        elif done.result()["applied"]:
            return
        else:
            reason = str(done.result().get("reason", ""))
        text = f"Run {proposal.run_id} was not applied. {reason}"
        self._ports.publish("message", {"runId": proposal.run_id, "level": "warning", "text": text})

    def _tell_too_late(self, proposal: Proposal, done: "asyncio.Task[Answer]") -> None:
        """The request was cancelled while files were being written: it was done to its end, which is said."""
        if not done.cancelled() and done.exception() is None and done.result()["applied"]:
            text = f"Run {proposal.run_id} was applied all the same: its files were being written when you cancelled."
            self._ports.publish("message", {"runId": proposal.run_id, "level": "warning", "text": text})
        else:
            self._tell_late(proposal, done)

    def _tell_undone(self, done: "asyncio.Task[Answer]") -> None:
        if not done.cancelled() and done.exception() is None and done.result()["applied"]:
            text = "The change was rolled back all the same: its files were being written when you cancelled."
            self._ports.publish("message", {"level": "warning", "text": text})
