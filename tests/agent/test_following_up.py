"""What a person says late, and who is asked then: no words are lost, and they are no failed try."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent_lsp.agent.context import Prompts
from agent_lsp.agent.conversation import Voice
from agent_lsp.agent.engines import EngineChoice, Engines
from agent_lsp.agent.model_engines import model_engines
from agent_lsp.agent.model_work import ModelWork
from agent_lsp.agent.routing import Board, Line, Route, RoutedModel
from agent_lsp.agent.session import RunPolicy
from agent_lsp.agent.veil import Veil
from agent_lsp.app.prompts import load_prompts
from agent_lsp.domain.breaker import Breaker
from agent_lsp.domain.conversation import ModelTurn, Phase
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.task import Budget
from agent_lsp.domain.tiers import Tier, TierTable
from agent_lsp.storage.redaction import Redactor
from tests.agent.session_world import SessionWorld
from tests.scripted_model import ScriptedModel, call, finish, plan, reflect, texts, turn


class TieredWorld(SessionWorld):
    """Every tier is asked by rules; the same script answers for all, and turns name the tier."""

    def _policy(self) -> RunPolicy:
        assert self.model is not None
        lines = {name: Line(name, self.model, Breaker(), 1000) for name in ("mid", "deep")}
        board = Board(lines, TierTable({Tier.MID: ("mid",), Tier.THINKER: ("deep",)}))

        def engines() -> Engines:
            route = Route()
            routed = RoutedModel(lambda: board, route, self.clock)
            voice = Voice(routed, self.clock, self.patience, Veil(Redactor({}).name, b"key"))
            return model_engines(ModelWork(voice, Prompts(load_prompts()), self.gate.run_once, route=route))

        return RunPolicy(EngineChoice(engines, lambda _: None), self.budget)

    def asked(self) -> list[tuple[str, str]]:
        """Phase and tier, whenever another one was chosen."""
        return [(row["phase"], row["tier"]) for row in self.journalled(EventKind.MODEL_CHOSEN)]


Make = Callable[[ScriptedModel], TieredWorld]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    worlds: list[TieredWorld] = []

    def made(model: ScriptedModel) -> TieredWorld:
        world = TieredWorld(tmp_path, model, replace(Budget(), tries=4))
        world.put("app.py", "value = 0\n")
        world.needs("tests/test_app.py::test_value", "app.py", "value = 1")
        worlds.append(world)
        return world

    yield made
    for world in worlds:
        await world.close()


def edit(old: str, new: str) -> ModelTurn:
    return turn(call("edit_file", path="app.py", old_text=old, new_text=new))


GOOD = (edit("value = 0", "value = 1"), finish())
COMMENT = (edit("value = 1", "value = 1  # one"), finish("With a comment."))
GOAL = ["tests/test_app.py::test_value"]


def worse(number: int) -> tuple[ModelTurn, ModelTurn]:
    """A try that fails."""
    before = "value = 0" if number == 2 else f"value = {number - 1}"
    return edit(before, f"value = {number}"), finish()


async def test_after_the_thinker_mended_it_an_easy_follow_up_comes_back_to_mid(make: Make) -> None:
    right = (edit("value = 3", "value = 1"), finish())
    again = [reflect("retry"), reflect("retry")]
    world = make(ScriptedModel(execution=[*worse(2), *worse(3), *right, *COMMENT], reflection=again))
    row = await world.finished(tests=GOAL)
    assert ("execution", "thinker") in world.asked()
    before = len(world.asked())

    await world.call("discard", proposalId=row["proposalId"], feedback="say why it is 1")
    await world.until(row["runId"], "proposed")
    assert world.asked()[before:] == [("execution", "mid")]


async def test_a_failed_try_and_a_persons_words_do_not_make_two_failed_tries(make: Make) -> None:
    right = (edit("value = 2", "value = 1"), finish())
    world = make(ScriptedModel(execution=[*worse(2), *right, *COMMENT], reflection=[reflect("retry")]))
    row = await world.finished(tests=GOAL)
    await world.call("discard", proposalId=row["proposalId"], feedback="say why it is 1")
    await world.until(row["runId"], "proposed")
    assert {tier for _, tier in world.asked()} == {"mid"}


async def test_an_adapted_plan_counts_its_failed_tries_anew(make: Make) -> None:
    right = (edit("value = 3", "value = 1"), finish())
    judged = [reflect("adapt", "another way", "Another way"), reflect("retry")]
    world = make(ScriptedModel(execution=[*worse(2), *worse(3), *right], reflection=judged))
    await world.finished(tests=GOAL)
    assert {tier for _, tier in world.asked()} == {"mid"}


async def test_words_said_while_the_last_verdict_is_made_are_worked_on_before_the_offer(make: Make) -> None:
    model = ScriptedModel(execution=[*GOOD, *COMMENT])
    world = make(model)
    world.gate.held = asyncio.Event()
    run_id = await world.run()
    await world.until(run_id, "validating")
    assert "next turn" in (await world.call("say", runId=run_id, text="and say why"))["reply"]
    world.gate.held.set()
    row = await world.until(run_id, "proposed")
    asked = model.of(Phase.EXECUTION)
    assert "The person says: and say why" in texts(asked[2])
    assert len(asked) == 4
    diff = (await world.call("proposal", proposalId=row["proposalId"]))["diff"]
    assert "+value = 1  # one" in diff
    assert len(world.told("proposal")) == 1, "what the words were about was never offered"


async def test_words_said_while_a_step_is_judged_go_to_the_next_step_and_not_to_the_judge(make: Make) -> None:
    model = ScriptedModel(planning=[plan("One", "Two")], execution=[*GOOD, *COMMENT], reflection=[reflect("continue")])
    world = make(model)
    model.hold[Phase.REFLECTION] = asyncio.Event()
    run_id = await world.run()
    while not model.of(Phase.REFLECTION):
        await asyncio.sleep(0.001)
    assert "next turn" in (await world.call("say", runId=run_id, text="and say why"))["reply"]
    model.hold[Phase.REFLECTION].set()
    await world.until(run_id, "proposed")
    assert "The person says: and say why" in texts(model.of(Phase.EXECUTION)[2])


async def test_words_said_before_the_step_is_judged_are_not_taken_by_the_judge(make: Make) -> None:
    model = ScriptedModel(planning=[plan("One", "Two")], execution=[*GOOD, *COMMENT], reflection=[reflect("continue")])
    world = make(model)
    world.gate.held = asyncio.Event()
    run_id = await world.run()
    await world.until(run_id, "validating")
    await world.call("say", runId=run_id, text="and say why")
    world.gate.held.set()
    await world.until(run_id, "proposed")
    assert all("and say why" not in texts(request) for request in model.of(Phase.REFLECTION))
    assert "The person says: and say why" in texts(model.of(Phase.EXECUTION)[2])


async def test_words_said_to_a_run_that_stands_before_its_offer_are_worked_on(make: Make) -> None:
    model = ScriptedModel(execution=[*GOOD, *COMMENT])
    world = make(model)
    world.gate.held = asyncio.Event()
    run_id = await world.run()
    await world.until(run_id, "validating")
    await world.call("control", runId=run_id, action="pause")
    world.gate.held.set()
    while not world.journalled(EventKind.VALIDATION):
        await asyncio.sleep(0.001)
    await world.call("say", runId=run_id, text="and say why")
    await world.call("control", runId=run_id, action="resume")
    await world.until(run_id, "proposed")
    assert "The person says: and say why" in texts(model.of(Phase.EXECUTION)[2])


async def test_words_that_no_model_can_follow_any_more_are_said_to_be_lost(make: Make) -> None:
    model = ScriptedModel(execution=list(GOOD))
    world = make(model)
    world.budget = replace(Budget(), turns=2)
    world.gate.held = asyncio.Event()
    run_id = await world.run()
    await world.until(run_id, "validating")
    await world.call("say", runId=run_id, text="and say why")
    world.gate.held.set()
    row = await world.until(run_id, "proposed", "failed")
    assert "what you said last could not be followed any more" in row["message"]
