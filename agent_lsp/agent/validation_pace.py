"""Owns how long the runs of a validation may take, once one of them has shown how long the tests take."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Final

from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import CaseLimits, SuiteRequest
from agent_lsp.domain.verdict import CaseResult, SuiteReport

_SHORTEST_RUN_S: Final = 30.0
_SHORTEST_TEST_S: Final = 10.0
_FACTOR: Final = 10
"""So many times longer than before is a hang, and no longer a slow machine."""

_PATIENCE_FACTOR: Final = 4

_KNOWN_HANG_S: Final = 2.0
"""At least so long waits what looks at a test that hangs on this very tree, and ends quickly on the other."""

_FIRST_HANG_S: Final = 30.0
"""So long waits a hurried run for the first test that hangs; a third of a run's time where that is less."""

_LEAST_TIMEOUT_S: Final = 60.0
"""Where runs get less, no test gets as long as is due before it counts as hanging, so nobody hurries."""

_STOPPING: Final = ("pytest", "unittest")
"""How the names of runners begin that tell of each test as it ends, and stop one alone (Django's is of unittest)."""

_STILL_S: Final = 4.0
"""A run from which nothing was heard for so long, while the other side has long ended, is in a test that hangs."""


def paced(tests: tuple[str, ...], watch: tuple[str, ...], known: SuiteReport, timeout_s: float) -> SuiteRequest:
    """A request for tests whose times are known: a run, or a test, that takes many times as long is stopped.

    A test that was stopped in the known run tells no time; it gets what it got there, and so do both sides the same.
    """
    if not known.finished:
        return SuiteRequest(tests, watch, timeout_s)
    hung = [case for case in known.cases.values() if case.stopped_s]
    test_limit_s = max(_SHORTEST_TEST_S, _FACTOR * _slowest_s(known))
    own = {case.id: max(test_limit_s, case.stopped_s) for case in hung}
    usual_s = max(0.0, known.duration_s - sum(case.duration_s for case in hung))
    limit_s = max(_SHORTEST_RUN_S, _FACTOR * usual_s) + sum(own.values())
    limits = CaseLimits(own) if own else None
    return SuiteRequest(tests, watch, min(limit_s, timeout_s), test_limit_s=test_limit_s, case_limits=limits)


def hurried(request: SuiteRequest, other: SuiteReport, timeout_s: float) -> SuiteRequest:
    """A request for tests whose times on the other side of the change are known, and that may hang on this one.

    Nothing is known of them here: the first that does not end is waited for long, and only then the others less.
    """
    if not other.finished or timeout_s < _LEAST_TIMEOUT_S:
        return request
    limits = CaseLimits({name: _enough_s(other.cases[name]) for name in other.passing()}, once_hung=True)
    return replace(request, test_limit_s=_first_hang_s(other, timeout_s), case_limits=limits)


def once_more(
    tests: tuple[str, ...], before: SuiteReport, after: SuiteReport, timeout_s: float
) -> tuple[SuiteRequest, SuiteRequest]:
    """Requests for a second look without and with the change.

    What hung without it, and ends with it, is known to hang on that tree, and not waited for as long again. Where all
    of that was seen by short waits only, its first test gets the long one.
    """
    request = paced(tests, (), before, timeout_s)
    hung = [name for name in after.passing() if name in before.cases and before.cases[name].stopped_s]
    if not hung:
        return request, request
    seen_s = {name: before.cases[name].stopped_s for name in hung}
    short = {name: min(_enough_s(after.cases[name]), max(seen_s[name], _SHORTEST_TEST_S)) for name in hung}
    usual_s = request.test_limit_s or timeout_s
    own = dict.fromkeys(before.passing(), usual_s)
    own |= {**(request.case_limits.seconds if request.case_limits else {}), **short}
    if max(seen_s.values()) >= min(_SHORTEST_TEST_S, timeout_s / 12):
        return replace(request, case_limits=CaseLimits(own)), request
    limits = CaseLimits(own, once_hung=True)
    return replace(request, test_limit_s=_first_hang_s(after, timeout_s), case_limits=limits), request


