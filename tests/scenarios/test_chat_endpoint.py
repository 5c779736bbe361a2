"""The main job with a model behind OpenAI's chat completions, from the goal to the applied change."""

from collections.abc import Iterator

import pytest

from tests.anthropic_server import ScriptedBrain, calls, edit, finish, half_closed, http_error
from tests.chat_server import ChatServer
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import CALC

KEY = "sk-proj-scenario-0123456789abcdef"
FIX = calls(edit("calc.py", "return a - b", "return a + b"), text="The sign is wrong.")


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    running = ChatServer()
    with running:
        yield running
    assert running.errors == []


def at(chat: ChatServer, **more: str) -> dict[str, str]:
    """What a person sets."""
    return {
        "AGENT_LSP_MODEL__PROVIDER": "openai",
        "AGENT_LSP_MODEL__NAME": "large",
        "OPENAI_BASE_URL": f"{chat.url}/v1",
        "OPENAI_API_KEY": KEY,
        **more,
    }


async def test_a_goal_is_served_from_the_plan_to_the_applied_change(stage: Stage, chat: ChatServer) -> None:
    chat.brain = ScriptedBrain([http_error(503), half_closed(3), FIX, calls(finish("add adds"))])
    scene = await stage(env=at(chat))
    uri = scene.open("calc.py")

    run_id = await scene.run("make add add")
    row = await scene.until(run_id, "proposed")

    assert row["model"] == "large", row
    assert (await scene.proposal(run_id))["verdict"]["decision"] == "proven"
    assert [request.body["model"] for request in chat.requests] == ["large"] * len(chat.requests)
    results = [result for request in chat.requests for result in request.results]
    assert any("calc.py" in str(result["content"]) for result in results), "the tools' answers go back"
    assert (await scene.apply(row["proposalId"]))["applied"] is True
    assert scene.text(uri) == CALC.replace("a - b", "a + b")
    assert KEY not in await scene.logged("HTTP 503")


async def test_a_provider_without_a_model_says_what_is_missing(stage: Stage, chat: ChatServer) -> None:
    environ = at(chat)
    del environ["AGENT_LSP_MODEL__NAME"]
    scene = await stage(env=environ)
    answer = await scene.client.command("agent.run", {"goal": "make add add"})
    if "error" in answer:
        said = " ".join((answer["error"]["message"], answer["error"]["hint"]))
    else:  # on a slow machine the answer does not wait for the runtime
        said = (await scene.until(answer["runId"], "failed"))["message"]
    assert "no model is named" in said
    assert "Set model.name" in said
    assert chat.requests == []
