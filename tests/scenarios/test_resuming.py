"""Runs that outlive their process, seen from an editor: plans and questions that wait, bases that moved meanwhile."""

from pathlib import Path

import pytest

from tests.anthropic_server import (
    AnthropicServer,
    Call,
    ParsedRequest,
    Reply,
    calls,
    edit,
    finish,
    http_error,
    plan,
    reflect,
)
from tests.scenarios.conftest import Stage
from tests.scenarios.looking import editor_on, eventually, journalled, runtimes, strays
from tests.scenarios.scene import CALC, PROJECT, Scene

GOAL_TEST = "tests/test_add.py::test_add"


def scripted(request: ParsedRequest) -> Reply:
    """The same answer to the same question, whoever asks it again: asks, changes, finishes."""
    said = sum(1 for message in request.messages if message["role"] == "assistant")
    if request.phase == "planning":
        return plan("Mend add")
    if request.phase == "reflection":
        return reflect("retry")
    return [
        calls(edit("calc.py", "return a - b", "return a + b")),
        calls(Call("ask_user", {"question": "Is that all?", "options": ["yes", "no"]})),
        calls(finish("mended")),
    ][said]


def turns(scene: Scene) -> int:
    """How many requests the model got."""
    assert scene.model is not None
    return len(scene.model.requests)


async def kill_server(scene: Scene) -> None:
    """kill -9 of the server; its runtime dies with it."""
    scene.client.process.kill()
    await eventually(lambda: not runtimes(scene) and not strays(scene))


async def resumed(scene: Scene, said: str = "Resumed: make add add") -> None:
    """Returns once the new server has told of the run."""
    await scene.client.wait_for("window/showMessage", lambda row: row["message"].startswith(said))


async def test_a_plan_and_a_question_wait_over_kills_and_no_turn_is_paid_again(stage: Stage) -> None:
    scene = await stage(brain=scripted)
    run_id = await scene.run("make add add", mode="plan", tests=[GOAL_TEST])
    await scene.until(run_id, "awaiting_approval")
    await journalled(scene.root, run_id, "plan")
    await kill_server(scene)

    async with editor_on(scene.root, scene.model) as second:
        await second.client.wait_for("agent/plan", lambda row: row["runId"] == run_id)
        assert (await second.until(run_id, "awaiting_approval"))["usage"]["turns"] == 1
        answer = await second.client.command("agent.plan.approve", {"runId": run_id})
        assert answer["state"] == "executing"
        await second.until(run_id, "blocked")
        await journalled(second.root, run_id, "question")
        await kill_server(second)

    async with editor_on(scene.root, scene.model) as third:
        asked = await third.client.wait_for("window/showMessageRequest", lambda row: "Is that all?" in row["message"])
        assert [action["title"] for action in asked["actions"]] == ["yes", "no"]
        await third.until(run_id, "blocked")
        await third.client.command("agent.answer", {"runId": run_id, "answer": "yes"})
        row = await third.until(run_id, "proposed")
        assert (row["verdict"], row["usage"]["turns"]) == ("proven", 4)
        assert turns(scene) == 4
        assert "+    return a + b" in (await third.proposal(run_id))["diff"]
        assert await third.client.close() == 0
    assert (scene.root / "calc.py").read_text() == CALC


async def test_who_answered_is_known_after_a_kill(stage: Stage, tmp_path: Path) -> None:
    with AnthropicServer(scripted) as other:
        person = tmp_path / "person.toml"
        person.write_text(
            f'[endpoints.other]\nname = "large"\nbase_url = "{other.url}"\n[tiers]\nmid = ["default", "other"]\n'
        )
        env = {"AGENT_LSP_CONFIG": str(person)}
        scene = await stage(brain=lambda _: http_error(503), env=env)
        run_id = await scene.run("make add add", mode="plan", tests=[GOAL_TEST])
        assert (await scene.until(run_id, "awaiting_approval"))["model"] == "large"
        await journalled(scene.root, run_id, "plan")
        await kill_server(scene)

        async with editor_on(scene.root, scene.model, env=env) as second:
            await second.client.wait_for("agent/plan", lambda row: row["runId"] == run_id)
            assert (await second.until(run_id, "awaiting_approval"))["model"] == "large", "of a turn that is skipped"
            await second.client.command("agent.plan.approve", {"runId": run_id})
            await second.until(run_id, "blocked")
            await journalled(second.root, run_id, "question")
            await kill_server(second)

        async with editor_on(scene.root, scene.model, env=env) as third:
            await third.client.wait_for("window/showMessageRequest", lambda row: "Is that all?" in row["message"])
            assert (await third.until(run_id, "blocked"))["model"] == "large", "of a turn that is told again"
            assert await third.client.close() == 0


