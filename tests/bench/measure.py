"""Owns how a measurement is taken and kept: alternated rounds, medians, percentiles, and one row a result."""

import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
NOTHING = "\N{EN DASH}"
Timed = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of us and of one baseline, the ratio of both, and what we aim for."""

    name: str
    subject: str
    baseline: str
    ratio: float
    aim: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured of several servers, in `unit`; None for one that could not be measured.

    `aim` bounds the ratio of the subject to the baseline, `bound` the subject's own figure. Less is better unless
    `more_is_better`.
    """

    name: str
    unit: str
    figures: Mapping[str, float | None]
    aim: float | None = None
    bound: float | None = None
    more_is_better: bool = False

    def ratio(self, name: str, baseline: str) -> float | None:
        """How many times the baseline's figure this one is."""
        figure, other = self.figures.get(name), self.figures.get(baseline)
        return None if figure is None or not other else figure / other

    def met(self, subject: str, baseline: str) -> bool | None:
        """Whether the aim was met; None without an aim or a figure."""
        figure, ratio = self.figures.get(subject), self.ratio(subject, baseline)
        if self.bound is not None:
            return None if figure is None else figure < self.bound
        if self.aim is None or ratio is None:
            return None
        return ratio >= self.aim if self.more_is_better else ratio <= self.aim

    def text(self, name: str) -> str:
        """The figure as people read it."""
        figure = self.figures.get(name)
        if figure is None:
            return NOTHING
        if self.unit == "/s":
            return f"{figure:,.0f} /s"
        digits = 1 if abs(figure) >= 9.95 or self.unit == "MiB" else 2
        return f"{figure:,.{digits}f} {self.unit}"

    def aim_text(self) -> str:
        """The aim as people read it."""
        if self.bound is not None:
            return f"< {self.bound:g} {self.unit}"
        sign = "≥" if self.more_is_better else "≤"
        return "" if self.aim is None else f"{sign} {self.aim:g} ×"


def rotated(names: Sequence[str], number: int) -> list[str]:
    """The order of round `number`: each round begins with another one, and it turns round every second time."""
    start = number % len(names) if names else 0
    order = [*names[start:], *names[:start]]
    return order if number // 2 % 2 == 0 else order[::-1]


def in_rounds(
    title: str, rounds: int, works: Mapping[str, Callable[[], T]], *, seldom: Collection[str] = ()
) -> dict[str, list[T]]:
    """What each of `works` gave in each round; those named in `seldom` sit out every second one.

    One that fails is left out from then on, which is said, and counts as not measured.
    """
    results: dict[str, list[T]] = {name: [] for name in works}
    failed: set[str] = set()
    for number in range(rounds):
        say(f"{title}: round {number + 1} of {rounds}")
        for name in rotated(list(works), number):
            if name in failed or (name in seldom and number % 2):
                continue
            try:
                results[name].append(works[name]())
            except Exception as error:
                failed.add(name)
                results[name].clear()
                say(f"{title}: {name} is left out: {error}")
    return results


async def alternate(rounds: int, subject: Timed, baseline: Timed) -> tuple[float, float]:
    """Medians of both, in seconds; the order changes every round so that drift hits both alike."""
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        pairs = [(subject, ours), (baseline, theirs)]
        for measure, into in pairs if number % 2 == 0 else reversed(pairs):
            into.append(await measure())
    return statistics.median(ours), statistics.median(theirs)


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def median_of(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return statistics.median(values) if values else None


def milliseconds(value_s: float) -> str:
    return f"{value_s * 1000:.1f} ms"


def say(what: str) -> None:
    """Progress, for who waits."""
    print(what, file=sys.stderr, flush=True)
