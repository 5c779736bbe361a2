"""Owns the hunt for an edit by quick looks: single edits in order of likelihood, then two at a time."""

from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol

from agent_lsp.agent.repair.edits import SmallEdit
from agent_lsp.agent.repair.localise import Suspicion
from agent_lsp.agent.repair.pairs import pairs_across, pairs_after, pairs_among
from agent_lsp.agent.repair.pieces import Pieces
from agent_lsp.agent.repair.sieve import Look, Sieve
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import Decision, Evidence

_MORE_LOOKS, _MORE_S = 80, 3.0
"""After a first edit that passes, so many others are looked at, or for so long: the likeliest that passes is taken."""

_JUDGED_AT_MOST = 12
_SLOW = 4.0
_SLOW_S = 0.2
_SLOW_WEIGHT = 0.3
"""An edit that makes the tests much slower than others that pass is hardly what was meant."""

_EACH_CHARACTER = 0.996
"""What each character that differs takes from the weight of an edit that passes: a small one says less wrong."""

_NEAREST = 5
_AMONG = 24


@dataclass(frozen=True, slots=True)
class Winner:
    """An edit that stays. `said` are the touched lines as they were and as they are.

    `others` are edits that passed the same quick look and were not taken, as what they would have made of a line.
    """

    edit: SmallEdit
    said: str
    tests: tuple[CaseId, ...]
    evidence: Evidence
    others: tuple[str, ...] = ()


class Tries(Protocol):
    """What the hunt needs of the search that it is a part of."""

    def spent(self) -> bool:
        """Whether a limit is reached."""
        ...

    async def pause(self) -> None:
        """Waits where the person has paused; raises where the budget is spent."""
        ...

    def saw(self, look: Look, tests: tuple[CaseId, ...], texts: Mapping[str, str]) -> None:
        """Books an edit that a quick look has rejected."""
        ...

    async def attempt(
        self, edit: SmallEdit, texts: Mapping[str, str], tests: tuple[CaseId, ...], *, known: bool
    ) -> Winner | None:
        """Tries an edit for good; `known` tells that a quick look had every test."""
        ...

    async def settle(self, winner: Winner, texts: Mapping[str, str]) -> Winner:
        """Leaves the edit in the candidate."""
        ...


@dataclass(slots=True)
class Hunt:
    """All that is known of the edits for one group of tests; goes on where it was when it is asked again."""

    tests: tuple[CaseId, ...]
    texts: Mapping[str, str]
    suspicion: Suspicion
    pieces: Pieces
    queue: Iterator[SmallEdit]
    seen: set[str]
    passing: list[Look] = field(default_factory=list)
    near: list[Look] = field(default_factory=list)
    judged: int = 0
    exhausted: bool = False
    second: Winner | None = None
    left: list[SmallEdit] = field(default_factory=list)

    async def run(self, sieve: Sieve, tries: Tries) -> Winner | None:
        """The first edit that is proven, of those that pass the likeliest first; else the first that is accepted."""
        sieve.left = self.left
        try:
            return await self._run(sieve, tries)
        finally:
            self.left = sieve.left

    async def _run(self, sieve: Sieve, tries: Tries) -> Winner | None:
        while True:
            winner = await self._judge(sieve, tries)
            if winner is not None:
                return winner
            if self.exhausted or sieve.trouble or tries.spent() or self.judged >= _JUDGED_AT_MOST:
                break
            self.exhausted = await self._look(self.queue, sieve, tries)
        if self.second is None and not sieve.trouble and self.exhausted:
            for queue in (self._after_near(), self._among_first(), self._across()):
                winner = await self._by_pairs(queue, sieve, tries)
                if winner is not None or tries.spent():
                    break
        if winner is None and self.second is not None:
            return await tries.settle(self.second, self.texts)
        return winner

    async def _by_pairs(self, queue: Iterator[SmallEdit], sieve: Sieve, tries: Tries) -> Winner | None:
        ended = False
        while not (ended or tries.spent() or sieve.trouble or self.judged >= _JUDGED_AT_MOST):
            ended = await self._look(queue, sieve, tries)
            winner = await self._judge(sieve, tries)
            if winner is not None:
                return winner
        return self.second

    async def _look(self, queue: Iterator[SmallEdit], sieve: Sieve, tries: Tries) -> bool:
        """Whether there is nothing more to look at; ends a little after the first edit that passes, too."""
        more, more_s = _MORE_LOOKS, 0.0
        async with aclosing(sieve.looks(queue, self.texts)) as looks:
            async for look in looks:
                await tries.pause()
                whole = look.passed.issuperset(sieve.asked)
                if whole and not look.broken and not look.late:
                    self.passing.append(look)
                else:
                    tries.saw(look, sieve.asked, self.texts)
                    if look.passed and not look.broken:
                        self.near.append(look)
                more -= bool(self.passing)
                more_s += look.duration_s if self.passing else 0.0
                if tries.spent() or more <= 0 or more_s > _MORE_S:
                    return False
        return not sieve.trouble

    async def _judge(self, sieve: Sieve, tries: Tries) -> Winner | None:
        ranked = ranked_looks(self.passing, self.texts)
        while ranked and self.judged < _JUDGED_AT_MOST and not (self.judged and tries.spent()):
            await tries.pause()
            look = ranked.pop(0)
            self.passing.remove(look)
            self.judged += 1
            winner = await tries.attempt(look.edit, self.texts, self.tests, known=sieve.whole)
            if winner is None:
                continue
            others = tuple(_said(other, self.texts) for other in ranked)
            winner = replace(winner, others=others)
            if winner.evidence.verdict.decision is Decision.PROVEN:
                return winner
            self.second = self.second or winner
        return None

    def _after_near(self) -> Iterator[SmallEdit]:
        """A second edit after each of those that made some of the tests pass, the most first."""
        return pairs_after(self._nearest(), self.texts, self.suspicion, self.pieces, self.seen)

    def _across(self) -> Iterator[SmallEdit]:
        """Two edits in two files: after those that made some tests pass, then two of the likeliest."""
        return pairs_across(self._nearest(), self.texts, self.suspicion, self.pieces, self.seen)

    def _nearest(self) -> list[SmallEdit]:
        best = sorted(self.near, key=lambda look: (-len(look.passed), -look.edit.score))
        return [look.edit for look in best if look.edit.also is None][:_NEAREST]

    def _among_first(self) -> Iterator[SmallEdit]:
        """Two of the likeliest edits of the file that is suspected most, whatever each does alone."""
        return pairs_among(self.texts, self.suspicion, self.pieces, self.seen, _AMONG)


def ranked_looks(passing: list[Look], texts: Mapping[str, str]) -> list[Look]:
    """Those that pass, the likeliest to be meant first: by the kind of slip and the line, small before large."""
    quickest_s = min((look.duration_s for look in passing), default=0.0)

    def weight(look: Look) -> float:
        slow = look.duration_s > max(_SLOW_S, _SLOW * quickest_s)
        return look.edit.score * (_SLOW_WEIGHT if slow else 1.0) * _EACH_CHARACTER ** look.edit.size(texts)

    return sorted(passing, key=lambda look: (-round(weight(look), 9), look.edit.path, look.edit.start, look.edit.text))


def _said(look: Look, texts: Mapping[str, str]) -> str:
    parts = look.edit.parts
    return " and ".join(f"{part.path}:{part.line}: `{part.shown(texts[part.path])[1]}`" for part in parts)
