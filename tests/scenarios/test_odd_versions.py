"""An editor that counts its versions wrongly: no change is tested or written on a text that is no longer there."""

import asyncio

from tests.anthropic_server import ScriptedBrain, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import CALC, WAIT_S


async def test_a_text_under_a_repeated_version_is_seen_and_the_change_goes_on_top_of_it(stage: Stage) -> None:
    brain = ScriptedBrain(execution=[calls(edit("calc.py", "return a - b", "return a + b")), calls(finish())])
    scene = await stage(brain=brain, options={"proposal": {"revalidateAfterS": 0}})
    uri = scene.open("calc.py")
    run_id = await scene.run(uri=uri)
    await scene.until(run_id, "proposed")
    proposal_id = (await scene.proposal(run_id))["proposalId"]

    scene.client.buffers[uri].version = 0  # and the next change says 1 again
    scene.client.type(uri, 0, 0, "# typed\n")
    answer = await scene.apply(proposal_id)
    assert answer["applied"] is False
    assert "calc.py changed since this was tested" in answer["reason"]

    await scene.client.command("agent.revalidate", {"proposalId": proposal_id})
    async with asyncio.timeout(WAIT_S):
        while (row := await scene.status(run_id))["state"] != "proposed" or (await scene.proposal(run_id))["stale"]:
            assert row["state"] in ("proposed", "validating")
            await asyncio.sleep(0.05)
    answer = await scene.apply(proposal_id)
    assert answer["applied"] is True, answer
    assert scene.text(uri) == "# typed\n" + CALC.replace("a - b", "a + b")