def hasty(before: SuiteReport, after: SuiteReport, timeout_s: float) -> tuple[CaseId, ...]:
    """Tests that a kept run of the base did not wait for as long as is due by what they now do with a change.

    How long that was had been found with another change.
    """
    found = []
    for case in before.cases.values() if timeout_s >= _LEAST_TIMEOUT_S else ():
        now = after.cases.get(case.id)
        if now is None and (after.cut_short or not after.finished):
            continue  # nothing is said of it
        quick = now is not None and now.outcome.good
        due_s = min(_enough_s(now), _SHORTEST_TEST_S) if now is not None and quick else _SHORTEST_TEST_S
        if 0.0 < case.stopped_s < due_s:
            found.append(case.id)
    return tuple(found)


def with_more_time(
    tests: tuple[CaseId, ...], before: SuiteReport, after: SuiteReport, timeout_s: float
) -> SuiteRequest:
    """A request for tests that were stopped too early."""
    request = paced(tests, (), before, timeout_s)
    own = dict(request.case_limits.seconds) if request.case_limits else {}
    own |= {name: max(own.get(name, 0.0), _enough_s(after.cases[name])) for name in after.passing() if name in tests}
    return replace(request, case_limits=CaseLimits(own), keep=True)


def put_right(before: SuiteReport, tests: Collection[CaseId], again: SuiteReport) -> SuiteReport:
    """The known run with what these tests did in a later one; those that it did not come to are not known any more."""
    later = {name: again.cases[name] for name in tests if again.finished and name in again.cases}
    cases = {name: later.get(name, case) for name, case in before.cases.items() if name not in tests or name in later}
    return replace(before, cases=cases, cut_short=before.cut_short or len(later) < len(tests))


def _enough_s(case: CaseResult) -> float:
    return max(_KNOWN_HANG_S, _FACTOR * case.duration_s)


def _first_hang_s(other: SuiteReport, timeout_s: float) -> float:
    return max(min(_FIRST_HANG_S, timeout_s / 3), _FACTOR * _slowest_s(other))


def _slowest_s(known: SuiteReport) -> float:
    return max((case.duration_s for case in known.cases.values() if not case.stopped_s), default=0.0)


@dataclass(slots=True)
class Pulse:
    """When something was last heard of a run."""

    last_s: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        """A test ended."""
        self.last_s = time.monotonic()


Base = Callable[[SuiteReport | None, Callable[[], None]], Awaitable[SuiteReport]]
"""Runs the tests without the change, by what the run with it has shown, and says when it hears of a test."""


async def beside(before: Base, after: Awaitable[SuiteReport], timeout_s: float) -> tuple[SuiteReport, SuiteReport]:
    """Both sides at the same time.

    Once the unchanged side has ended, the other is not waited for much longer. Once the changed side has ended and
    nothing is heard of the other, that begins anew, with what is known now of the times. What is left when one raises
    is stopped.
    """
    pulse = Pulse()
    tasks = [asyncio.ensure_future(before(None, pulse.beat)), asyncio.ensure_future(after)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            known = tasks[0].result()
            return known, await _patiently(tasks[1], known)
        changed = tasks[1].result()
        if timeout_s >= _LEAST_TIMEOUT_S and await _hangs(tasks[0], pulse, changed):
            tasks[0].cancel()
            await asyncio.gather(tasks[0], return_exceptions=True)
            tasks[0] = asyncio.ensure_future(before(changed, pulse.beat))
        return await tasks[0], changed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hangs(task: asyncio.Future[SuiteReport], pulse: Pulse, other: SuiteReport) -> bool:
    """Whether a run stands still in a test, and is better begun anew. Where tests are slow that would gain nothing."""
    if not other.runner.startswith(_STOPPING) or not other.finished or not other.passing():
        return False
    if _FACTOR * _slowest_s(other) > _FIRST_HANG_S:
        return False
    still_s = max(_STILL_S, _PATIENCE_FACTOR * _slowest_s(other))
    pulse.beat()
    while (left_s := pulse.last_s + still_s - time.monotonic()) > 0:
        await asyncio.wait([task], timeout=left_s)
        if task.done():
            return False
    return True


async def _patiently(task: asyncio.Future[SuiteReport], known: SuiteReport) -> SuiteReport:
    if not known.finished:
        return await task
    patience_s = max(_SHORTEST_RUN_S, _PATIENCE_FACTOR * known.duration_s)
    await asyncio.wait([task], timeout=patience_s)
    if task.done():
        return task.result()
    trouble = f"the tests had not ended {patience_s:.0f} s after those of the other side"
    return SuiteReport(known.runner, finished=False, timed_out=True, trouble=trouble)
