"""A long session of the real server and its runtime holds no more at its end than at its beginning."""

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.anthropic_server import ScriptedBrain, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import CALC, WAIT_S, Scene, command_line, pids_below
from tests.soak.resources import open_files, resident_bytes

_ROUNDS = 15
_SETTLED = 5
"""After so many rounds everything was used and loaded once."""

_GROWTH_BYTES = 10 << 20
_FIX = edit("calc.py", "return a - b", "return a + b")
_RIGHT = CALC.replace("a - b", "a + b")


async def one_round(scene: Scene, uri: str, number: int) -> None:
    """A change is made, and accepted and taken back, or typed over, or thrown away: the text is as before."""
    run_id = await scene.run("make add add")
    await scene.until(run_id, "proposed")
    proposal_id = (await scene.proposal(run_id))["proposalId"]
    if number % 3 == 0:
        answer = await scene.apply(proposal_id)
        assert scene.text(uri) == _RIGHT
        assert (await scene.rollback(answer["checkpointId"]))["applied"] is True
    elif number % 3 == 1:
        scene.client.type(uri, 0, 0, "# mine\n")
        await until_tested(scene, proposal_id)
        assert (await scene.apply(proposal_id))["applied"] is True
        assert scene.text(uri) == f"# mine\n{_RIGHT}"
        scene.client.type(uri, 0, len(scene.text(uri)), CALC)
    else:
        await scene.client.command("agent.discard", {"proposalId": proposal_id})
    assert scene.text(uri) == CALC


async def until_tested(scene: Scene, proposal_id: str) -> None:
    """The proposal fits the text as it now is."""
    async with asyncio.timeout(WAIT_S):
        await scene.client.command("agent.revalidate", {"proposalId": proposal_id})
        while (await scene.client.command("agent.proposal", {"proposalId": proposal_id}))["stale"]:
            await asyncio.sleep(0.05)


async def until_closed(pid: int, files: Counter[str]) -> None:
    """The process has no file open but these: what was thrown away is deleted in the background, a folder at a time."""
    deadline = time.monotonic() + WAIT_S
    while (more := Counter(open_files(pid)) - files) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert more == Counter(), command_line(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="counts what /proc tells")
async def test_nothing_grows_over_many_proposals(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain([calls(_FIX), calls(finish())] * _ROUNDS))
    uri = scene.open("calc.py")
    for number in range(_SETTLED):
        await one_round(scene, uri, number)
    edge = scene.client.process.pid
    [runtime] = pids_below(edge)
    before = {pid: (Counter(open_files(pid)), resident_bytes(pid)) for pid in (edge, runtime)}
    for number in range(_SETTLED, _ROUNDS):
        await one_round(scene, uri, number)
    assert pids_below(edge) == [runtime], [command_line(pid) for pid in pids_below(edge)]
    for pid, (files, size_bytes) in before.items():
        await until_closed(pid, files)
        grown_bytes = resident_bytes(pid) - size_bytes
        assert grown_bytes < _GROWTH_BYTES, f"{grown_bytes / (1 << 20):.1f} MiB more in {command_line(pid)}"
    mounts = Path(f"/proc/{runtime}/mountinfo").read_text()
    assert mounts == Path("/proc/self/mountinfo").read_text()
    assert not list(scene.root.parent.glob("home*/cache/*/candidates/*"))
