"""Small faults in a proven change, seen from the editor: the offer does not wait, what is found is told later."""

import asyncio
import sys
from importlib.metadata import entry_points

from tests.anthropic_server import ScriptedBrain, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.scenarios.looking import journal
from tests.scenarios.scene import PROJECT, WAIT_S, Scene
from tests.server.raw_client import Json, uri_for

BOUNDED = edit("calc.py", "    return a - b\n", "    if a < 100:\n        return a + b\n    return 100 + b\n")
BOUND = "    assert add(500, 1) == 101\n"
FILES = {**PROJECT, "tests/test_add.py": f"{PROJECT['tests/test_add.py']!s}{BOUND}"}
QUICK = [word for plugin in entry_points(group="pytest11") for word in ("-p", f"no:{plugin.name}")]
BOUNDARY = "`a < 100` became `a <= 100`"


def options() -> Json:
    return {"tests": {"interpreter": sys.executable, "args": QUICK, "mutations": 3}}


async def proposed(scene: Scene) -> tuple[str, Json]:
    run_id = await scene.run("make add add", uri=scene.open("calc.py"))
    await scene.until(run_id, "proposed")
    return run_id, await scene.proposal(run_id)


async def test_what_no_test_notices_is_told_after_the_offer_and_hinted_at_on_its_lines(stage: Stage) -> None:
    scene = await stage(FILES, ScriptedBrain(execution=[calls(BOUNDED), calls(finish())]), options=options())
    run_id, proposal = await proposed(scene)
    assert proposal["verdict"]["decision"] == "proven"
    assert "survivors" not in proposal["verdict"], "the offer did not wait"

    told = await scene.client.wait_for("agent/verdict", lambda p: "survivors" in p["verdict"], WAIT_S)

    uri = uri_for(scene.root / "calc.py")
    assert told["verdict"]["decision"] == "proven"
    assert {"uri": uri, "line": 1, "text": BOUNDARY} in told["verdict"]["survivors"]
    said = told["verdict"]["reasons"][-1]
    assert f"calc.py:2 ({BOUNDARY})" in said
    shown = f"No test notices a small fault in the proposed line `if a < 100:`: {BOUNDARY}."
    await scene.client.wait_until(
        lambda: [row for row in scene.client.diagnostics[uri] if row["message"] == shown and row["severity"] == 4]
    )
    assert (await scene.proposal(run_id))["verdict"] == told["verdict"]
    assert (await scene.status(run_id))["state"] == "proposed"
    async with asyncio.timeout(WAIT_S):  # neither is written before the editor hears of it
        while not any(said in str(fact.data.get("verdict")) for fact in journal(scene.root, run_id)):
            await asyncio.sleep(0.05)
        while f"not noticed at calc.py:2: {BOUNDARY}" not in scene.log():
            await asyncio.sleep(0.05)
    assert (await scene.apply(proposal["proposalId"]))["applied"]
    await scene.client.wait_until(lambda: not scene.client.diagnostics[uri])


async def test_a_discard_ends_it(stage: Stage) -> None:
    scene = await stage(FILES, ScriptedBrain(execution=[calls(BOUNDED), calls(finish())]), options=options())
    _, proposal = await proposed(scene)

    def testing() -> list[str]:
        return [line for line in scene.processes() if "agent_lsp_start" in line]

    async with asyncio.timeout(WAIT_S):
        while not testing():
            await asyncio.sleep(0.02)
    await scene.client.command("agent.discard", {"proposalId": proposal["proposalId"]})
    async with asyncio.timeout(WAIT_S):
        while testing():
            await asyncio.sleep(0.02)
    assert not scene.client.heard("agent/verdict", lambda p: "survivors" in p["verdict"])
