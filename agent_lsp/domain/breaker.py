"""Owns the health of one endpoint: what it answered lately, and the circuit breaker that spares one that is down.

Times are seconds of one monotonic clock, handed in.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

FAILURES: Final = 3
"""Failures in a row that open the breaker."""

FIRST_REST_S: Final = 15.0
LONGEST_REST_S: Final = 300.0
TRIAL_S: Final = 120.0
"""A trial that nobody reported on counts as lost after this time."""

REMEMBERED: Final = 20


class BreakerState(StrEnum):
    """`closed`: asked as usual. `open`: left alone for a while. `half_open`: one question tells if it is back."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of an endpoint. It will be left alone for `rest_s`; `answer_s` is the median of its answers."""

    state: BreakerState
    asked: int
    failed: int
    answer_s: float | None
    rest_s: float
    trouble: str

    def to_json(self) -> dict[str, Any]:
        """As `agent.status` shows it; what is not known is left out."""
        row: dict[str, Any] = {"state": self.state.value, "asked": self.asked, "failed": self.failed}
        if self.answer_s is not None:
            row["answerS"] = round(self.answer_s, 3)
        if self.rest_s > 0:
            row["restS"] = round(self.rest_s, 1)
        if self.trouble:
            row["trouble"] = self.trouble
        return row


@dataclass(slots=True)
class Breaker:
    """Counts what an endpoint answered; `asked` and `failed` of its health are those of the last questions."""

    last_s: float = float("-inf")
    """When it was last asked, or heard of."""

    _results: "deque[bool]" = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _answers_s: "deque[float]" = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _in_a_row: int = 0
    _rests: int = 0
    _open_until_s: float | None = None
    _trial_since_s: float | None = None
    _trouble: str = ""

    def state(self, now_s: float) -> BreakerState:
        """The state at that time."""
        if self._open_until_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self._open_until_s else BreakerState.HALF_OPEN

    def take_leave(self, now_s: float) -> bool:
        """Whether the endpoint may be asked now; where it is half open, the first who asks tries it for all."""
        state = self.state(now_s)
        if state is BreakerState.OPEN:
            return False
        self.last_s = now_s
        if state is BreakerState.CLOSED:
            return True
        if self._trial_since_s is not None and now_s - self._trial_since_s < TRIAL_S:
            return False
        self._trial_since_s = now_s
        return True

    def rest_s(self, now_s: float) -> float:
        """Seconds until it may be tried again."""
        return 0.0 if self._open_until_s is None else max(0.0, self._open_until_s - now_s)

    def succeeded(self, now_s: float, answer_s: float | None = None) -> bool:
        """It answered; True when that closed the breaker."""
        self.last_s = now_s
        was_open = self._open_until_s is not None
        self._results.append(True)
        if answer_s is not None:
            self._answers_s.append(answer_s)
        self._in_a_row = self._rests = 0
        self._open_until_s = self._trial_since_s = None
        self._trouble = ""
        return was_open

    def failed(self, now_s: float, trouble: str, *, wished_s: float | None = None, at_once: bool = False) -> bool:
        """It did not; True when that opened the breaker anew.

        `wished_s` is the endpoint's own wish to be left alone, `at_once` opens without counting.
        """
        was, self.last_s = self.state(now_s), now_s
        self._results.append(False)
        self._in_a_row += 1
        self._trouble = trouble
        self._trial_since_s = None
        if was is BreakerState.OPEN or not (
            at_once or wished_s is not None or was is BreakerState.HALF_OPEN or self._in_a_row >= FAILURES
        ):
            return False
        rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2.0**self._rests)
        self._rests += 1
        self._open_until_s = now_s + (rest_s if wished_s is None else min(max(wished_s, 1.0), LONGEST_REST_S))
        return was is BreakerState.CLOSED

    def released(self) -> None:
        """A trial came to no result (it was cancelled): the next who asks may try."""
        self._trial_since_s = None

    def health(self, now_s: float) -> Health:
        """For people."""
        answers = sorted(self._answers_s)
        return Health(
            self.state(now_s),
            len(self._results),
            self._results.count(False),
            answers[len(answers) // 2] if answers else None,
            self.rest_s(now_s),
            self._trouble,
        )
