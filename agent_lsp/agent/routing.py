"""Owns who answers a request: the tier by the rules, its endpoints in order, and the way around one that is down."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from agent_lsp.domain.breaker import Breaker
from agent_lsp.domain.conversation import Answerer, ModelRequest, ModelTurn, Phase
from agent_lsp.domain.errors import (
    BudgetSpentError,
    ModelBrokenError,
    ModelRejectedError,
    ModelUnavailableError,
    OperatorError,
)
from agent_lsp.domain.model_ports import Daybook
from agent_lsp.domain.ports import Clock, Model
from agent_lsp.domain.task import Budget, DayUse, Goal
from agent_lsp.domain.tiers import Choice, Situation, Tier, TierTable, Wishes, choose, depth, writing

logger = logging.getLogger(__name__)

NO_LIMIT: Final = Budget(None, None, None, None)


@dataclass(frozen=True, slots=True)
class Line:
    """One endpoint that can be asked: its name in the settings, its model, its health, the longest answer in tokens."""

    name: str
    model: Model
    breaker: Breaker
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Board:
    """All lines by name, which tier asks which, the tiers wished for by phase, who hears of a change of health, and
    what all runs of a day may use."""

    lines: Mapping[str, Line]
    table: TierTable
    phases: Mapping[Phase, Tier] = field(default_factory=dict)
    changed: Callable[[], None] = lambda: None
    daybook: Daybook | None = None
    day: Budget = NO_LIMIT

    def check_day(self) -> None:
        """Raises BudgetSpentError when a limit of the day is reached."""
        over = "" if self.daybook is None else self.daybook.used().over(self.day)
        if over:
            hint = "Raise the limit of the day under [budget] in the configuration, or go on tomorrow."
            raise BudgetSpentError(f"the budget of {over} a day is spent", hint=hint)

    def order(self, tier: Tier) -> tuple[Line, ...]:
        """Lines to ask, first to last."""
        return tuple(self.lines[name] for name in self.table.order(tier))


@dataclass(slots=True)
class Route:
    """What is known of one run's work, kept up to date by its engines, and the tier that was wished for it."""

    wish: Tier | None = None
    _begun: bool = False
    _deep: str = ""
    _prose: str = ""
    _rejected_plans: int = 0
    _failed_tries: int = 0

    def planning(self, goal: Goal, *, again: bool) -> None:
        """A plan is made; `again` when the person rejected one."""
        self._take(goal)
        self._rejected_plans += int(again)

    def step(self, goal: Goal, *, failed_tries: int = 0) -> None:
        """A step is worked on, of which so many tries failed."""
        self._take(goal)
        self._failed_tries = failed_tries

    def choice(self, phase: Phase, wished: Mapping[Phase, Tier]) -> Choice:
        """The tier for the next request."""
        situation = Situation(phase, self._failed_tries, self._rejected_plans, self._deep, self._prose)
        return choose(situation, Wishes(self.wish, wished))

    def _take(self, goal: Goal) -> None:
        """A wish that came with the goal holds until another one is made."""
        if not self._begun and goal.tier is not None and self.wish is None:
            self.wish = Tier(goal.tier)
        self._begun = True
        self._deep, self._prose = depth(goal), writing(goal)


class RoutedModel:
    """A `domain.ports.Model` of one run over all endpoints of the board of the moment."""

    def __init__(self, board: Callable[[], Board], route: Route, clock: Clock) -> None:
        self._board, self._route, self._clock = board, route, clock

    @property
    def name(self) -> str:
        """The model that is asked first by default; each turn names the one that answered."""
        first = self._board().order(self._route.wish or Tier.MID)
        return first[0].model.name

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """One whole answer of the first endpoint that has one.

        Raises ModelUnavailableError when none has, ModelBrokenError and ModelRejectedError of the one that was asked
        (another one could not mend what is wrong with the request itself), BudgetSpentError.
        """
        board = self._board()
        board.check_day()
        choice = self._route.choice(request.phase, board.phases)
        if not board.table.is_set(choice.tier):
            choice = replace(choice, why=f"{choice.why}; {choice.tier.value} has no endpoints of its own")
        passed: list[str] = []
        troubles: list[ModelUnavailableError | ModelRejectedError] = []
        for line in self._willing(board.order(choice.tier), passed):
            try:
                turn = await self._ask(board, line, request, on_text)
            except (ModelUnavailableError, ModelRejectedError) as error:
                if isinstance(error, ModelRejectedError) and not error.elsewhere:
                    raise
                troubles.append(error)
                passed.append(f"{line.name}: {error.message}")
            else:
                by = Answerer(line.name, line.model.name, choice.tier.value, choice.why, tuple(passed))
                return replace(turn, by=by)
        raise _whole(troubles, passed)

    def _willing(self, lines: tuple[Line, ...], passed: list[str]) -> Iterator[Line]:
        """The lines that may be asked, each decided when its turn comes; the first to be back where none may."""
        given = False
        for line in lines:
            if line.breaker.take_leave(self._clock.monotonic()):
                given = True
                yield line
                continue
            health = line.breaker.health(self._clock.monotonic())
            passed.append(f"{line.name}: left alone for {health.rest_s:.0f} s after: {health.trouble}")
        if not given:
            passed.clear()
            now_s = self._clock.monotonic()
            yield min(lines, key=lambda line: line.breaker.rest_s(now_s))

    async def _ask(self, board: Board, line: Line, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        began_s = self._clock.monotonic()
        breaker = line.breaker
        try:
            turn = await line.model.respond(replace(request, max_tokens=line.max_tokens), on_text)
        except asyncio.CancelledError:
            breaker.released()
            raise
        except (ModelUnavailableError, ModelBrokenError) as error:
            wished_s = error.retry_after_s if isinstance(error, ModelUnavailableError) else None
            if breaker.failed(self._clock.monotonic(), error.message, wished_s=wished_s):
                logger.warning("endpoint %s is left alone for a while: %s", line.name, error.message)
                board.changed()
            raise
        except ModelRejectedError as error:
            if error.elsewhere:
                breaker.failed(self._clock.monotonic(), error.message, at_once=True)
                board.changed()
            else:
                breaker.released()
            raise
        now_s = self._clock.monotonic()
        if breaker.succeeded(now_s, now_s - began_s):
            logger.info("endpoint %s answers again", line.name)
        if board.daybook is not None:
            board.daybook.add(DayUse(turn.usage.tokens, turn.usage.cost_usd, 1, now_s - began_s))
        board.changed()
        return turn


def _whole(troubles: Sequence[ModelUnavailableError | ModelRejectedError], passed: Sequence[str]) -> OperatorError:
    """One error for all endpoints that were asked, worth a retry if one of them may be back; the only one's own."""
    if len(passed) == 1:
        return troubles[0]
    message, hint = "No endpoint has an answer. " + " ".join(passed), troubles[-1].hint
    down = [error for error in troubles if isinstance(error, ModelUnavailableError)]
    if not down:
        return ModelRejectedError(message, hint=hint)
    return ModelUnavailableError(message, hint=hint, retry_after_s=min(error.retry_after_s or 0.0 for error in down))
