"""A model that the editor lends makes the change: on the whole product, with an editor in memory that lends one."""

import asyncio
from typing import Any

from tests.anthropic_server import ScriptedBrain
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import CALC, Scene
from tests.server.raw_client import VSCODE, Json, with_capabilities

LENDER = with_capabilities(VSCODE, experimental__agentLsp={"version": "1", "models": True})
ONE = {"id": "one-1", "name": "One", "vendor": "v", "family": "one", "version": "1", "maxInputTokens": 90_000}
STEP = {"title": "Mend add", "detail": "", "files": ["calc.py"], "acceptance": "the tests pass"}
FIX = {"path": "calc.py", "old_text": "return a - b", "new_text": "return a + b"}


def answer(*blocks: Json) -> Json:
    usage = {"inputTokens": 50, "outputTokens": 5}
    return {"blocks": list(blocks), "stop": "tool_use", "model": "one-1", "usage": usage}


def call(name: str, **value: Any) -> Json:
    return {"type": "call", "id": f"c_{name}", "name": name, "input": value}


def brain(params: Json) -> Json:
    """Plans one step, edits, finishes."""
    if params["phase"] == "planning":
        return answer(call("submit_plan", assessment="simple", steps=[STEP]))
    if any(block["type"] == "result" for block in params["messages"][-1]["blocks"]):
        return answer(call("finish_step", summary="add adds now"))
    return answer({"type": "text", "text": "I add."}, call("edit_file", **FIX))


def lends(scene: Scene, complete: Any, models: list[Json]) -> None:
    scene.client.handlers["agent/model/list"] = lambda _: {"models": models}
    scene.client.handlers["agent/model/complete"] = complete


async def test_without_a_model_of_ones_own_the_editors_is_taken_by_itself_and_named_in_the_status(stage: Stage) -> None:
    scene = await stage(profile=LENDER)
    lends(scene, brain, [ONE])
    uri = scene.open("calc.py")

    run_id = await scene.run("make add add", uri=uri)
    row = await scene.until(run_id, "proposed")
    applied = await scene.apply(row["proposalId"])

    assert row["model"] == "One (lent by the editor)"
    assert row["verdict"] == "proven"
    assert row["usage"]["inputTokens"] == 150
    assert applied["applied"]
    assert scene.text(uri) == CALC.replace("a - b", "a + b")


async def test_a_configured_model_comes_first_and_an_editor_that_lends_none_changes_nothing(stage: Stage) -> None:
    scene = await stage(profile=LENDER, brain=ScriptedBrain())
    lends(scene, brain, [ONE])
    own = await scene.run("make add add", uri=scene.open("calc.py"))
    row = await scene.status(own)
    assert "lent" not in row.get("model", "")

    scene = await stage(profile=LENDER)
    lends(scene, brain, [])
    run_id = await scene.run("make the failing tests pass", uri=scene.open("calc.py"))
    row = await scene.until(run_id, "proposed")
    assert row["model"] == "embedded"
    assert not [name for name, _ in scene.client.requests if name == "agent/model/complete"]


async def test_a_refusal_by_the_person_or_the_quota_ends_the_run_with_words_that_help(stage: Stage) -> None:
    scene = await stage(profile=LENDER, options={"model": {"provider": "editor"}})
    refusal = {"error": {"code": "no_permission", "message": "the person said no", "hint": ""}}
    lends(scene, lambda _: refusal, [ONE])
    run_id = await scene.run("make add add", uri=scene.open("calc.py"))
    row = await scene.until(run_id, "failed")
    assert "does not let agent-lsp use its language model: the person said no" in row["message"]


async def test_a_cancelled_run_gives_up_its_question_to_the_editor(stage: Stage) -> None:
    scene = await stage(profile=LENDER)
    asked, never = asyncio.Event(), asyncio.Event()

    async def silent(_: Json) -> Json:
        asked.set()
        await never.wait()
        return answer(call("finish_step", summary="too late"))

    lends(scene, silent, [ONE])
    run_id = await scene.run("make add add", uri=scene.open("calc.py"))
    await asyncio.wait_for(asked.wait(), 60)
    await scene.client.command("agent.control", {"runId": run_id, "action": "cancel"})
    await scene.until(run_id, "cancelled", timeout_s=10)
    await scene.client.wait_for("$/cancelRequest", lambda _: True, 10)
    never.set()
