"""A model that is down, busy, broken, unwilling or confused: what a run makes of it, what it says and what it keeps."""

import socket
from typing import Any

from tests.anthropic_server import (
    Call,
    Reply,
    ScriptedBrain,
    call,
    calls,
    cut_json,
    edit,
    error_event,
    finish,
    garbage,
    half_closed,
    html,
    http_error,
    no_stop,
    plan,
    refusal,
    too_long,
)
from tests.scenarios.conftest import Stage
from tests.scenarios.looking import KEY, journalled, kept_bytes, told_bytes
from tests.scenarios.scene import Scene

FIX = edit("calc.py", "return a - b", "return a + b")
GOAL_TEST = "tests/test_add.py::test_add"
LOOK = call("read_file", path="calc.py")


def messages_of_progress(scene: Scene, run_id: str) -> list[str]:
    return [row["message"] for row in scene.client.heard("agent/progress", lambda row: row["runId"] == run_id)]


async def troubles(scene: Scene, run_id: str, count: int) -> list[dict[str, Any]]:
    return await journalled(scene.root, run_id, "model.trouble", count)


async def ending(scene: Scene, run_id: str) -> dict[str, Any]:
    [last] = await journalled(scene.root, run_id, "run.ended")
    return last


async def test_a_model_that_is_down_is_tried_again_and_then_ends_the_run_with_the_reason(stage: Stage) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port, and it refuses
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        env = {"ANTHROPIC_BASE_URL": address, "ANTHROPIC_API_KEY": KEY, "AGENT_LSP_MODEL__RETRIES": "1"}
        scene = await stage(env=env)
        run_id = await scene.run("make add add")
        row = await scene.until(run_id, "failed")

    reason = row["message"]
    assert reason.startswith("The model's endpoint cannot be reached ("), reason
    assert reason.endswith("Check the network and the base URL (ANTHROPIC_BASE_URL)."), reason
    assert "proposalId" not in row
    assert row["usage"]["turns"] == 0
    noted = await troubles(scene, run_id, 2)
    assert [trouble["wait_s"] for trouble in noted] == [0.5, None]
    assert all(trouble["code"] == "model_unavailable" for trouble in noted)
    said = messages_of_progress(scene, run_id)
    assert any(text.endswith("; asking again in 0.5 s") for text in said), said
    assert any(text.endswith("; giving up") for text in said), said
    assert (await ending(scene, run_id)) == {"state": "failed", "reason": reason}
    said_once = ("asking again in 0.5 s", "giving up", "=== COPILOT ERROR START ===", "ModelUnavailableError")
    await scene.logged(*said_once, f"run={run_id}")
    assert "Traceback" not in reason


async def test_429_and_529_are_waited_out_as_the_endpoint_wishes(stage: Stage) -> None:
    brain = ScriptedBrain(
        planning=[http_error(429, retry_after=1, message="slow down"), plan("Do it")],
        execution=[http_error(529, message="too many guests"), calls(FIX), calls(finish())],
    )
    scene = await stage(brain=brain)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed")

    assert row["verdict"] == "proven"
    assert row["usage"]["turns"] == 3, "an asking that failed is no turn"
    assert scene.model is not None
    requests = scene.model.requests
    assert [request.phase for request in requests] == ["planning"] * 2 + ["execution"] * 3
    assert requests[0].body == requests[1].body
    assert requests[2].body == requests[3].body
    said = messages_of_progress(scene, run_id)
    assert "The model's endpoint is limiting the rate (HTTP 429): slow down; asking again in 1.0 s" in said, said
    assert "The model's endpoint is overloaded (HTTP 529): too many guests; asking again in 0.5 s" in said, said
    assert [trouble["wait_s"] for trouble in await troubles(scene, run_id, 2)] == [1.0, 0.5]
    assert "COPILOT ERROR START" not in scene.log(), "trouble that passed is no error"


