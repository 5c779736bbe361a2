"""What follows a proven verdict in the background: when it begins, what stops it, and how its result is told."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.mutation import Mutant
from agent_lsp.domain.mutation_trial import Notice, Tried
from agent_lsp.domain.task import RunState
from agent_lsp.domain.verdict import Decision, Evidence
from tests.agent.review_world import ContentGate, World, until

TRIED = (
    Tried(Mutant("a.py", 1, "`a < b` became `a <= b`", b"mutant"), Notice.UNNOTICED),
    Tried(Mutant("a.py", 1, "`a` became `b`", b"other"), Notice.NOTICED),
)


class NamingGate(ContentGate):
    """Names the tree that it judged, as the real gate does."""

    async def validate(self, base_tree: str, edits: tuple[FileEdit, ...], **asked: Any) -> Evidence:
        evidence = await super().validate(base_tree, edits, **asked)
        tree = await self.trees.write(base_tree, edits)
        return replace(evidence, verdict=replace(evidence.verdict, candidate=tree))


class ScriptedMutants:
    """Gives what it was told to; `held` makes it wait, `stopped` counts what was cancelled meanwhile."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.stopped = 0
        self.at_once = 0
        self.held: asyncio.Event | None = None
        self.fails: Exception | None = None

    def concerns(self, evidence: Evidence) -> bool:
        return evidence.verdict.decision is Decision.PROVEN and evidence.verdict.survivors is None

    async def examine(self, edits: Sequence[FileEdit], evidence: Evidence) -> tuple[Tried, ...]:
        self.begun.append(evidence.verdict.candidate)
        self.at_once += 1
        assert self.at_once == 1, "one after the other"
        try:
            if self.fails is not None:
                raise self.fails
            if self.held is not None:
                await self.held.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        finally:
            self.at_once -= 1
        return TRIED


@pytest.fixture
def mutants() -> ScriptedMutants:
    return ScriptedMutants()


@pytest.fixture
def world(tmp_path: Path, mutants: ScriptedMutants) -> World:
    made = World(tmp_path)
    made.gate = NamingGate(made.trees)
    made.review = made.new_review(mutants=mutants)
    made.put("a.py", "one\n\n\n\n\ntwo\n")
    made.gate.checks["tests/test_a.py::test_one"] = lambda tree: b"ONE" in tree["a.py"].content
    return made


async def offered(world: World, text: str = "ONE\n\n\n\n\ntwo\n") -> str:
    return await world.offer(await world.edit("a.py", text))


def verdicts(world: World) -> list[Any]:
    return [data["verdict"] for name, data in world.events if name == "verdict"]


async def test_the_result_arrives_as_a_verdict_of_the_same_decision_and_stands_in_the_journal(world: World) -> None:
    proposal_id = await offered(world)
    assert "survivors" not in world.last("proposal")["verdict"], "the offer did not wait"
    await world.review.followed(proposal_id)
    [verdict] = verdicts(world)
    said = "1 of 2 small changes to the changed lines was not noticed by any test: a.py:2 (`a < b` became `a <= b`)."
    assert verdict["decision"] == "proven"
    assert verdict["survivors"] == [{"path": "a.py", "line": 1, "text": "`a < b` became `a <= b`"}]
    assert verdict["reasons"][-1] == said
    assert world.last("proposal")["verdict"] == verdict
    [noted] = [event.data for event in world.journal.events if event.kind is EventKind.VALIDATION]
    assert noted["verdict"] == verdict
    assert world.states == [], "its run is where it was"


async def test_a_discard_stops_it(world: World, mutants: ScriptedMutants) -> None:
    mutants.held = asyncio.Event()
    proposal_id = await offered(world)
    await until(lambda: bool(mutants.begun))
    await world.review.discard({"proposalId": proposal_id})
    await until(lambda: mutants.stopped == 1)
    assert verdicts(world) == []


async def test_an_apply_stops_it(world: World, mutants: ScriptedMutants) -> None:
    mutants.held = asyncio.Event()
    proposal_id = await offered(world)
    await until(lambda: bool(mutants.begun))
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"]
    await until(lambda: mutants.stopped == 1)
    assert world.states[-1][0] is RunState.APPLIED


async def test_what_becomes_another_change_is_tried_anew(world: World, mutants: ScriptedMutants) -> None:
    mutants.held = asyncio.Event()
    proposal_id = await offered(world, "ONE\n\n\n\n\nTWO\n")
    await until(lambda: bool(mutants.begun))
    hunks = (await world.review.proposal({"proposalId": proposal_id}))["files"][0]["hunks"]
    await world.review.discard({"proposalId": proposal_id, "hunks": [hunks[1]["id"]]})
    await until(lambda: len(mutants.begun) == 2)
    assert mutants.stopped == 1
    assert len(set(mutants.begun)) == 2
    mutants.held.set()
    await world.review.followed(proposal_id)
    assert world.last("proposal")["verdict"]["survivors"]


async def test_the_same_change_tested_again_is_told_again_and_not_tried_again(
    world: World, mutants: ScriptedMutants
) -> None:
    proposal_id = await offered(world)
    await world.review.followed(proposal_id)
    await world.review.revalidate({"proposalId": proposal_id})
    await world.review.followed(proposal_id)
    assert len(mutants.begun) == 1
    assert [len(verdict.get("survivors", ())) for verdict in verdicts(world)] == [1, 0, 1]
    assert world.last("proposal")["verdict"]["survivors"]


async def test_two_proposals_take_turns_and_closing_stops_both(world: World, mutants: ScriptedMutants) -> None:
    mutants.held = asyncio.Event()
    await offered(world)
    await offered(world, "ONE\n\n\n\n\nthree\n")
    await until(lambda: bool(mutants.begun))
    await world.review.close()
    assert (len(mutants.begun), mutants.stopped) == (1, 1)


@pytest.mark.parametrize("error", [CandidateError("no room"), ValueError("a bug")])
async def test_what_cannot_be_tried_leaves_the_verdict_as_it_was(
    world: World, mutants: ScriptedMutants, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    mutants.fails = error
    proposal_id = await offered(world)
    await world.review.followed(proposal_id)
    assert verdicts(world) == []
    assert str(error) in caplog.text
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"]


async def test_a_change_that_is_not_proven_is_not_tried(world: World, mutants: ScriptedMutants) -> None:
    world.gate.decision = Decision.PASSED
    proposal_id = await offered(world)
    await world.review.followed(proposal_id)
    assert mutants.begun == []
