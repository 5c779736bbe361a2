"""Owns what follows a verdict that rests on a selection: the whole suite in the background, and what it changes."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from agent_lsp.agent.background import Background
from agent_lsp.agent.findings import problems_of
from agent_lsp.agent.proposals import Proposal, resting_state
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ports import Publish
from agent_lsp.domain.staging import Settled, alone
from agent_lsp.domain.task import RunState
from agent_lsp.domain.verdict import Evidence, Verdict

logger = logging.getLogger(__name__)

_ABANDONED: Final = (RunState.DISCARDED, RunState.CANCELLED)


class WholeSuite(Protocol):
    """Runs the whole suite of a change that was judged by a selection. Implementation: agent/stages.py."""

    def follow(self, evidence: Evidence) -> "asyncio.Task[Settled] | None":
        """None where there is nothing to follow."""
        ...


class Offers(Protocol):
    """The proposals on offer, as far as they are needed here. Implementation: agent/shelf.py."""

    def get(self, proposal_id: str) -> Proposal: ...

    def put(self, proposal: Proposal) -> None: ...

    def tell_verdict(self, proposal: Proposal, verdict: Verdict) -> None: ...

    def tell_state(self, proposal: Proposal, state: RunState, message: str = "") -> None: ...

    def note(self, proposal: Proposal, kind: EventKind, data: Mapping[str, Any]) -> None: ...


class Followup:
    """Follows every proposal that it hears of, once per tested change."""

    def __init__(self, whole: WholeSuite, offers: Offers, publish: Publish) -> None:
        self._whole, self._offers, self._publish = whole, offers, publish
        self._work = Background()

    def heard(self, proposal: Proposal) -> None:
        """The proposal is this now. An applied change is followed to the end: it may have to be taken back."""
        tree = proposal.evidence.verdict.candidate
        known = self._work.tree_of(proposal.id)
        if known is not None and (known != tree or proposal.state in _ABANDONED):
            if proposal.state is not RunState.APPLIED:
                self._work.cancel(proposal.id)
            known = None
        if known is not None or not proposal.is_open:
            return
        following = self._whole.follow(proposal.evidence)
        if following is not None:
            self._work.begin(proposal.id, tree, self._guarded(proposal, following))

    async def over(self, proposal_id: str) -> None:
        """Returns once the whole suite has had its word, at once where it is not asked."""
        await self._work.over(proposal_id)

    async def close(self) -> None:
        """Stops everything."""
        await self._work.close()

    async def _guarded(self, proposal: Proposal, following: "asyncio.Task[Settled]") -> None:
        try:
            settled = await following
        except asyncio.CancelledError:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            raise
        except AgentLspError as error:
            logger.warning("the whole suite could not be run for %s: %s", proposal.id, error.message)
            why = " ".join(part for part in (error.message.rstrip(".") + ".", error.hint) if part)
            settled = alone(proposal.evidence, f"The whole suite could not be run: {why} Test again to try once more.")
        except Exception:
            logger.exception("the whole suite of %s failed", proposal.id)
            why = "for a reason that the log holds. Test again to try once more."
            settled = alone(proposal.evidence, f"The whole suite could not be run, {why}")
        self._take(proposal, settled)

    def _take(self, tested: Proposal, settled: Settled) -> None:
        try:
            now = self._offers.get(tested.id)
        except AgentLspError:
            now = tested
        verdict = settled.evidence.verdict
        if settled.withdrawn:
            self._tell_withdrawn(now, verdict)
            problems = problems_of(settled.evidence, now.goal_tests)
            self._publish("problems", {"runId": now.run_id, "problems": problems})
        if not now.is_open or now.evidence.verdict.candidate != tested.evidence.verdict.candidate:
            return
        state = resting_state(verdict) if settled.withdrawn or verdict.decision.acceptable else now.state
        fresh = replace(now, evidence=settled.evidence, state=state)
        self._offers.put(fresh)
        self._offers.tell_verdict(fresh, verdict)
        what = "withdrawn by the whole suite" if settled.withdrawn else "after the whole suite"
        self._offers.tell_state(fresh, state, f"{what}: {verdict.title()}")

    def _tell_withdrawn(self, now: Proposal, verdict: Verdict) -> None:
        said = verdict.reasons[0]
        logger.warning("%s of run %s: %s", now.id, now.run_id, said)
        self._offers.note(now, EventKind.NOTE, {"text": said})
        text = f"{now.name}: {said}"
        if now.state is RunState.APPLIED:
            undo = f" with checkpoint {now.checkpoint_id}" if now.checkpoint_id else ""
            text += f" It was applied already; roll it back{undo} if that is not wanted."
        elif not now.is_open:
            return
        self._publish("message", {"runId": now.run_id, "level": "warning", "text": text})
