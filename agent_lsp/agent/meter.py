"""Owns what a run has used and the limits it works under."""

from collections.abc import Callable
from dataclasses import replace

from agent_lsp.domain.errors import BudgetSpentError
from agent_lsp.domain.task import Budget, Usage


class Meter:
    """Counts tokens, money, turns and time. Time in which the run waits for a person is not counted."""

    def __init__(self, budget: Budget, monotonic: Callable[[], float]) -> None:
        self.budget = budget
        self.usage = Usage()
        self._monotonic = monotonic
        self._started_s = monotonic()
        self._waited_s = 0.0
        self._waiting = 0
        self._waiting_since_s = 0.0

    def spend(self, usage: Usage) -> None:
        """Adds one model turn."""
        self.usage = self.usage + replace(usage, turns=1)

    def carry(self, worked_s: float) -> None:
        """A run that is resumed had worked so long when it was interrupted."""
        self._waited_s += self.worked_s - worked_s

    def hold(self) -> None:
        """The run waits for a person from now on; holds may nest."""
        if self._waiting == 0:
            self._waiting_since_s = self._monotonic()
        self._waiting += 1

    def go_on(self) -> None:
        """The end of one `hold`."""
        self._waiting -= 1
        if self._waiting == 0:
            self._waited_s += self._monotonic() - self._waiting_since_s

    @property
    def worked_s(self) -> float:
        """Seconds since the start without those of waiting."""
        now = self._waiting_since_s if self._waiting else self._monotonic()
        return now - self._started_s - self._waited_s

    def remaining_s(self) -> float | None:
        """Wall-clock seconds left, never negative; None without a limit."""
        limit = self.budget.wall_clock_s
        return None if limit is None else max(0.0, limit - self.worked_s)

    def check(self) -> None:
        """Raises BudgetSpentError naming the limit that was reached."""
        budget, usage = self.budget, self.usage
        for limit, used, what in (
            (budget.turns, usage.turns, "turns"),
            (budget.tokens, usage.tokens, "tokens"),
            (budget.cost_usd, usage.cost_usd, "US dollars"),
            (budget.wall_clock_s, self.worked_s, "seconds"),
        ):
            if limit is not None and used >= limit:
                shown = f"{used:.2f}" if isinstance(used, float) else str(used)
                raise BudgetSpentError(
                    f"the budget of {limit} {what} is spent ({shown} used)",
                    hint="Raise the limit under [budget] in the configuration, or make the goal smaller.",
                )
