"""Owns how long the runs of a validation may take, once one of them has shown how long the tests take."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from agent_lsp.domain.ports import SuiteRequest
from agent_lsp.domain.verdict import SuiteReport

_SHORTEST_RUN_S: Final = 30.0
_SHORTEST_TEST_S: Final = 10.0
_FACTOR: Final = 10
"""So many times longer than before is a hang, and no longer a slow machine."""

_PATIENCE_FACTOR: Final = 4


def paced(tests: tuple[str, ...], watch: tuple[str, ...], known: SuiteReport, timeout_s: float) -> SuiteRequest:
    """A request for tests whose times are known: a run, or a test, that takes many times as long is stopped."""
    slowest_s = max((case.duration_s for case in known.cases.values()), default=0.0)
    limit_s = max(_SHORTEST_RUN_S, _FACTOR * known.duration_s)
    test_limit_s = max(_SHORTEST_TEST_S, _FACTOR * slowest_s)
    if not known.finished:
        return SuiteRequest(tests, watch, timeout_s)
    return SuiteRequest(tests, watch, min(limit_s, timeout_s), test_limit_s=test_limit_s)


async def beside(before: Awaitable[SuiteReport], after: Awaitable[SuiteReport]) -> tuple[SuiteReport, SuiteReport]:
    """Both sides at the same time.

    Once the unchanged side has ended, the other is not waited for much longer. What is left when one raises is stopped.
    """
    tasks = (asyncio.ensure_future(before), asyncio.ensure_future(after))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            tasks[1].result()
            return await tasks[0], tasks[1].result()
        known = tasks[0].result()
        return known, await _patiently(tasks[1], known)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _patiently(task: asyncio.Future[SuiteReport], known: SuiteReport) -> SuiteReport:
    if not known.finished:
        return await task
    patience_s = max(_SHORTEST_RUN_S, _PATIENCE_FACTOR * known.duration_s)
    await asyncio.wait([task], timeout=patience_s)
    if task.done():
        return task.result()
    trouble = f"the tests had not ended {patience_s:.0f} s after those of the other side"
    return SuiteReport(known.runner, finished=False, timed_out=True, trouble=trouble)
