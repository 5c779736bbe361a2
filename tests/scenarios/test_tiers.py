"""Tiers, endpoints that stand in for each other, and what a person sees and changes of them while the server runs."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.anthropic_server import ParsedRequest, Reply, ScriptedBrain, calls, edit, finish, http_error, plan
from tests.chat_server import ChatServer
from tests.ollama_server import OllamaServer
from tests.scenarios.conftest import Stage
from tests.scenarios.looking import journalled
from tests.scenarios.scene import WAIT_S, Scene

GOAL_TEST = "tests/test_add.py::test_add"
WRONG = edit("calc.py", "return a - b", "return a * b")
WRONG_AGAIN = edit("calc.py", "return a * b", "return b - a")
RIGHT = edit("calc.py", "return b - a", "return a + b")
FIX = edit("calc.py", "return a - b", "return a + b")


@pytest.fixture
def other() -> Iterator[ChatServer]:
    running = ChatServer()
    with running:
        yield running
    assert running.errors == []


def beside(tmp_path: Path, other: ChatServer, tiers: str) -> dict[str, str]:
    """A person's file with one more endpoint, `other`."""
    path = tmp_path / "person.toml"
    path.write_text(
        f'[endpoints.other]\nprovider = "openai"\nname = "large"\nbase_url = "{other.url}/v1"\n[tiers]\n{tiers}\n'
    )
    return {"AGENT_LSP_CONFIG": str(path)}


async def models(scene: Scene, **argument: Any) -> dict[str, Any]:
    """`agent.models`, asked again while a slow machine still starts the runtime."""
    async with asyncio.timeout(WAIT_S):
        while True:
            answer: dict[str, Any] = await scene.client.command("agent.models", argument)
            if answer.get("error", {}).get("code") != "timeout":
                return answer


async def chosen(scene: Scene, run_id: str) -> list[dict[str, Any]]:
    return await journalled(scene.root, run_id, "model.chosen")


async def test_an_endpoint_that_is_down_is_gone_around_and_the_person_is_told_who_answers(
    stage: Stage, tmp_path: Path, other: ChatServer
) -> None:
    other.brain = ScriptedBrain([calls(FIX), calls(finish())])
    env = beside(tmp_path, other, 'mid = ["default", "other"]')
    scene = await stage(brain=lambda _: http_error(503, message="no room"), env=env)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed")

    assert row["model"] == "large", "the one that answered"
    assert (await scene.proposal(run_id))["verdict"]["decision"] == "proven"
    assert scene.model is not None
    assert len(scene.model.requests) == 3, "after three failures it is left alone"
    told = [row["message"] for row in scene.client.heard("agent/progress") if "instead of" in row["message"]]
    assert told[0].startswith("other (large) answers instead of default: The model's endpoint is in trouble (HTTP 503)")
    rows = await chosen(scene, run_id)
    assert [(row["endpoint"], row["tier"]) for row in rows][:1] == [("other", "mid")]
    await scene.logged("answers instead of", "endpoint default is left alone for a while")

    status = await scene.client.command("agent.status", {})
    health = {row["endpoint"]: row for row in status["models"]}
    assert health["default"]["state"] in ("open", "half_open"), "by now it may have rested"
    assert "HTTP 503" in health["default"]["trouble"]
    assert (health["other"]["state"], health["other"]["failed"]) == ("closed", 0)
    assert health["other"]["answerS"] > 0
    assert status["day"]["turns"] == len(other.requests)
    [last] = scene.client.heard("agent/models")[-1:]
    assert {row["endpoint"] for row in last["models"]} == {"default", "other"}


async def test_after_two_failed_tries_the_thinker_is_asked(stage: Stage, tmp_path: Path, other: ChatServer) -> None:
    other.brain = ScriptedBrain([calls(RIGHT), calls(finish())])
    brain = ScriptedBrain([calls(WRONG), calls(finish()), calls(WRONG_AGAIN), calls(finish())])
    scene = await stage(brain=brain, env=beside(tmp_path, other, 'thinker = ["other"]'))
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed")

    assert (await scene.proposal(run_id))["verdict"]["decision"] == "proven"
    assert row["model"] == "large"
    assert {request.phase for request in other.requests} == {"execution"}
    rows = await chosen(scene, run_id)
    assert rows[-1]["why"] == "2 tries of this step failed"
    assert (rows[-1]["tier"], rows[-1]["endpoint"]) == ("thinker", "other")
    assert scene.model is not None
    assert "a * b" in other.requests[0].text, "the whole conversation goes with it"


async def test_tiers_are_changed_while_the_server_runs(stage: Stage, tmp_path: Path, other: ChatServer) -> None:
    done = [calls(FIX), calls(finish())]
    other.brain = ScriptedBrain([*done, *done])
    scene = await stage(brain=ScriptedBrain(done), env=beside(tmp_path, other, 'tiny = ["other"]'))
    await scene.until(await scene.run("make add add"), "proposed")
    assert other.requests == []

    now = await models(scene, tiers={"mid": ["other"]})
    assert now["tiers"] == {"tiny": ["other"], "mid": ["other"], "thinker": []}
    second = await scene.run("make add add again")
    assert (await scene.until(second, "proposed"))["model"] == "large"
    assert scene.model is not None
    count = len(scene.model.requests)

    now = await models(scene, tiers={"mid": None})
    assert now["tiers"]["mid"] == ["default"]
    third = await scene.run("make add add once more", tier="tiny")
    assert (await scene.until(third, "proposed"))["model"] == "large"
    assert len(scene.model.requests) == count, "the run's own tier counts"
    rows = await chosen(scene, third)
    assert {(row["tier"], row["why"]) for row in rows} == {("tiny", "asked for this run")}


