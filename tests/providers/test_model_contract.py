"""Owns what every model of the network must do, tried with each provider against a real server of its wire format."""

import asyncio
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.domain.conversation import Message, ModelRequest, Phase, StopReason, Text, ToolResult, ToolSpec
from agent_lsp.domain.errors import (
    ModelBrokenError,
    ModelRejectedError,
    ModelUnavailableError,
    OperatorError,
    PromptTooLongError,
)
from agent_lsp.providers.anthropic import AnthropicModel
from agent_lsp.providers.endpoint import ANTHROPIC, OLLAMA, OPENAI, Endpoint
from agent_lsp.providers.ollama import OllamaModel
from agent_lsp.providers.openai import OpenAIModel
from tests import anthropic_server as scripted
from tests.anthropic_server import AnthropicServer, Brain, Call, Reply, ScriptedBrain
from tests.chat_server import ChatServer
from tests.ollama_server import OllamaServer

KEY = "sk-ant-secret-0123456789"
TOOL = ToolSpec("edit_file", "Edits.", {"type": "object", "properties": {"path": {"type": "string"}}})


@pytest.fixture(scope="module", autouse=True)
def sdks() -> None:
    """The imports are slow on a busy machine; they are no part of what is timed here."""
    import openai.resources.chat.completions  # noqa: F401


@pytest.fixture(params=[AnthropicServer, ChatServer, OllamaServer], ids=["anthropic", "openai", "ollama"])
def server(request: pytest.FixtureRequest) -> Iterator[AnthropicServer]:
    with request.param() as running:
        yield running
    assert running.errors == []


@pytest.fixture(params=[AnthropicServer, ChatServer], ids=["anthropic", "openai"])
def pieces(request: pytest.FixtureRequest) -> Iterator[AnthropicServer]:
    """Those that say why they stop, can be made to call a tool, and send a call in pieces."""
    with request.param() as running:
        yield running
    assert running.errors == []


def request(*blocks: Text | ToolResult, must_call: bool = False) -> ModelRequest:
    message = Message("user", blocks or (Text("Mend it."),))
    return ModelRequest(Phase.EXECUTION, "You mend code.", (message,), (TOOL,), must_call=must_call)


def model_at(server: AnthropicServer, **more: Any) -> AnthropicModel | OpenAIModel | OllamaModel:
    if isinstance(server, OllamaServer):
        return OllamaModel(Endpoint("large:8b", KEY, server.url, names=OLLAMA, **more))
    if isinstance(server, ChatServer):
        return OpenAIModel(Endpoint("large", KEY, f"{server.url}/v1", names=OPENAI, **more))
    return AnthropicModel(Endpoint("claude-sonnet-5-5", KEY, server.url, names=ANTHROPIC, **more))


def answering(*replies: Reply | Brain) -> ScriptedBrain:
    return ScriptedBrain(replies)


def quiet(_: str) -> None:
    """Hears the prose and does nothing."""


async def test_text_is_heard_in_order_while_it_streams(server: AnthropicServer) -> None:
    server.brain = answering(scripted.say("The quick brown fox jumps over the lazy dog 🦊.", piece_size=3))
    heard: list[str] = []
    model = model_at(server)
    turn = await model.respond(request(), heard.append)
    assert len(heard) > 10
    assert "".join(heard) == turn.text == "The quick brown fox jumps over the lazy dog 🦊."
    assert (turn.stop, turn.model, turn.calls) == (StopReason.END, model.name, ())
    await model.close()


async def test_the_pieces_of_a_tools_input_become_one_object(server: AnthropicServer) -> None:
    wanted = {
        "path": "a.py",
        "old_text": 'x = "\\n"\n',
        "new_text": "é\u2028\n",
        "replace_all": False,
        "n": [1, {"b": 2}],
    }
    server.brain = answering(
        scripted.calls(Call("edit_file", wanted), Call("read_file", {}), text="Now.", piece_size=2)
    )
    model = model_at(server)
    turn = await model.respond(request(), quiet)
    assert turn.stop is StopReason.TOOL_USE
    assert turn.text == "Now."
    assert [(call.name, call.input) for call in turn.calls] == [("edit_file", wanted), ("read_file", {})]
    assert len({call.id for call in turn.calls}) == 2
    await model.close()


TOO_LONG = (
    "prompt is too long: 212345 tokens > 200000 maximum",
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 10000 tokens.",
    "input length and `max_tokens` exceed context limit: 199000 + 16000 > 200000",
    "the request exceeds the available context size. try increasing the context size",
)


