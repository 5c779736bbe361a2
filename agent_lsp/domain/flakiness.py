"""Owns the history of tests that did otherwise without a change: what is kept of each, how it grows and fades."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from agent_lsp.domain.ids import CaseId

_STEADY_ENOUGH: Final = 40
"""So many verdicts in a row in which a test was steady, and its history is forgotten."""

_MOST: Final = 2_000


@dataclass(frozen=True, slots=True)
class Flakiness:
    """How often a test was seen flaky, the last time on which day (ISO), and in how many verdicts since it was not."""

    times: int
    last_on: str
    steady: int = 0

    def sentence(self, name: CaseId) -> str:
        """The reason of a verdict, and a line of doctor."""
        times = "once" if self.times == 1 else f"{self.times} times"
        return f"{name} was seen flaky {times} before, last on {self.last_on}"


History = Mapping[CaseId, Flakiness]


def seen_again(
    old: History, flaky: Collection[CaseId], steady: Collection[CaseId], today: str
) -> dict[CaseId, Flakiness]:
    """The history after one more verdict. What was steady for long is forgotten; of too many the oldest go."""
    found: dict[CaseId, Flakiness] = {}
    for name, known in old.items():
        if name in flaky:
            continue
        now = replace(known, steady=known.steady + 1) if name in steady else known
        if now.steady < _STEADY_ENOUGH:
            found[name] = now
    for name in sorted(flaky):
        known_before = old.get(name)
        found[name] = Flakiness(known_before.times + 1 if known_before else 1, today)
    return dict(list(found.items())[-_MOST:])


def worst(history: History, most: int) -> list[str]:
    """Sentences on the tests that were seen flaky most often."""
    ranked = sorted(history.items(), key=lambda row: (-row[1].times, row[0]))
    return [known.sentence(name) for name, known in ranked[:most]]
