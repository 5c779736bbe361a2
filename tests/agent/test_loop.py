"""Holds the way of a goal to its promises, from the link's `run` to the proposal, with a scripted model."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent_lsp.domain.conversation import ModelTurn, Phase, StopReason
from agent_lsp.domain.errors import ModelUnavailableError, RunnerUnavailableError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ports import Buffer
from agent_lsp.domain.task import Budget, Usage
from agent_lsp.domain.verdict import Decision
from tests.agent.session_world import SessionWorld
from tests.scripted_model import ScriptedModel, call, finish, plan, reflect, texts, turn, wellformed

Make = Callable[..., SessionWorld]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    worlds: list[SessionWorld] = []

    def made(model: ScriptedModel | None, budget: Budget | None = None) -> SessionWorld:
        world = SessionWorld(tmp_path, model, budget)
        world.put("app.py", "value = 0\n")
        world.needs("tests/test_app.py::test_value", "app.py", "value = 1")
        world.needs("tests/test_app.py::test_is_assigned", "app.py", "value =")
        worlds.append(world)
        return world

    yield made
    for world in worlds:
        await world.close()
        assert world.model is None or all(wellformed(request) for request in world.model.requests)


def edit(old: str, new: str, path: str = "app.py") -> ModelTurn:
    return turn(call("edit_file", path=path, old_text=old, new_text=new))


async def test_a_simple_goal_becomes_a_proven_proposal_in_one_step(make: Make) -> None:
    model = ScriptedModel(execution=[edit("value = 0", "value = 1"), finish("The value is 1 now.")])
    world = make(model)
    row = await world.finished(goal="set the value")
    assert (row["state"], row["verdict"], row["step"], row["steps"]) == ("proposed", "proven", 1, 1)
    assert row["usage"]["turns"] == 3
    assert row["usage"]["inputTokens"] == 300
    data = await world.call("proposal", proposalId=row["proposalId"])
    assert data["summary"] == "The value is 1 now."
    assert "+value = 1" in data["diff"]
    assert (world.root / "app.py").read_text() == "value = 0\n"
    assert not model.of(Phase.REFLECTION), "there was nothing to judge"
    assert world.states() == ["planning", "executing", "validating", "proposed"]
    assert world.pool.left_open == 0


async def test_the_proposal_is_published_before_the_run_is_proposed(make: Make) -> None:
    world = make(ScriptedModel(execution=[edit("value = 0", "value = 1"), finish()]))
    await world.finished()
    names = [
        name for name, data in world.events if name == "proposal" or (name, data.get("state")) == ("run", "proposed")
    ]
    assert names == ["proposal", "run"]
    last = world.told("progress")[-1]
    assert (last["runId"], last["state"]) == (world.told("run")[0]["runId"], "proposed")
    assert (last["step"], last["percentage"]) == (1, 100)
    shares = [data["percentage"] for data in world.told("progress")]
    assert shares == sorted(shares)


async def test_every_arrow_is_in_the_journal(make: Make) -> None:
    world = make(ScriptedModel(execution=[edit("value = 0", "value = 1"), finish()]))
    await world.finished()
    kinds = world.journal.kinds()
    wanted = [
        EventKind.RUN_STARTED, EventKind.SNAPSHOT, EventKind.PLAN, EventKind.STEP_STARTED, EventKind.TOOL_CALLED,
        EventKind.POLICY, EventKind.TOOL_ANSWERED, EventKind.STEP_ENDED, EventKind.VALIDATION, EventKind.PROPOSAL,
    ]  # fmt: skip
    after_planning = kinds[kinds.index(EventKind.STEP_STARTED) :]
    assert [kind for kind in wanted if kind in kinds] == wanted
    assert after_planning.index(EventKind.TOOL_CALLED) < after_planning.index(EventKind.POLICY)
    assert after_planning.index(EventKind.POLICY) < after_planning.index(EventKind.TOOL_ANSWERED)
    assert EventKind.RUN_ENDED not in kinds, "a proposed run is not over"


async def test_only_execution_offers_writing_tools_and_each_phase_its_own_end(make: Make) -> None:
    model = ScriptedModel(
        execution=[edit("value = 0", "value = 2"), finish(), edit("value = 2", "value = 1"), finish()],
        reflection=[reflect("retry")],
    )
    await make(model).finished(tests=["tests/test_app.py::test_value"])
    reading = ["list_files", "search", "read_file"]
    names = {request.phase: [tool.name for tool in request.tools] for request in model.requests}
    assert names[Phase.PLANNING] == [*reading, "ask_user", "submit_plan"]
    assert names[Phase.REFLECTION] == [*reading, "submit_reflection"]
    assert names[Phase.EXECUTION] == [
        *reading, "edit_file", "write_file", "move_file", "delete_file", "apply_patch", "run_tests", "run_command",
        "ask_user", "finish_step",
    ]  # fmt: skip


async def test_after_failed_tests_the_model_sees_their_output_and_tries_again(make: Make) -> None:
    model = ScriptedModel(
        execution=[edit("value = 0", "value = 2"), finish(), edit("value = 2", "value = 1"), finish("Now right.")],
        reflection=[reflect("retry", "it must be 1, not 2")],
    )
    world = make(model)
    row = await world.finished(tests=["tests/test_app.py::test_value"])
    assert (row["state"], row["verdict"]) == ("proposed", "proven")
    judged = texts(model.of(Phase.REFLECTION)[0])
    assert "tests/test_app.py::test_value wants more" in judged
    assert "+value = 2" in judged
    second = texts(model.of(Phase.EXECUTION)[2])
    assert "tests/test_app.py::test_value wants more" in second
    assert "it must be 1, not 2" in second
    assert world.states().count("reflecting") == 1


async def test_after_three_tries_the_run_fails_and_keeps_its_proposal(make: Make) -> None:
    model = ScriptedModel(
        execution=[
            edit("value = 0", "value = 2"), finish(), edit("value = 2", "value = 3"), finish(),
            edit("value = 3", "value = 4"), finish(),
        ],
        reflection=[reflect("retry"), reflect("retry")],
    )  # fmt: skip
    world = make(model)
    row = await world.finished(tests=["tests/test_app.py::test_value"])
    assert (row["state"], row["verdict"]) == ("failed", "failed")
    assert len(world.gate.calls) == 3
    data = await world.call("proposal", proposalId=row["proposalId"])
    assert "+value = 4" in data["diff"]
    problem = world.told("problems")[-1]["problems"][0]
    assert (problem["path"], problem["line"], problem["severity"]) == ("tests/test_app.py", 4, "error")
    assert "tests/test_app.py::test_value still fails: AssertionError" in problem["message"]
    assert "Traceback" not in row["message"]


async def test_a_change_that_breaks_another_test_is_refused_with_the_test_as_a_problem(make: Make) -> None:
    model = ScriptedModel(execution=[edit("value = 0", "other = 1"), finish()])
    world = make(model, Budget(tries=1))
    row = await world.finished()
    assert (row["state"], row["verdict"]) == ("failed", "regressed")
    assert "passed before the change and fails with it" in world.told("problems")[-1]["problems"][0]["message"]
    answer = await world.call("apply", proposalId=row["proposalId"])
    assert answer["applied"] is False


async def test_tests_that_could_not_tell_end_proposed_as_undecided(make: Make) -> None:
    model = ScriptedModel(execution=[edit("value = 0", "value = 5"), finish()], reflection=[reflect("continue")])
    world = make(model)
    world.gate.decision = Decision.UNDECIDED
    row = await world.finished()
    assert (row["state"], row["verdict"]) == ("proposed", "undecided")
    assert row["proposalId"]


async def test_abort_ends_the_run_failed_with_its_reason(make: Make) -> None:
    model = ScriptedModel(
        execution=[edit("value = 0", "value = 2"), finish()],
        reflection=[reflect("abort", "the goal contradicts itself")],
    )
    row = await make(model).finished(tests=["tests/test_app.py::test_value"])
    assert row["state"] == "failed"
    assert "the goal contradicts itself" in row["message"]


async def test_adapt_replaces_the_steps_that_are_left(make: Make) -> None:
    model = ScriptedModel(
        planning=[plan("First", "Second", "Third")],
        execution=[edit("value = 0", "value = 2"), finish("first"), edit("value = 2", "value = 1"), finish("other")],
        reflection=[reflect("adapt", "one step is enough", "Another way")],
    )
    world = make(model)
    row = await world.finished()
    assert (row["state"], row["step"], row["steps"]) == ("proposed", 2, 2)
    assert [step["title"] for step in world.told("plan")[-1]["steps"]] == ["First", "Another way"]
    assert "one step is enough" in texts(model.of(Phase.EXECUTION)[2])


async def test_a_plan_of_three_steps_is_edited_approved_and_carried_out(make: Make) -> None:
    model = ScriptedModel(
        planning=[plan("One", "Two", "Three")],
        execution=[
            edit("value = 0", "value = 2"), finish("did one"),
            edit("value = 2", "value = 1"), finish("did two"),
            turn(call("write_file", path="notes.md", content="done\n")), finish("did three"),
        ],
        reflection=[reflect("continue"), reflect("continue")],
    )  # fmt: skip
    world = make(model)
    run_id = await world.run(mode="plan")
    row = await world.until(run_id, "awaiting_approval")
    assert (row["step"], row["steps"]) == (0, 3)
    assert world.pool.left_open == 0, "a waiting run holds no candidate"
    assert "1. [ ] **One**" in world.told("plan")[-1]["markdown"]
    steps = [{"title": "One"}, {"title": "Two, edited", "detail": "by the person"}, {"title": "Three"}]
    assert (await world.call("plan_approve", runId=run_id, steps=steps))["state"] == "executing"
    row = await world.until(run_id, "proposed")
    assert row["verdict"] == "proven"
    assert "Two, edited" in texts(model.of(Phase.EXECUTION)[2])
    assert "by the person" in texts(model.of(Phase.EXECUTION)[2])
    summary = (await world.call("proposal", proposalId=row["proposalId"]))["summary"]
    assert summary == "One: did one\nTwo, edited: did two\nThree: did three"
    assert [step["state"] for step in world.told("plan")[-1]["steps"]] == ["done", "done", "done"]
    assert len(model.of(Phase.REFLECTION)) == 2, "the last step was accepted: nothing to judge"


async def test_text_typed_while_the_plan_waited_is_what_the_work_starts_from(make: Make) -> None:
    model = ScriptedModel(execution=[edit("value = 0", "value = 1"), finish()])
    world = make(model)
    run_id = await world.run(mode="plan")
    await world.until(run_id, "awaiting_approval")
    world.editor.documents["app.py"] = Buffer("app.py", 2, "# typed meanwhile\nvalue = 0\n")
    await world.call("plan_approve", runId=run_id)
    row = await world.until(run_id, "proposed")
    data = await world.call("proposal", proposalId=row["proposalId"])
    assert (data["stale"], data["files"][0]["baseVersion"]) == (False, 2)
    assert " # typed meanwhile" in data["diff"]


async def test_a_rejected_plan_with_feedback_is_made_again_and_without_it_ends_the_run(make: Make) -> None:
    model = ScriptedModel(planning=[plan("Bad idea"), plan("Better idea")])
    world = make(model)
    run_id = await world.run(mode="plan")
    await world.until(run_id, "awaiting_approval")
    answer = await world.call("plan_reject", runId=run_id, feedback="use the other module")
    assert answer["state"] == "planning"
    await world.until(run_id, "awaiting_approval")
    second = texts(model.of(Phase.PLANNING)[1])
    assert "use the other module" in second
    assert "Bad idea" in second
    assert world.told("plan")[-1]["steps"][0]["title"] == "Better idea"
    assert (await world.call("plan_reject", runId=run_id))["state"] == "discarded"
    await world.until(run_id, "discarded")
    assert world.journal.kinds()[-1] is EventKind.RUN_ENDED


async def test_a_run_that_changes_nothing_fails_and_says_what_the_model_said(make: Make) -> None:
    model = ScriptedModel(execution=[finish("It is right already.")], reflection=[reflect("continue")])
    row = await make(model).finished()
    assert row["state"] == "failed"
    assert row["message"] == "no change was made: It is right already."
    assert "proposalId" not in row


@pytest.mark.parametrize(
    ("budget", "named"),
    [(Budget(turns=3), "3 turns"), (Budget(tokens=320), "320 tokens"), (Budget(cost_usd=0.025), "0.025 US dollars")],
)
async def test_a_spent_budget_stops_the_run_and_offers_what_was_done(make: Make, budget: Budget, named: str) -> None:
    reading = [turn(call("read_file", path="app.py")) for _ in range(5)]
    model = ScriptedModel(execution=[edit("value = 0", "value = 1"), *reading])
    world = make(model, budget)
    row = await world.finished()
    assert (row["state"], row["verdict"]) == ("proposed", "proven")
    assert named in row["message"]
    assert row["usage"]["turns"] == 3


async def test_a_budget_spent_before_any_change_fails_naming_the_limit(make: Make) -> None:
    dear = turn(call("read_file", path="app.py"), usage=Usage(input_tokens=10, cost_usd=9.0, turns=1))
    model = ScriptedModel(execution=[dear, finish()])
    row = await make(model, Budget(cost_usd=1.0)).finished()
    assert row["state"] == "failed"
    assert "1.0 US dollars" in row["message"]


async def test_steps_that_change_nothing_more_are_not_tested_again(make: Make) -> None:
    model = ScriptedModel(
        planning=[plan("Do", "Look")],
        execution=[edit("value = 0", "value = 1"), finish(), turn(call("read_file", path="app.py")), finish()],
        reflection=[reflect("continue")],
    )
    world = make(model)
    row = await world.finished()
    assert row["state"] == "proposed"
    assert len(world.gate.calls) == 1


async def test_the_goal_and_where_it_comes_from_reach_the_model(make: Make) -> None:
    model = ScriptedModel(execution=[edit("value = 0", "value = 1"), finish()])
    world = make(model)
    world.put("AGENTS.md", "Always use tabs.\n")
    problem = {"path": "app.py", "line": 0, "message": "value is wrong", "source": "pyright", "code": "E1"}
    await world.finished(goal="fix $value", path="app.py", lines={"start": 0, "end": 1}, problems=[problem])
    for phase in (Phase.PLANNING, Phase.EXECUTION):
        first = texts(model.of(phase)[0])
        assert "fix $value" in first
        assert "1\tvalue = 0" in first
        assert "app.py:1: value is wrong (pyright E1)" in first
        assert "Always use tabs." in model.of(phase)[0].system


async def test_a_diagnostic_of_a_failing_test_makes_it_a_goal_test(make: Make) -> None:
    world = make(ScriptedModel(execution=[edit("value = 0", "value = 1"), finish()]))
    test = "tests/test_app.py::test_value"
    await world.finished(problems=[{"path": "tests/test_app.py", "line": 4, "message": "fails", "code": test}])
    assert world.gate.calls[-1][1] == (test,)


async def test_a_model_that_is_down_fails_the_run_with_its_reason(make: Make) -> None:
    world = make(ScriptedModel(planning=[ModelUnavailableError("connection refused") for _ in range(3)]))
    row = await world.finished()
    assert (row["state"], row["message"]) == ("failed", "connection refused")


async def test_a_refusal_in_the_middle_fails_the_run_and_shows_what_was_done(make: Make) -> None:
    refused = turn("I will not go on.", stop=StopReason.REFUSAL)
    model = ScriptedModel(execution=[edit("value = 0", "value = 1"), refused])
    world = make(model)
    row = await world.finished()
    assert row["state"] == "failed"
    assert "I will not go on." in row["message"]
    data = await world.call("proposal", proposalId=row["proposalId"])
    assert (data["verdict"]["decision"], "+value = 1" in data["diff"]) == ("proven", True)


async def test_a_refusal_before_any_change_fails_the_run_with_the_words(make: Make) -> None:
    refused = turn("I cannot help with that.", stop=StopReason.REFUSAL)
    row = await make(ScriptedModel(planning=[refused])).finished()
    assert row["state"] == "failed"
    assert "I cannot help with that." in row["message"]


async def test_a_call_that_fails_the_same_way_three_times_ends_the_step_with_a_reason(make: Make) -> None:
    same = [edit("not there", "x") for _ in range(3)]
    model = ScriptedModel(execution=same, reflection=[reflect("abort", "the file is not what I thought")])
    world = make(model)
    row = await world.finished()
    assert row["state"] == "failed"
    assert "not what I thought" in row["message"]
    judged = texts(model.of(Phase.REFLECTION)[0])
    assert "the identical call edit_file app.py failed 3 times" in judged


async def test_a_step_that_was_stuck_can_be_tried_another_way(make: Make) -> None:
    same = [edit("not there", "x") for _ in range(3)]
    model = ScriptedModel(
        execution=[*same, turn(call("write_file", path="app.py", content="value = 1\n")), finish()],
        reflection=[reflect("retry", "write the file whole")],
    )
    row = await make(model).finished()
    assert (row["state"], row["verdict"]) == ("proposed", "proven")


async def test_no_plan_although_reminded_makes_the_goal_the_one_step(make: Make) -> None:
    model = ScriptedModel(
        planning=[turn("I would just do it."), turn("Really, just do it.")],
        execution=[edit("value = 0", "value = 1"), finish()],
    )
    world = make(model)
    row = await world.finished(goal="set the value")
    assert (row["state"], row["steps"]) == ("proposed", 1)
    assert world.told("plan")[0]["steps"][0]["title"] == "set the value"


async def test_no_decision_although_reminded_tries_again_what_is_not_good(make: Make) -> None:
    model = ScriptedModel(
        execution=[edit("value = 0", "value = 2"), finish(), edit("value = 2", "value = 1"), finish()],
        reflection=[turn("Hm."), turn("It is wrong.")],
    )
    row = await make(model).finished(tests=["tests/test_app.py::test_value"])
    assert (row["state"], row["verdict"]) == ("proposed", "proven")
    assert "It is wrong." in texts(model.of(Phase.EXECUTION)[2])


async def test_tests_that_cannot_be_started_leave_the_change_undecided_with_the_reason(make: Make) -> None:
    model = ScriptedModel(execution=[edit("value = 0", "value = 1"), finish()], reflection=[reflect("continue")])
    world = make(model)
    world.gate.fails = RunnerUnavailableError("no pytest here", hint="install it")
    row = await world.finished()
    assert (row["state"], row["verdict"]) == ("proposed", "undecided")
    data = await world.call("proposal", proposalId=row["proposalId"])
    assert "no pytest here" in data["verdict"]["reasons"][0]
