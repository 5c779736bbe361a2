"""Owns where a run and its person meet: questions and answers, words said meanwhile, pausing, and the budget."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent_lsp.agent.ledger import DeedKind, Ledger
from agent_lsp.agent.meter import Meter
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.task import Usage


class PauseSwitch:
    """Whether the run may go on. `changed` is told whenever that changes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._one_step = False
        self._changed = changed

    @property
    def paused(self) -> bool:
        """Whether the run stands, or will at its next pause point."""
        return not self._open.is_set()

    def pause(self) -> None:
        """Stands at the next pause point."""
        self._open.clear()
        self._changed()

    def resume(self) -> None:
        """Goes on without stopping."""
        self._one_step = False
        self._open.set()
        self._changed()

    def one_step(self) -> None:
        """Goes on to the end of the step, then pauses."""
        self._one_step = True
        self._open.set()
        self._changed()

    def step_ended(self) -> None:
        """The loop tells that a step of the plan is over and another follows."""
        if self._one_step:
            self._one_step = False
            self.pause()

    async def point(self) -> None:
        """Returns once the run may go on."""
        await self._open.wait()


@dataclass(frozen=True, slots=True)
class Place:
    """How a run gives its place among those that work to others, and takes one again."""

    give: Callable[[], None] = lambda: None
    take: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)


class RunDesk:
    """The person's side of one run; an `engines.Desk`."""

    def __init__(
        self,
        meter: Meter,
        switch: PauseSwitch,
        on_question: Callable[[str, Sequence[str]], None],
        ledger: Ledger | None = None,
    ) -> None:
        """`on_question` hears of each question, and of its end as an empty one."""
        self.meter, self.switch, self.ledger = meter, switch, ledger or Ledger("")
        self._on_question = on_question
        self._said: list[str] = []
        self._by_person = 0
        self.place = Place()
        self.answers: list[str] = []
        """What the person answered to an earlier process, which died before the run could hear it."""
        self._pending: asyncio.Future[str] | None = None

    @property
    def asking(self) -> bool:
        """Whether a question waits for its answer."""
        return self._pending is not None

    async def ask(self, question: str, options: Sequence[str]) -> str:
        """Blocks the run until the person answered."""
        if self.answers:
            return self.answers.pop(0)
        self._pending = asyncio.get_running_loop().create_future()
        self.ledger.rest()
        async with self.away():
            self._on_question(question, options)
            try:
                answer = await self._pending
            finally:
                self._pending = None
                self._on_question("", ())
        return answer

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """The run waits for its person: its time is not counted, and its place is another's until it goes on."""
        self.meter.hold()
        self.place.give()
        try:
            yield
            await self.place.take()
        finally:
            self.meter.go_on()

    def answer(self, text: str) -> bool:
        """Answers the question; False if none waits."""
        if self._pending is None or self._pending.done():
            return False
        self._pending.set_result(text)
        return True

    def say(self, text: str) -> None:
        """Keeps the person's words for the model's next turn."""
        self._said.append(f"The person says: {text}")
        self._by_person += 1

    def tell_model(self, text: str) -> None:
        """Keeps what the model must know of the run for its next turn."""
        self._said.append(text)

    @property
    def words_wait(self) -> bool:
        """Whether a person said something that no model has heard, or had not at this moment of a resumed run."""
        if self.ledger.next_kind:
            return self.ledger.next_kind == DeedKind.SAID
        return self._by_person > 0

    def take_said(self) -> tuple[str, ...]:
        """What was said to the model since the last time, in whole sentences, oldest first."""
        if self.ledger.next_kind == DeedKind.SAID:
            return tuple((self.ledger.again(DeedKind.SAID) or {}).get("words", ()))
        if self.ledger.next_kind:
            return ()
        said, self._said = tuple(self._said), []
        count, self._by_person = self._by_person, 0
        if said:
            self.ledger.keep(DeedKind.SAID, {"words": list(said), "count": count})
        return said

    async def pause_point(self) -> None:
        """Returns at once, or when a paused run is resumed."""
        if not self.switch.paused or not self.ledger.live:
            return
        async with self.away():
            await self.switch.point()

    def spend(self, usage: Usage) -> None:
        """Counts one model turn towards the budget."""
        self.meter.spend(usage)

    def check_budget(self) -> None:
        """Raises BudgetSpentError naming the limit that was reached."""
        self.meter.check()

    def remaining_s(self) -> float | None:
        """Wall-clock seconds left; None without a limit."""
        return self.meter.remaining_s()


class LoneDesk:
    """The desk of work that no run stands behind: nobody to ask, no limits, nothing kept."""

    def __init__(self) -> None:
        self.ledger = Ledger("")

    async def ask(self, question: str, options: Sequence[str]) -> str:
        """Raises ToolError: nobody is there."""
        del question, options
        raise ToolError("Nobody can be asked here; decide by yourself and say what you assumed.")

    def take_said(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    async def pause_point(self) -> None:
        """Never waits."""

    def spend(self, usage: Usage) -> None:
        """Counts nothing."""

    def check_budget(self) -> None:
        """Never raises."""

    def remaining_s(self) -> float | None:
        """No limit."""
        return None
