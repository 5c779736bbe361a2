"""Owns what is particular to chat completions in OpenAI's format: how requests are written, and how servers differ."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from agent_lsp.domain.conversation import Message, ModelRequest, Phase, StopReason, Text, ToolCall, ToolResult, ToolSpec
from agent_lsp.domain.errors import ConfigError, ModelRejectedError, ModelUnavailableError
from agent_lsp.providers.assembly import Assembly
from agent_lsp.providers.chat_stream import ChatStream
from agent_lsp.providers.endpoint import OPENAI, Endpoint
from agent_lsp.providers.health import probe
from agent_lsp.providers.openai import OpenAIModel
from agent_lsp.providers.pricing import Price
from agent_lsp.settings.endpoint import endpoint
from agent_lsp.settings.model import DEFAULT_MODEL, ModelSettings
from tests import anthropic_server as scripted
from tests.anthropic_server import ScriptedBrain
from tests.chat_server import ChatServer

KEY = "sk-secret-0123456789"
TOOL = ToolSpec("edit_file", "Edits.", {"type": "object", "properties": {"path": {"type": "string"}}})
ASKED = ModelRequest(Phase.EXECUTION, "You mend code.", (Message("user", (Text("Mend it."),)),), (TOOL,))


@pytest.fixture
def server() -> Iterator[ChatServer]:
    running = ChatServer()
    with running:
        yield running
    assert running.errors == []


def place(server: ChatServer, model: str = "large", timeout_s: float = 10.0) -> Endpoint:
    return Endpoint(model, KEY, f"{server.url}/v1", timeout_s, names=OPENAI)


def quiet(_: str) -> None:
    """Hears the prose and does nothing."""


async def test_a_request_is_written_as_the_format_wants_it(server: ChatServer) -> None:
    conversation = (
        Message("user", (Text("Mend it."),)),
        Message("assistant", (Text(""), ToolCall("call_1", "edit_file", {"path": "é"}))),
        Message("user", (Text("and quickly"), ToolResult("call_1", "", failed=True))),
        Message("assistant", (Text("So."),)),
        Message("user", (Text(" "),)),
    )
    model = OpenAIModel(place(server))
    await model.respond(ModelRequest(Phase.EXECUTION, "System.", conversation, (TOOL,), must_call=True), quiet)
    body = server.requests[0].body
    assert (body["tool_choice"], body["max_completion_tokens"]) == ("required", 16_000)
    assert body["stream_options"] == {"include_usage": True}
    assert body["tools"][0]["function"]["parameters"] == TOOL.input_schema
    call = {"id": "call_1", "type": "function", "function": {"name": "edit_file", "arguments": '{"path": "é"}'}}
    assert body["messages"] == [
        {"role": "system", "content": "System."},
        {"role": "user", "content": "Mend it."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "[failed] (no output)"},
        {"role": "user", "content": "and quickly"},
        {"role": "assistant", "content": "So."},
        {"role": "user", "content": "(nothing)"},
    ]
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    await model.close()


async def test_cached_tokens_are_counted_by_themselves_and_cost_what_the_settings_say(server: ChatServer) -> None:
    counts = {"input_tokens": 1000, "output_tokens": 200, "cache_read_input_tokens": 5000}
    server.brain = ScriptedBrain([scripted.say("Fine.", usage=counts)])
    model = OpenAIModel(place(server), prices={"large": Price(2, 10, 0, 0.5)})
    usage = (await model.respond(ASKED, quiet)).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (1000, 200, 5000)
    assert usage.cost_usd == pytest.approx((1000 * 2 + 200 * 10 + 5000 * 0.5) / 1e6)
    assert model.priced
    await model.close()


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        ("Unsupported parameter: 'max_completion_tokens'", "max_completion_tokens"),
        ("stream_options is not supported", "stream_options"),
        ("tool_choice must be auto", "tool_choice"),
    ],
)
async def test_what_a_server_refuses_is_said_otherwise_from_then_on(
    server: ChatServer, refusal: str, field: str
) -> None:
    server.brain = ScriptedBrain(
        [scripted.http_error(400, message=refusal), scripted.say("Yes."), scripted.say("Yes.")]
    )
    model = OpenAIModel(place(server))
    asked = ModelRequest(Phase.EXECUTION, "", ASKED.messages, (TOOL,), must_call=True)
    for _ in range(2):
        assert (await model.respond(asked, quiet)).text == "Yes."
    assert [field in sent.body for sent in server.requests] == [True, False, False]
    if field == "max_completion_tokens":
        assert server.requests[1].body["max_tokens"] == 16_000
    await model.close()


async def test_a_server_that_refuses_everything_is_not_asked_for_ever(server: ChatServer) -> None:
    refusal = scripted.http_error(400, message="neither max_completion_tokens nor max_tokens nor stream_options")
    server.brain = lambda _: refusal
    model = OpenAIModel(place(server))
    with pytest.raises(ModelRejectedError):
        await model.respond(ASKED, quiet)
    assert len(server.requests) == 3
    await model.close()


async def test_an_error_in_place_of_the_first_chunk_is_no_answer(server: ChatServer) -> None:
    server.brain = ScriptedBrain([scripted.error_event(0, "server_error", f"we are down, {KEY}")])
    model = OpenAIModel(place(server))
    with pytest.raises(ModelUnavailableError) as caught:
        await model.respond(ASKED, quiet)
    assert "server_error: we are down, ***" in caught.value.message
    await model.close()


def read(*deltas: Mapping[str, Any], finish: str = "tool_calls", **more: Any) -> Any:
    """What a stream of these deltas means."""
    stream, assembly = ChatStream(), Assembly("m", {}, quiet)
    chunks = [{"model": "m", "choices": [{"delta": delta}]} for delta in deltas]
    for chunk in [*chunks, {"choices": [{"delta": {}, "finish_reason": finish}], **more}, {"choices": []}]:
        for event in stream.events(chunk):
            assembly.take(event)
    for event in stream.end():
        assembly.take(event)
    return assembly.turn()


def call(name: str, arguments: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"name": name, "arguments": arguments}, **more}]}


def test_calls_that_come_whole_and_all_with_the_same_number_are_told_apart() -> None:
    turn = read(call("a", '{"x": 1}', id="one", index=0), call("b", "{}", id="two", index=0))
    assert [(made.id, made.name, made.input) for made in turn.calls] == [("one", "a", {"x": 1}), ("two", "b", {})]


def test_calls_without_ids_get_some() -> None:
    turn = read(call("a", "{}", index=0), call("b", "", index=1))
    assert [made.name for made in turn.calls] == ["a", "b"]
    assert len({made.id for made in turn.calls}) == 2


def test_the_models_thoughts_are_no_prose_and_a_refusal_is_one() -> None:
    turn = read({"reasoning_content": "Hm."}, {"content": "Yes."}, finish="stop")
    assert (turn.text, turn.stop) == ("Yes.", StopReason.END)
    refused = read({"refusal": "I would rather not."}, finish="stop")
    assert (refused.text, refused.stop) == ("I would rather not.", StopReason.REFUSAL)


def test_a_call_that_ends_with_stop_is_a_call() -> None:
    assert read(call("a", "{}", id="one", index=0), finish="stop").stop is StopReason.TOOL_USE


async def test_a_probe_asks_for_the_list_of_models_or_for_one_token(server: ChatServer) -> None:
    assert await probe(place(server)) == (True, f"large answers at {server.url}/v1")
    ok, text = await probe(place(server, "huge"))
    assert not ok
    assert text == "It has no model huge, but large, small. Set model.name to one of these."
    assert server.requests == []
    server.lists_models = False
    assert (await probe(place(server, "huge")))[0]
    assert server.requests[0].body["max_tokens"] == 1
    server.brain = ScriptedBrain(chat=[scripted.http_error(401, message=f"bad {KEY}")])
    ok, text = await probe(place(server))
    assert (ok, "OPENAI_API_KEY" in text, KEY in text) == (False, True, False)


def test_its_variables_are_its_own() -> None:
    settings = ModelSettings(provider="openai", name="large", base_url="http://claude.example")
    environ = {
        "ANTHROPIC_API_KEY": "a",
        "ANTHROPIC_BASE_URL": "http://claude.example",
        "OPENAI_API_KEY": "o",
        "OPENAI_BASE_URL": "http://chat.example/v1",
        "HOUSE_KEY": "h",
    }
    found = endpoint(settings, environ)
    assert (found.base_url, found.api_key) == ("http://chat.example/v1", "o")
    own = endpoint(settings.model_copy(update={"base_url": "http://own/v1", "api_key_env": "HOUSE_KEY"}), environ)
    assert (own.base_url, own.api_key) == ("http://own/v1", "h")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (ModelSettings(provider="openai", name=DEFAULT_MODEL, base_url="http://own/v1"), "no model is named"),
        (ModelSettings(provider="openai", name="large"), "neither a key nor an address"),
    ],
)
def test_what_only_a_person_can_tell_is_asked_for(settings: ModelSettings, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        endpoint(settings, {}).check()
    endpoint(ModelSettings(provider="openai", name="large", base_url="http://own/v1"), {}).check()
