"""Owns how a measurement is taken: rounds that alternate between subject and baseline, medians, one row a result."""

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was measured, both medians, their ratio, and what we aim for."""

    name: str
    subject: str
    baseline: str
    ratio: float
    aim: str

    def markdown(self) -> str:
        return f"| {self.name} | {self.subject} | {self.baseline} | {self.ratio:.2f} × | {self.aim} |"


Timed = Callable[[], Awaitable[float]]


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


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def milliseconds(value_s: float) -> str:
    return f"{value_s * 1000:.1f} ms"
