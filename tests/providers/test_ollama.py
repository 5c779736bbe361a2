"""Ollama's own format: what goes over the wire, what breaks, the list of models and pulling one."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.agent.model_work import TOOLS
from agent_lsp.domain.conversation import Message, ModelRequest, Phase, StopReason, Text, ToolCall, ToolResult
from agent_lsp.domain.errors import ModelBrokenError, ModelRejectedError, ModelUnavailableError
from agent_lsp.providers.endpoint import OLLAMA, Endpoint
from agent_lsp.providers.health import probe
from agent_lsp.providers.ollama import OllamaModel, listed, pull
from tests import anthropic_server as scripted
from tests.anthropic_server import Call, Fault, Reply, ScriptedBrain
from tests.ollama_server import OllamaServer


@pytest.fixture(scope="module", autouse=True)
def library() -> None:
    """The import is slow on a busy machine; it is no part of what is timed here."""
    import ollama  # noqa: F401


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    running = OllamaServer()
    with running:
        yield running
    assert running.errors == []


def request(*messages: Message) -> ModelRequest:
    tools = tuple(tool.spec() for tool in TOOLS[Phase.EXECUTION])
    said = messages or (Message("user", (Text("Mend it."),)),)
    return ModelRequest(Phase.EXECUTION, "You mend code.", said, tools, max_tokens=1000)


def place(server: OllamaServer, model: str = "large:8b", **more: Any) -> Endpoint:
    return Endpoint(model, "none", server.url, names=OLLAMA, **more)


def quiet(_: str) -> None:
    """Hears the prose and does nothing."""


async def test_prose_and_calls_are_read_and_the_conversation_goes_back_in_the_servers_words(
    server: OllamaServer,
) -> None:
    call = Call("edit_file", {"path": "a.py", "old_text": "x", "new_text": "é\u2028\n"})
    server.brain = ScriptedBrain([scripted.calls(call, Call("read_file", {}), text="Now. 🦊", piece_size=2)])
    model, heard = OllamaModel(place(server)), list[str]()
    turn = await model.respond(request(), heard.append)
    assert "".join(heard) == turn.text == "Now. 🦊"
    assert turn.stop is StopReason.TOOL_USE
    assert [(made.name, made.input) for made in turn.calls] == [("edit_file", call.input), ("read_file", {})]
    assert len({made.id for made in turn.calls}) == 2
    assert (turn.usage.input_tokens, turn.usage.turns) == (100, 1)

    first, second = turn.calls
    answers = (ToolResult(first.id, "done"), ToolResult(second.id, "no such file", failed=True), Text("Go on."))
    await model.respond(request(Message("assistant", turn.blocks), Message("user", answers)), quiet)
    sent = server.requests[1].body
    assert sent["messages"][1]["tool_calls"][0]["function"] == {"name": "edit_file", "arguments": call.input}
    assert sent["messages"][2:] == [
        {"role": "tool", "tool_name": "edit_file", "content": "done"},
        {"role": "tool", "tool_name": "read_file", "content": "[failed] no such file"},
        {"role": "user", "content": "Go on."},
    ]
    await model.close()


async def test_every_tool_keeps_its_arguments_and_their_types(server: OllamaServer) -> None:
    model = OllamaModel(place(server))
    await model.respond(request(), quiet)
    sent = {tool["function"]["name"]: tool["function"]["parameters"] for tool in server.requests[0].body["tools"]}
    assert set(sent) == {tool.name for tool in TOOLS[Phase.EXECUTION]}
    for tool in TOOLS[Phase.EXECUTION]:
        properties = sent[tool.name]["properties"]
        assert set(properties) == set(tool.spec().input_schema["properties"])
        assert all(value.get("type") for value in properties.values()), tool.name
        assert sent[tool.name]["required"] == tool.spec().input_schema.get("required", [])
    assert sent["read_file"]["properties"]["start_line"]["type"] == "integer"
    assert sent["run_tests"]["properties"]["tests"]["items"] == {"type": "string"}
    await model.close()


async def test_the_window_holds_the_conversation_and_only_grows(server: OllamaServer) -> None:
    model = OllamaModel(place(server))
    for length in (10, 60_000, 10):
        await model.respond(request(Message("user", (Text("x" * length),))), quiet)
    sizes = [sent.body["options"]["num_ctx"] for sent in server.requests]
    assert sizes == [16_384, 32_768, 32_768]
    assert server.requests[0].body["options"]["num_predict"] == 1000
    await model.close()


BROKEN: dict[str, Reply] = {
    "half closed": scripted.half_closed(),
    "half closed, delimited by the close": scripted.half_closed(chunked=False),
    "ended without its end": scripted.no_stop(),
    "an error in the stream": scripted.say("abc").failing(Fault("error_event", 2, body={"error": "out of memory"})),
    "garbage": scripted.garbage(),
    "a web page": scripted.html(),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_answer_that_breaks_is_broken_and_nothing_of_it_is_used(server: OllamaServer, name: str) -> None:
    server.brain = ScriptedBrain([BROKEN[name], scripted.say("Better.")])
    model = OllamaModel(place(server))
    with pytest.raises(ModelBrokenError):
        await model.respond(request(), quiet)
    assert (await model.respond(request(), quiet)).text == "Better."
    await model.close()


@pytest.mark.parametrize(
    ("status", "said", "kind", "elsewhere"),
    [
        (404, "model 'large:8b' not found", ModelRejectedError, True),
        (400, "registry.ollama.ai/library/large does not support tools", ModelRejectedError, True),
        (400, "invalid options", ModelRejectedError, False),
        (500, "llama runner process has terminated", ModelUnavailableError, False),
        (503, "server busy", ModelUnavailableError, False),
    ],
)
async def test_what_the_server_refuses_is_told_apart(
    server: OllamaServer, status: int, said: str, kind: type[Exception], elsewhere: bool
) -> None:
    server.brain = ScriptedBrain([Reply(fault=Fault("http", status=status, body={"error": said}))])
    model = OllamaModel(place(server))
    with pytest.raises(kind) as caught:
        await model.respond(request(), quiet)
    assert getattr(caught.value, "elsewhere", False) is elsewhere
    await model.close()


async def test_silence_is_bounded_and_cancelling_closes_the_connection(server: OllamaServer) -> None:
    server.brain = ScriptedBrain([scripted.stall(0), scripted.stall(3), scripted.stall(3)])
    model = OllamaModel(place(server, request_timeout_s=0.3, stall_timeout_s=0.3))
    with pytest.raises(ModelUnavailableError, match=r"within 0.3 s"):
        await model.respond(request(), quiet)
    with pytest.raises(ModelBrokenError, match=r"stalled for 0.3 s"):
        await model.respond(request(), quiet)
    await model.close()
    patient = OllamaModel(place(server))
    asking = asyncio.create_task(patient.respond(request(), quiet))
    await asyncio.to_thread(server.wait_for, 3)
    started = time.monotonic()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.to_thread(lambda: server._wait(lambda: len(server.hang_ups) == 3, 10))
    assert time.monotonic() - started < 2
    await patient.close()


async def test_nobody_at_the_address_is_unavailable() -> None:
    with OllamaServer() as gone:
        model = OllamaModel(Endpoint("large:8b", "none", gone.url, names=OLLAMA))
    with pytest.raises(ModelUnavailableError, match="cannot be reached") as caught:
        await model.respond(request(), quiet)
    assert "Start Ollama" in caught.value.hint
    await model.close()


async def test_models_are_listed_and_one_that_is_missing_is_pulled_with_its_progress(server: OllamaServer) -> None:
    assert await listed(place(server)) == ("large:8b", "small:latest")
    assert (await probe(place(server, "small")))[0], "`small` is small:latest"
    works, said = await probe(place(server, "other"))
    assert not works
    assert "large:8b, small:latest" in said
    assert "agent-lsp models --pull" in said
    steps: list[tuple[str, float | None]] = []
    await pull(place(server, "other:1b"), lambda status, percent: steps.append((status, percent)))
    assert steps[0] == ("pulling manifest", None)
    assert [percent for status, percent in steps if status.startswith("pulling 8")] == [0.0, 50.0, 100.0]
    assert (await probe(place(server, "other:1b")))[0]
    with pytest.raises(ModelUnavailableError, match="file does not exist"):
        await pull(place(server, "nonesuch"), lambda _status, _percent: None)


async def test_a_call_whose_result_comes_later_keeps_its_name(server: OllamaServer) -> None:
    asked = ToolCall("c1", "search", {"pattern": "x"})
    history = (
        Message("user", (Text("Go."),)),
        Message("assistant", (asked,)),
        Message("user", (ToolResult("c1", ""),)),
    )
    model = OllamaModel(place(server))
    await model.respond(request(*history), quiet)
    assert server.requests[0].body["messages"][-1] == {
        "role": "tool",
        "tool_name": "search",
        "content": "(no output)",
    }
    await model.close()


def models(root: Path, server: OllamaServer, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT_LSP_", "ANTHROPIC_"))}
    environ |= {
        "AGENT_LSP_CONFIG": str(root / "config.toml"),
        "AGENT_LSP_DATA_DIR": str(root / "data"),
        "OLLAMA_HOST": server.url,
    }
    command = [sys.executable, "-m", "agent_lsp", "models", "--root", str(root), *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_line_shows_the_endpoints_and_pulls_what_is_missing(tmp_path: Path, server: OllamaServer) -> None:
    (tmp_path / "config.toml").write_text(
        '[endpoints.local]\nprovider = "ollama"\nname = "other:1b"\n[tiers]\nmid = ["default", "local"]\n'
    )
    missing = models(tmp_path, server)
    assert missing.returncode == 1
    assert "Ollama has no model other:1b" in " ".join(missing.stdout.split())
    pulled = models(tmp_path, server, "--pull", "local")
    assert (pulled.returncode, "other:1b: ready" in pulled.stderr) == (0, True), pulled.stderr
    there = models(tmp_path, server, "--json")
    assert there.returncode == 0, there.stdout
    assert '"endpoint": "local"' in there.stdout
    nothing = models(tmp_path, server, "--pull", "default")
    assert nothing.returncode == 2
    assert "Endpoints of Ollama: local" in nothing.stderr
