"""Two servers on two folders: their runs share the places of the machine, and a killed one holds none."""

import asyncio
import threading
from pathlib import Path

from tests.anthropic_server import ParsedRequest, Reply, ScriptedBrain, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import WAIT_S, Scene

FIX = edit("calc.py", "return a - b", "return a + b")


async def said(scene: Scene, run_id: str, message: str) -> None:
    """Returns once the run's row says this."""
    async with asyncio.timeout(WAIT_S):
        while (await scene.status(run_id)).get("message") != message:
            await asyncio.sleep(0.05)


async def test_a_run_waits_for_one_of_another_folder_and_begins_when_its_server_is_killed(
    stage: Stage, tmp_path: Path
) -> None:
    forever = threading.Event()

    def waits(_: ParsedRequest) -> Reply:
        forever.wait(WAIT_S)
        return calls(FIX)

    shared = {"AGENT_LSP_CACHE_DIR": str(tmp_path / "cache"), "AGENT_LSP_RUNS__PARALLEL_MACHINE": "1"}
    first = await stage(brain=ScriptedBrain([waits]), env=shared)
    second = await stage(brain=ScriptedBrain([calls(FIX), calls(finish())]), env=shared)
    await first.until(await first.run("make add add"), "executing")
    run_id = await second.run("make add add")
    await said(second, run_id, "queued: runs in other folders have all places of this machine")
    assert second.model is not None
    assert second.model.requests == []
    await first.client.kill()
    forever.set()
    await second.until(run_id, "proposed")
