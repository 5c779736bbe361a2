"""The judge itself: it lets a lawful conversation pass and tells what is wrong in any other."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.server.capabilities import COMMANDS as ADVERTISED
from agent_lsp.server.command_shapes import COMMANDS
from tests.judge import schema
from tests.judge.judge import CONVERSATIONS, Judge
from tests.judge.meta_model import MISSING, load
from tests.judge.proxy import all_judged, judged, through

needs_model = pytest.mark.skipif(load() is None, reason=MISSING)

Json = dict[str, Any]

CAPABLE = {"window": {"workDoneProgress": True}, "workspace": {"applyEdit": True, "codeLens": {"refreshSupport": True}}}


def call(method: str, params: Any = None, msg_id: Any = None) -> Json:
    body: Json = {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}
    return body if msg_id is None else {**body, "id": msg_id}


def answer(msg_id: Any, result: Any) -> Json:
    return {"jsonrpc": "2.0", "id": msg_id, "result": result}


@pytest.fixture
def judge() -> Judge:
    """A conversation that has begun; its problems are looked at here and not by tests/conftest.py."""
    judge = Judge()
    CONVERSATIONS.remove(judge)
    judge.client_says(call("initialize", {"processId": None, "rootUri": None, "capabilities": CAPABLE}, 1))
    judge.server_says(answer(1, {"capabilities": {}}))
    judge.client_says(call("initialized", {}))
    assert judge.problems == []
    return judge


def command(judge: Judge, name: str, argument: Any, result: Any) -> None:
    judge.client_says(call("workspace/executeCommand", {"command": name, "arguments": [argument]}, 2))
    judge.server_says(answer(2, result))


def test_a_lawful_conversation_passes(judge: Judge) -> None:
    judge.server_says(call("window/workDoneProgress/create", {"token": "t"}, "s1"))
    judge.client_says(answer("s1", None))
    judge.server_says(call("$/progress", {"token": "t", "value": {"kind": "begin", "title": "x"}}))
    judge.server_says(call("$/progress", {"token": "t", "value": {"kind": "end"}}))
    command(judge, "agent.run", {"goal": "x", "workDoneToken": 7}, {"runId": "r"})
    judge.server_says(call("$/progress", {"token": 7, "value": {"kind": "begin", "title": "x", "percentage": 0}}))
    command(judge, "agent.apply", {"proposalId": "p"}, {"error": {"code": "c", "message": "m", "hint": ""}})
    judge.client_raw({"jsonrpc": "2.0", "id": "raw", "method": "no/such"})
    judge.server_says({"jsonrpc": "2.0", "id": "raw", "error": {"code": -32601, "message": "no"}})
    judge.unreadable()
    judge.server_says({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "no"}})
    judge.client_says(call("shutdown", None, 3))
    judge.server_says(answer(3, None))
    judge.client_says(call("exit"))
    assert judge.problems == []
    assert judge.unanswered() == []


@needs_model
@pytest.mark.parametrize(
    ("message", "told"),
    [
        (call("textDocument/publishDiagnostics", {"uri": "file:///a", "diagnostics": [], "versoin": 1}), "versoin"),
        (call("textDocument/publishDiagnostics", {"uri": "a", "diagnostics": []}), "params.uri"),
        (call("textDocument/didOpen", {}), "only goes clientToServer"),
        (call("window/showMessage", {"type": 9, "message": "x"}), "params.type"),
        (call("no/such"), "LSP has no such notification"),
        (call("no/such", {}, 9), "LSP has no such request"),
        (call("workspace/codeLens/refresh", {}, 9), "params: has none"),
        (call("workspace/configuration", {"items": []}, 9), "needs workspace.configuration"),
        (call("$/progress", {"token": "t", "value": {"kind": "report"}}), "is nobody's"),
        (
            call(
                "client/registerCapability",
                {
                    "registrations": [
                        {"id": "1", "method": "workspace/didChangeWatchedFiles", "registerOptions": {"watcher": []}}
                    ]
                },
                9,
            ),
            "registerOptions of workspace/didChangeWatchedFiles.watcher",
        ),
    ],
)
def test_what_lsp_forbids_a_server_is_told(judge: Judge, message: Json, told: str) -> None:
    judge.server_says(message)
    assert any(told in problem for problem in judge.problems), judge.problems


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ([], "is no JSON object"),
        ({"method": "window/logMessage", "params": {"type": 3, "message": "x"}}, "jsonrpc: is not 2.0"),
        ({**answer(7, None), "error": {"code": 1, "message": "x"}}, "result and error both"),
        ({"jsonrpc": "2.0", "id": 7}, "or neither"),
        ({"jsonrpc": "2.0", "id": 7, "error": {"code": "1", "message": None}}, "error.code"),
        (answer(7, None), "was asked by nobody"),
        (answer(True, None), "neither an integer nor a text"),
        ({**answer(7, None), "reslut": 1}, "reslut: JSON-RPC has no such key"),
        (call("agent/plan", {"runId": "r", "steps": [], "stpes": []}), "stpes"),
        (call("agent/progress", {"runId": "r", "state": "working"}), "state"),
        (call("agent/unknown", {}), "there is no such message"),
    ],
)
def test_what_no_server_may_say_is_told_without_the_meta_model_too(judge: Judge, message: Any, told: str) -> None:
    judge.model = None
    judge.server_says(message)
    assert any(told in problem for problem in judge.problems), judge.problems


def test_results_of_our_commands_are_judged_with_unknown_keys_forbidden(judge: Judge) -> None:
    command(judge, "agent.run", {"goal": "x"}, {"runId": "r", "runID": "r"})
    command(judge, "agent.run", {"gaol": "x"}, {"runId": "r"})
    command(judge, "agent.control", {"runId": "r", "action": "cancel"}, {"state": "gone"})
    command(judge, "agent.status", {}, {"error": {"code": "c", "message": "m"}})
    keys = ("runID", "gaol", "state", "hint")
    assert all(any(key in problem for problem in judge.problems) for key in keys), judge.problems


@needs_model
def test_progress_begins_once_and_ends_once(judge: Judge) -> None:
    judge.server_says(call("window/workDoneProgress/create", {"token": 1}, "s1"))
    begin, end = {"kind": "begin", "title": "x"}, {"kind": "end"}
    for value in (begin, begin, {"kind": "report", "percentage": -1}, end, end, {"kind": "over"}):
        judge.server_says(call("$/progress", {"token": 1, "value": value}))
    told = [problem.partition("value")[2] for problem in judge.problems]
    assert told == [
        ".kind: begin comes out of turn",
        ".percentage: -1 is not a uinteger",
        ".kind: end comes after end",
        ".kind: 'over' is not begin, report or end",
    ]


@needs_model
def test_a_client_is_judged_unless_it_speaks_raw(judge: Judge) -> None:
    judge.client_raw(call("textDocument/didOpen", {}))
    assert judge.problems == []
    judge.client_says(call("textDocument/didOpen", {}))
    judge.client_says(call("window/showMessage", {"type": 1, "message": "x"}))
    assert [problem.partition(":")[0] for problem in judge.problems] == ["client", "client"]


def test_a_request_that_was_never_answered_is_known(judge: Judge) -> None:
    judge.client_says(call("shutdown", None, 5))
    assert judge.unanswered() == ["shutdown"]


def test_every_command_that_is_advertised_has_its_shapes() -> None:
    assert set(COMMANDS) == set(ADVERTISED)


def test_the_published_schema_is_what_the_shapes_make() -> None:
    assert schema.PATH.read_text(encoding="utf-8") == schema.text(), "run `python -m tests.judge.schema`"


async def test_a_conversation_of_any_client_is_judged_from_between(tmp_path: Path) -> None:
    said = json.dumps(call("agent/plan", {"runId": "r", "stpes": []}))
    frame = f"Content-Length: {len(said)}\r\n\r\n{said}"
    server = f"import sys; sys.stdout.write({frame!r}); sys.exit(3)"
    command = through(tmp_path / "wrong.json", [sys.executable, "-c", server])
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.endswith(said)
    assert done.returncode == 3
    assert any("stpes" in problem for problem in await judged(tmp_path / "wrong.json"))


_MUTE = """
import json, sys
def read():
    length = 0
    while (line := sys.stdin.buffer.readline().strip()):
        length = int(line.split(b":")[1])
    return json.loads(sys.stdin.buffer.read(length))
