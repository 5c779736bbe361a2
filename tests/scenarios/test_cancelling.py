"""Cancelling at every phase, pausing and stepping, and the end of everything when the editor is gone."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.anthropic_server import (
    AnthropicServer,
    Call,
    ParsedRequest,
    Reply,
    ScriptedBrain,
    calls,
    edit,
    finish,
    plan,
    reflect,
    stall,
)
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
from tests.scenarios.scene import PROJECT, WAIT_S, Scene, write_project
from tests.server.raw_client import RawClient, RpcError

CANCELLED_WITHIN_S = 2.0
"""One second on a machine that is not loaded."""

FIX = edit("calc.py", "return a - b", "return a + b")
SLEEPER = "import time; time.sleep(601.25)"
FOR_EVER = (
    f"import subprocess, sys\n\n\ndef test_for_ever():\n    subprocess.run([sys.executable, '-c', {SLEEPER!r}])\n"
)
NEVER_ENDING: Mapping[str, str | bytes] = {**PROJECT, "tests/test_for_ever.py": FOR_EVER}
SLEEP = Call("run_command", {"command": f'{sys.executable} -c "{SLEEPER}"'})

PHASES = {
    "planning": ("planning", "", ScriptedBrain(planning=[stall(0)])),
    "executing, the model is silent": ("executing", "", ScriptedBrain(execution=[stall()])),
    "executing, a command sleeps": ("executing", SLEEPER, ScriptedBrain(execution=[calls(SLEEP)])),
    "executing, a test sleeps": ("executing", SLEEPER, ScriptedBrain(execution=[calls(Call("run_tests", {}))])),
    "validating": ("validating", SLEEPER, ScriptedBrain(execution=[calls(FIX), calls(finish())])),
    "reflecting": ("reflecting", "", ScriptedBrain(execution=[calls(finish())], reflection=[stall(0)])),
}

ASKED_IN = {"planning": "planning", "executing": "execution", "reflecting": "reflection"}


async def silent(scene: Scene, phase: str) -> None:
    """Returns when the model was asked in the phase for the last time, and says nothing."""
    assert scene.model is not None
    model = scene.model
    await eventually(lambda: model.in_phase(phase))


def log_of(scene: Scene, run_id: str) -> list[str]:
    return [line for line in scene.log().splitlines() if f"run={run_id} " in line]


async def cancelled(scene: Scene, run_id: str, began_s: float) -> None:
    """The run is cancelled in time, says so everywhere, and leaves nothing behind."""
    row = await scene.until(run_id, "cancelled")
    took_s = time.monotonic() - began_s
    assert took_s <= CANCELLED_WITHIN_S, f"cancelling took {took_s:.2f} s"
    assert row["message"] == "cancelled"
    await nothing_left(scene, CANCELLED_WITHIN_S)
    assert len(runtimes(scene)) == 1, "the runtime stays for the next run"
    facts = await eventually(lambda: [fact for fact in journal(scene.root, run_id) if fact.kind == "run.ended"])
    assert [fact.data for fact in facts] == [{"state": "cancelled", "reason": "cancelled"}]
    await eventually(lambda: [line for line in log_of(scene, run_id) if "run.ended" in line and "cancelled" in line])
    assert "COPILOT ERROR START" not in scene.log(), scene.log()
    assert (scene.root / "calc.py").read_bytes() == PROJECT["calc.py"].encode()  # type: ignore[union-attr]


@pytest.mark.parametrize("phase", PHASES)
async def test_cancelling_ends_a_run_at_once_and_leaves_nothing(stage: Stage, phase: str) -> None:
    state, sleeper, brain = PHASES[phase]
    scene = await stage(NEVER_ENDING if sleeper else PROJECT, brain)
    run_id = await scene.run("make add add")
    await scene.until(run_id, state)
    await (running(scene, sleeper) if sleeper else silent(scene, ASKED_IN[state]))

    began_s = time.monotonic()
    answer = await scene.client.command("agent.control", {"runId": run_id, "action": "cancel"})
    assert answer == {"state": "cancelled"}
    await cancelled(scene, run_id, began_s)


async def test_cancelling_a_plan_that_waits_for_approval_leaves_nothing(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(planning=[plan("One", "Two")]))
    run_id = await scene.run("make add add", mode="plan")
    await scene.until(run_id, "awaiting_approval")

    began_s = time.monotonic()
    assert await scene.client.command("agent.control", {"runId": run_id, "action": "cancel"}) == {"state": "cancelled"}
    await cancelled(scene, run_id, began_s)

    late = await scene.client.command("agent.plan.approve", {"runId": run_id})
    assert late["error"]["code"] == "refused", late
    again = await scene.client.command("agent.control", {"runId": run_id, "action": "cancel"})
    assert again == {"state": "cancelled"}, "cancelling twice is no error"
    paused = await scene.client.command("agent.control", {"runId": run_id, "action": "pause"})
    assert paused["error"]["code"] == "refused"


async def test_cancelling_a_proposed_run_takes_its_proposal_back(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(execution=[calls(FIX), calls(finish())]))
    uri = scene.open("calc.py")
    run_id = await scene.run("make add add", uri=uri)
    proposal_id = (await scene.until(run_id, "proposed"))["proposalId"]
    assert await scene.client.lenses(uri)

    began_s = time.monotonic()
    assert await scene.client.command("agent.control", {"runId": run_id, "action": "cancel"}) == {"state": "cancelled"}
    await cancelled(scene, run_id, began_s)

    assert await scene.client.lenses(uri) == []
    await scene.client.wait_until(lambda: not scene.client.diagnostics.get(uri))
    refused = await scene.apply(proposal_id)
    assert refused.get("applied") is False or "error" in refused, refused
    assert scene.text(uri) == PROJECT["calc.py"]


async def test_the_cancel_button_of_the_progress_bar_ends_the_run(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(execution=[stall()]))
    run_id = await scene.run("make add add")
    await silent(scene, "execution")
    created = await scene.client.wait_for("window/workDoneProgress/create")
    begun = await scene.client.wait_for("$/progress", lambda row: row["value"]["kind"] == "begin")
    assert begun["token"] == created["token"]
    assert begun["value"]["cancellable"] is True

    began_s = time.monotonic()
    scene.client.notify("window/workDoneProgress/cancel", {"token": created["token"]})
    await cancelled(scene, run_id, began_s)

    end = await scene.client.wait_for("$/progress", lambda row: row["value"]["kind"] == "end")
    assert end["token"] == created["token"]
    assert end["value"]["message"].startswith("cancelled")


async def test_the_code_action_cancels_the_run(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(execution=[stall()]))
    uri = scene.open("calc.py")
    run_id = await scene.run("make add add", uri=uri)
    await silent(scene, "execution")
    offered = await scene.client.actions(uri, 0, only=["source"])
    [action] = [action for action in offered if action["title"].startswith("Cancel run ")]
    assert action["title"] == "Cancel run make add add (executing)"

    began_s = time.monotonic()
    await scene.client.do(action)
    await cancelled(scene, run_id, began_s)
    left = [action["title"] for action in await scene.client.actions(uri, 0, only=["source"])]
    assert not [title for title in left if title.startswith("Cancel run ")]


# --- what goes on behind a proposal -----------------------------------------------------------------------------------

PAIR = "FIRST = 0\n\n\ndef between():\n    return 1\n\n\ndef more():\n    return 2\n\n\nSECOND = 0\nSLOW = 0\n"
TEST_PAIR = f"""import subprocess, sys

