"""Owns the tests of the model adapter against a real server: what arrives, what breaks, what it costs."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent_lsp.domain.conversation import Message, ModelRequest, Phase, Text, ToolCall, ToolResult, ToolSpec
from agent_lsp.domain.errors import ModelRejectedError, ModelUnavailableError
from agent_lsp.providers.anthropic import AnthropicModel
from agent_lsp.providers.endpoint import Endpoint
from agent_lsp.providers.health import probe, reached
from agent_lsp.providers.pricing import Price
from tests import anthropic_server as scripted
from tests.anthropic_server import AnthropicServer, Brain, Reply, ScriptedBrain

KEY = "sk-ant-secret-0123456789"
TOOL = ToolSpec("edit_file", "Edits.", {"type": "object", "properties": {"path": {"type": "string"}}})


@pytest.fixture(scope="module", autouse=True)
def sdk() -> None:
    """The import is slow on a busy machine; it is no part of what is timed here."""
    import anthropic.resources.messages  # noqa: F401


@pytest.fixture
def server() -> Iterator[AnthropicServer]:
    with AnthropicServer() as running:
        yield running
    assert running.errors == []


def request(*blocks: Text | ToolResult, must_call: bool = False) -> ModelRequest:
    message = Message("user", blocks or (Text("Mend it."),))
    return ModelRequest(Phase.EXECUTION, "You mend code.", (message,), (TOOL,), must_call=must_call)


def model_at(server: AnthropicServer, **more: Any) -> AnthropicModel:
    return AnthropicModel(Endpoint("claude-sonnet-5-5", KEY, server.url, **more))


def answering(*replies: Reply | Brain) -> ScriptedBrain:
    return ScriptedBrain(replies)


def quiet(_: str) -> None:
    """Hears the prose and does nothing."""


async def test_a_request_is_written_as_the_api_wants_it_with_four_cache_marks(server: AnthropicServer) -> None:
    conversation = (
        Message("user", (Text("Mend it."),)),
        Message("assistant", (Text(""), ToolCall("toolu_1", "edit_file", {"path": "a"}))),
        Message("user", (Text("and quickly"), ToolResult("toolu_1", "", failed=True))),
    )
    model = model_at(server)
    await model.respond(ModelRequest(Phase.EXECUTION, "System.", conversation, (TOOL, TOOL), must_call=True), quiet)
    body = server.requests[0].body
    assert body["tool_choice"] == {"type": "any"}
    assert body["max_tokens"] == 16_000
    assert body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "toolu_1", "name": "edit_file", "input": {"path": "a"}}
    ]
    result, text = body["messages"][2]["content"]
    assert result == {"type": "tool_result", "tool_use_id": "toolu_1", "content": "(no output)", "is_error": True}
    assert text == {"type": "text", "text": "and quickly", "cache_control": {"type": "ephemeral"}}
    assert json.dumps(body).count("cache_control") == 4
    assert "cache_control" in body["tools"][1]
    assert "cache_control" in body["messages"][0]["content"][-1], "where the last request ended"
    assert KEY in str(server.requests[0].headers)
    await model.close()


async def test_usage_counts_cached_tokens_and_costs_by_the_price_list(server: AnthropicServer) -> None:
    counts = {
        "input_tokens": 1000,
        "output_tokens": 200,
        "cache_read_input_tokens": 5000,
        "cache_creation_input_tokens": 400,
    }
    server.brain = answering(scripted.say("Fine.", usage=counts), scripted.say("Fine.", usage=counts))
    model = model_at(server)
    usage = (await model.respond(request(), quiet)).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (
        1000,
        200,
        5000,
        400,
    )
    assert usage.turns == 1
    assert usage.cost_usd == pytest.approx((1000 * 2 + 200 * 10 + 5000 * 0.1 + 400 * 2.5) / 1e6)
    await model.close()
    own = AnthropicModel(Endpoint("house-model", KEY, server.url), prices={"house-model": Price(1, 0, 0, 0)})
    assert own.priced
    assert (await own.respond(request(), quiet)).usage.cost_usd == pytest.approx(0.001)
    await own.close()


async def test_an_error_event_before_the_message_is_like_a_status(server: AnthropicServer) -> None:
    server.brain = answering(scripted.error_event(0), scripted.error_event(0, "invalid_request_error", "bad"))
    model = model_at(server)
    with pytest.raises(ModelUnavailableError, match="overloaded_error: Overloaded"):
        await model.respond(request(), quiet)
    with pytest.raises(ModelRejectedError, match="bad"):
        await model.respond(request(), quiet)
    await model.close()


async def test_thinking_goes_back_unchanged_with_the_results_of_its_calls(server: AnthropicServer) -> None:
    server.brain = answering(scripted.calls(scripted.edit("a.py", "x", "y"), text="Hm.", thinking="Let me see ..."))
    model = model_at(server)
    heard: list[str] = []
    turn = await model.respond(request(), heard.append)
    assert "".join(heard) == turn.text == "Hm."
    results = Message("user", (ToolResult(turn.calls[0].id, "edited"),))
    first = Message("user", (Text("Mend it."),))
    again = ModelRequest(Phase.EXECUTION, "", (first, Message("assistant", turn.blocks), results), (TOOL,))
    await model.respond(again, quiet)
    sent = server.requests[1].body["messages"][1]["content"]
    assert [block["type"] for block in sent] == ["thinking", "text", "tool_use"]
    assert sent[0]["thinking"] == "Let me see ..."
    assert sent[0]["signature"].startswith("sig-")
    server.brain = answering(
        scripted.http_error(400, message="messages.1: thinking blocks belong to another conversation"),
        scripted.say("Good."),
    )
    assert (await model.respond(again, quiet)).text == "Good."
    assert [block["type"] for block in server.requests[3].body["messages"][1]["content"]] == ["text", "tool_use"]
    await model.close()


async def test_whether_an_endpoint_is_there_asks_no_model_and_sends_no_key(server: AnthropicServer) -> None:
    place = Endpoint("claude-sonnet-5-5", KEY, server.url, 0.5)
    server.lists_models = False
    assert await reached(place) == (True, f"{server.url} is there"), "a page that is not found is an answer"
    assert server.requests == []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert KEY.encode() not in await reader.read()
        writer.close()

    silent = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        assert await reached(replace(place, base_url=url)) == (False, f"{url} did not answer within 0.5 s")
    works, said = await reached(replace(place, base_url=url))
    assert (works, "cannot be reached" in said) == (False, True)
    assert not (await reached(replace(place, base_url="no address")))[0]


async def test_a_probe_tells_whether_the_endpoint_answers(server: AnthropicServer) -> None:
    assert await probe(Endpoint("claude-sonnet-5-5", KEY, server.url, 5.0)) == (
        True,
        f"claude-sonnet-5-5 answers at {server.url}",
    )
    assert server.requests == []
    server.lists_models = False
    assert (await probe(Endpoint("claude-sonnet-5-5", KEY, server.url, 5.0)))[0]
    assert server.requests[0].body["max_tokens"] == 1
    server.brain = ScriptedBrain(chat=[scripted.http_error(401, message=f"bad {KEY}"), scripted.stall(0)])
    ok, text = await probe(Endpoint("claude-sonnet-5-5", KEY, server.url, 5.0))
    assert not ok
    assert "ANTHROPIC_API_KEY" in text
    assert KEY not in text
    assert await probe(Endpoint("m", KEY, server.url, 0.3)) == (False, f"{server.url} did not answer within 0.3 s")