@pytest.mark.parametrize("words", TOO_LONG)
async def test_a_request_that_is_too_long_is_an_error_of_its_own(server: AnthropicServer, words: str) -> None:
    server.brain = answering(scripted.http_error(400, message=words))
    model = model_at(server)
    with pytest.raises(PromptTooLongError, match="too long"):
        await model.respond(request(), quiet)
    await model.close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ModelRejectedError),
        (401, ModelRejectedError),
        (402, ModelRejectedError),
        (403, ModelRejectedError),
        (404, ModelRejectedError),
        (413, PromptTooLongError),
        (422, ModelRejectedError),
        (408, ModelUnavailableError),
        (409, ModelUnavailableError),
        (425, ModelUnavailableError),
        (429, ModelUnavailableError),
        (499, ModelUnavailableError),
        (500, ModelUnavailableError),
        (503, ModelUnavailableError),
        (529, ModelUnavailableError),
    ],
)
async def test_every_status_is_one_of_our_errors_and_is_not_retried_here(
    server: AnthropicServer, status: int, kind: type[OperatorError]
) -> None:
    server.brain = answering(scripted.http_error(status, message=f"no, says the key {KEY}"))
    model = model_at(server)
    with pytest.raises(kind) as caught:
        await model.respond(request(), quiet)
    assert type(caught.value) is kind
    assert f"HTTP {status}" in caught.value.message
    assert "says the key ***" in caught.value.message
    assert caught.value.__cause__ is None
    assert len(server.requests) == 1
    await model.close()


async def test_the_endpoints_wish_to_wait_is_handed_on(server: AnthropicServer) -> None:
    server.brain = answering(scripted.http_error(429, retry_after=7), scripted.http_error(529))
    model = model_at(server)
    with pytest.raises(ModelUnavailableError) as caught:
        await model.respond(request(), quiet)
    assert caught.value.retry_after_s == 7.0
    with pytest.raises(ModelUnavailableError) as caught:
        await model.respond(request(), quiet)
    assert caught.value.retry_after_s is None
    await model.close()


BROKEN = {
    "half closed": scripted.half_closed(),
    "half closed, delimited by the close": scripted.half_closed(chunked=False),
    "ended without its stop": scripted.no_stop(),
    "ended without its stop, in chunks": scripted.no_stop(chunked=True),
    "error event": scripted.error_event(),
    "garbage": scripted.garbage(),
    "input is no object": scripted.calls(Call("edit_file", ["a.py"])),
    "a web page": scripted.html(),
}