async def test_what_cannot_be_is_refused_by_name_and_changes_nothing(
    stage: Stage, tmp_path: Path, other: ChatServer
) -> None:
    scene = await stage(brain=ScriptedBrain(planning=[plan("Do it")]), env=beside(tmp_path, other, 'tiny = ["other"]'))
    before = await models(scene)
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"tiers": {"mid": ["otehr"]}}, "tiers.mid names `otehr`"),
        ({"tiers": {"huge": ["other"]}}, "tiers.huge"),
        ({"tiers": {"mid": "other"}}, "`mid` must be a list of texts"),
        ({"tier": "mid"}, "give its `runId`"),
        ({"runId": "r_none", "tier": "mid"}, "r_none"),
    )
    for argument, says in wrong:
        answer = await scene.client.raw_command("agent.models", argument)
        assert says in answer["error"]["message"], answer
    assert (await models(scene))["tiers"] == before["tiers"]


async def test_a_probe_finds_who_is_there(stage: Stage, tmp_path: Path, other: ChatServer) -> None:
    env = beside(tmp_path, other, 'thinker = ["other", "openai:nonesuch"]') | {"OPENAI_BASE_URL": f"{other.url}/v1"}
    scene = await stage(brain=ScriptedBrain(), env=env | {"OPENAI_API_KEY": "sk-proj-0123456789"})
    await models(scene, probe=True)

    def all_asked(told: Any) -> bool:
        return all(row["asked"] for row in told["models"])

    told = await scene.client.wait_for("agent/models", all_asked, 60)
    states = {row["endpoint"]: row["state"] for row in told["models"]}
    assert states == {"default": "closed", "other": "closed", "openai:nonesuch": "open"}
    assert "It has no model nonesuch" in next(row["trouble"] for row in told["models"] if row["state"] == "open")


async def test_a_run_at_work_looks_who_is_there_and_asks_no_model_for_it(stage: Stage, tmp_path: Path) -> None:
    gone = ChatServer()
    with gone:
        pass
    go_on = threading.Event()

    def waiting(request: ParsedRequest) -> Reply:
        assert go_on.wait(WAIT_S)
        if request.phase == "planning":
            return plan("Do it")
        said = any(row["role"] == "assistant" for row in request.messages)
        return calls(finish()) if said else calls(FIX)

    scene = await stage(brain=waiting, env=beside(tmp_path, gone, 'thinker = ["other"]'))
    assert scene.model is not None
    scene.model.lists_models = False
    run_id = await scene.run("make add add", tests=[GOAL_TEST])

    def looked(told: Any) -> bool:
        return any(row["endpoint"] == "other" and row["state"] == "open" for row in told["models"])

    told = await scene.client.wait_for("agent/models", looked, WAIT_S)
    states = {row["endpoint"]: row["state"] for row in told["models"]}
    assert states == {"default": "closed", "other": "open"}
    go_on.set()
    row = await scene.until(run_id, "proposed")
    assert len(scene.model.requests) == row["usage"]["turns"], "no request but the run's own"


async def test_the_budget_of_a_day_ends_a_run_and_keeps_what_is_done(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    today = time.strftime("%Y-%m-%d")
    (tmp_path / "data" / "usage.json").write_text(f'{{"{today}": {{"turns": 8}}, "2020-01-01": {{"turns": 900}}}}')
    env = {"AGENT_LSP_DATA_DIR": str(tmp_path / "data"), "AGENT_LSP_BUDGET__DAY_TURNS": "10"}
    scene = await stage(brain=ScriptedBrain([calls(FIX), calls(finish())]), env=env)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed", "failed")
    assert "the budget of 10 turns a day is spent" in row["message"], row
    assert row["proposalId"]
    assert "a + b" in (await scene.proposal(run_id))["diff"]
    status = await scene.client.command("agent.status", {})
    assert status["day"]["turns"] == 10


async def test_ollama_does_the_main_job_in_its_own_words(stage: Stage) -> None:
    with OllamaServer(ScriptedBrain([calls(FIX, text="The sign."), calls(finish())])) as server:
        env = {
            "AGENT_LSP_MODEL__PROVIDER": "ollama",
            "AGENT_LSP_MODEL__NAME": "large:8b",
            "OLLAMA_HOST": server.url,
        }
        scene = await stage(env=env)
        row = await scene.until(await scene.run("make add add", tests=[GOAL_TEST]), "proposed")
        assert (row["model"], row["verdict"]) == ("large:8b", "proven")
        results = [result for request in server.requests for result in request.results]
        assert any("calc.py" in str(result["content"]) for result in results)
    assert server.errors == []


async def test_a_recorded_run_does_the_same_without_any_endpoint(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    recording = await stage(
        brain=ScriptedBrain([calls(FIX), calls(finish())]), env={"AGENT_LSP_MODEL__RECORD": str(path)}
    )
    first = await recording.until(await recording.run("make add add", tests=[GOAL_TEST]), "proposed")
    env = {"AGENT_LSP_MODEL__PROVIDER": "recorded", "AGENT_LSP_MODEL__FILE": str(path)}
    scene = await stage(env=env)
    row = await scene.until(await scene.run("make add add", tests=[GOAL_TEST]), "proposed")
    assert (row["verdict"], row["usage"]["costUsd"]) == (first["verdict"], 0.0)