async def test_a_stream_that_breaks_is_resumed_from_the_last_whole_message(stage: Stage) -> None:
    brain = ScriptedBrain(
        planning=[html(), plan("Do it")],
        execution=[
            half_closed(6, calls(FIX, text="Mending it.")),
            calls(FIX),
            no_stop(),
            LOOK,
            error_event(),
            LOOK,
            garbage(),
            LOOK,
            cut_json(),
            calls(finish("add adds now")),
        ],
    )
    scene = await stage(brain=brain)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed")

    assert row["verdict"] == "proven"
    assert scene.model is not None
    requests = scene.model.requests
    assert len(requests) == 12
    for number in range(0, 12, 2):
        assert requests[number].messages == requests[number + 1].messages, f"request {number + 1} is not the same again"
    for number in range(2, 11, 2):
        assert requests[number].messages[-1]["role"] == "user"
    everything = requests[-1].text
    assert "Mending it." not in everything, "nothing of a broken answer is kept"
    assert "This answer never ends well" not in everything
    noted = await troubles(scene, run_id, 6)
    assert [(trouble["code"], trouble["wait_s"]) for trouble in noted] == [("model_broken", 0.5)] * 6
    told = [str(trouble["message"]) for trouble in noted]
    assert told[0] == "The endpoint answered text/html instead of an event stream."
    assert told[1].startswith("The model's stream broke (RemoteProtocolError")
    assert told[2] == "The model's stream ended before its message did."
    assert told[3] == "The model's stream broke with an error (overloaded_error: Overloaded)"
    assert told[4] == "The model's stream holds an event that is not JSON."
    assert told[5] == "The input of the model's call of edit_file is not a whole JSON object."
    await journalled(scene.root, run_id, "proposal")
    edits = [row for row in await journalled(scene.root, run_id, "tool.called") if row["tool"] == "edit_file"]
    assert len(edits) == 1, "the edit of the broken answer was not made"


async def test_a_refusal_ends_the_run_failed_with_the_models_words_and_keeps_what_was_done(stage: Stage) -> None:
    brain = ScriptedBrain(execution=[calls(FIX), refusal("I would rather not.")])
    scene = await stage(brain=brain)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    row = await scene.until(run_id, "failed")

    assert "declined to go on: I would rather not. Word the goal differently." in row["message"]
    proposal = await scene.proposal(run_id)
    assert proposal["files"][0]["hunks"][0]["newText"] == "    return a + b\n"
    assert scene.model is not None
    assert len(scene.model.requests) == 3, "a refusal is not asked again"
    assert (await ending(scene, run_id))["reason"] == row["message"]
    await scene.logged("ModelRefusedError")


async def test_an_answer_cut_at_the_length_limit_goes_on_from_there(stage: Stage) -> None:
    cut = cut_json(stop_reason="max_tokens")
    brain = ScriptedBrain(execution=[too_long("First I will"), cut, calls(FIX), calls(finish())])
    scene = await stage(brain=brain)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed")

    assert row["verdict"] == "proven"
    assert scene.model is not None
    second = scene.model.in_phase("execution")[1]
    said, answer = second.messages[-2:]
    assert (said["role"], said["content"][0]["text"]) == ("assistant", "First I will")
    assert (answer["role"], answer["content"][0]["text"]) == (
        "user",
        "Your answer was cut at the length limit. Go on from there, in smaller pieces.",
    )


async def test_answers_that_stay_cut_short_end_the_run_with_the_reason(stage: Stage) -> None:
    brain = ScriptedBrain(execution=[too_long(), too_long(), too_long()])
    scene = await stage(brain=brain, env={"AGENT_LSP_BUDGET__TRIES": "1"})
    run_id = await scene.run("make add add")
    row = await scene.until(run_id, "failed")

    assert row["message"] == "the model's answer was cut at the length limit 3 times in a row (no change was made)"
    assert scene.model is not None
    assert len(scene.model.in_phase("execution")) == 3


async def test_wrong_tool_calls_are_answered_with_what_would_be_right_and_the_run_goes_on(stage: Stage) -> None:
    wrong = calls(Call("edit_file", {"path": "calc.py", "old_text": 5}), Call("launch_rockets", {"at": "noon"}))
    outside = calls(edit("../elsewhere.py", "a", "b"))
    brain = ScriptedBrain(execution=[wrong, outside, calls(FIX), calls(finish())])
    scene = await stage(brain=brain)
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed")

    assert row["verdict"] == "proven"
    assert scene.model is not None
    malformed, unknown = scene.model.in_phase("execution")[1].results
    assert malformed["is_error"] is True
    assert "The input of edit_file has a wrong shape." in str(malformed["content"])
    assert "old_text: Input should be a valid string" in str(malformed["content"])
    assert "new_text: Field required" in str(malformed["content"])
    assert unknown["is_error"] is True
    assert "There is no tool launch_rockets here. These are: list_files, " in str(unknown["content"])
    [escape] = scene.model.in_phase("execution")[2].results
    assert escape["is_error"] is True
    assert not (scene.root.parent / "elsewhere.py").exists()
    await journalled(scene.root, run_id, "proposal")
    failed = [row["tool"] for row in await journalled(scene.root, run_id, "tool.answered") if row["failed"]]
    assert failed == ["edit_file", "launch_rockets", "edit_file"]


