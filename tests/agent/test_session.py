"""Holds the session's calls to their promises: steering, talking, cancelling, several runs, and wrong input."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent_lsp.agent.engines import Engines, PlanTask, ReflectionTask, StepOutcome, StepTask
from agent_lsp.agent.tools.submit_plan import plan_of
from agent_lsp.domain.conversation import ModelRequest, ModelTurn, Phase
from agent_lsp.domain.errors import BadArgumentError, NoModelError, RefusedError, UnknownIdError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.plan import Plan, Reflection, ReflectionDecision, Step
from agent_lsp.domain.task import Budget
from agent_lsp.link.messages import CALLS
from tests.agent.session_world import SessionWorld
from tests.scripted_model import ScriptedModel, call, finish, plan, reflect, results, texts, turn

Make = Callable[..., SessionWorld]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    worlds: list[SessionWorld] = []

    def made(model: ScriptedModel | None, budget: Budget | None = None) -> SessionWorld:
        world = SessionWorld(tmp_path, model, budget)
        world.put("app.py", "value = 0\n")
        world.put("other.py", "x = 0\n")
        world.needs("tests/test_app.py::test_value", "app.py", "value = 1")
        worlds.append(world)
        return world

    yield made
    for world in worlds:
        await world.close()


def edit(old: str, new: str, path: str = "app.py") -> ModelTurn:
    return turn(call("edit_file", path=path, old_text=old, new_text=new))


GOOD = (edit("value = 0", "value = 1"), finish())


async def test_every_call_of_the_link_has_a_handler(make: Make) -> None:
    assert set(make(ScriptedModel()).calls) == set(CALLS) - {"models"}, "which app answers"


# --- cancelling --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.PLANNING, Phase.EXECUTION, Phase.REFLECTION])
async def test_cancelling_while_a_model_thinks_ends_the_run_at_once(make: Make, phase: Phase) -> None:
    model = ScriptedModel(execution=[edit("value = 0", "value = 2"), finish()], reflection=[reflect("abort")])
    world = make(model)
    model.hold[phase] = asyncio.Event()
    run_id = await world.run(tests=["tests/test_app.py::test_value"])
    while not model.of(phase):
        await asyncio.sleep(0.001)
    await cancelled_quickly(world, run_id)


async def test_cancelling_while_a_command_runs_kills_the_command(make: Make, tmp_path: Path) -> None:
    mark = tmp_path.parent / f"{tmp_path.name}-mark"
    command = f"echo $$ > {mark}; exec sleep 60"
    model = ScriptedModel(execution=[turn(call("run_command", command=command))])
    world = make(model)
    run_id = await world.run()
    while not (mark.exists() and mark.read_text().strip()):
        await asyncio.sleep(0.005)
    await cancelled_quickly(world, run_id)
    assert not Path("/proc", mark.read_text().strip()).exists()


async def test_cancelling_while_the_tests_run_ends_the_run_at_once(make: Make) -> None:
    world = make(ScriptedModel(execution=GOOD))
    world.gate.held = asyncio.Event()
    run_id = await world.run()
    await world.gate.begun.wait()
    assert (await world.until(run_id, "validating"))["state"] == "validating"
    await cancelled_quickly(world, run_id)


async def test_cancelling_while_the_plan_waits_or_a_question_waits_ends_the_run(make: Make) -> None:
    model = ScriptedModel(planning=[plan("One"), plan("One")], execution=[turn(call("ask_user", question="Which?"))])
    world = make(model)
    waiting = await world.run(mode="plan")
    await world.until(waiting, "awaiting_approval")
    await cancelled_quickly(world, waiting)
    asking = await world.run()
    await world.until(asking, "blocked")
    await cancelled_quickly(world, asking)


async def test_cancelling_while_paused_ends_the_run(make: Make) -> None:
    model = ScriptedModel(execution=GOOD)
    world = make(model)
    model.hold[Phase.EXECUTION] = asyncio.Event()
    run_id = await world.run()
    await world.until(run_id, "executing")
    assert (await world.call("control", runId=run_id, action="pause"))["state"] == "paused"
    await cancelled_quickly(world, run_id)


async def test_cancelling_a_proposed_run_takes_its_proposal_away(make: Make) -> None:
    world = make(ScriptedModel(execution=GOOD))
    row = await world.finished()
    await cancelled_quickly(world, row["runId"])
    assert world.told("proposal_closed")[-1]["proposalId"] == row["proposalId"]
    answer = await world.call("apply", proposalId=row["proposalId"])
    assert answer["applied"] is False


async def test_cancelling_twice_or_after_the_end_is_harmless(make: Make) -> None:
    world = make(ScriptedModel(execution=[finish()], reflection=[reflect("abort", "no")]))
    row = await world.finished()
    assert (await world.call("control", runId=row["runId"], action="cancel"))["state"] == "failed"


async def cancelled_quickly(world: SessionWorld, run_id: str) -> None:
    started = time.monotonic()
    answer = await world.call("control", runId=run_id, action="cancel")
    assert answer == {"state": "cancelled"}
    assert time.monotonic() - started < 1.0
    assert world.pool.left_open == 0
    assert world.states(run_id)[-1] == "cancelled"
    assert world.journalled(EventKind.RUN_ENDED)[-1]["state"] == "cancelled"
    assert not [name for name, _ in world.events if name == "message"]


async def test_a_run_cancelled_before_it_began_is_cancelled_too(make: Make) -> None:
    world = make(ScriptedModel())
    await cancelled_quickly(world, await world.run())


async def test_stop_ends_all_runs_and_closes_all_candidates(make: Make) -> None:
    model = ScriptedModel(planning=[plan("One"), plan("One")])
    world = make(model)
    model.hold[Phase.EXECUTION] = asyncio.Event()
    ids = [await world.run(), await world.run()]
    while len(model.of(Phase.EXECUTION)) < 2:
        await asyncio.sleep(0.001)
    assert world.pool.left_open == 2
    assert await world.call("stop") == {}
    assert world.pool.left_open == 0
    assert [row["state"] for row in (await world.call("status"))["runs"]] == ["cancelled", "cancelled"]
    assert [world.states(run_id)[-1] for run_id in ids] == ["cancelled", "cancelled"]


# --- pausing and talking -----------------------------------------------------------------------------------------


async def test_a_paused_run_stands_still_until_it_is_resumed(make: Make) -> None:
    model = ScriptedModel(execution=GOOD)
    world = make(model)
    model.hold[Phase.PLANNING] = asyncio.Event()
    run_id = await world.run()
    await model.asked.wait()
    assert (await world.call("control", runId=run_id, action="pause"))["state"] == "paused"
    model.hold[Phase.PLANNING].set()
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert not model.of(Phase.EXECUTION)
    assert world.told("run")[-1]["state"] == "paused"
    assert (await world.call("control", runId=run_id, action="resume"))["state"] in ("planning", "executing")
    await world.until(run_id, "proposed")


async def test_step_runs_one_step_of_the_plan_and_pauses(make: Make) -> None:
    model = ScriptedModel(
        planning=[plan("One", "Two")],
        execution=[*GOOD, edit("x = 0", "x = 1", "other.py"), finish()],
        reflection=[reflect("continue")],
    )
    world = make(model)
    run_id = await world.run(mode="plan")
    await world.until(run_id, "awaiting_approval")
    assert (await world.call("control", runId=run_id, action="step"))["state"] == "executing"
    row = await world.until(run_id, "paused")
    assert len(model.of(Phase.EXECUTION)) == 2
    assert row["steps"] == 2
    await world.call("control", runId=run_id, action="step")
    await world.until(run_id, "proposed")


async def test_what_the_person_says_goes_along_with_the_next_turn(make: Make) -> None:
    model = ScriptedModel(execution=[turn(call("read_file", path="app.py")), *GOOD])
    world = make(model)
    model.hold[Phase.EXECUTION] = asyncio.Event()
    run_id = await world.run()
    while not model.of(Phase.EXECUTION):
        await asyncio.sleep(0.001)
    reply = (await world.call("say", runId=run_id, text="mind the comments"))["reply"]
    assert "next turn" in reply
    model.hold[Phase.EXECUTION].set()
    await world.until(run_id, "proposed")
    assert "The person says: mind the comments" in texts(model.of(Phase.EXECUTION)[1])
    assert "mind the comments" not in texts(model.of(Phase.EXECUTION)[0])


async def test_a_question_blocks_the_run_until_it_is_answered(make: Make) -> None:
    model = ScriptedModel(execution=[turn(call("ask_user", question="Which one?", options=["a", "b"])), *GOOD])
    world = make(model)
    run_id = await world.run()
    await world.until(run_id, "blocked")
    assert world.told("blocked") == [{"runId": run_id, "question": "Which one?", "options": ["a", "b"]}]
    told = [(name, data.get("state")) for name, data in world.events if name in ("run", "blocked")]
    assert told[-2:] == [("run", "blocked"), ("blocked", None)], "who hears of the question finds the run blocked"
    with pytest.raises(RefusedError):
        await world.call("control", runId=run_id, action="pause")
    assert (await world.call("answer", runId=run_id, answer="b"))["state"] == "executing"
    await world.until(run_id, "proposed")
    assert results(model.of(Phase.EXECUTION)[1])[0].text == "The person answers: b"
    with pytest.raises(RefusedError, match="asks nothing"):
        await world.call("answer", runId=run_id, answer="c")


async def test_a_plan_that_depends_on_the_person_asks_before_it_is_made(make: Make) -> None:
    asks = turn(call("ask_user", question="By tabs or by spaces?", options=["tabs", "spaces"]))
    model = ScriptedModel(planning=[asks, plan("Use tabs")], execution=GOOD)
    world = make(model)
    run_id = await world.run(mode="plan")
    await world.until(run_id, "blocked")
    assert world.told("blocked")[0]["options"] == ["tabs", "spaces"]
    await world.call("answer", runId=run_id, answer="tabs")
    await world.until(run_id, "awaiting_approval")
    assert results(model.of(Phase.PLANNING)[1])[0].text == "The person answers: tabs"


async def test_saying_something_to_a_blocked_run_answers_its_question(make: Make) -> None:
    model = ScriptedModel(execution=[turn(call("ask_user", question="Which?")), *GOOD])
    world = make(model)
    run_id = await world.run()
    await world.until(run_id, "blocked")
    assert "answer" in (await world.call("say", text="the first"))["reply"]
    await world.until(run_id, "proposed")


async def test_saying_something_when_nothing_runs_tells_what_to_do_instead(make: Make) -> None:
    world = make(ScriptedModel(execution=GOOD))
    assert "agent.run" in (await world.call("say", text="hello"))["reply"]
    row = await world.finished()
    assert "Discard it with feedback" in (await world.call("say", runId=row["runId"], text="hm"))["reply"]


# --- after the proposal ------------------------------------------------------------------------------------------


async def test_applying_and_discarding_move_the_run(make: Make) -> None:
    model = ScriptedModel(
        planning=[plan("One"), plan("Two")], execution=[*GOOD, edit("x = 0", "x = 1", "other.py"), finish()]
    )
    world = make(model)
    first, second = await world.finished(), await world.finished()
    answer = await world.call("apply", proposalId=first["proposalId"])
    assert answer["applied"] is True
    assert (world.root / "app.py").read_text() == "value = 1\n"
    await world.until(first["runId"], "applied")
    assert await world.call("discard", proposalId=second["proposalId"]) == {"state": "discarded"}
    await world.until(second["runId"], "discarded")
    ends = [data["state"] for data in world.journalled(EventKind.RUN_ENDED)]
    assert ends == ["applied", "discarded"]


async def test_discarding_with_feedback_goes_on_from_what_was_done(make: Make) -> None:
    model = ScriptedModel(execution=[*GOOD, edit("value = 1", "value = 1  # the one"), finish("With a comment.")])
    world = make(model)
    first = await world.finished()
    world.put("other.py", "x = 5\n")
    answer = await world.call("discard", proposalId=first["proposalId"], feedback="say why it is 1")
    assert answer == {"state": "executing"}
    row = await world.until(first["runId"], "proposed")
    assert row["proposalId"] != first["proposalId"]
    assert "say why it is 1" in texts(model.of(Phase.EXECUTION)[2])
    data = await world.call("proposal", proposalId=row["proposalId"])
    assert "+value = 1  # the one" in data["diff"]
    assert "-value = 0" in data["diff"]
    assert "discarded" not in world.states(first["runId"]), "a run that goes on was never over"
    assert [entry["proposalId"] for entry in world.told("proposal_closed")] == [first["proposalId"]]


async def test_discarding_some_hunks_with_feedback_goes_on_without_them(make: Make) -> None:
    more = turn(call("write_file", path="extra.py", content="extra = 1\n"))
    model = ScriptedModel(
        execution=[GOOD[0], more, finish(), turn(call("read_file", path="app.py")), finish("No extra file.")]
    )
    world = make(model)
    first = await world.finished()
    data = await world.call("proposal", proposalId=first["proposalId"])
    extra = next(file for file in data["files"] if file["path"] == "extra.py")["hunks"][0]["id"]
    await world.call("discard", proposalId=first["proposalId"], hunks=[extra], feedback="no extra file")
    row = await world.until(first["runId"], "proposed")
    diff = (await world.call("proposal", proposalId=row["proposalId"]))["diff"]
    assert "value = 1" in diff
    assert "extra" not in diff
    closed = [entry["proposalId"] for entry in world.told("proposal_closed")]
    assert closed == [first["proposalId"]], "the earlier proposal does not stay beside the new one"


async def test_a_new_verdict_of_the_proposal_is_in_the_row(make: Make) -> None:
    world = make(ScriptedModel(execution=GOOD))
    row = await world.finished()
    world.needs("tests/test_app.py::test_other", "other.py", "x = 0")
    world.put("other.py", "x = 9\n")
    del world.gate.checks["tests/test_app.py::test_value"]
    await world.call("revalidate", proposalId=row["proposalId"])
    assert (await world.until(row["runId"], "proposed"))["verdict"] == "passed"


# --- several runs, crashes, wrong input ----------------------------------------------------------------------------


async def test_two_runs_work_at_once_in_candidates_of_their_own(make: Make) -> None:
    def by_goal(request: ModelRequest) -> ModelTurn:
        mine = "goal one" in texts(request)
        return GOOD[0] if mine else edit("x = 0", "x = 1", "other.py")

    model = ScriptedModel(planning=[plan("One"), plan("Two")], execution=[by_goal, by_goal, finish(), finish()])
    world = make(model)
    one, two = await world.run("goal one"), await world.run("goal two")
    assert one != two
    rows = [await world.until(one, "proposed"), await world.until(two, "proposed")]
    diffs = [(await world.call("proposal", proposalId=row["proposalId"]))["diff"] for row in rows]
    assert ["value = 1" in diff for diff in diffs] == [True, False]
    assert ["x = 1" in diff for diff in diffs] == [False, True]


async def test_a_run_that_crashes_fails_with_the_reason_and_is_logged(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedModel(planning=[ZeroDivisionError("a bug of ours")])
    world = make(model)
    with caplog.at_level(logging.ERROR):
        row = await world.finished()
    assert row["state"] == "failed"
    assert "a bug of ours" in row["message"]
    assert "a bug of ours" in caplog.text
    assert world.pool.left_open == 0


async def test_without_a_model_a_goal_is_refused_with_the_ways_to_configure_one(make: Make) -> None:
    world = make(None)
    with pytest.raises(NoModelError) as refused:
        await world.run("write a poem")
    assert "ANTHROPIC_API_KEY" in refused.value.hint
    assert (await world.call("status"))["runs"] == []


class Search:
    """An engine without a model that knows one edit."""

    async def plan(self, task: PlanTask) -> Plan:
        return plan_of([Step("Search")])

    async def execute(self, task: StepTask) -> StepOutcome:
        entry = await task.candidate.read("app.py")
        assert entry is not None
        await task.candidate.write("app.py", type(entry)(b"value = 1\n", entry.mode))
        task.tell("trying", 50.0)
        return StepOutcome("Found by search.", True, goal_tests=("tests/test_app.py::test_value",))

    async def reflect(self, task: ReflectionTask) -> Reflection:
        return Reflection(ReflectionDecision.ABORT, "nothing else to try")


async def test_an_engine_without_a_model_serves_through_the_same_loop(make: Make) -> None:
    world = make(None)
    search = Search()
    world.embedded = Engines("embedded", search, search, search, listens=False)
    row = await world.finished(goal="make the failing tests pass")
    assert (row["state"], row["verdict"], row["usage"]["turns"]) == ("proposed", "proven", 0)
    assert world.gate.calls[-1][1] == ("tests/test_app.py::test_value",)
    assert (await world.call("proposal", proposalId=row["proposalId"]))["summary"] == "Found by search."


@pytest.mark.parametrize(
    ("name", "args", "named"),
    [
        ("run", {}, "goal"),
        ("run", {"goal": "  "}, "empty"),
        ("run", {"goal": 7}, "goal"),
        ("run", {"goal": "x", "path": "../etc/passwd"}, "leaves the workspace"),
        ("run", {"goal": "x", "mode": "yolo"}, "mode"),
        ("run", {"goal": "x", "lines": {"start": -1, "end": 2}}, "lines.start"),
        ("run", {"goal": "x", "tests": "one"}, "tests"),
        ("control", {"runId": "r_1", "action": "explode"}, "action"),
        ("control", {"action": "cancel"}, "runId"),
        ("say", {"text": ""}, "text"),
        ("plan_approve", {"runId": "r_1", "steps": [{"detail": "no title"}]}, "title"),
        ("plan_approve", {"runId": "r_1", "steps": []}, "steps"),
        ("trust", {"trusted": "perhaps"}, "trusted"),
        ("configure", {"settings": 3}, "settings"),
    ],
)
async def test_wrong_arguments_are_told_by_name(make: Make, name: str, args: dict[str, object], named: str) -> None:
    world = make(ScriptedModel())
    with pytest.raises(BadArgumentError) as wrong:
        await world.call(name, **args)
    assert named in wrong.value.message
    assert wrong.value.hint


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("status", {"runId": "r_nope"}),
        ("control", {"runId": "r_nope", "action": "cancel"}),
        ("plan_approve", {"runId": "r_nope"}),
        ("plan_reject", {"runId": "r_nope"}),
        ("answer", {"runId": "r_nope", "answer": "a"}),
        ("say", {"runId": "r_nope", "text": "a"}),
        ("discard", {"proposalId": "p_nope", "feedback": "again"}),
    ],
)
async def test_unknown_ids_are_told_with_a_hint(make: Make, name: str, args: dict[str, object]) -> None:
    with pytest.raises(UnknownIdError) as unknown:
        await make(ScriptedModel()).call(name, **args)
    assert unknown.value.hint


async def test_what_does_not_fit_the_state_is_refused_with_a_hint(make: Make) -> None:
    world = make(ScriptedModel(execution=GOOD))
    row = await world.finished(runId="r_mine")
    assert row["runId"] == "r_mine"
    with pytest.raises(BadArgumentError, match="already is a run r_mine"):
        await world.run(runId="r_mine")
    for name, args in (
        ("plan_approve", {}),
        ("plan_reject", {}),
        ("control", {"action": "pause"}),
        ("control", {"action": "step"}),
    ):
        with pytest.raises(RefusedError) as refused:
            await world.call(name, runId="r_mine", **args)
        assert refused.value.hint


async def test_trust_and_settings_are_handed_to_whoever_owns_them(make: Make) -> None:
    world = make(ScriptedModel())
    assert await world.call("trust", trusted=True) == {"trusted": True}
    assert await world.call("configure", settings={"budget": {"tries": 1}}) == {}
    assert (world.trusted, world.settings) == ([True], [{"budget": {"tries": 1}}])


async def test_the_plan_of_a_paused_run_is_edited_from_the_next_step_on(tmp_path: Path) -> None:
    model = ScriptedModel(
        planning=[plan("First", "Second", "Third")],
        execution=[turn(call("write_file", path="a.py", content="one")), finish("one"), finish("two")],
        reflection=[reflect("continue")],
    )
    world = SessionWorld(tmp_path, model)
    world.needs("t::a", "a.py", "one")
    world.put("b.py", "there\n")
    hold = model.hold[Phase.EXECUTION] = asyncio.Event()
    run_id = await world.run()
    await world.until(run_id, "executing")
    with pytest.raises(RefusedError):
        await world.call("plan_approve", runId=run_id, steps=[{"title": "Other"}])
    await world.call("control", runId=run_id, action="pause")
    answer = await world.call("plan_approve", runId=run_id, steps=[{"title": "Not this"}, {"title": "Only this"}])
    assert answer == {"state": "paused"}
    assert [step["title"] for step in world.told("plan")[-1]["steps"]] == ["First", "Only this"]
    hold.set()
    await world.call("control", runId=run_id, action="resume")
    assert (await world.until(run_id, "proposed"))["steps"] == 2
    assert "2. [now] Only this" in texts(model.of(Phase.EXECUTION)[-1])
    await world.close()


async def said_by(world: SessionWorld, run_id: str, message: str) -> bool:
    """Returns once the run's row says this."""
    async with asyncio.timeout(10):
        while (await world.call("status", runId=run_id))["runs"][0].get("message") != message:
            await asyncio.sleep(0.002)
    return True


async def test_runs_beyond_the_limit_wait_their_turn_say_behind_what_and_background_comes_last(tmp_path: Path) -> None:
    model = ScriptedModel(
        planning=[plan("Do it")] * 4,
        execution=[turn(call("write_file", path="a.py", content="one")), finish("one")] * 4,
    )
    world = SessionWorld(tmp_path, model)
    world.parallel = 1
    world.needs("t::a", "a.py", "one")
    hold = model.hold[Phase.EXECUTION] = asyncio.Event()
    first = await world.run("make a", mode="plan")
    await world.until(first, "awaiting_approval")
    second = await world.run("make b")
    await world.until(second, "executing")  # what waits for its person leaves its place to others
    third = await world.run("make c", background=True)
    fourth = await world.run("make d")
    await world.call("plan_approve", runId=first)
    assert await said_by(world, third, "queued behind “make b” and 2 more")
    assert await said_by(world, fourth, "queued behind “make b”")
    assert (await world.call("control", runId=fourth, action="cancel"))["state"] == "cancelled"
    hold.set()
    await world.until(third, "proposed")
    ended = [data["runId"] for data in world.told("run") if data["state"] == "proposed"]
    assert list(dict.fromkeys(ended)) == [second, first, third]
    await world.close()
