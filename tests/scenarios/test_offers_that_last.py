"""What is on offer outlives the process that made it: a killed runtime, a killed server, a closed editor."""

import asyncio
import os
import signal
from pathlib import Path

from tests.anthropic_server import ScriptedBrain, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.scenarios.looking import editor_on, eventually, journal, journalled, runtimes
from tests.scenarios.scene import CALC, WAIT_S, Scene
from tests.server.raw_client import Json

FIX = edit("calc.py", "return a - b", "return a + b")
GOAL_TEST = "tests/test_add.py::test_add"
RIGHT = CALC.replace("a - b", "a + b")


async def offered(scene: Scene) -> Json:
    """A proven proposal on the open document."""
    uri = scene.open("calc.py")
    run_id = await scene.run("make add add", uri=uri, tests=[GOAL_TEST])
    await scene.until(run_id, "proposed")
    return await scene.proposal(run_id)


def kinds(root: Path, run_id: str) -> list[str]:
    return [fact.kind for fact in journal(root, run_id)]


async def test_a_killed_runtime_comes_back_with_its_proposal_and_that_is_applied_once(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(execution=[calls(FIX), calls(finish())]))
    proposal = await offered(scene)
    [dead] = runtimes(scene)

    os.kill(dead, signal.SIGKILL)
    shown = await scene.client.wait_for("window/showMessage", lambda row: "ended by signal 9" in row["message"])
    assert shown["message"].endswith("It is started again, for 1 change(s) on offer.")
    await eventually(lambda: [pid for pid in runtimes(scene) if pid != dead])
    await scene.until(proposal["runId"], "proposed")
    again = await scene.proposal(proposal["runId"])

    for key in ("proposalId", "diff", "summary", "stale", "verdict"):
        assert again[key] == proposal[key], key
    assert (await scene.apply(proposal["proposalId"]))["applied"] is True
    [buffer] = scene.client.buffers.values()
    assert buffer.text == RIGHT
    assert kinds(scene.root, proposal["runId"]).count("apply.done") == 1
    assert len(await journalled(scene.root, proposal["runId"], "run.ended")) == 1
    assert (await scene.status(proposal["runId"]))["state"] == "applied"


async def test_a_killed_server_leaves_its_proposal_to_the_next_one_stale_where_the_file_moved(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(execution=[calls(FIX), calls(finish())]))
    proposal = await offered(scene)
    scene.client.process.kill()
    await eventually(lambda: not runtimes(scene))
    (scene.root / "calc.py").write_text("# moved meanwhile\n" + CALC)

    async with editor_on(scene.root, None) as later:
        await eventually(lambda: any("Accept" in row["message"] for row in reports(later)), WAIT_S)
        await fresh(later, proposal)
        answer = await later.apply(proposal["proposalId"])
        assert answer["applied"] is True, answer
        assert (later.root / "calc.py").read_text() == "# moved meanwhile\n" + RIGHT
        listed = await later.client.command("agent.checkpoints", {})
        assert [row["state"] for row in listed["checkpoints"]] == ["applied"]
        assert (await later.rollback(answer["checkpointId"]))["applied"] is True
        assert (later.root / "calc.py").read_text() == "# moved meanwhile\n" + CALC
        assert await later.client.close() == 0


def reports(scene: Scene) -> list[Json]:
    return [row for rows in scene.client.diagnostics.values() for row in rows]


async def fresh(scene: Scene, proposal: Json) -> None:
    """The proposal was carried over to the new text and tested there."""
    for _ in range(3000):
        await asyncio.sleep(0.03)
        now = await scene.client.command("agent.proposal", {"proposalId": proposal["proposalId"]})
        rows = (await scene.client.command("agent.status"))["runs"]
        states = {row["runId"]: row["state"] for row in rows}
        if not now["stale"] and states.get(proposal["runId"]) == "proposed":
            assert now["verdict"]["decision"] == "proven"
            assert now["verdict"]["candidate"] != proposal["verdict"]["candidate"]
            return
    raise AssertionError("it stayed stale")


async def test_words_about_a_change_that_came_back_send_its_run_on(stage: Stage) -> None:
    other = edit("calc.py", "return a + b", "return b + a")
    brain = ScriptedBrain(execution=[calls(FIX), calls(finish()), calls(other), calls(finish("the other way round"))])
    scene = await stage(brain=brain)
    proposal = await offered(scene)
    [dead] = runtimes(scene)
    os.kill(dead, signal.SIGKILL)
    await eventually(lambda: [pid for pid in runtimes(scene) if pid != dead])
    await scene.until(proposal["runId"], "proposed")

    argument = {"proposalId": proposal["proposalId"], "feedback": "b comes first here"}
    answer = await scene.client.command("agent.discard", argument)
    if "error" in answer:  # a runtime that is still starting: it is told to wait and see, and it happens
        assert answer["error"]["code"] == "timeout"
    else:
        assert answer == {"state": "executing"}
    await eventually(lambda: brain.left["execution"] == 0, WAIT_S)
    await scene.until(proposal["runId"], "proposed")
    again = await scene.proposal(proposal["runId"])
    assert again["proposalId"] != proposal["proposalId"]
    assert "+    return b + a" in again["diff"]
    assert again["verdict"]["decision"] == "proven"
    assert scene.model is not None
    asked = str(scene.model.in_phase("execution")[2].text)
    assert "b comes first here" in asked
    assert "make add add" in asked
    assert (await scene.apply(again["proposalId"]))["applied"] is True
