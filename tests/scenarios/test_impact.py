"""A large suite seen from the editor: its affected tests make a first verdict, the whole suite has the last word."""

import asyncio
import sys
from importlib.metadata import entry_points
from typing import Any

from tests.anthropic_server import ScriptedBrain, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.scenarios.looking import editor_on, eventually, journal
from tests.scenarios.scene import PROJECT, WAIT_S
from tests.server.raw_client import Json, uri_for

FIX = edit("calc.py", "return a - b", "return a + b")
SLOW_AND_HIDDEN = """
import time

def test_hidden():
    time.sleep(5)
    assert __import__("ca" + "lc").add(5, 5) == 0
"""
FILES = {**PROJECT, "tests/test_hidden.py": SLOW_AND_HIDDEN}
QUICK = [word for plugin in entry_points(group="pytest11") for word in ("-p", f"no:{plugin.name}")]


def options(**tests: Any) -> Json:
    return {"tests": {"interpreter": sys.executable, "args": QUICK, **tests}}


async def test_a_verdict_that_the_whole_suite_contradicts_is_withdrawn_before_the_persons_eyes(stage: Stage) -> None:
    brain = ScriptedBrain(execution=[calls(FIX), calls(finish())])
    scene = await stage(FILES, brain, options=options(stagedOverS=0.01))
    uri = scene.open("calc.py")
    run_id = await scene.run("make add add", uri=uri)
    row = await scene.until(run_id, "proposed")
    first = (await scene.proposal(run_id))["verdict"]
    assert (first["decision"], first["selection"], row["verdict"]) == ("proven", "impacted", "proven")
    assert any("Ran the 2 of 3 test files" in reason for reason in first["reasons"])
    assert any("The whole suite runs in the background" in reason for reason in first["reasons"])

    told = await scene.client.wait_for("agent/verdict", lambda p: p["verdict"]["selection"] == "full", WAIT_S)
    assert told["verdict"]["decision"] == "regressed"
    async with asyncio.timeout(WAIT_S):
        while (row := await scene.status(run_id))["state"] != "failed":
            await asyncio.sleep(0.02)
    proposal = await scene.proposal(run_id)
    assert row["verdict"] == proposal["verdict"]["decision"] == "regressed"
    assert proposal["verdict"]["broken"] == ["tests/test_hidden.py::test_hidden"]
    assert "The earlier verdict `proven` is withdrawn" in proposal["verdict"]["reasons"][0]
    message = await scene.client.wait_for("window/showMessage", lambda p: "withdrawn" in p["message"], WAIT_S)
    assert "tests/test_hidden.py::test_hidden" in message["message"]
    [broken] = scene.client.diagnostics[uri_for(scene.root / "tests" / "test_hidden.py")]
    assert "tests/test_hidden.py::test_hidden" in broken["message"]
    answer = await scene.apply(proposal["proposalId"])
    assert answer["applied"] is False
    assert "withdrawn" in answer["reason"]
    assert scene.text(uri) == PROJECT["calc.py"]
    await scene.logged("is withdrawn", "1 selections checked by whole runs, 1 (100 %) had missed")
    await eventually(lambda: [f for f in journal(scene.root, run_id) if "withdrawn" in str(f.data.get("text"))])


async def test_the_next_runtime_does_not_run_the_unchanged_tests_again(stage: Stage) -> None:
    brain = ScriptedBrain(execution=[calls(FIX), calls(finish()), calls(FIX), calls(finish())])
    env = {"AGENT_LSP_TESTS__ARGS": " ".join(QUICK), "AGENT_LSP_TESTS__INTERPRETER": sys.executable}
    scene = await stage(PROJECT, brain, env=env)
    run_id = await scene.run("make add add")
    await scene.until(run_id, "proposed")
    await scene.client.kill()

    async with editor_on(scene.root, scene.model, env=env) as later:
        run_id = await later.run("make add add")
        await later.until(run_id, "proposed")
        verdict = (await later.proposal(run_id))["verdict"]
        messages = [told["message"] for told in later.client.heard("agent/progress", lambda p: True)]
    assert verdict["decision"] == "proven"
    assert verdict["ran"] == 2
    assert any(text.startswith("Running tests with the change: ") for text in messages)
    assert not any(text.startswith("Running tests without the change: ") for text in messages)
