"""Owns what a person can do with a proposal: look, accept, discard, test again, undo."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent_lsp.agent.accept import STOPPED, Accept, Answer, refusal
from agent_lsp.agent.amending import amended_file, amended_hunk, laid_over
from agent_lsp.agent.followup import Followup
from agent_lsp.agent.history import History
from agent_lsp.agent.mutating import Mutating
from agent_lsp.agent.proposals import Proposal, resting_state, wanted_hunks, without
from agent_lsp.agent.recovery import Recovered
from agent_lsp.agent.retest import Retest
from agent_lsp.agent.shelf import ReviewHooks, ReviewOptions, ReviewPorts, Shelf, record_of, wanted_list, wanted_text
from agent_lsp.agent.sufficient import Completion
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.errors import AgentLspError, BadArgumentError, RefusedError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ids import ProposalId
from agent_lsp.domain.ports import Snapshot
from agent_lsp.domain.task import Goal, RunState
from agent_lsp.domain.verdict import Decision, Evidence

logger = logging.getLogger(__name__)

ABANDON_WITHIN_S: Final = 0.8


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
        self.history = History(ports, hooks, self._shelf, self._retest, self._accept)
        self._followup = Followup(ports.whole, self._shelf, ports.publish) if ports.whole is not None else None
        self._mutating = Mutating(ports.mutants, self._shelf) if ports.mutants is not None else None
        self._shelf.watcher = self._heard
        self._completion = Completion(ports, self._shelf)
        self._accept.on_refused = self._completion.refused

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
        self._refuse_while_applied(proposal)
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

    async def amend(self, args: Mapping[str, Any]) -> Answer:
        """`{state, hunks}`. The person's own text for a hunk or a file, tested in the background like any other."""
        proposal = self._find(args)
        if not proposal.is_open:
            raise RefusedError(f"this proposal was already {proposal.state.value}")
        self._refuse_while_applied(proposal)
        text = args.get("text")
        if not isinstance(text, str):
            raise BadArgumentError("`text` is missing", hint="Give the new text of the hunk, or of the file at `path`.")
        if isinstance(path := args.get("path"), str):
            proposal, text = await self._laid_over(proposal, path, args.get("from"), text)
            amended, what = amended_file(proposal, path, text), path
        else:
            amended, what = amended_hunk(proposal, wanted_text(args, "hunk"), text), str(args["hunk"])
        if amended.edits == proposal.edits:
            return {"state": proposal.state.value, "hunks": list(proposal.hunk_ids)}
        self._completion.stop(proposal.id)
        self._retest.cancel(proposal.id)
        self._shelf.note(proposal, EventKind.NOTE, {"text": f"the person edited {what}"})
        self._shelf.put(amended)
        self._retest.start(proposal.id)
        return {"state": RunState.VALIDATING.value, "hunks": list(self._shelf.get(proposal.id).hunk_ids)}

    async def _laid_over(self, proposal: Proposal, path: str, drawn: object, text: str) -> tuple[Proposal, str]:
        """The person's text on what is proposed now, which may change or go while it is merged."""
        while True:
            merged = await laid_over(self._ports.trees, proposal, path, drawn if isinstance(drawn, str) else None, text)
            now = self._shelf.get(proposal.id)
            self._refuse_while_applied(now)
            if not now.is_open:
                raise RefusedError(f"this proposal was already {now.state.value}")
            if now.edits == proposal.edits:
                return now, merged
            proposal = now

    def _accepting_of(self, proposal: Proposal) -> "asyncio.Task[Answer] | None":
        """The acceptance of this proposal that is at work."""
        at_work = self._accepting if self._accepting_id == proposal.id else None
        return None if at_work is None or at_work.done() else at_work

    def _refuse_while_applied(self, proposal: Proposal) -> None:
        if self._accepting_of(proposal) is not None:
            raise RefusedError("this proposal is being applied", hint="Wait until it is done, then roll it back.")

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
            await self._stop(self.history.at_work(checkpoint_id))
            return {"state": ""}
        proposal = self._find(args)
        testing = self._retest.running(proposal.id)
        if (accepting := self._accepting_of(proposal)) is not None:
            await self._stop([accepting])
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
        return await self.history.rollback(args)

    async def stale(self, args: Mapping[str, Any]) -> Answer:
        """The editor saw text move under a proposal; no paths: it moved back, which the bytes must confirm."""
        proposal = self._find(args)
        if not proposal.is_open:
            return {}
        paths = frozenset(wanted_list(args, "paths") or ())
        if paths:
            self._retest.told_moved(proposal.id)
        marked = self._shelf.mark_stale(proposal, paths) if paths else await self._shelf.check(proposal.id)
        if marked.stale:
            self._retest.after_pause(marked.id)
        elif marked.is_open and marked.verdict.decision is Decision.NOT_RUN:  # it was in conflict ever since it changed
            self._retest.start(marked.id)
        return {}

    async def followed(self, proposal_id: str) -> None:
        """Waits for what follows a verdict in the background: for those who look only once."""
        for following in self._following:
            await following.over(proposal_id)

    async def recover(self) -> Recovered:
        """Mends what a crash left; run once at the start, before anything else, and safe to repeat."""
        return await self.history.recover()

    async def close(self) -> None:
        """Ends all work. A transaction that has begun is finished first: half of it is never left."""
        async with self._accept.writing.lock:
            tasks = [
                task for task in (self._accepting, *self.history.at_work()) if task is not None and not task.done()
            ]
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._retest.close()
        await self._completion.close()
        for following in self._following:
            await following.close()

    @property
    def _following(self) -> "tuple[Followup | Mutating, ...]":
        """What goes on behind proposals, in the order in which one waits for the other."""
        return tuple(following for following in (self._followup, self._mutating) if following is not None)

    def _heard(self, proposal: Proposal) -> None:
        for following in self._following:
            following.heard(proposal)

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
        text = f"{proposal.name} was not applied. {reason}"
        self._ports.publish("message", {"runId": proposal.run_id, "level": "warning", "text": text})

    def _tell_too_late(self, proposal: Proposal, done: "asyncio.Task[Answer]") -> None:
        """The request was cancelled while files were being written: it was done to its end, which is said."""
        if not done.cancelled() and done.exception() is None and done.result()["applied"]:
            text = f"{proposal.name} was applied all the same: its files were being written when you cancelled."
            self._ports.publish("message", {"runId": proposal.run_id, "level": "warning", "text": text})
        else:
            self._tell_late(proposal, done)
