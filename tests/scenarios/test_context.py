"""What a model is told over a long run, in both wire formats: rules, a prefix that stays, room that is made."""

import itertools
import json
from collections.abc import Mapping

from tests.anthropic_server import (
    AnthropicServer,
    Json,
    ParsedRequest,
    Reply,
    ScriptedBrain,
    call,
    calls,
    edit,
    finish,
    http_error,
)
from tests.scenarios.conftest import Stage
from tests.scenarios.looking import journalled
from tests.scenarios.scene import PROJECT
from tests.scenarios.wires import at, calls_without_result

LONG = "".join(f"line_{number} = {number}\n" for number in range(1200))
FILES: Mapping[str, str | bytes] = {
    **PROJECT,
    "AGENTS.md": "Always use tabs.\n",
    "src/AGENTS.md": "Here, use spaces.\n",
    **{f"src/long{number}.py": LONG for number in range(9)},
}
FIX = calls(edit("calc.py", "return a - b", "return a + b"))
CACHED = {"input_tokens": 1000, "cache_read_input_tokens": 3000}


def prefix(body: Json) -> str:
    """A request without what may differ from one to the next: the marks of the cache."""
    return json.dumps(body["messages"]).replace(', "cache_control": {"type": "ephemeral"}', "")[:-1]


def head(request: ParsedRequest) -> str:
    return request.system + json.dumps(request.body["tools"])


async def test_rules_and_prefix_stay_and_the_part_that_came_from_the_cache_is_told(
    stage: Stage, endpoint: AnthropicServer
) -> None:
    look = call("read_file", path="calc.py")
    replies = [Reply(calls=reply.calls, usage=CACHED) for reply in (look, look, FIX, calls(finish()))]
    endpoint.brain = ScriptedBrain(replies)
    scene = await stage(FILES, env=at(endpoint))
    run_id = await scene.run("make add add")
    row = await scene.until(run_id, "proposed")

    assert all("Always use tabs." in request.system for request in endpoint.requests)
    assert all("# What is where" in request.text for request in endpoint.requests)
    assert "calc.py\n     1  def add(a, b)" in endpoint.requests[0].text
    asked = [request for request in endpoint.requests if request.phase == "execution"]
    assert len(asked) == 4
    for before, after in itertools.pairwise(asked):
        assert head(before) == head(after)
        assert prefix(after.body).startswith(prefix(before.body)), "what was sent once is sent again as it was"
    assert row["usage"]["cacheHitRate"] == round(4 * 3000 / (4 * 4000 + 100), 3), row["usage"]


async def test_a_conversation_that_grows_too_long_is_made_shorter_and_the_run_goes_on(
    stage: Stage, endpoint: AnthropicServer
) -> None:
    looks = [call("read_file", path=f"src/long{number}.py") for number in range(9)]
    too_long = http_error(400, message="prompt is too long: 21000 tokens > 12000 maximum")
    endpoint.brain = ScriptedBrain([*looks[:7], too_long, *looks[7:], FIX, calls(finish())])
    scene = await stage(FILES, env={**at(endpoint), "AGENT_LSP_MODEL__CONTEXT_TOKENS": "40000"})
    run_id = await scene.run("make add add, and say why")
    await scene.until(run_id, "proposed")

    rows = await journalled(scene.root, run_id, "context.shortened", 2)
    assert any("near the end" in row["why"] for row in rows), rows
    assert any("too long" in row["why"] for row in rows), rows
    assert all(row["afterTokens"] < row["beforeTokens"] for row in rows)
    assert [calls_without_result(request.body) for request in endpoint.requests] == [[]] * len(endpoint.requests)
    last = endpoint.requests[-1]
    assert "make add add, and say why" in last.text
    assert "Step 1 of 1" in last.text
    assert "Always use tabs." in last.system
    assert "Here, use spaces." in last.system, "rules that came with a result that is gone"
    assert len(json.dumps(last.body)) < len(LONG) * 5


async def test_open_files_and_what_the_editor_shows_in_them_are_told_and_private_ones_are_not(
    stage: Stage, endpoint: AnthropicServer
) -> None:
    files = {**PROJECT, "notes/secret.py": "token = 1\n", "far/away.py": "def distant():\n    return 1\n"}
    options = {"context": {"private": ["notes/*"]}}
    endpoint.brain = ScriptedBrain(execution=[FIX, calls(finish())])
    scene = await stage(files, env=at(endpoint), options=options)
    goal = scene.open("calc.py")
    away, secret = scene.open("far/away.py"), scene.open("notes/secret.py")
    place = {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 10}}
    for uri, message in ((away, "is never called"), (secret, "holds a token")):
        await scene.client.actions(uri, 1, diagnostics=[{"range": place, "message": message, "source": "lint"}])
    run_id = await scene.run("make add add", uri=goal)
    await scene.until(run_id, "proposed")

    for request in (endpoint.in_phase("planning")[0], endpoint.in_phase("execution")[0]):
        told = request.text
        assert "# Open in the editor\n\n- far/away.py\n" in told, told
        assert "- far/away.py:2: is never called (lint)" in told
        assert "secret" not in told.partition("# The workspace's top level")[0]
        assert "holds a token" not in told
