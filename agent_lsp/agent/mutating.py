"""Owns what follows a proven verdict: small faults in the changed lines, and what the tests make of them."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from agent_lsp.agent.background import Background
from agent_lsp.agent.followup import Offers
from agent_lsp.agent.proposals import Proposal
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.mutation_trial import Tried, told_of
from agent_lsp.domain.verdict import Evidence

logger = logging.getLogger(__name__)

_PAUSE_S: Final = 1.0
"""A change that is applied at once is not worth the work."""

_WAIT_S: Final = 10.0
_KEPT: Final = 32


class Mutants(Protocol):
    """Tries mutants of a change. Implementation: agent/mutant_runs.py."""

    def concerns(self, evidence: Evidence) -> bool:
        """Whether there is something to try."""
        ...

    async def examine(self, edits: Sequence[FileEdit], evidence: Evidence) -> tuple[Tried, ...]:
        """The mutants with what became of them."""
        ...


class Mutating:
    """Tries mutants of every open proposal that is proven, once per tested change, one proposal after the other."""

    def __init__(self, mutants: Mutants, offers: Offers) -> None:
        self._mutants, self._offers = mutants, offers
        self._work = Background()
        self._wanted = asyncio.Event()
        self._one_by_one = asyncio.Lock()
        self._known: dict[str, tuple[Tried, ...]] = {}

    def heard(self, proposal: Proposal) -> None:
        """The proposal is this now."""
        tree = proposal.evidence.verdict.candidate
        if not proposal.is_open or self._work.tree_of(proposal.id) not in (None, tree):
            self._work.cancel(proposal.id)
        if not proposal.is_open or self._work.tree_of(proposal.id) is not None:
            return
        if self._mutants.concerns(proposal.evidence) and self._known.get(tree) != ():
            self._work.begin(proposal.id, tree, self._guarded(proposal))

    async def over(self, proposal_id: str) -> None:
        """Returns once it is known what the tests noticed, or that will take long."""
        self._wanted.set()
        await self._work.over(proposal_id, _WAIT_S)

    async def close(self) -> None:
        """Stops everything."""
        await self._work.close()

    async def _guarded(self, proposal: Proposal) -> None:
        tree = proposal.evidence.verdict.candidate
        tried = self._known.get(tree)
        if tried is None:
            await self._pause()
            async with self._one_by_one:
                tried = await self._tried(proposal)
            self._keep(tree, tried)
        self._take(proposal, tried)

    async def _tried(self, proposal: Proposal) -> tuple[Tried, ...]:
        try:
            return await self._mutants.examine(proposal.edits, proposal.evidence)
        except AgentLspError as error:
            logger.warning("no small faults could be tried on %s: %s", proposal.id, error.message)
        except Exception:
            logger.exception("trying small faults on %s failed", proposal.id)
        return ()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._wanted.wait(), _PAUSE_S)
        except TimeoutError:
            return

    def _keep(self, tree: str, tried: tuple[Tried, ...]) -> None:
        self._known[tree] = tuple(replace(row, mutant=replace(row.mutant, content=b"")) for row in tried)
        for old in list(self._known)[:-_KEPT]:
            del self._known[old]

    def _take(self, tested: Proposal, tried: Sequence[Tried]) -> None:
        now = self._offers.get(tested.id)
        verdict = now.evidence.verdict
        if not now.is_open or verdict.candidate != tested.evidence.verdict.candidate:
            return
        told = told_of(verdict, tried)
        for row in tried:
            logger.info("%s:%d %s: %s", row.mutant.path, row.mutant.line + 1, row.mutant.text, row.notice.name.lower())
        if told is not verdict:
            fresh = replace(now, evidence=replace(now.evidence, verdict=told))
            self._offers.put(fresh)
            self._offers.tell_verdict(fresh, told)