async def test_a_spent_budget_of_turns_offers_what_was_done_and_says_so(stage: Stage) -> None:
    brain = ScriptedBrain(execution=[calls(FIX), LOOK, LOOK])
    scene = await stage(brain=brain, env={"AGENT_LSP_BUDGET__TURNS": "2"})
    run_id = await scene.run("make add add", tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed")

    assert row["message"] == "the budget of 2 turns is spent (2 used); what was done is offered"
    assert row["verdict"] == "proven"
    assert row["usage"]["turns"] == 2
    assert scene.model is not None
    assert len(scene.model.requests) == 2
    await scene.logged("the budget of 2 turns is spent (2 used)")


async def test_a_spent_budget_of_tokens_ends_the_planning_with_the_reason(stage: Stage) -> None:
    look = Reply(calls=LOOK.calls, usage={"input_tokens": 900, "output_tokens": 100})
    scene = await stage(brain=ScriptedBrain(planning=[look, look]), env={"AGENT_LSP_BUDGET__TOKENS": "1000"})
    run_id = await scene.run("make add add")
    row = await scene.until(run_id, "failed")

    assert row["message"].startswith("the budget of 1000 tokens is spent (1000 used)"), row
    assert "[budget]" in row["message"], "the message says what to do"
    assert (row["usage"]["inputTokens"], row["usage"]["outputTokens"]) == (900, 100)
    assert scene.model is not None
    assert len(scene.model.requests) == 1
    assert (await ending(scene, run_id)) == {"state": "failed", "reason": row["message"]}


async def test_a_wrong_key_fails_at_once_and_is_never_repeated_to_anybody(stage: Stage) -> None:
    brain = ScriptedBrain(planning=[http_error(401, message=f"invalid x-api-key {KEY} of Bearer {KEY}")])
    scene = await stage(brain=brain)
    run_id = await scene.run("make add add")
    row = await scene.until(run_id, "failed")

    assert row["message"].startswith("The model's endpoint refused the request (HTTP 401): invalid x-api-key ***")
    assert row["message"].endswith("Check the API key (ANTHROPIC_API_KEY).")
    assert scene.model is not None
    assert len(scene.model.requests) == 1, "a refused request is not asked again"
    await scene.logged("ModelRejectedError")
    assert await scene.client.close() == 0
    assert KEY.encode() not in kept_bytes(scene.root)
    assert KEY.encode() not in told_bytes(scene)


async def test_the_key_reaches_no_command_no_test_no_log_and_no_journal(stage: Stage) -> None:
    files = {
        "calc.py": "def add(a, b):\n    return a - b\n",
        "tests/test_add.py": (
            "import os\nfrom calc import add\n\n\ndef test_add():\n"
            "    print(sorted(os.environ.items()))\n    assert add(1, 2) == 3, str(dict(os.environ))\n"
        ),
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\n',
    }
    look = calls(Call("run_command", {"command": "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'"}))
    brain = ScriptedBrain(execution=[look, calls(Call("run_tests", {})), calls(FIX), calls(finish())])
    scene = await stage(files, brain)
    run_id = await scene.run(f"make add add; my key is {KEY}")
    row = await scene.until(run_id, "proposed")

    assert row["verdict"] == "proven"
    assert scene.model is not None
    [printed] = scene.model.in_phase("execution")[1].results
    assert "PATH=" in str(printed["content"])
    for request in scene.model.in_phase("execution")[1:]:
        for result in request.results:
            assert KEY not in str(result["content"]), "what a command or a test prints does not hold the key"
    assert await scene.client.close() == 0
    assert KEY.encode() not in kept_bytes(scene.root)


async def test_another_refusal_of_the_endpoint_is_final_too(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(planning=[http_error(403, message="no")]))
    run_id = await scene.run("make add add")
    row = await scene.until(run_id, "failed")

    assert row["message"] == (
        "The model's endpoint refused the request (HTTP 403): no This key may not use that model."
    )
    assert scene.model is not None
    assert len(scene.model.requests) == 1
