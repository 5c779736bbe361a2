"""Giving up an apply, a revalidation or a rollback: before the first write nothing happens, after it all of it does."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.agent.shelf import ReviewOptions
from agent_lsp.domain.errors import RefusedError, UnknownIdError
from agent_lsp.domain.ports import BufferChange, BufferOutcome
from agent_lsp.domain.task import RunState
from agent_lsp.domain.verdict import Decision, Evidence, Verdict
from tests.agent.review_world import MemoryEditor, World, until

BEFORE, AFTER = "a = 1\n", "a = 2\n"


class SlowEditor(MemoryEditor):
    """Takes an edit when it is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.through = asyncio.Event(), asyncio.Event()

    async def edit(self, change: BufferChange) -> BufferOutcome:
        self.asked.set()
        await self.through.wait()
        return await super().edit(change)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An editor that takes its time, a gate that can be held, and `pending` at once."""
    made = World(tmp_path, ReviewOptions(settle_s=None, answer_within_s=0.01))
    made.editor = SlowEditor()
    made.review = made.new_review()
    return made


def slow(world: World) -> SlowEditor:
    assert isinstance(world.editor, SlowEditor)
    return world.editor


async def offered(world: World, **more: Any) -> dict[str, str]:
    """A proposal on an open document; the argument that names it."""
    world.put("a.py", BEFORE)
    world.editor.open("a.py", BEFORE)
    return {"proposalId": await world.offer(await world.edit("a.py", AFTER), **more)}


def text(world: World) -> str:
    return world.editor.documents["a.py"].text


def over(world: World) -> list[tuple[str, bool]]:
    """What ended, and whether by being cancelled."""
    return [(data["work"], data["cancelled"]) for name, data in world.events if name == "work_over"]


async def held(world: World) -> Mapping[str, str]:
    """An untested proposal, whose test does not end by itself."""
    proposal = await offered(world, evidence=Evidence(Verdict(Decision.NOT_RUN)))
    world.gate.begun.clear()
    world.gate.held = asyncio.Event()
    return proposal


async def test_an_apply_that_is_still_tested_is_abandoned_and_the_proposal_stays(world: World) -> None:
    proposal = await held(world)
    assert (await world.review.apply(proposal))["pending"] is True
    await world.gate.begun.wait()
    assert await world.review.abandon(proposal) == {"state": "proposed"}
    assert (text(world), world.checkpoints.kept) == (BEFORE, {})
    assert world.states[-1][0] is RunState.PROPOSED
    assert sorted(over(world)) == [("apply", True), ("revalidate", True)]
    assert world.gate.held is not None
    world.gate.held.set()
    slow(world).through.set()
    world.gate.held = None
    answer = await world.review.revalidate(proposal)
    assert answer["verdict"]["decision"] == "passed"
    assert (await world.review.apply(proposal))["applied"] is True


async def test_a_cancelled_request_ends_the_apply_that_nobody_was_told_of_yet(tmp_path: Path) -> None:
    world = World(tmp_path)
    proposal = await held(world)
    asking = asyncio.create_task(world.review.apply(proposal))
    await world.gate.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: sorted(over(world)) == [("apply", True), ("revalidate", True)])
    assert world.states[-1][0] is RunState.PROPOSED
    assert text(world) == BEFORE


async def test_an_apply_that_writes_is_finished_and_says_so(world: World) -> None:
    world.options = ReviewOptions(settle_s=None, answer_within_s=5.0)
    world.review = world.new_review()
    proposal = await offered(world)
    asking = asyncio.create_task(world.review.apply(proposal))
    await slow(world).asked.wait()
    with pytest.raises(RefusedError, match="being written"):
        await world.review.abandon(proposal)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    slow(world).through.set()
    await until(lambda: "message" in world.names())
    assert text(world) == AFTER
    assert "“make it work” was applied all the same" in world.last("message")["text"]
    assert over(world) == [("apply", False)]
    assert world.states[-1][0] is RunState.APPLIED
    assert [kept.state.value for kept in world.checkpoints.kept.values()] == ["done"]


async def test_a_rollback_is_given_up_before_it_writes_and_finished_after(world: World) -> None:
    proposal = await offered(world)
    slow(world).through.set()
    await world.review.apply(proposal)
    await until(lambda: "proposal_closed" in world.names())  # it may have been pending
    checkpoint = {"checkpointId": world.last("proposal_closed")["checkpointId"]}
    slow(world).through.clear()
    slow(world).asked.clear()

    async with world.review._accept.writing.alone():  # another change is being written
        asking = asyncio.create_task(world.review.rollback(checkpoint))
        await asyncio.sleep(0)
        await world.review.abandon(checkpoint)
    answer = await asking
    assert (answer["applied"], answer["reason"]) == (False, "It was cancelled before anything was written.")
    assert text(world) == AFTER

    asking = asyncio.create_task(world.review.rollback(checkpoint))
    await slow(world).asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    slow(world).through.set()
    await until(lambda: text(world) == BEFORE and world.names()[-1] == "message")
    assert "rolled back all the same" in world.last("message")["text"]


async def test_a_revalidation_is_ended_by_the_only_request_that_wanted_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    proposal = await held(world)
    one, two = (asyncio.create_task(world.review.revalidate(proposal)) for _ in range(2))
    await world.gate.begun.wait()
    one.cancel()
    await asyncio.wait({one})
    assert over(world) == []
    assert not two.done()
    assert world.gate.held is not None
    world.gate.held.set()
    assert (await two)["verdict"]["decision"] == "passed"

    world.gate.held = asyncio.Event()
    world.gate.begun.clear()
    alone = asyncio.create_task(world.review.revalidate(proposal))
    await world.gate.begun.wait()
    alone.cancel()
    await asyncio.wait({alone})
    await until(lambda: over(world)[-1:] == [("revalidate", True)])
    assert world.states[-1][0] is RunState.PROPOSED


async def test_abandoning_what_is_at_rest_or_unknown_changes_nothing(world: World) -> None:
    proposal = await offered(world)
    assert await world.review.abandon(proposal) == {"state": "proposed"}
    assert await world.review.abandon({"checkpointId": "c_none"}) == {"state": ""}
    with pytest.raises(UnknownIdError):
        await world.review.abandon({"proposalId": "p_none"})
    assert over(world) == []
