"""What a person says to a run: answered from the journal by a model, passed on as a correction, or taken by rule."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent_lsp.agent.talking import facts, in_short
from agent_lsp.domain.conversation import Phase, StopReason
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.plan import Assessment, Plan, Step
from agent_lsp.domain.task import RunState, RunView
from tests.agent.session_world import SessionWorld
from tests.scripted_model import ScriptedModel, call, finish, plan, texts, turn, wellformed

Make = Callable[[ScriptedModel], SessionWorld]
GOOD = (turn(call("edit_file", path="app.py", old_text="value = 0", new_text="value = 1")), finish())


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a world in which app.py is wrong until its value is 1."""
    worlds: list[SessionWorld] = []

    def made(model: ScriptedModel) -> SessionWorld:
        world = SessionWorld(tmp_path, model)
        world.put("app.py", "value = 0\n")
        world.needs("tests/test_app.py::test_value", "app.py", "value = 1")
        worlds.append(world)
        return world

    yield made
    for world in worlds:
        await world.talks.close()
        await world.close()


async def at_work(world: SessionWorld, model: ScriptedModel) -> str:
    """A run whose model thinks about its second turn of execution."""
    run_id = await world.run("make the value right")
    while len(model.of(Phase.EXECUTION)) < 2:
        await asyncio.sleep(0.001)
    return run_id


def busy(*chat: object) -> ScriptedModel:
    """A model that has read a file, and then thinks until it is let go on."""
    held = asyncio.Event()

    async def hold(model: ScriptedModel) -> None:
        while not model.of(Phase.EXECUTION):
            await asyncio.sleep(0)
        model.hold[Phase.EXECUTION] = held

    model = ScriptedModel(execution=[turn(call("read_file", path="app.py")), *GOOD], chat=chat)  # type: ignore[arg-type]
    model.holding = asyncio.get_running_loop().create_task(hold(model))  # type: ignore[attr-defined]
    return model


async def test_a_question_is_answered_from_the_journal_and_the_run_goes_on_untouched(make: Make) -> None:
    model = busy(turn("It has read app.py."), turn("Because of you."))
    world = make(model)
    run_id = await at_work(world, model)
    assert await world.call("say", runId=run_id, text="what have you done so far?") == {"reply": "It has read app.py."}
    [asked] = model.of(Phase.CHAT)
    said = texts(asked)
    assert "make the value right" in said
    assert 'tool.called {"call":' in said
    assert '"tool": "read_file"' in said
    assert said.endswith("what have you done so far?")
    assert [tool.name for tool in asked.tools] == ["pass_on"]

    await world.call("say", runId=run_id, text="why?")
    again = model.of(Phase.CHAT)[1]
    assert wellformed(again)
    assert [message.role for message in again.messages] == ["user", "assistant", "user"]
    assert "It has read app.py." in texts(again)

    model.hold[Phase.EXECUTION].set()
    await world.until(run_id, "proposed")
    assert all("The person says" not in texts(request) for request in model.of(Phase.EXECUTION))
    assert [row["reply"] for row in world.journalled(EventKind.TALK)] == ["It has read app.py.", "Because of you."]


async def test_a_correction_is_passed_on_to_the_model_at_work(make: Make) -> None:
    model = busy(turn("I will tell it.", call("pass_on", words="mind the comments")))
    world = make(model)
    run_id = await at_work(world, model)
    assert (await world.call("say", runId=run_id, text="and mind the comments!"))["reply"] == "I will tell it."
    model.hold[Phase.EXECUTION].set()
    await world.until(run_id, "proposed")
    assert "The person says: mind the comments" in texts(model.of(Phase.EXECUTION)[-1])


async def test_a_correction_of_a_plan_that_waits_makes_another_plan(make: Make) -> None:
    model = ScriptedModel(
        planning=[plan("First"), plan("Other", "More")],
        chat=[turn(call("pass_on", words="do it in two steps"))],
    )
    world = make(model)
    run_id = await world.run(mode="plan")
    await world.until(run_id, "awaiting_approval")
    reply = (await world.call("say", runId=run_id, text="better in two steps"))["reply"]
    assert reply == "Noted; it goes along with the next turn."
    while len(model.of(Phase.PLANNING)) < 2:
        await asyncio.sleep(0.001)
    assert "do it in two steps" in texts(model.of(Phase.PLANNING)[1])


async def test_an_answer_that_takes_long_comes_later(make: Make) -> None:
    model = busy(turn("Now I know."))
    world = make(model)
    run_id = await at_work(world, model)
    model.hold[Phase.CHAT] = asyncio.Event()
    assert await world.call("say", runId=run_id, text="and?") == {"pending": True}
    model.hold[Phase.CHAT].set()
    while not world.told("said"):
        await asyncio.sleep(0.001)
    assert world.told("said") == [{"runId": run_id, "text": "and?", "reply": "Now I know."}]


async def test_a_change_on_offer_can_be_talked_about_and_is_not_changed_by_it(make: Make) -> None:
    model = ScriptedModel(execution=GOOD, chat=[turn("It sets the value.", call("pass_on", words="never mind"))])
    world = make(model)
    run_id = await world.run()
    await world.until(run_id, "proposed")
    assert (await world.call("say", runId=run_id, text="what does it do?"))["reply"] == "It sets the value."
    [asked] = model.of(Phase.CHAT)
    assert asked.tools == ()
    assert "accept the change" in texts(asked)
    assert world.states(run_id)[-1] == "proposed"


async def test_where_nobody_answers_the_words_go_to_the_run_itself(make: Make) -> None:
    model = busy()
    world = make(model)
    run_id = await at_work(world, model)
    assert "next turn" in (await world.call("say", runId=run_id, text="mind the comments"))["reply"]
    model.hold[Phase.EXECUTION].set()
    await world.until(run_id, "proposed")
    assert "The person says: mind the comments" in texts(model.of(Phase.EXECUTION)[-1])


async def test_an_empty_answer_is_asked_for_again(make: Make) -> None:
    model = busy(turn("", stop=StopReason.END), turn("Here I am."))
    world = make(model)
    run_id = await at_work(world, model)
    assert (await world.call("say", runId=run_id, text="hello?"))["reply"] == "Here I am."


def test_the_facts_are_the_last_events_in_order_and_bounded() -> None:
    events = [Event("r_1", EventKind.NOTE, {"text": f"{number} " + "x" * 350}) for number in range(200)]
    told = facts([*events, Event("r_1", EventKind.TALK, {"text": "hidden"})])
    assert len(told) <= 24_000
    assert "hidden" not in told
    lines = told.splitlines()
    assert '"199 ' in lines[-1]
    numbers = [int(line.split('"text": "')[1].split()[0]) for line in lines]
    assert numbers == sorted(numbers)
    assert facts([]) == "Nothing has happened yet."


def test_how_a_run_stands_is_said_in_short_sentences() -> None:
    steps = Plan(Assessment.MULTI_STEP, (Step("Read"), Step("Write it.")))
    view = RunView("r_1", "goal", RunState.AWAITING_APPROVAL, 2, 2, message="3 tries so far.")
    assert in_short(view, steps) == ("The run is awaiting approval: 3 tries so far. It is at step 2 of 2: Write it.")
    assert in_short(RunView("r_1", "goal", RunState.PROPOSED, verdict="proven"), None) == (
        "The run is proposed. Its verdict is proven."
    )
