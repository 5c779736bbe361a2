"""Owns whose turn it is to work: so many runs at a time, those that a person waits for first, but not for ever."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from agent_lsp.agent.desk import Place
from agent_lsp.agent.run import Run
from agent_lsp.domain.errors import RefusedError
from agent_lsp.domain.slots import Release, Slots

DEFAULT_PARALLEL: Final = 4
DEFAULT_WAITING: Final = 50

PASSED_MOST: Final = 4
"""A background run that so many later ones have passed is passed by no more."""

WAITED_MOST_S: Final = 600.0
"""Nor is one that has waited so long."""

_MACHINE_IS_FULL: Final = "queued: runs in other folders have all places of this machine"


@dataclass(slots=True)
class _Waiter:
    """One run in the queue. `tell` hears what it waits behind, and of its turn as an empty text."""

    background: bool
    number: int
    run_id: str
    goal: str
    turn: "asyncio.Future[None]"
    tell: Callable[[str], None]
    since_s: float
    passed: int = 0


class Queue:
    """The places of one runtime. `most` and `most_waiting` may change at any time; what works is never thrown out."""

    def __init__(
        self,
        most: int = DEFAULT_PARALLEL,
        slots: Slots | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of `slots` every run at work has one, besides its place here."""
        self.most, self.most_waiting = most, DEFAULT_WAITING
        self._slots, self._now_s = slots, now_s
        self._working: dict[str, str] = {}
        self._releases: dict[str, Release] = {}
        self._waiting: list[_Waiter] = []
        self._coming: set[str] = set()
        self._reaching: asyncio.Task[None] | None = None
        self._numbers = itertools.count()

    def admit(self, run_id: str) -> None:
        """A new run will take a place. Raises RefusedError where too many wait already."""
        here = len(self._working) + len(self._waiting) + len(self._coming)
        if here >= self.most_waiting + max(self.most, len(self._working)):
            raise RefusedError(
                f"as many runs wait for their turn as may (runs.waiting: {self.most_waiting})",
                hint="Wait until some are over, cancel some, or raise runs.waiting.",
            )
        self._coming.add(run_id)

    async def take(self, run_id: str, goal: str, tell: Callable[[str], None], *, background: bool = False) -> None:
        """Returns once the run may work. A run that has a place keeps it."""
        self._coming.discard(run_id)
        if run_id in self._working:
            return
        turn = asyncio.get_running_loop().create_future()
        waiter = _Waiter(background, next(self._numbers), run_id, goal, turn, tell, self._now_s())
        self._waiting.append(waiter)
        self._serve()
        if turn.done():
            return
        try:
            await turn
        except asyncio.CancelledError:
            self._leave(waiter)
            raise
        tell("")

    def give(self, run_id: str) -> None:
        """The run does not work any more, or waits for its person; the next one may."""
        self._coming.discard(run_id)
        if self._working.pop(run_id, None) is not None:
            self._releases.pop(run_id)()
            self._serve()

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self._serve()
        else:
            self.give(waiter.run_id)

    def _serve(self) -> None:
        """Gives free places to those who are first, and tells the others what they wait behind."""
        self._waiting = [waiter for waiter in self._waiting if not waiter.turn.cancelled()]
        while self._waiting and len(self._working) < self.most and self._reaching is None:
            release = self._slots.try_take() if self._slots is not None else _nothing
            if release is None:
                self._reaching = asyncio.get_running_loop().create_task(self._reach(), name="a slot of the machine")
            else:
                self._begin(release)
        if not self._waiting and self._reaching is not None:
            self._reaching.cancel()
            self._reaching = None
        self._tell()

    def _begin(self, release: Release) -> None:
        first = min(self._waiting, key=self._order)
        self._waiting.remove(first)
        for waiter in self._waiting:
            waiter.passed += waiter.number < first.number
        self._working[first.run_id], self._releases[first.run_id] = first.goal, release
        first.turn.set_result(None)

    async def _reach(self) -> None:
        """Waits for a slot of the machine, for whoever is first then."""
        assert self._slots is not None
        release = await self._slots.take()
        self._reaching = None
        self._waiting = [waiter for waiter in self._waiting if not waiter.turn.cancelled()]
        if self._waiting and len(self._working) < self.most:
            self._begin(release)
        else:
            release()
        self._serve()

    def _order(self, waiter: _Waiter) -> tuple[bool, int]:
        """First come, first served, but background runs last as long as they have not waited too long for it."""
        aged = waiter.passed >= PASSED_MOST or self._now_s() - waiter.since_s >= WAITED_MOST_S
        return waiter.background and not aged, waiter.number

    def _tell(self) -> None:
        for at, waiter in enumerate(sorted(self._waiting, key=self._order)):
            others = len(self._working) + at - 1
            behind = next(iter(self._working.values()), "")
            if len(self._working) < self.most:
                waiter.tell(_MACHINE_IS_FULL)
            else:
                waiter.tell(f"queued behind “{behind}”" + (f" and {others} more" if others > 0 else ""))


def place_of(run: Run, queue: Queue) -> Place:
    """How a run takes its place in a queue and gives it to others."""

    def tell(queued: str) -> None:
        run.queued = queued
        run.changed()
        if queued:
            run.tell(queued, None)

    def take() -> Awaitable[None]:
        return queue.take(run.id, run.goal.text, tell, background=run.goal.background)

    return Place(lambda: queue.give(run.id), take)


def _nothing() -> None:
    """Without slots there is nothing to give back."""
