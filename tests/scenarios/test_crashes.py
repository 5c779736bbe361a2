"""Processes killed in the middle, and a state folder that is damaged or denied: what is said, closed and kept."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

from tests.anthropic_server import Call, ScriptedBrain, calls, edit, finish, plan, stall
from tests.scenarios.conftest import Stage
from tests.scenarios.looking import (
    candidates,
    editor_on,
    eventually,
    journal,
    nothing_left,
    running,
    runtimes,
    strays,
)
from tests.scenarios.scene import CALC, PROJECT, WAIT_S, Scene
from tests.server.raw_client import Json, NoAnswerError

FIX = edit("calc.py", "return a - b", "return a + b")
GOAL_TEST = "tests/test_add.py::test_add"
SLEEPER = "import time; time.sleep(602.25)"
FOR_EVER = (
    f"import subprocess, sys\n\n\ndef test_for_ever():\n    subprocess.run([sys.executable, '-c', {SLEEPER!r}])\n"
)
NEVER_ENDING: Mapping[str, str | bytes] = {**PROJECT, "tests/test_for_ever.py": FOR_EVER}
SLEEP = Call("run_command", {"command": f'{sys.executable} -c "{SLEEPER}"'})
CRASHED = "the runtime ended unexpectedly"
RIGHT = CALC.replace("a - b", "a + b")


def kill_runtime(scene: Scene) -> int:
    """kill -9; its process id."""
    [pid] = runtimes(scene)
    os.kill(pid, signal.SIGKILL)
    return pid


def endings(scene: Scene, run_id: str) -> list[dict[str, Any]]:
    return [fact.data for fact in journal(scene.root, run_id) if fact.kind == "run.ended"]


def asked(scene: Scene, phase: str) -> int:
    """How many requests of a phase the model got."""
    assert scene.model is not None
    return len(scene.model.in_phase(phase))


async def the_edge_says_so(scene: Scene) -> None:
    shown = await scene.client.wait_for("window/showMessage", lambda row: "ended by signal 9" in row["message"])
    assert shown == {
        "type": 1,
        "message": f"agent-lsp: The runtime of {scene.root.name} ended by signal 9. "
        "It is started again, for 1 run(s) at work.",
    }
    await eventually(lambda: f"The runtime of {scene.root.name} ended by signal 9" in scene.log())
    end = await scene.client.wait_for("$/progress", lambda row: row["value"]["kind"] == "end")
    assert end["value"]["message"] == "the runtime ended"


async def test_a_runtime_killed_while_executing_is_said_and_its_run_goes_on_with_the_next(stage: Stage) -> None:
    brain = ScriptedBrain(execution=[calls(FIX), calls(SLEEP)])
    scene = await stage(brain=brain)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    await running(scene, SLEEPER)
    dead = kill_runtime(scene)
    await the_edge_says_so(scene)
    await running(scene, SLEEPER)  # the turn is not asked for again; the command that had not ended is run again
    assert runtimes(scene) != [dead]
    assert brain.left["execution"] == 0
    assert asked(scene, "execution") == 2
    await scene.client.wait_for("window/showMessage", lambda row: row["message"] == "Resumed: make add add")
    assert endings(scene, run_id) == []
    assert (await scene.client.command("agent.control", {"runId": run_id, "action": "cancel"}))["state"] == "cancelled"
    assert (scene.root / "calc.py").read_text() == CALC
    await nothing_left(scene, WAIT_S)


async def test_a_runtime_killed_while_validating_leaves_no_test_running_and_tests_again(stage: Stage) -> None:
    scene = await stage(NEVER_ENDING, ScriptedBrain(execution=[calls(FIX), calls(finish())]))
    run_id = await scene.run("make add add")
    await scene.until(run_id, "validating")
    await running(scene, SLEEPER)

    before = strays(scene)
    began_s = time.monotonic()
    kill_runtime(scene)
    await eventually(lambda: not set(before) & set(strays(scene)))
    assert time.monotonic() - began_s <= 2.0
    await the_edge_says_so(scene)
    await running(scene, SLEEPER)
    assert asked(scene, "planning") + asked(scene, "execution") == 3
    assert (await scene.client.command("agent.control", {"runId": run_id, "action": "cancel"}))["state"] == "cancelled"


async def test_a_killed_server_takes_everything_with_it_and_the_next_one_goes_on(stage: Stage) -> None:
    brain = ScriptedBrain(execution=[calls(FIX), calls(SLEEP)])
    scene = await stage(brain=brain)
    first = await scene.run("make add add", tests=[GOAL_TEST])
    await running(scene, SLEEPER)

    began_s = time.monotonic()
    scene.client.process.kill()
    await eventually(lambda: not runtimes(scene) and not strays(scene))
    assert time.monotonic() - began_s <= 3.0
    assert endings(scene, first) == []

    async with editor_on(scene.root, scene.model) as later:
        await later.client.wait_for("window/showMessage", lambda row: row["message"] == "Resumed: make add add")
        await running(later, SLEEPER)
        assert (await later.status(first))["state"] == "executing"
        assert (await later.client.command("agent.control", {"runId": first, "action": "cancel"}))[
            "state"
        ] == "cancelled"
        await eventually(lambda: not candidates(later))
        assert asked(scene, "execution") == 2
        assert await later.client.close() == 0
    assert (scene.root / "calc.py").read_text() == CALC


async def test_a_damaged_state_database_is_moved_aside_and_said_and_the_run_works(stage: Stage) -> None:
    files = {**PROJECT, ".agent-lsp/state.db": b"this is no database at all, " * 400}
    scene = await stage(files, ScriptedBrain(execution=[calls(FIX), calls(finish())]), git=False)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    assert (await scene.until(run_id, "proposed"))["verdict"] == "proven"

    aside = scene.root / ".agent-lsp" / "state.db.corrupt-1"
    assert aside.read_bytes() == files[".agent-lsp/state.db"]
    await scene.logged("state.db was damaged (")
    shown = await scene.client.wait_for("window/showMessage")
    assert shown["type"] == 2
    assert "state.db was damaged (" in shown["message"]
    assert "it was kept as state.db.corrupt-1, a new one is used." in shown["message"]
    assert next(fact.kind for fact in journal(scene.root, run_id)) == "run.started"


async def test_where_the_state_folder_cannot_be_made_the_run_works_and_says_what_is_lost(stage: Stage) -> None:
    files = {**PROJECT, ".agent-lsp": "a file, not a folder\n"}
    scene = await stage(files, ScriptedBrain(execution=[calls(FIX), calls(finish())]))
    uri = scene.open("calc.py")
    run_id = await scene.run("make add add", uri=uri, tests=[GOAL_TEST])
    assert (await scene.until(run_id, "proposed"))["verdict"] == "proven"
    answer = await scene.apply((await scene.proposal(run_id))["proposalId"])
    assert answer["applied"] is True, answer
    assert scene.text(uri) == RIGHT

    shown = await scene.client.wait_for("window/showMessage", lambda row: "kept in memory only" in row["message"])
    assert shown["type"] == 2
    assert (scene.root / ".agent-lsp").read_text() == "a file, not a folder\n"
    tail = await scene.client.command("agent.log.tail", {})
    assert set(tail) == {"text", "path"} or "error" in tail, tail
    undone = await scene.rollback(answer["checkpointId"])
    assert undone["applied"] is True, undone


async def killed_while_applying(scene: Scene, *, applies: bool) -> str:
    """A change of an open document, a closed file and a new file; the runtime dies while the editor is silent."""
    asked = asyncio.Event()

    def never(params: Json) -> Any:
        [pid] = runtimes(scene)
        os.kill(pid, signal.SIGSTOP)  # it does not hear that the document changed
        if applies:
            scene.client.apply_edit(params)
        assert (scene.root / "notes/new.txt").exists(), "files are written before documents are edited"
        asked.set()
        raise NoAnswerError

    uri = scene.open("calc.py")
    run_id = await scene.run("make add add", uri=uri, tests=[GOAL_TEST])
    proposal_id = (await scene.until(run_id, "proposed"))["proposalId"]
    honest = scene.client.handlers["workspace/applyEdit"]
    scene.client.handlers["workspace/applyEdit"] = never
    applying = asyncio.create_task(scene.apply(proposal_id))
    await asyncio.wait_for(asked.wait(), WAIT_S)
    scene.client.handlers["workspace/applyEdit"] = honest
    dead = kill_runtime(scene)  # the next one starts at once, since a change is on offer
    answer = await applying
    assert answer.get("applied", False) is False, answer
    await eventually(lambda: dead not in runtimes(scene))
    assert "apply.done" not in [fact.kind for fact in journal(scene.root, run_id)]
    return run_id


CLOSED_TOO = [
    calls(FIX, edit("pyproject.toml", "pythonpath", "# with a note\npythonpath")),
    calls(Call("write_file", {"path": "notes/new.txt", "content": "new\n"})),
    calls(finish()),
]


async def test_a_runtime_killed_in_an_apply_is_taken_back_by_the_next_and_nothing_is_applied_twice(
    stage: Stage,
) -> None:
    brain = ScriptedBrain(execution=CLOSED_TOO)
    scene = await stage(brain=brain)
    await killed_while_applying(scene, applies=False)
    brain.add("execution", stall())
    edits = len(scene.client.heard("workspace/applyEdit"))
    await scene.run("again")
    shown = await scene.client.wait_for("window/showMessage", lambda row: "An apply was" in row["message"], WAIT_S)
    assert shown["message"] == "An apply was interrupted and has been taken back."
    assert not (scene.root / "notes/new.txt").exists()
    assert (scene.root / "pyproject.toml").read_text() == PROJECT["pyproject.toml"]
    assert (scene.root / "calc.py").read_text() == CALC
    [buffer] = scene.client.buffers.values()
    assert buffer.text == CALC
    assert len(scene.client.heard("workspace/applyEdit")) == edits, "nothing is applied again"


async def test_an_edit_that_the_editor_made_before_the_crash_is_taken_back_too(stage: Stage) -> None:
    brain = ScriptedBrain(execution=CLOSED_TOO)
    scene = await stage(brain=brain)
    run_id = await killed_while_applying(scene, applies=True)

    brain.add("planning", plan("Again"))
    brain.add("execution", stall())
    await scene.run("again")
    [buffer] = scene.client.buffers.values()
    shown = await scene.client.wait_for("window/showMessage", lambda row: "An apply was" in row["message"], WAIT_S)
    assert shown["message"] == "An apply was interrupted and has been taken back."
    await eventually(lambda: buffer.text == CALC)
    assert not (scene.root / "notes/new.txt").exists()
    assert (scene.root / "pyproject.toml").read_text() == PROJECT["pyproject.toml"]
    assert "apply.undone" in [fact.kind for fact in journal(scene.root, run_id)]
    assert endings(scene, run_id) == []
    await scene.until(run_id, "proposed")  # it is on offer as before