while (message := read())["method"] != "exit":
    if message["method"] in ("initialize", "shutdown"):
        result = {"capabilities": {}} if message["method"] == "initialize" else None
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        sys.stdout.buffer.write(b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
        sys.stdout.buffer.flush()
"""


async def test_each_start_has_its_log_of_our_own_messages_from_both_sides_and_of_what_was_never_answered(
    tmp_path: Path,
) -> None:
    start: dict[str, object] = {"processId": None, "rootUri": None, "capabilities": {}}
    odd = {"command": "agent.status", "arguments": [{"runID": "r_1"}]}
    said: list[dict[str, object]] = [
        {"id": 1, "method": "initialize", "params": start},
        {"method": "initialized", "params": {}},
        {"id": 2, "method": "agent/control", "params": {"runId": "r_1", "action": "stop"}},
        {"id": 3, "method": "workspace/executeCommand", "params": odd},
        {"id": 4, "method": "shutdown"},
        {"method": "exit"},
    ]
    frames = b"".join(
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        for body in (json.dumps({"jsonrpc": "2.0", **message}).encode() for message in said)
    )
    command = through(tmp_path / "PID.json", [sys.executable, "-c", _MUTE])
    for _ in range(2):
        done = await asyncio.to_thread(subprocess.run, command, input=frames, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr

    wrong = await all_judged(tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert len([problem for problem in wrong if problem.startswith("client: agent/control: ")]) == 2, wrong
    assert len([problem for problem in wrong if "runID" in problem]) == 2, wrong
    assert wrong.count("server: agent/control: was never answered") == 2
    assert wrong.count("server: workspace/executeCommand: was never answered") == 2