async def test_a_change_is_merged_with_what_moved_meanwhile_and_the_model_hears_of_it(stage: Stage) -> None:
    scene = await stage(brain=scripted)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    await scene.until(run_id, "blocked")
    await journalled(scene.root, run_id, "question")
    assert await scene.client.close() == 0  # an orderly end interrupts a run, and does not end it
    moved = CALC.replace("return a * 2", "return a + a")
    (scene.root / "calc.py").write_text(moved)

    async with editor_on(scene.root, scene.model) as later:
        await resumed(later)
        await later.until(run_id, "blocked")
        await later.client.command("agent.answer", {"runId": run_id, "answer": "yes"})
        assert (await later.until(run_id, "proposed"))["verdict"] == "proven"
        proposal = await later.proposal(run_id)
        answer = await later.apply(proposal["proposalId"])
        assert answer["applied"] is True, answer
        assert scene.model is not None
        assert "meanwhile the person changed calc.py" in scene.model.requests[-1].text
        assert await later.client.close() == 0
    assert (scene.root / "calc.py").read_text() == moved.replace("a - b", "a + b")


async def test_a_change_that_no_longer_fits_ends_its_run_and_can_be_read(stage: Stage) -> None:
    scene = await stage(brain=scripted)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    await scene.until(run_id, "blocked")
    await journalled(scene.root, run_id, "question")
    await kill_server(scene)
    (scene.root / "calc.py").write_text(CALC.replace("return a - b", "return b - a"))

    async with editor_on(scene.root, scene.model) as later:
        await resumed(later)
        row = await later.until(run_id, "failed")
        assert row["message"].startswith(
            "the files changed while the run was interrupted, and its change no longer fits"
        )
        notes = await journalled(later.root, run_id, "note", 2)
        assert any("+    return a + b" in note.get("diff", "") for note in notes)
        assert turns(scene) == 3
        assert await later.client.close() == 0


async def test_with_ask_a_run_comes_back_paused_and_with_never_it_is_closed(stage: Stage) -> None:
    scene = await stage(brain=scripted)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    await scene.until(run_id, "blocked")
    await journalled(scene.root, run_id, "question")
    await kill_server(scene)
    asking = {"AGENT_LSP_RUNS__RESUME": "ask"}
    async with editor_on(scene.root, scene.model, env=asking) as later:
        await later.client.wait_for(
            "window/showMessage", lambda row: row["message"].startswith("Interrupted: make add")
        )
        await later.until(run_id, "blocked", "paused")
        assert await later.client.close() == 0
    async with editor_on(scene.root, scene.model, env={"AGENT_LSP_RUNS__RESUME": "never"}) as last:
        [ended] = await journalled(last.root, run_id, "run.ended")
        assert ended == {"state": "failed", "reason": "the runtime ended unexpectedly"}
        assert await last.client.close() == 0
    assert turns(scene) == 3


@pytest.mark.parametrize("first_part", ["ends", "loses its model"])
async def test_a_run_sent_back_with_words_goes_on_after_a_kill_with_all_that_was_said_in_it(
    stage: Stage, first_part: str
) -> None:
    asked: list[ParsedRequest] = []

    def talkative(request: ParsedRequest) -> Reply:
        asked.append(request)
        if request.phase == "planning":
            return plan("Mend add")
        told = "say why" in request.text
        said = sum(1 for message in request.messages if message["role"] == "assistant")
        if not told and said == 1 and first_part == "loses its model":
            return http_error(400, message="odd")
        if not told:
            fix = edit("calc.py", "return a - b", "return a + b")
            return [calls(fix, Call("run_command", {"command": "echo built > out.log"})), calls(finish("mended"))][said]
        return [
            calls(edit("calc.py", "return a + b", "return a + b  # a sum")),
            calls(Call("ask_user", {"question": "Is that all?", "options": []})),
            calls(finish("said why")),
        ][said - (2 if first_part == "ends" else 1)]

    files = {**PROJECT, ".gitignore": "out.log\n"}
    scene = await stage(files, brain=talkative)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed", "failed")
    await scene.client.command("agent.discard", {"proposalId": row["proposalId"], "feedback": "say why"})
    await scene.until(run_id, "blocked")
    await journalled(scene.root, run_id, "question")
    count = len(asked)
    await kill_server(scene)

    async with editor_on(scene.root, scene.model) as later:
        await resumed(later)
        await later.until(run_id, "blocked")
        await later.client.command("agent.answer", {"runId": run_id, "answer": "yes"})
        row = await later.until(run_id, "proposed")
        assert len(asked) == count + 1, "no turn is asked for again"
        last = asked[-1].text
        assert "return a - b" in last or "Edited calc.py" in last
        assert last.index("make add add") < last.index("say why") < last.index("The person answers: yes")
        assert (row["verdict"], row["usage"]["turns"]) == ("proven", count + 1 - (first_part != "ends"))
        assert "+    return a + b  # a sum" in (await later.proposal(run_id))["diff"]
        assert await later.client.close() == 0