import pair


def test_pair():
    if pair.FIRST != pair.SECOND or pair.SLOW:
        subprocess.run([sys.executable, "-c", {SLEEPER!r}])
    assert pair.FIRST == 1
"""
SLEEPY: Mapping[str, str | bytes] = {
    "pair.py": PAIR,
    "other.py": "x = 1\n",
    "tests/test_pair.py": TEST_PAIR,
    "pyproject.toml": PROJECT["pyproject.toml"],
}
BOTH = calls(
    edit("pair.py", "FIRST = 0", "FIRST = 1"), edit("pair.py", "SECOND = 0", "SECOND = 1"), finish("both are one")
)


def bars(client: RawClient, token: int | str) -> list[str]:
    """What was told of one bar, in order."""
    mine = client.heard("$/progress", lambda row: row["token"] == token and type(row["token"]) is type(token))
    return [row["value"]["kind"] for row in mine]


def outcome(client: RawClient, token: int | str) -> str:
    """How a bar ended: it was begun once and ended once, and nothing came after that."""
    kinds = bars(client, token)
    assert kinds == ["begin", *["report"] * (len(kinds) - 2), "end"], kinds
    rows = client.heard("$/progress", lambda row: row["token"] == token)
    return str(rows[-1]["value"]["message"])


async def stopped(scene: Scene, began_s: float) -> None:
    """Everything that was at work for the scene is gone in time, and the runtime is not."""
    await nothing_left(scene, CANCELLED_WITHIN_S - (time.monotonic() - began_s))
    assert len(runtimes(scene)) == 1
    assert scene.text(next(iter(scene.client.buffers))).startswith("FIRST = 0")


async def test_what_is_tested_behind_a_proposal_stops_when_its_request_its_bar_or_its_run_is_cancelled(
    stage: Stage,
) -> None:
    scene = await stage(SLEEPY, ScriptedBrain(execution=[BOTH]))
    client, uri = scene.client, scene.open("pair.py")
    run_id = await scene.run("make both one", uri=uri)
    proposal_id = (await scene.until(run_id, "proposed"))["proposalId"]
    hunks = [hunk["id"] for hunk in (await scene.proposal(run_id))["files"][0]["hunks"]]
    part = {"proposalId": proposal_id, "hunks": hunks[:1]}

    # the request is cancelled before it is answered
    command = {"command": "agent.apply", "arguments": [part], "workDoneToken": 1}
    msg_id, answer = client.ask("workspace/executeCommand", command)
    await client.wait_for("$/progress", lambda row: row["token"] == 1 and row["value"]["kind"] == "report", WAIT_S)
    began_s = time.monotonic()
    client.notify("$/cancelRequest", {"id": msg_id})
    with pytest.raises(RpcError, match="-32800"):
        await answer
    assert outcome(client, 1) == "cancelled"
    await scene.until(run_id, "proposed")
    await stopped(scene, began_s)

    # it is pending, and its bar is cancelled; the same number as a text is another token
    answered = await client.command("agent.apply", {**part, "workDoneToken": "1"})
    assert (answered["applied"], answered["pending"]) == (False, True)
    await running(scene, SLEEPER)
    for wrong in (1, 2, "", "agent-lsp-1"):
        client.notify("window/workDoneProgress/cancel", {"token": wrong})
    client.raw_notify("window/workDoneProgress/cancel", {"token": True})
    client.raw_notify("window/workDoneProgress/cancel", {"token": {}})
    client.raw_notify("window/workDoneProgress/cancel", None)
    assert (await scene.status(run_id))["state"] == "validating"
    began_s = time.monotonic()
    client.notify("window/workDoneProgress/cancel", {"token": "1"})
    await scene.until(run_id, "proposed")
    await stopped(scene, began_s)
    assert "cancelled" in outcome(client, "1")

    # a test that the edge began by itself is stopped, and not begun again until something moves
    at = PAIR.index("SLOW = 0") + len("SLOW = ")
    client.type(uri, at, at + 1, "1")
    await running(scene, SLEEPER)
    created = client.heard("window/workDoneProgress/create")[-1]["token"]
    began_s = time.monotonic()
    client.notify("window/workDoneProgress/cancel", {"token": created})
    await scene.until(run_id, "proposed")
    await stopped(scene, began_s)
    assert "cancelled" in outcome(client, created)
    assert (await scene.proposal(run_id))["stale"] is True

    # it is wished for by its command, and the run is cancelled by its action, in another document
    answered = await client.command("agent.revalidate", {"proposalId": proposal_id, "workDoneToken": 7})
    assert answered["pending"] is True
    await running(scene, SLEEPER)
    assert client.heard("window/workDoneProgress/create")[-1]["token"] == created, "no bar but the client's own"
    offered = await client.actions(scene.open("other.py"), 0, only=["source"])
    [action] = [action for action in offered if action["title"].startswith("Cancel run ")]
    began_s = time.monotonic()
    assert await client.do(action) == {"state": "cancelled"}
    row = await scene.until(run_id, "cancelled")
    assert row["message"] == "cancelled"
    await stopped(scene, began_s)
    assert outcome(client, 7).startswith(("cancelled", "testing it again was cancelled"))
    assert (scene.root / "pair.py").read_text() == PAIR


async def pending_part(scene: Scene, run_id: str) -> None:
    """Returns when the first hunk of the proposal is being tested on its own, which does not end."""
    proposal = await scene.proposal(run_id)
    part = {"proposalId": proposal["proposalId"], "hunks": [proposal["files"][0]["hunks"][0]["id"]]}
    assert (await scene.client.command("agent.apply", part))["pending"] is True
    await running(scene, SLEEPER)


async def test_a_run_given_up_at_its_start_never_begins_and_a_pending_apply_ends_with_its_run_or_editor(
    stage: Stage,
) -> None:
    scene = await stage(SLEEPY, ScriptedBrain(execution=[BOTH, BOTH]))
    client = scene.client
    command = {"command": "agent.run", "arguments": [{"goal": "never"}], "workDoneToken": "mine"}
    msg_id, answer = client.ask("workspace/executeCommand", command)
    await client.wait_for("$/progress", lambda row: row["token"] == "mine")
    await eventually(lambda: runtimes(scene))
    client.notify("$/cancelRequest", {"id": msg_id})
    with pytest.raises(RpcError, match="-32800"):
        await answer
    await client.wait_until(lambda: "end" in bars(client, "mine"))
    assert outcome(client, "mine") == "cancelled before it began"

    run_id = await scene.run("make both one")
    await scene.until(run_id, "proposed")
    rows = {row["goal"]: row["state"] for row in (await client.command("agent.status"))["runs"]}
    assert rows == {"never": "cancelled", "make both one": "proposed"}
    assert {fact.run_id for fact in journal(scene.root) if fact.kind == "run.started"} == {run_id}

    # the command that cancels a run, and the death of the editor, also end an apply that is pending
    await pending_part(scene, run_id)
    began_s = time.monotonic()
    assert await client.command("agent.control", {"runId": run_id, "action": "cancel"}) == {"state": "cancelled"}
    assert (await scene.status(run_id))["state"] == "cancelled"
    await nothing_left(scene, CANCELLED_WITHIN_S - (time.monotonic() - began_s))

    again = await scene.run("make both one")
    await scene.until(again, "proposed")
    await pending_part(scene, again)
    began_s = time.monotonic()
    assert client.process.stdin is not None
    client.process.stdin.close()
    await all_gone(scene, began_s)
    assert (scene.root / "pair.py").read_text() == PAIR


@pytest.mark.parametrize("waits", ["on a question", "on its search"])
async def test_a_run_that_asks_or_searches_is_cancelled_by_its_bar(stage: Stage, waits: str) -> None:
    asks = ScriptedBrain(execution=[calls(Call("ask_user", {"question": "Which?", "options": ["a", "b"]}))])
    scene = await (stage(brain=asks) if waits == "on a question" else stage(NEVER_ENDING))
    token = "bar of the client"
    run_id = await scene.run("fix the failing tests", uri=scene.open("calc.py"), workDoneToken=token)
    if waits == "on a question":
        await scene.until(run_id, "blocked")
    else:
        await running(scene, SLEEPER)
    began_s = time.monotonic()
    scene.client.notify("window/workDoneProgress/cancel", {"token": token})
    await cancelled(scene, run_id, began_s)
    assert outcome(scene.client, token) == "cancelled"
    assert not scene.client.heard("window/workDoneProgress/create")


# --- the editor is gone ---------------------------------------------------------------------------------------------


async def all_gone(scene: Scene, began_s: float) -> None:
    """The server, its runtime and everything below them ended."""
    await scene.client.wait_exit(WAIT_S)
    await eventually(lambda: not runtimes(scene))
    await eventually(lambda: not strays(scene))
    took_s = time.monotonic() - began_s
    assert took_s <= 3.0, f"it took {took_s:.2f} s until everything was gone"
    assert candidates(scene) == [] or not strays(scene)


async def test_a_closed_pipe_ends_the_server_the_runtime_and_a_sleeping_command(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(execution=[calls(SLEEP)]))
    run_id = await scene.run("make add add")
    await running(scene, SLEEPER)

    began_s = time.monotonic()
    assert scene.client.process.stdin is not None
    scene.client.process.stdin.close()
    await all_gone(scene, began_s)
    assert candidates(scene) == []
    facts = journal(scene.root, run_id)
    assert [fact for fact in facts if fact.kind == "run.ended"] == [], "it goes on with the next start"


async def test_the_death_of_the_named_editor_process_ends_everything_during_a_validation(tmp_path: Path) -> None:
    root = tmp_path / "project0"
    root.mkdir()
    write_project(root, NEVER_ENDING)
    brain = ScriptedBrain(execution=[calls(FIX), calls(finish())])
    with (
        AnthropicServer(brain) as model,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as editor,
    ):
        async with editor_on(root, model, process_id=editor.pid) as scene:
            await scene.run("make add add")
            await running(scene, SLEEPER)

            began_s = time.monotonic()
            editor.kill()
            editor.wait()
            await all_gone(scene, began_s)


async def test_an_orderly_shutdown_during_a_run_leaves_nothing(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(execution=[calls(SLEEP)]))
    await scene.run("make add add")
    await running(scene, SLEEPER)

    began_s = time.monotonic()
    assert await scene.client.close() == 0
    await all_gone(scene, began_s)
    assert candidates(scene) == []


# --- pausing --------------------------------------------------------------------------------------------------------


class Gate:
    """A reply that waits until it is let through."""

    def __init__(self, reply: Reply) -> None:
        self.reply, self.open = reply, threading.Event()

    def __call__(self, _: ParsedRequest) -> Reply:
        assert self.open.wait(WAIT_S)
        return self.reply


async def test_a_paused_run_does_nothing_until_it_is_resumed(stage: Stage) -> None:
    gate = Gate(calls(FIX))
    scene = await stage(brain=ScriptedBrain(execution=[gate, calls(finish())]))
    run_id = await scene.run("make add add")
    await silent(scene, "execution")
    assert await scene.client.command("agent.control", {"runId": run_id, "action": "pause"}) == {"state": "paused"}

    gate.open.set()
    await eventually(lambda: [f for f in journal(scene.root, run_id) if f.data.get("phase") == "execution"])
    row = await scene.status(run_id)
    assert (row["state"], row["usage"]["turns"]) == ("paused", 2)
    assert not [fact for fact in journal(scene.root, run_id) if fact.kind == "tool.called" and "edit" in str(fact.data)]

    answer = await scene.client.command("agent.control", {"runId": run_id, "action": "resume"})
    assert answer == {"state": "executing"}
    assert (await scene.until(run_id, "proposed"))["verdict"] == "proven"


async def test_stepping_stops_after_each_step_of_the_plan(stage: Stage) -> None:
    planning = plan("Mend add", "Mend it more")
    execution = [calls(FIX), calls(finish("first")), calls(finish("second"))]
    brain = ScriptedBrain(planning=[planning], execution=execution, reflection=[reflect("continue")])
    scene = await stage(brain=brain)
    run_id = await scene.run("make add add", mode="plan")
    await scene.until(run_id, "awaiting_approval")

    stepped = await scene.client.command("agent.control", {"runId": run_id, "action": "step"})
    assert "error" not in stepped, stepped
    row = await scene.until(run_id, "paused")
    assert (row["step"], row["steps"]) == (1, 2)
    assert scene.model is not None
    assert "Mend it more" not in [fact.data.get("title") for fact in journal(scene.root, run_id)]
    asked = len(scene.model.requests)

    went_on = await scene.client.command("agent.control", {"runId": run_id, "action": "step"})
    assert "error" not in went_on, went_on
    row = await scene.until(run_id, "proposed")
    assert (row["step"], row["steps"], row["verdict"]) == (2, 2, "proven")
    assert len(scene.model.requests) == asked + 1


async def test_a_paused_run_can_be_cancelled(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(execution=[stall()]))
    run_id = await scene.run("make add add")
    await silent(scene, "execution")
    await scene.client.command("agent.control", {"runId": run_id, "action": "pause"})
    assert (await scene.status(run_id))["state"] == "paused"

    began_s = time.monotonic()
    assert await scene.client.command("agent.control", {"runId": run_id, "action": "cancel"}) == {"state": "cancelled"}
    await cancelled(scene, run_id, began_s)
    assert scene.model is not None
    await asyncio.to_thread(scene.model.wait_for_hang_up, WAIT_S)
