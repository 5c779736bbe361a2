"""Owns the runs that have the last word on an earlier verdict: all tests after some, one piece after several parts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from agent_lsp.agent.suite_runs import Manner, OnProgress
from agent_lsp.agent.validation import Gate
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.staging import Settled, ran_out_of_time, settle
from agent_lsp.domain.suite_ports import SuiteMemory
from agent_lsp.domain.verdict import Evidence

_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Trying:
    """A change that is judged."""

    base_tree: str
    edits: tuple[FileEdit, ...]
    goal_tests: tuple[CaseId, ...]
    tell: OnProgress | None

    @property
    def paths(self) -> tuple[str, ...]:
        """What it touches, on either side."""
        return tuple(sorted({path for edit in self.edits for path in (edit.path, edit.base_path)}))

    def told(self, text: str) -> None:
        """Tells of progress."""
        if self.tell is not None:
            self.tell(text, None)


@dataclass(slots=True)
class Pending:
    """A verdict, and the run that could follow on it or already does: `task` is one that began by itself.

    `dress` adds what is known of the change besides its tests.
    """

    job: Trying
    first: Evidence
    task: "asyncio.Task[Evidence] | None" = None
    followed: bool = False
    dress: Callable[[Evidence], Evidence] = lambda evidence: evidence


class LastWord:
    """Keeps the verdicts that something can follow on, by the tree of their candidate."""

    def __init__(self, gate: Gate, memory: SuiteMemory) -> None:
        self._gate, self._memory = gate, memory
        self._pending: dict[str, Pending] = {}

    async def whole(self, job: Trying, manner: Manner = Manner()) -> Evidence:  # noqa: B008 - it is frozen
        """All tests."""
        return await self._gate.validate(
            job.base_tree, job.edits, goal_tests=job.goal_tests, manner=manner, on_progress=job.tell
        )

    def follow(self, evidence: Evidence) -> "asyncio.Task[Settled] | None":
        """Runs what has the last word on a verdict; None where there is nothing to follow."""
        pending = self._pending.get(evidence.verdict.candidate)
        if pending is None or not (evidence.verdict.selection == "impacted" or in_parts(evidence)):
            return None
        pending.followed = True
        return asyncio.get_running_loop().create_task(self._followed(pending))

    async def close(self) -> None:
        """Ends runs that nobody waits for."""
        tasks = [pending.task for pending in self._pending.values() if pending.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def keep(self, pending: Pending) -> None:
        """Something can follow on this one from now on."""
        key = pending.first.verdict.candidate
        for other in [name for name in self._pending if name == key] + list(self._pending)[:-_KEPT]:
            old = self._pending.pop(other)
            if old.task is not None and old.task is not pending.task:
                old.task.cancel()
        self._pending[key] = pending

    def renew(self, evidence: Evidence, dress: Callable[[Evidence], Evidence]) -> None:
        """More is known of a verdict that is kept, and holds for what follows on it too."""
        if (pending := self._pending.get(evidence.verdict.candidate)) is not None:
            pending.first, pending.dress = evidence, dress

    def drop_unfollowed(self) -> None:
        """Runs that began on their own and whose change was not proposed."""
        for pending in self._pending.values():
            if pending.task is not None and not pending.followed:
                pending.task.cancel()
                pending.task = None

    def keeps(self, task: "asyncio.Task[Evidence]") -> bool:
        """Whether a run may be followed."""
        return any(pending.task is task for pending in self._pending.values())

    async def _followed(self, pending: Pending) -> Settled:
        try:
            settled = settle(pending.first, pending.dress(await self._run(pending)))
            if settled.audited and in_parts(settled.evidence) and settled.evidence.verdict.decision.acceptable:
                again = replace(pending, first=settled.evidence, task=None)
                pending.task = None
                last = settle(settled.evidence, again.dress(await self._run(again)))
                settled = replace(last, missed=settled.missed, audited=True)
        except asyncio.CancelledError:
            pending.task = None  # it may be followed once more
            raise
        except Exception:
            self._forget(pending)
            raise
        self._forget(pending)
        if settled.audited and pending.first.verdict.selection == "impacted":
            await self._memory.audit(pending.job.paths, settled.missed)
        return settled

    def _forget(self, pending: Pending) -> None:
        key = pending.first.verdict.candidate
        if self._pending.get(key) is pending:
            del self._pending[key]

    async def _run(self, pending: Pending) -> Evidence:
        """In one piece, unless it runs already. Ends with who waits for it."""
        manner = Manner(in_one_piece=True, parts=pending.first.after if in_parts(pending.first) else None)
        job = replace(pending.job, tell=None)
        task = pending.task or asyncio.get_running_loop().create_task(self.whole(job, manner))
        pending.task = task
        try:
            return await asyncio.shield(task)
        finally:
            if not task.done():
                await ended(task)


def in_parts(evidence: Evidence) -> bool:
    """Whether the tests with the change ran in several processes at once, so that they could not see each other."""
    return evidence.after is not None and evidence.after.pieces > 1


def failed(whole: "asyncio.Task[Evidence] | None") -> bool:
    """Whether it ended without any evidence."""
    return whole is not None and whole.done() and (whole.cancelled() or whole.exception() is not None)


def told(whole: "asyncio.Task[Evidence]") -> bool:
    """Whether a run that is over says something."""
    return not failed(whole) and not ran_out_of_time(whole.result())


async def ended(task: "asyncio.Task[Evidence]") -> None:
    """Cancels it and waits until nothing of it runs."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
