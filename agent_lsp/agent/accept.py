"""Owns accepting a proposal or a part of it: checked, tested on its own where needed, and written once."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from agent_lsp.agent.apply import Deed, perform
from agent_lsp.agent.merging import Conflict, rebase
from agent_lsp.agent.parts import missing_reason
from agent_lsp.agent.proposals import Proposal, part_goals, part_of, rest_of
from agent_lsp.agent.retest import Retest
from agent_lsp.agent.shelf import ReviewOptions, ReviewPorts, Shelf
from agent_lsp.agent.sight import look
from agent_lsp.agent.writing import Writing
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.ids import CaseId, HunkId
from agent_lsp.domain.task import RunState
from agent_lsp.domain.verdict import Decision, Evidence, Verdict

Answer = Mapping[str, Any]

STOPPED: Final = "not applied: it was cancelled before anything was written"


def refusal(reason: str, verdict: Verdict) -> Answer:
    """What `apply` answers when nothing was written."""
    return {"applied": False, "reason": reason, "verdict": verdict.to_json()}


def stale_reason(proposal: Proposal) -> str:
    """Why a stale proposal is not applied."""
    if proposal.trouble and proposal.in_conflict:
        return f"It does not fit the text as it now is. {proposal.trouble}"
    if proposal.trouble:
        return proposal.trouble
    names = ", ".join(sorted(proposal.stale_paths)[:5])
    return f"{names} changed since this was tested; it is tested again on the new text, or run agent.revalidate."


@dataclass(frozen=True, slots=True)
class _Choice:
    """What of a proposal is accepted. `fitted` is that part carried over to the present text, where not all fits."""

    proposal: Proposal
    wanted: frozenset[HunkId]
    fitted: Proposal | None = None

    @property
    def whole(self) -> bool:
        return self.wanted == frozenset(self.proposal.hunk_ids)

    @property
    def base_tree(self) -> str:
        return (self.fitted or self.proposal).base.tree

    @property
    def goals(self) -> tuple[CaseId, ...]:
        """What the whole fixed; what was asked for alone where the person's own text took the place of a part."""
        return part_goals(self.proposal) if self.fitted is None else self.proposal.goal.tests

    @property
    def edits(self) -> tuple[FileEdit, ...]:
        if self.fitted is not None:
            return self.fitted.edits
        return self.proposal.edits if self.whole else part_of(self.proposal, self.wanted)

    @property
    def label(self) -> str:
        return f"Agent: {self.proposal.summary.splitlines()[0] if self.proposal.summary else 'change'}"[:120]


