"""Owns the tests of the scripted endpoint itself: its phases, its two kinds of answers, and its life as a program."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests import anthropic_server as scripted
from tests.anthropic_server import AnthropicServer, ParsedRequest, ScriptedBrain

SCRIPT = """\
from tests.anthropic_server import ScriptedBrain, say
brain = ScriptedBrain(chat=[say("from the script")])
"""


def ask(url: str, *tools: str, stream: bool = False) -> str:
    body = {
        "model": "m",
        "max_tokens": 10,
        "stream": stream,
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [{"name": name, "input_schema": {"type": "object"}} for name in tools],
    }
    asked = urllib.request.Request(
        f"{url}/v1/messages", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return str(answer.read().decode())


def message(url: str, *tools: str) -> dict[str, Any]:
    """The content of a whole answer by block type."""
    blocks = json.loads(ask(url, *tools))["content"]
    return {block["type"]: block for block in blocks}


@pytest.mark.parametrize(
    ("tools", "phase", "called"),
    [
        (("read_file", "submit_plan"), "planning", "submit_plan"),
        (("read_file", "edit_file", "finish_step"), "execution", "finish_step"),
        (("submit_reflection",), "reflection", "submit_reflection"),
    ],
)
def test_the_tools_on_offer_tell_the_phase_and_each_has_a_default(
    tools: tuple[str, ...], phase: str, called: str
) -> None:
    with AnthropicServer() as server:
        assert message(server.url, *tools)["tool_use"]["name"] == called
        assert [request.phase for request in server.requests] == [phase]
        assert server.in_phase(phase)[0].text == "Hello"


def test_each_phase_has_its_own_queue_and_a_reply_may_look_at_the_request() -> None:
    def count(request: ParsedRequest) -> scripted.Reply:
        return scripted.say(f"{len(request.tools)} tools")

    brain = ScriptedBrain([scripted.say("one"), count], planning=[scripted.plan("A", "B")])
    with AnthropicServer(brain) as server:
        assert message(server.url, "edit_file")["text"]["text"] == "one"
        assert message(server.url, "submit_plan")["tool_use"]["input"]["assessment"] == "multi_step"
        assert message(server.url, "edit_file", "finish_step")["text"]["text"] == "2 tools"
        assert brain.left == {"planning": 0, "execution": 0, "reflection": 0, "chat": 0}


def test_a_stream_has_the_apis_events_in_their_order() -> None:
    with AnthropicServer(lambda _: scripted.say("Hello, you.", piece_size=6)) as server:
        stream = ask(server.url, stream=True)
    names = [line.removeprefix("event: ") for line in stream.splitlines() if line.startswith("event: ")]
    delta = "content_block_delta"
    assert names == [
        *("message_start", "ping", "content_block_start", delta, delta),
        *("content_block_stop", "message_delta", "message_stop"),
    ]


def test_a_brain_that_raises_is_a_500_and_is_told() -> None:
    def brain(_: ParsedRequest) -> scripted.Reply:
        raise KeyError("nothing left")

    with AnthropicServer(brain) as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(server.url)
        assert caught.value.code == 500
        caught.value.close()
        assert [type(error) for error in server.errors] == [KeyError]


def test_it_runs_as_a_program_with_a_script(tmp_path: Path) -> None:
    (tmp_path / "brain.py").write_text(SCRIPT)
    port_file, log = tmp_path / "port", tmp_path / "log"
    program = Path(scripted.__file__)
    argv = [sys.executable, str(program), "--script", str(tmp_path / "brain.py")]
    argv += ["--port-file", str(port_file), "--log", str(log)]
    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url == f"http://127.0.0.1:{port_file.read_text()}"
        assert message(url)["text"]["text"] == "from the script"
        assert json.loads(log.read_text())["body"]["messages"] == [{"role": "user", "content": "Hello"}]
        process.terminate()
        assert process.wait(10) == 0
