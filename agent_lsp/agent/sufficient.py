"""Owns the search for what a part of a proposal lacks: the smallest further set of hunks with which it passes."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from agent_lsp.agent.background import Background
from agent_lsp.agent.parts import place_of, runs_hunk
from agent_lsp.agent.proposals import Proposal, part_goals, part_of
from agent_lsp.agent.shelf import ReviewPorts, Shelf
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.goal_findings import is_diagnostic
from agent_lsp.domain.ids import CaseId, HunkId
from agent_lsp.domain.verdict import Verdict

logger = logging.getLogger(__name__)

Hunks = frozenset[HunkId]

_MOST_TRIES: Final = 32
_MOST_S: Final = 120.0
_PAIRS_UP_TO: Final = 6
"""Of so many missing hunks every pair is tried before whole groups are thinned out."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A part that is not acceptable by itself, and the tests that say so."""

    wanted: Hunks
    tests: tuple[CaseId, ...]

    @classmethod
    def of(cls, proposal: Proposal, wanted: Hunks, verdict: Verdict) -> "Lack":
        """What a refused part's verdict names: goal tests that it does not fix, and tests that it breaks."""
        goals = [goal for goal in part_goals(proposal) if not is_diagnostic(goal)]
        unfixed = [test for test in goals if test not in verdict.fixed]
        return cls(wanted, tuple(dict.fromkeys([*unfixed, *verdict.broken])))


class Completion:
    """Searches in the background after a part was refused; one search at a time for each proposal.

    What is found stands on the proposal as its `suggestion`, which the whole gate has accepted.
    """

    def __init__(self, ports: ReviewPorts, shelf: Shelf) -> None:
        self._ports, self._shelf = ports, shelf
        self._work = Background()

    def refused(self, proposal: Proposal, wanted: Hunks, verdict: Verdict) -> None:
        """A part was refused by its tests."""
        lack = Lack.of(proposal, wanted, verdict)
        whole = proposal.evidence.verdict.decision.acceptable
        if not whole or not lack.tests or len(proposal.hunk_ids) - len(wanted) < 1:
            return
        self._work.begin(proposal.id, proposal.base.tree, self._guarded(proposal, lack))

    def stop(self, proposal_id: str) -> None:
        """Nobody wants to know any more."""
        self._work.cancel(proposal_id)

    async def close(self) -> None:
        """Stops everything."""
        await self._work.close()

    async def _guarded(self, proposal: Proposal, lack: Lack) -> None:
        try:
            found = await self._search(proposal, lack)
            now = self._shelf.get(proposal.id)
        except AgentLspError as error:
            logger.warning("what a part of %s lacks could not be found: %s", proposal.id, error.message)
            return
        except Exception:
            logger.exception("the search for what a part of %s lacks failed", proposal.id)
            return
        if found is None or not now.is_open or now.edits != proposal.edits:
            return
        self._shelf.put(replace(now, suggestion=found))
        text = f"{proposal.name}: {sentence(proposal, lack.wanted, found)}"
        self._ports.publish("message", {"runId": proposal.run_id, "level": "info", "text": text})

    async def _search(self, proposal: Proposal, lack: Lack) -> Hunks | None:
        trial = _Trial(self._ports, proposal, lack, time.monotonic() + _MOST_S, lambda: self._stands(proposal))
        missing = _ranked(proposal, lack)
        for few in _few(missing):
            if (found := lack.wanted | few) and await trial.passes(found) and await trial.is_accepted(found):
                return found
        rest = set(missing)
        for hunk in reversed(missing):  # the least likely to be needed goes first
            if len(rest) > 1 and await trial.passes(lack.wanted | (rest - {hunk})):
                rest.discard(hunk)
        found = lack.wanted | rest
        if found == frozenset(proposal.hunk_ids):
            return found  # the whole proposal, whose verdict is there
        return found if await trial.is_accepted(found) else frozenset(proposal.hunk_ids)

    def _stands(self, proposal: Proposal) -> bool:
        now = self._shelf.get(proposal.id)
        return now.is_open and now.edits == proposal.edits and not now.stale


@dataclass(slots=True)
class _Trial:
    """Runs parts of one proposal, each once, as long as that is worth it."""

    ports: ReviewPorts
    proposal: Proposal
    lack: Lack
    end_s: float
    wanted_still: Callable[[], bool]
    tries: int = 0

    async def passes(self, hunks: Hunks) -> bool:
        """Whether the tests in question pass; False, too, when there is no time left to see."""
        if hunks == frozenset(self.proposal.hunk_ids):
            return True
        if self.tries >= _MOST_TRIES or time.monotonic() > self.end_s or not self.wanted_still():
            return False
        self.tries += 1
        goals = tuple(test for test in self.lack.tests if test in set(part_goals(self.proposal)))
        return await self._acceptable(hunks, goals, self.lack.tests)

    async def is_accepted(self, hunks: Hunks) -> bool:
        """Whether the gate would take it, by all tests that an acceptance runs."""
        if hunks == frozenset(self.proposal.hunk_ids):
            return True
        goals, scope = part_goals(self.proposal), self.proposal.goal.scope
        return self.wanted_still() and await self._acceptable(hunks, goals, scope)

    async def _acceptable(self, hunks: Hunks, goals: tuple[CaseId, ...], scope: tuple[str, ...]) -> bool:
        edits = part_of(self.proposal, hunks)
        evidence = await self.ports.gate.validate(self.proposal.base.tree, edits, goal_tests=goals, scope=scope)
        return evidence.verdict.decision.acceptable


def sentence(proposal: Proposal, wanted: Hunks, found: Hunks) -> str:
    """What was found, for the person."""
    left_out = found - wanted
    added = [place_of(file, hunk) for file in proposal.files for hunk in file.hunks if hunk.id in left_out]
    if found == frozenset(proposal.hunk_ids) and len(added) > 1:
        return f"The {len(wanted)} chosen changes need all the others: {', '.join(added)}."
    verb = "passes" if len(wanted) == 1 else "pass"
    chosen = "The chosen change" if len(wanted) == 1 else f"The {len(wanted)} chosen changes"
    return f"{chosen} {verb} together with {', '.join(added)}; that can be accepted as one."


def _few(missing: list[HunkId]) -> Iterator[Hunks]:
    """Single hunks, then pairs where they are few."""
    for hunk in missing:
        yield frozenset({hunk})
    if 2 < len(missing) <= _PAIRS_UP_TO:
        for pair in itertools.combinations(missing, 2):
            yield frozenset(pair)


def _ranked(proposal: Proposal, lack: Lack) -> list[HunkId]:
    """The hunks that are left out: those first whose lines the tests in question ran, then by nearness."""
    files = {file.edit.path for file in proposal.files if any(hunk.id in lack.wanted for hunk in file.hunks)}
    rows: list[tuple[bool, bool, int, HunkId]] = []
    for file in proposal.files:
        for hunk in file.hunks:
            if hunk.id not in lack.wanted:
                ran = any(runs_hunk(test, file, hunk, proposal) for test in lack.tests)
                rows.append((not ran, file.edit.path not in files, len(rows), hunk.id))
    return [row[-1] for row in sorted(rows)]