BROKEN_IN_PIECES = {
    "ended inside a tool's input": scripted.half_closed(4, scripted.call("edit_file", path="a.py"), chunked=False),
    "input is cut": scripted.cut_json(),
    "tool_use without a call": scripted.say("I call.", stop_reason="tool_use"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_stream_that_breaks_in_the_middle_is_broken_and_gives_no_answer(
    server: AnthropicServer, name: str
) -> None:
    await breaks(server, BROKEN[name])


@pytest.mark.parametrize("name", BROKEN_IN_PIECES)
async def test_a_call_that_comes_in_pieces_and_not_whole_is_broken(pieces: AnthropicServer, name: str) -> None:
    await breaks(pieces, BROKEN_IN_PIECES[name])


async def breaks(server: AnthropicServer, reply: Reply) -> None:
    """The reply is no answer, and is told to be asked for again."""
    server.brain = answering(reply, scripted.say("Better."))
    model = model_at(server)
    with pytest.raises(ModelBrokenError) as caught:
        await model.respond(request(), quiet)
    assert KEY not in str(caught.value)
    assert (await model.respond(request(), quiet)).text == "Better."
    await model.close()


async def test_silence_in_a_stream_ends_it_after_the_stall_timeout(server: AnthropicServer) -> None:
    server.brain = answering(scripted.stall(3))
    model = model_at(server, stall_timeout_s=0.2)
    started = time.monotonic()
    with pytest.raises(ModelBrokenError, match=r"stalled for 0.2 s"):
        await model.respond(request(), quiet)
    assert time.monotonic() - started < 3
    await asyncio.to_thread(server.wait_for_hang_up)
    await model.close()


async def test_silence_before_the_answer_ends_it_after_the_request_timeout(server: AnthropicServer) -> None:
    server.brain = answering(scripted.stall(0))
    model = model_at(server, request_timeout_s=0.3)
    with pytest.raises(ModelUnavailableError, match=r"within 0.3 s|in time"):
        await model.respond(request(), quiet)
    await asyncio.to_thread(server.wait_for_hang_up)
    await model.close()


async def test_a_slow_answer_is_no_stall(server: AnthropicServer) -> None:
    server.brain = answering(scripted.drip(scripted.say("abcdefgh", piece_size=1), pause_s=0.1))
    model = model_at(server, request_timeout_s=0.9, stall_timeout_s=0.9)
    assert (await model.respond(request(), quiet)).text == "abcdefgh"
    await model.close()


@pytest.mark.parametrize("kind", [AnthropicServer, ChatServer, OllamaServer])
async def test_nobody_at_the_address_is_unavailable(kind: type[AnthropicServer]) -> None:
    with kind() as gone:
        model = model_at(gone)
    with pytest.raises(ModelUnavailableError, match="cannot be reached"):
        await model.respond(request(), quiet)
    await model.close()


@pytest.mark.parametrize("address", ["http://no-such-host.invalid", "https://{here}"], ids=["no name", "no TLS"])
async def test_a_name_that_is_not_known_and_a_connection_that_cannot_be_secured_are_unavailable(
    server: AnthropicServer, address: str
) -> None:
    """The server speaks no TLS, which is what a client sees of one whose certificate or version does not do."""
    there = model_at(server)
    place = replace(there._endpoint, base_url=address.format(here=server.url.removeprefix("http://")))
    model = type(there)(place)
    with pytest.raises(ModelUnavailableError, match="cannot be reached") as caught:
        await model.respond(request(), quiet)
    assert place.names.address in caught.value.hint
    assert server.requests == []
    await model.close()


@pytest.mark.parametrize("kind", [AnthropicServer, ChatServer, OllamaServer])
async def test_a_certificate_that_nobody_vouches_for_is_unavailable_and_hears_no_key(
    kind: type[AnthropicServer], tmp_path: Path
) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    there = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with there:
        with kind() as plain:
            model = model_at(plain)
        port = there.sockets[0].getsockname()[1]
        model = type(model)(replace(model._endpoint, base_url=f"https://127.0.0.1:{port}"))
        with pytest.raises(ModelUnavailableError, match=r"(?i)cannot be reached.*certificate"):
            await model.respond(request(), quiet)
        await model.close()
    assert [said for said in heard if KEY.encode() in said or b"POST" in said] == []


def self_signed(folder: Path) -> Path:
    """A key and a certificate of its own for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "t")])
    now = datetime.now(UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    certificate = builder.add_extension(here, critical=False).sign(key, hashes.SHA256())
    path = folder / "self-signed.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + certificate.public_bytes(pem))
    return path


@pytest.mark.parametrize(
    ("reply", "stop", "text"),
    [
        (scripted.refusal(), StopReason.REFUSAL, ""),
        (scripted.refusal("I would rather not"), StopReason.REFUSAL, "I would rather not"),
        (scripted.too_long(), StopReason.LENGTH, "This goes on and"),
        (scripted.cut_json(stop_reason="max_tokens"), StopReason.LENGTH, ""),
        (scripted.say("More?", stop_reason="pause_turn"), StopReason.LENGTH, "More?"),
        (scripted.say("So.", stop_reason="stop_sequence"), StopReason.END, "So."),
        (scripted.say("New.", stop_reason="something_new"), StopReason.END, "New."),
    ],
)
async def test_other_stop_reasons_are_answers_without_half_calls(
    pieces: AnthropicServer, reply: Reply, stop: StopReason, text: str
) -> None:
    pieces.brain = answering(reply)
    model = model_at(pieces)
    turn = await model.respond(request(), quiet)
    assert (turn.stop, turn.text, turn.calls) == (stop, text, ())
    await model.close()


@pytest.mark.parametrize("after", [0, 3])
async def test_cancelling_closes_the_connection_at_once(server: AnthropicServer, after: int) -> None:
    server.brain = answering(scripted.stall(after))
    model = model_at(server)
    task = asyncio.create_task(model.respond(request(), quiet))
    await asyncio.to_thread(server.wait_for, 1)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_for_hang_up)
    assert time.monotonic() - started < 1
    await model.close()


async def test_a_model_that_refuses_forced_tools_is_asked_without_force_from_then_on(pieces: AnthropicServer) -> None:
    pieces.brain = answering(
        scripted.http_error(400, message='tool_choice: "any" is not supported for this model'), scripted.say("Yes.")
    )
    model = model_at(pieces)
    assert (await model.respond(request(must_call=True), quiet)).text == "Yes."
    await model.respond(request(must_call=True), quiet)
    assert ["tool_choice" in sent.body for sent in pieces.requests] == [True, False, False]
    await model.close()


async def test_answers_in_turn_share_one_connection(pieces: AnthropicServer) -> None:
    model = model_at(pieces)
    for _ in range(3):
        await model.respond(request(), quiet)
    assert len({sent.connection for sent in pieces.requests}) == 1
    await model.close()


async def test_two_requests_of_one_model_run_side_by_side(server: AnthropicServer) -> None:
    server.brain = lambda asked: scripted.drip(scripted.say(asked.text[-1] * 8, piece_size=1), 0.02)
    model = model_at(server)
    turns = await asyncio.gather(*(model.respond(request(Text(f"say {name}")), quiet) for name in "abc"))
    assert [turn.text for turn in turns] == ["a" * 8, "b" * 8, "c" * 8]
    await model.close()


async def test_the_key_is_in_no_repr(server: AnthropicServer) -> None:
    model = model_at(server)
    assert KEY not in repr(model._endpoint) + repr(model) + str(vars(model))