class Accept:
    """Carries an acceptance through. `writing` is held while files change, by whoever changes them."""

    def __init__(self, ports: ReviewPorts, options: ReviewOptions, shelf: Shelf, retest: Retest) -> None:
        self._ports, self._options, self._shelf, self._retest = ports, options, shelf, retest
        self.writing = Writing(ports)
        self._committed: set[asyncio.Task[Any]] = set()
        self.on_refused: Callable[[Proposal, frozenset[HunkId], Verdict], None] | None = None
        """Told of each part that its tests refused."""

    @contextmanager
    def point_of_no_return(self) -> Iterator[None]:
        """What the present task does in here is done to its end: `stop` leaves it alone."""
        task = asyncio.current_task()
        assert task is not None
        self._committed.add(task)
        try:
            yield
        finally:
            self._committed.discard(task)

    def stop(self, task: "asyncio.Task[Answer]") -> bool:
        """Cancels work that has not begun to write; False where it is too late for that."""
        if task in self._committed:
            return False
        task.cancel()
        return True

    async def accept(self, proposal_id: str, wanted: frozenset[HunkId]) -> Answer:
        """Applied with a checkpoint, or refused with a reason. The run's state is right again when this returns."""
        outcome, cancelled = "not applied: an error inside agent-lsp", False
        try:
            answer = await self._accept(proposal_id, wanted)
            outcome = "applied" if answer["applied"] else f"not applied: {answer['reason']}"
        except asyncio.CancelledError:
            outcome, cancelled = STOPPED, True
            self._back(proposal_id, STOPPED)
            raise
        except AgentLspError as error:
            reason = f"It could not be applied: {error.message}"
            outcome = reason
            answer = refusal(reason, self._back(proposal_id, reason).verdict)
        except Exception:
            self._back(proposal_id, "It could not be applied: an error inside agent-lsp.")
            raise
        finally:
            self._shelf.tell_over(proposal_id, "apply", outcome, cancelled=cancelled)
        return answer

    def _back(self, proposal_id: str, message: str) -> Proposal:
        """The proposal, with its run back where it was; one that is closed keeps its end."""
        proposal = self._shelf.get(proposal_id)
        if proposal.is_open:
            self._shelf.tell_state(proposal, proposal.state, message)
        return proposal

    async def _accept(self, proposal_id: str, wanted: frozenset[HunkId]) -> Answer:
        proposal = await self._shelf.check(proposal_id)
        choice = await self._fitted(_Choice(proposal, wanted)) if proposal.stale else _Choice(proposal, wanted)
        if choice is None:
            self._retest.after_pause(proposal_id)
            return refusal(stale_reason(proposal), proposal.verdict)
        if choice.whole and proposal.evidence.verdict.decision is Decision.NOT_RUN:
            await self._retest.wait(proposal_id)
            choice = _Choice(self._shelf.get(proposal_id), wanted)
        evidence = choice.proposal.evidence if choice.whole else await self._test(choice)
        if (reason := await self._objection(choice, evidence)) is not None:
            if (
                self.on_refused is not None
                and not (choice.whole or choice.fitted)
                and not evidence.verdict.decision.acceptable
            ):
                self.on_refused(choice.proposal, wanted, evidence.verdict)
            return refusal(reason, evidence.verdict if not choice.whole else choice.proposal.verdict)
        return await self._write(choice, evidence)

    async def _fitted(self, choice: _Choice) -> _Choice | None:
        """The chosen part of a proposal of which another part is in conflict, carried over; None if it cannot be."""
        if not choice.proposal.trouble or choice.whole:
            return None
        snapshot = await self._ports.trees.snapshot(await self._ports.editor.buffers())
        part = replace(choice.proposal, edits=choice.edits)
        fitted = await rebase(part, self._ports.trees, snapshot)
        return None if isinstance(fitted, Conflict) or not fitted.edits else replace(choice, fitted=fitted)

    async def _test(self, choice: _Choice) -> Evidence:
        """The part as a candidate of its own."""
        proposal, count = choice.proposal, f"{len(choice.wanted)} of {len(choice.proposal.hunk_ids)} hunks"

        def tell(message: str, _: float | None) -> None:
            self._shelf.tell_state(proposal, RunState.VALIDATING, f"{count}: {message}")

        self._shelf.tell_state(proposal, RunState.VALIDATING, f"testing {count}")
        evidence = await self._ports.gate.validate(
            choice.base_tree,
            choice.edits,
            goal_tests=choice.goals,
            scope=proposal.goal.scope,
            on_progress=tell,
        )
        if not evidence.verdict.decision.acceptable:
            reason = missing_reason(proposal, choice.wanted, evidence.verdict)
            verdict = replace(evidence.verdict, reasons=(reason, *evidence.verdict.reasons))
            evidence = replace(evidence, verdict=verdict)
        self._shelf.tell_verdict(proposal, evidence.verdict, sorted(choice.wanted))
        return evidence

    async def _objection(self, choice: _Choice, evidence: Evidence) -> str | None:
        """Why it may not be written now, with the run back where it was; None if it may."""
        proposal = self._shelf.get(choice.proposal.id)
        reason = self._moved_on(choice, proposal)
        if reason is None and choice.fitted is not None:
            reason = await self._moved_under(choice.fitted, evidence)
        elif reason is None:
            proposal = await self._shelf.check(proposal.id, evidence.witness)
            if proposal.stale:
                self._retest.after_pause(proposal.id)
                reason = stale_reason(proposal)
        verdict = evidence.verdict
        if reason is None and not verdict.decision.acceptable and not self._options.allow_unproven:
            said = verdict.reasons[0] if verdict.reasons else "Only proven and passed changes are applied."
            reason = said if not choice.whole else f"Its verdict is {verdict.decision.value}: {said}"
        if reason is not None and proposal.is_open:
            self._shelf.tell_state(proposal, proposal.state, reason)
            if not choice.whole:
                self._shelf.put(proposal)
        return reason

    async def _moved_under(self, fitted: Proposal, evidence: Evidence) -> str | None:
        sight = await look(self._ports.files, self._ports.editor)
        moved = await sight.moved({**evidence.witness, **fitted.witness})
        return f"{', '.join(sorted(moved)[:5])} changed while this was tested; accept it again." if moved else None

    @staticmethod
    def _moved_on(choice: _Choice, now: Proposal) -> str | None:
        if not now.is_open:
            return f"The proposal was {now.state.value} meanwhile."
        if now.edits != choice.proposal.edits or not choice.wanted <= set(now.hunk_ids):
            return "The proposal changed while it was being tested; look at it again."
        return None

    async def _write(self, choice: _Choice, evidence: Evidence) -> Answer:
        proposal = self._shelf.get(choice.proposal.id)
        async with self.writing.alone():
            self._shelf.tell_state(proposal, RunState.APPLYING, f"applying {choice.label}")
            note: dict[str, Any] = {"hunks": sorted(choice.wanted), "verdict": evidence.verdict.decision.value}
            if not evidence.verdict.decision.acceptable:
                note["override"] = "the person's settings allow unproven changes"
            checkpoint_id = self._ports.new_id("c")
            deed = Deed(checkpoint_id, proposal.run_id, proposal.id, choice.label, choice.edits, note=note)
            with self.point_of_no_return():
                outcome = await perform(self._ports.hands, deed)
                if not outcome.applied:
                    self._shelf.tell_state(proposal, proposal.state, outcome.reason)
                    return refusal(outcome.reason, evidence.verdict)
                await self._after(choice, evidence, checkpoint_id)
        return {"applied": True, "checkpointId": checkpoint_id, "verdict": evidence.verdict.to_json()}

    async def _after(self, choice: _Choice, evidence: Evidence, checkpoint_id: str) -> None:
        """Closes what is done, offers what is left, and looks at every other proposal again."""
        proposal = self._shelf.get(choice.proposal.id)
        rest = rest_of(proposal, choice.wanted, evidence, proposal.base)
        if rest.edits:
            await self._offer_rest(choice, replace(rest, checkpoint_id=checkpoint_id))
        else:
            self._retest.cancel(proposal.id)
            self._shelf.close(proposal, RunState.APPLIED, f"applied: {choice.label}", checkpoint_id)
        await self.look_again(proposal.id)

    async def _offer_rest(self, choice: _Choice, rest: Proposal) -> None:
        try:
            snapshot = await self._ports.trees.snapshot(await self._ports.editor.buffers())
            rest = replace(rest, base=snapshot)
        except AgentLspError as error:
            paths = frozenset(edit.base_path for edit in rest.edits)
            why = f"The text could not be read again: {error.message}"
            rest = replace(rest, stale_paths=paths, trouble=why, in_conflict=False)
        rest = replace(rest, state=RunState.PROPOSED)
        self._shelf.put(rest)
        count = f"{len(choice.wanted)} of {len(choice.proposal.hunk_ids)} hunks"
        self._shelf.tell_state(rest, RunState.PROPOSED, f"applied {count}; the rest is tested again")
        self._retest.start(rest.id)

    async def look_again(self, but: str = "") -> None:
        """After files were written: every other open proposal is marked by what its bytes now are."""
        try:
            for proposal in self._shelf.on_offer():
                if proposal.id != but and (await self._shelf.check(proposal.id)).stale:
                    self._retest.after_pause(proposal.id)
        except AgentLspError as error:
            text = f"Other proposals may be stale: {error.message}"
            self._ports.publish("message", {"level": "warning", "text": text})
