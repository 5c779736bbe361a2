"""Owns the clock of one test: a test that hangs is stopped alone. Injected; standard library only."""

from __future__ import annotations

import signal
import threading
from typing import Any

_SHORTEST_LIMIT_S = 10.0
_SHORTEST_OF_SHORT_S = 1.0
"""Where a test gets less than the former from the start: that is for a look at what hangs, never for a verdict."""

_AGAIN_S = 5.0
"""A test that goes on after it was stopped is stopped again after this time."""


class Clock:
    """`stop` is called in the test that took too long, with the words for it, and raises."""

    def __init__(self, recorder: Any, stop: Any) -> None:
        self._recorder, self._stop = recorder, stop
        self._limit_s, self._own = 0.0, False

    def arm(self, case_id: str) -> bool:
        """Sets the clock for one test, unless the alarm is somebody else's."""
        recorder = self._recorder
        self._own = recorder.own_limits and case_id in recorder.case_limits_s
        limit_s = self._limit_s = recorder.case_limits_s[case_id] if self._own else recorder.test_limit_s
        if not limit_s or threading.current_thread() is not threading.main_thread():
            return False
        if signal.getsignal(signal.SIGALRM) not in (signal.SIG_DFL, None):
            return False
        signal.signal(signal.SIGALRM, self._too_long)
        signal.setitimer(signal.ITIMER_REAL, limit_s, _AGAIN_S)
        return True

    @staticmethod
    def disarm() -> None:
        """The test has ended."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _too_long(self, _number: int, _frame: Any) -> None:
        """The next ones get less time, since they may well hang for the same reason."""
        recorder, limit_s = self._recorder, self._limit_s
        recorder.stopped_s = recorder.stopped_s or limit_s
        if not self._own:
            shortest_s = _SHORTEST_LIMIT_S if limit_s >= _SHORTEST_LIMIT_S else _SHORTEST_OF_SHORT_S
            recorder.test_limit_s = min(limit_s, max(shortest_s, limit_s / 2))
            recorder.own_limits = True
        self._stop(f"The test did not end within {limit_s:.0f} s and was stopped.")
