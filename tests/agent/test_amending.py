"""Holds the person's own text for what is proposed to what they expect while everything else goes on."""

import asyncio
from pathlib import Path

import pytest

from agent_lsp.agent.accept import Answer
from agent_lsp.domain.errors import RefusedError
from agent_lsp.domain.task import RunState
from tests.agent.review_world import World

BEFORE = "".join(f"line {number}\n" for number in range(1, 31))
AFTER = BEFORE.replace("line 3\n", "new 3\n").replace("line 20\n", "new 20\n")


class Merging:
    """Holds the next merge until `let`."""

    def __init__(self, world: World) -> None:
        self.begun, self.let = asyncio.Event(), asyncio.Event()
        merge = world.trees.merge_text

        async def held(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
            self.begun.set()
            await self.let.wait()
            return await merge(base, ours, theirs)

        world.trees.merge_text = held  # type: ignore[method-assign]


@pytest.fixture
async def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.put("a.py", BEFORE)
    return made


async def edited_before(world: World) -> str:
    """A proposal that is no longer as it was first drawn."""
    proposal_id = await world.offer(await world.edit("a.py", AFTER))
    await world.review.amend({"proposalId": proposal_id, "path": "a.py", "text": AFTER.replace("new 3", "newer 3")})
    return proposal_id


async def being_merged(world: World, proposal_id: str) -> tuple[Merging, "asyncio.Task[Answer]"]:
    """The person's text, drawn from the first state, at the moment in which it is laid over the present one."""
    merging = Merging(world)
    mine = {"proposalId": proposal_id, "path": "a.py", "from": AFTER, "text": AFTER.replace("line 30", "mine 30")}
    asked = asyncio.create_task(world.review.amend(mine))
    await merging.begun.wait()
    return merging, asked


async def test_text_drawn_from_an_older_state_lands_on_the_one_that_came_while_it_was_merged(world: World) -> None:
    proposal_id = await edited_before(world)
    merging, asked = await being_merged(world, proposal_id)
    [_, second] = (await world.review.proposal({"proposalId": proposal_id}))["files"][0]["hunks"]
    await world.review.amend({"proposalId": proposal_id, "hunk": second["id"], "text": "newest 20\n"})
    merging.let.set()
    assert (await asked)["state"] == RunState.VALIDATING
    [file] = (await world.review.proposal({"proposalId": proposal_id}))["files"]
    assert [hunk["newText"] for hunk in file["hunks"]] == ["newer 3\n", "newest 20\n", "mine 30\n"]


async def test_text_for_a_proposal_that_went_while_it_was_merged_is_refused(world: World) -> None:
    proposal_id = await edited_before(world)
    merging, asked = await being_merged(world, proposal_id)
    await world.review.discard({"proposalId": proposal_id})
    merging.let.set()
    with pytest.raises(RefusedError, match="already discarded"):
        await asked
    assert world.states[-1][0] is RunState.DISCARDED


async def test_text_for_a_proposal_that_is_applied_meanwhile_is_refused(world: World) -> None:
    proposal_id = await edited_before(world)
    await world.review.revalidate({"proposalId": proposal_id})
    merging, asked = await being_merged(world, proposal_id)
    world.gate.held = asyncio.Event()
    [first, _] = (await world.review.proposal({"proposalId": proposal_id}))["files"][0]["hunks"]
    applying = asyncio.create_task(world.review.apply({"proposalId": proposal_id, "hunks": [first["id"]]}))
    await asyncio.sleep(0)
    merging.let.set()
    with pytest.raises(RefusedError, match="being applied"):
        await asked
    world.gate.held.set()
    answer = await applying
    assert answer["applied"] is True, answer
    assert world.disk("a.py") == BEFORE.replace("line 3\n", "newer 3\n").encode()


async def test_the_same_text_again_tests_nothing_and_tells_the_state_as_it_is(world: World) -> None:
    proposal_id = await world.offer(await world.edit("a.py", AFTER))
    answer = await world.review.amend({"proposalId": proposal_id, "path": "a.py", "text": AFTER})
    assert answer["state"] == RunState.PROPOSED
    assert len(answer["hunks"]) == 2
    assert world.gate.calls == []


async def test_the_same_change_of_another_run_can_be_edited_too(world: World) -> None:
    """What is computed of a change is kept by its content: an equal one is not the same object."""
    first = await world.offer(await world.edit("a.py", AFTER))
    await world.review.discard({"proposalId": first})
    second = await world.offer(await world.edit("a.py", AFTER))
    answer = await world.review.amend({"proposalId": second, "path": "a.py", "text": AFTER.replace("new 3", "mine 3")})
    assert answer["state"] == RunState.VALIDATING
    [file] = (await world.review.proposal({"proposalId": second}))["files"]
    assert [hunk["newText"] for hunk in file["hunks"]] == ["mine 3\n", "new 20\n"]
