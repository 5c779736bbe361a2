"""Owns making a stale proposal current: a new snapshot, the change carried over to it, and the tests run again."""

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import Final

from agent_lsp.agent.merging import Conflict, fitting, rebase
from agent_lsp.agent.proposals import Proposal, resting_state
from agent_lsp.agent.shelf import ReviewOptions, ReviewPorts, Shelf
from agent_lsp.agent.sight import look
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.ids import HunkId
from agent_lsp.domain.task import RunState
from agent_lsp.domain.verdict import Decision

logger = logging.getLogger(__name__)

STOPPED: Final = "testing it again was cancelled"


class Retest:
    """Revalidates proposals in the background; several wishes for one proposal are one piece of work."""

    def __init__(self, ports: ReviewPorts, options: ReviewOptions, shelf: Shelf) -> None:
        self._ports, self._options, self._shelf = ports, options, shelf
        self._running: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, asyncio.Task[None]] = {}
        self._waiting: Counter[str] = Counter()
        self._looking: dict[str, bool] = {}
        """Proposals whose text is being read after their test, and whether it was told to have moved since."""

    def start(self, proposal_id: str) -> "asyncio.Task[None]":
        """The running revalidation of this proposal, or a new one. It never raises but for cancelling."""
        task = self._running.get(proposal_id)
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(self._guarded(proposal_id))
            self._running[proposal_id] = task
            task.add_done_callback(lambda done: self._forget(self._running, proposal_id, done))
        return task

    async def wait(self, proposal_id: str, timeout_s: float | None = None) -> bool:
        """Starts or joins the revalidation; False if it goes on after the time-out.

        When the waiting is cancelled, so is a revalidation that was begun for it and for which nobody else waits.
        """
        begun = proposal_id not in self._running
        task = self.start(proposal_id)
        self._waiting[proposal_id] += 1
        try:
            await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:
            if begun and self._waiting[proposal_id] == 1:
                self.cancel(proposal_id)
            raise
        finally:
            self._waiting[proposal_id] -= 1
            self._waiting += Counter()  # drops what is zero
        return task.done()

    def told_moved(self, proposal_id: str) -> None:
        """The editor saw text move under it: who reads that text at this moment must not trust it."""
        if proposal_id in self._looking:
            self._looking[proposal_id] = True

    def running(self, proposal_id: str) -> "tuple[asyncio.Task[None], ...]":
        """The revalidation that is at work for it, if there is one."""
        task = self._running.get(proposal_id)
        return () if task is None else (task,)

    def after_pause(self, proposal_id: str) -> None:
        """Revalidates once nothing has been typed for the time that the person set."""
        if (earlier := self._pauses.pop(proposal_id, None)) is not None:
            earlier.cancel()
        if self._options.settle_s is None:
            return
        task = asyncio.get_running_loop().create_task(self._pause(proposal_id, self._options.settle_s))
        self._pauses[proposal_id] = task
        task.add_done_callback(lambda done: self._forget(self._pauses, proposal_id, done))

    def cancel(self, proposal_id: str) -> None:
        """The proposal is closed: its tests matter no more."""
        for tasks in (self._running, self._pauses):
            if (task := tasks.pop(proposal_id, None)) is not None:
                task.cancel()

    async def close(self) -> None:
        """Stops everything."""
        tasks = [*self._running.values(), *self._pauses.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    def _forget(tasks: dict[str, "asyncio.Task[None]"], key: str, done: "asyncio.Task[None]") -> None:
        if tasks.get(key) is done:
            del tasks[key]

    async def _pause(self, proposal_id: str, settle_s: float) -> None:
        await self._ports.clock.sleep(settle_s)
        for proposal in self._shelf.on_offer():
            if proposal.id == proposal_id and proposal.stale and proposal.state is RunState.PROPOSED:
                self.start(proposal_id)

    async def _guarded(self, proposal_id: str) -> None:
        stopped = False
        try:
            await self._again(proposal_id)
        except asyncio.CancelledError:
            stopped = True
            proposal = self._shelf.get(proposal_id)
            if proposal.is_open:
                self._shelf.tell_state(proposal, proposal.state, STOPPED)
            raise
        except AgentLspError as error:
            self._give_up(proposal_id, f"It could not be tested again: {error.message}")
        except Exception as error:
            logger.exception("the revalidation of %s failed", proposal_id)
            self._give_up(proposal_id, f"It could not be tested again: {type(error).__name__}: {error}")
        finally:
            outcome = STOPPED if stopped else self._outcome(proposal_id)
            self._shelf.tell_over(proposal_id, "revalidate", outcome, cancelled=stopped)

    def _outcome(self, proposal_id: str) -> str:
        proposal = self._shelf.get(proposal_id)
        return proposal.trouble or f"tested again: {proposal.verdict.title()}"

    async def _again(self, proposal_id: str) -> None:
        for _ in range(max(1, self._options.retest_tries)):
            started = self._shelf.get(proposal_id)
            if not started.is_open:
                return
            self._shelf.tell_state(started, RunState.VALIDATING, "testing the change on the text as it now is")
            snapshot = await self._ports.trees.snapshot(await self._ports.editor.buffers())
            rebased = await rebase(started, self._ports.trees, snapshot)
            if not self._stands(started):
                continue
            fits = await fitting(started, self._ports.trees, snapshot) if isinstance(rebased, Conflict) else frozenset()
            if not self._stands(started):
                continue
            fresh = self._usable(started.id, rebased, fits)
            if fresh is None:
                return
            fresh = await self._tested(fresh, started)
            if self._stands(started) and not await self._moved(fresh):
                self._settle(self._shelf.get(proposal_id), fresh)
                return
        self._give_up(proposal_id, "The text kept changing while the tests ran; pause, then revalidate.")

    def _stands(self, started: Proposal) -> bool:
        """Whether the change on offer still is the one that was begun with."""
        current = self._shelf.get(started.id)
        return current.is_open and current.edits == started.edits

    def _usable(self, proposal_id: str, rebased: Proposal | Conflict, fits: frozenset[HunkId]) -> Proposal | None:
        """The proposal on the text as it is now, or None where that ended the matter."""
        current = self._shelf.get(proposal_id)
        if isinstance(rebased, Conflict):
            paths = current.stale_paths | {rebased.path}
            self._keep_stale(replace(current, stale_paths=paths, fitting=fits, in_conflict=True), rebased.reason)
            return None
        if not rebased.edits:
            message = "nothing is left of it: the text already holds the change"
            state = RunState.APPLIED if current.checkpoint_id else RunState.DISCARDED
            self._shelf.close(current, state, message, current.checkpoint_id)
            return None
        return rebased

    async def _tested(self, fresh: Proposal, started: Proposal) -> Proposal:
        def tell(message: str, _: float | None) -> None:
            if self._stands(started):
                self._shelf.tell_state(fresh, RunState.VALIDATING, message)

        evidence = await self._ports.gate.validate(
            fresh.base.tree, fresh.edits, goal_tests=fresh.goal_tests, scope=fresh.goal.scope, on_progress=tell
        )
        return replace(fresh, evidence=evidence, stale_paths=frozenset())

    async def _moved(self, fresh: Proposal) -> bool:
        self._looking[fresh.id] = False
        try:
            sight = await look(self._ports.files, self._ports.editor)
            return bool(await sight.moved(fresh.witness)) or self._looking.get(fresh.id, True)
        finally:
            self._looking.pop(fresh.id, None)

    def _settle(self, current: Proposal, fresh: Proposal) -> None:
        verdict = fresh.evidence.verdict
        better = verdict.decision.acceptable or verdict.decision is Decision.UNDECIDED
        state = resting_state(verdict) if better else current.state
        settled = replace(fresh, state=state)
        self._shelf.put(settled)
        self._shelf.tell_verdict(settled, verdict)
        self._shelf.tell_state(settled, state, f"tested again: {verdict.title()}")

    def _give_up(self, proposal_id: str, reason: str) -> None:
        proposal = self._shelf.get(proposal_id)
        if proposal.is_open:
            self._keep_stale(replace(proposal, in_conflict=False), reason)

    def _keep_stale(self, proposal: Proposal, reason: str) -> None:
        kept = replace(proposal, trouble=reason)
        self._shelf.put(kept)
        self._shelf.tell_verdict(kept, kept.verdict)
        self._shelf.tell_state(kept, kept.state, reason)
