"""Whose turn it is: people before the background but not for ever, a bound that says so, and folders in turn."""

import asyncio
from pathlib import Path

import pytest

from agent_lsp.agent.queue import PASSED_MOST, WAITED_MOST_S, Queue
from agent_lsp.domain.conversation import Phase
from agent_lsp.domain.errors import RefusedError
from agent_lsp.workspace.slots import MachineSlots
from tests.agent.session_world import SessionWorld
from tests.scripted_model import ScriptedModel


class Line:
    """One queue, and what its runs were told; `order` is the order in which they began to work."""

    def __init__(self, queue: Queue) -> None:
        self.queue, self.order = queue, list[str]()
        self.told: dict[str, str] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str, background: bool = False) -> None:
        """Runs that want to work, one after the other."""
        for name in names:
            self.tasks[name] = asyncio.create_task(self._take(name, background))
            await asyncio.sleep(0)

    async def _take(self, name: str, background: bool) -> None:
        def tell(text: str) -> None:
            self.told[name] = text

        await self.queue.take(name, f"goal of {name}", tell, background=background)
        self.order.append(name)

    async def work_off(self, count: int) -> None:
        """Lets so many runs end, each when it has begun."""
        for at in range(count):
            while len(self.order) <= at:
                await asyncio.sleep(0.001)
            self.queue.give(self.order[at])
            await asyncio.sleep(0)


async def test_a_background_run_is_passed_by_a_few_and_then_by_no_more() -> None:
    line = Line(Queue(1))
    await line.come("at work")
    await line.come("patient", background=True)
    later = [f"later {number}" for number in range(PASSED_MOST + 2)]
    await line.come(*later)
    assert line.told["patient"].endswith(f"and {len(later)} more")
    await line.work_off(len(later) + 1)
    assert line.order == ["at work", *later[:PASSED_MOST], "patient", *later[PASSED_MOST:]]


async def test_a_background_run_that_has_waited_for_long_is_passed_by_nobody() -> None:
    now_s = 0.0
    line = Line(Queue(1, now_s=lambda: now_s))
    await line.come("at work")
    await line.come("patient", background=True)
    now_s = WAITED_MOST_S
    await line.come("later")
    await line.work_off(2)
    assert line.order[:2] == ["at work", "patient"]


async def test_one_more_than_may_wait_is_refused_with_what_to_do(tmp_path: Path) -> None:
    world = SessionWorld(tmp_path, ScriptedModel())
    world.parallel, world.waiting = 1, 2
    assert world.model is not None
    world.model.hold[Phase.PLANNING] = asyncio.Event()
    runs = [await world.run(f"goal {number}") for number in range(3)]
    with pytest.raises(RefusedError, match=r"as may \(runs.waiting: 2\)"):
        await world.run("one too many")
    assert len((await world.call("status"))["runs"]) == 3, "nothing of the refused one is left"
    await world.call("control", runId=runs[2], action="cancel")
    await world.run("now there is room")
    await world.close()


async def test_folders_take_turns_at_the_places_of_the_machine(tmp_path: Path) -> None:
    first, second = (Line(Queue(4, MachineSlots(tmp_path / "slots", lambda: 1, 0.005))) for _ in range(2))
    began: list[str] = []
    first.order = second.order = began
    await first.come("a1", "a2", "a3")
    assert first.told["a2"] == "queued: runs in other folders have all places of this machine"
    await asyncio.sleep(0.01)
    await second.come("b1", "b2")
    for at, queue in enumerate((first, first, second, first, second)):
        async with asyncio.timeout(5):
            while len(began) <= at:
                await asyncio.sleep(0.001)
        queue.queue.give(began[at])
    assert began == ["a1", "a2", "b1", "a3", "b2"]
    assert list((tmp_path / "slots").glob("ticket-*")) == []


async def test_a_run_that_leaves_the_queue_holds_no_place_of_the_machine(tmp_path: Path) -> None:
    slots = MachineSlots(tmp_path / "slots", lambda: 1, 0.005)
    line, other = Line(Queue(4, slots)), Line(Queue(4, MachineSlots(tmp_path / "slots", lambda: 1, 0.005)))
    await line.come("a1", "a2")
    line.tasks["a2"].cancel()
    await asyncio.wait({line.tasks["a2"]})
    await other.come("b1")
    assert other.order == []
    line.queue.give("a1")
    async with asyncio.timeout(5):
        await other.tasks["b1"]
    assert list((tmp_path / "slots").glob("ticket-*")) == []
