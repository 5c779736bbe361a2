"""Holds checkpoints to what a person is told of them, and proposals to what they tell of each other and outlive."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.agent.shelf import ReviewOptions
from agent_lsp.domain.errors import UnknownIdError
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.task import RunState
from agent_lsp.storage.checkpoints import StoredCheckpoints
from agent_lsp.storage.database import Database
from agent_lsp.storage.journal import StoredJournal
from agent_lsp.storage.proposals import StoredProposals
from tests.agent.review_world import World

TEXT = "".join(f"line {number}\n" for number in range(1, 21))
KEEPS = ReviewOptions(settle_s=None, answer_within_s=5.0, keeps_offers=True)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.put("a.py", TEXT)
    return made


def changed(*lines: int, who: str = "agent") -> str:
    text = TEXT
    for line in lines:
        text = text.replace(f"line {line}\n", f"{who} {line}\n")
    return text


async def applied(world: World, text: str) -> str:
    answer = await world.review.apply({"proposalId": await world.offer(await world.edit("a.py", text))})
    assert answer["applied"] is True
    return str(answer["checkpointId"])


async def listed(world: World) -> list[tuple[str, str, str]]:
    rows = (await world.review.history.checkpoints({}))["checkpoints"]
    return [(row["checkpointId"], row["summary"], row["state"]) for row in rows]


# --- checkpoints -----------------------------------------------------------------------------------------------------


async def test_checkpoints_are_listed_with_how_they_stand_back_and_forward(world: World) -> None:
    first = await applied(world, changed(5))
    back = (await world.review.rollback({"checkpointId": first}))["checkpointId"]
    assert await listed(world) == [
        (back, "Undo Agent: Make it work", "applied"),
        (first, "Agent: Make it work", "rolled_back"),
    ]
    forward = (await world.review.rollback({"checkpointId": back}))["checkpointId"]
    assert await listed(world) == [
        (forward, "Redo Agent: Make it work", "applied"),
        (back, "Undo Agent: Make it work", "rolled_back"),
        (first, "Agent: Make it work", "applied"),
    ]
    assert world.disk("a.py") == changed(5).encode()
    [row] = (await world.review.history.checkpoints({"runId": "r_1"}))["checkpoints"][2:]
    assert (row["files"], row["runId"]) == (["a.py"], "r_1")
    assert (await world.review.history.checkpoints({"runId": "r_other"}))["checkpoints"] == []
    told = world.last("checkpoints")["checkpoints"]
    assert [row["checkpointId"] for row in told] == [forward, back, first]


async def test_a_preview_is_what_the_rollback_then_does_around_what_was_typed_since(world: World) -> None:
    checkpoint_id = await applied(world, changed(5))
    world.put("a.py", changed(5).replace("line 15\n", "mine 15\n"))
    preview = await world.review.history.preview({"checkpointId": checkpoint_id})
    assert preview["possible"] is True
    lines = [line for line in preview["diff"].splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert lines == ["-agent 5", "+line 5"]
    assert world.disk("a.py") == changed(5).replace("line 15\n", "mine 15\n").encode(), "looking changes nothing"


async def test_a_preview_of_what_cannot_be_undone_says_why_and_shows_what_was_written(world: World) -> None:
    checkpoint_id = await applied(world, changed(5))
    world.put("a.py", changed(5, who="mine"))
    preview = await world.review.history.preview({"checkpointId": checkpoint_id})
    assert preview["possible"] is False
    assert "a.py was changed since in the same lines" in preview["reason"]
    assert "+agent 5" in preview["diff"]
    with pytest.raises(UnknownIdError) as caught:
        await world.review.history.preview({"checkpointId": "c_none"})
    assert "agent.checkpoints" in caught.value.hint


# --- proposals on the same text --------------------------------------------------------------------------------------


def told(world: World, proposal_id: str) -> Any:
    return [data for name, data in world.events if name == "proposal" and data["proposalId"] == proposal_id][-1]


async def test_proposals_on_the_same_lines_tell_of_each_other_until_one_is_gone(world: World) -> None:
    first = await world.offer(await world.edit("a.py", changed(5, 9)))
    apart = await world.offer(await world.edit("a.py", changed(15)))
    assert "overlaps" not in told(world, first)
    second = await world.offer(await world.edit("a.py", changed(9, who="other")))
    assert told(world, first)["overlaps"] == [{"proposalId": second, "runId": "r_1", "places": ["a.py line 9"]}]
    assert told(world, second)["overlaps"] == [{"proposalId": first, "runId": "r_1", "places": ["a.py line 9"]}]
    words = "“make it work” (r_1) proposes a change of the same text (a.py line 9)"
    assert words in told(world, second)["verdict"]["reasons"][-1]
    assert "overlaps" not in told(world, apart)
    await world.review.discard({"proposalId": first})
    assert "overlaps" not in told(world, second)


async def test_of_overlapping_proposals_the_second_accepted_is_carried_over_or_told_not_to_fit(world: World) -> None:
    first = await world.offer(await world.edit("a.py", changed(5)))
    second = await world.offer(await world.edit("a.py", changed(15)))
    third = await world.offer(await world.edit("a.py", changed(5, who="third")))
    assert (await world.review.apply({"proposalId": first}))["applied"] is True
    refused = await world.review.apply({"proposalId": second})
    assert refused["applied"] is False
    for proposal_id in (second, third):
        await world.review.revalidate({"proposalId": proposal_id})
    assert (await world.review.apply({"proposalId": second}))["applied"] is True
    assert world.disk("a.py") == changed(5, 15).encode()
    assert "a.py, line 5: the same lines were changed meanwhile" in told(world, third)["trouble"]
    assert (await world.review.apply({"proposalId": third}))["applied"] is False


# --- proposals that outlive their process ----------------------------------------------------------------------------


class Start:
    """A process over the world: what it keeps outlives it."""

    def __init__(self, world: World) -> None:
        world.options = KEEPS
        self.world = world
        self.database = Database(world.root / ".agent-lsp" / "state.db")
        world.journal, world.checkpoints = StoredJournal(self.database), StoredCheckpoints(self.database)  # type: ignore[assignment]
        world.review = world.new_review(
            journal=world.journal, checkpoints=world.checkpoints, keeper=StoredProposals(self.database)
        )

    async def end(self) -> None:
        await self.world.review.close()
        await self.database.close()


async def back(world: World) -> dict[str, Any]:
    """The proposals that a new start brings back, once they are tested again where they must be."""
    await world.review.recover()
    found = await world.review.history.bring_back()
    for proposal in found:
        await asyncio.gather(*world.review._retest.running(proposal.id))
    return {proposal.id: await world.review.proposal({"proposalId": proposal.id}) for proposal in found}


async def test_a_proposal_comes_back_as_it_was_with_its_hunks_goal_and_verdict(world: World) -> None:
    first = Start(world)
    proposal_id = await world.offer(await world.edit("a.py", changed(5, 15)), await world.edit("new.py", "new\n"))
    before = await world.review.proposal({"proposalId": proposal_id})
    await first.end()
    second = Start(world)
    assert (await back(world))[proposal_id] == before
    part = [before["files"][0]["hunks"][0]["id"]]
    assert (await world.review.apply({"proposalId": proposal_id, "hunks": part}))["applied"] is True
    await asyncio.gather(*world.review._retest.running(proposal_id))
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    assert world.disk("a.py") == changed(5, 15).encode()
    await second.end()
    third = Start(world)
    assert await back(world) == {}
    await third.end()


async def test_what_moved_while_nobody_was_there_is_tested_again_or_told_not_to_fit(world: World) -> None:
    world.put("b.py", TEXT)
    first = Start(world)
    carried = await world.offer(await world.edit("a.py", changed(5)))
    lost = await world.offer(await world.edit("b.py", changed(5)))
    await first.end()
    world.put("a.py", "moved\n" + TEXT)
    world.put("b.py", changed(5, who="mine"))
    world.gate.calls.clear()
    second = Start(world)
    found = await back(world)
    assert (found[carried]["stale"], found[lost]["stale"]) == (False, True)
    assert "the same lines were changed meanwhile" in found[lost]["trouble"]
    assert "+agent 5" in found[lost]["diff"], "its text stays readable"
    assert len(world.gate.calls) == 1
    assert (await world.review.apply({"proposalId": carried}))["applied"] is True
    assert world.disk("a.py") == ("moved\n" + changed(5)).encode()
    await second.end()


async def test_a_run_whose_change_is_kept_is_not_closed_as_crashed_and_any_other_is(world: World) -> None:
    first = Start(world)
    for run_id in ("r_1", "r_2"):
        world.journal.append(Event(run_id, EventKind.RUN_STARTED, {"goal": "x"}))
    await world.offer(await world.edit("a.py", changed(5)))
    await first.end()
    second = Start(world)
    found = await world.review.recover()
    assert found.closed_runs == ("r_2",)
    await second.end()


async def test_a_record_that_cannot_be_read_is_dropped_and_its_run_closed(world: World) -> None:
    first = Start(world)
    proposal_id = await world.offer(await world.edit("a.py", changed(5)))
    await first.database.run(lambda connection: connection.execute("UPDATE proposals SET data = '{}'"))
    await first.end()
    second = Start(world)
    assert await back(world) == {}
    ended = [event for event in await world.journal.read("r_1") if event.kind is EventKind.RUN_ENDED]
    assert [event.data["state"] for event in ended] == [RunState.FAILED.value]
    assert proposal_id
    await second.end()
