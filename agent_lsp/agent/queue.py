"""Owns whose turn it is to work: so many runs of a workspace at a time, those a person waits for before the others."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from agent_lsp.agent.desk import Place
from agent_lsp.agent.run import Run

DEFAULT_PARALLEL: Final = 4


@dataclass(slots=True)
class _Waiter:
    """One run in the queue. `tell` hears what it waits behind, and of its turn as an empty text."""

    background: bool
    number: int
    run_id: str
    goal: str
    turn: "asyncio.Future[None]"
    tell: Callable[[str], None]

    @property
    def order(self) -> tuple[bool, int]:
        return self.background, self.number


class Queue:
    """The places of one runtime. `most` may change at any time; what works is never thrown out."""

    def __init__(self, most: int = DEFAULT_PARALLEL) -> None:
        self.most = most
        self._working: dict[str, str] = {}
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()

    async def take(self, run_id: str, goal: str, tell: Callable[[str], None], *, background: bool = False) -> None:
        """Returns once the run may work. A run that has a place keeps it."""
        if run_id in self._working:
            return
        turn = asyncio.get_running_loop().create_future()
        waiter = _Waiter(background, next(self._numbers), run_id, goal, turn, tell)
        self._waiting.append(waiter)
        self._waiting.sort(key=lambda one: one.order)
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
        if self._working.pop(run_id, None) is not None:
            self._serve()

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self._serve()
        else:
            self.give(waiter.run_id)

    def _serve(self) -> None:
        """Gives free places to those who are first, and tells the others what they wait behind."""
        while self._waiting and len(self._working) < self.most:
            first = self._waiting.pop(0)
            self._working[first.run_id] = first.goal
            first.turn.set_result(None)
        for at, waiter in enumerate(self._waiting):
            others = len(self._working) + at - 1
            behind = next(iter(self._working.values()))
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
