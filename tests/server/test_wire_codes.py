"""What a server answers to everything that is not as JSON-RPC and LSP want it: one answer each, and no secrets."""

import json
import sys
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import SERVE
from tests.server.flows import run, wait_state
from tests.server.raw_client import VSCODE, Json, Malformed, NoAnswerError, RawClient, RpcError

ODD = [sys.executable, "-m", "tests.server.serve_odd"]

PLACE = {"line": 0, "character": 0}
RANGE = {"start": PLACE, "end": PLACE}
URI = "file:///nowhere/a.py"
DOCUMENT = {"uri": URI}
ANY: list[Any] = [None, {}, [], 7, "text"]
NO_LINES: list[Any] = ["7", -1, 2**31, 1.0, 1.5, True, None, []]
ACTION = {"textDocument": DOCUMENT, "range": RANGE, "context": {"diagnostics": []}}


@pytest.fixture
async def odd(root: Path) -> AsyncIterator[RawClient]:
    """A server with features that misbehave."""
    client = RawClient()
    await client.start(ODD, cwd=Path(__file__).parents[2])
    await client.initialize(VSCODE, root)
    yield client
    await client.kill()


def answers(client: RawClient, since: int = 0) -> list[Json]:
    return [message for message in client.messages[since:] if "method" not in message]


async def answer_to(client: RawClient, message: Any) -> Json:
    """The one answer to a message that is no lawful request."""
    since = len(client.messages)
    if isinstance(message, bytes):
        client.send_bytes(message)
    else:
        client.send(message)
    await client.wait_until(lambda: answers(client, since))
    await client.command("agent.status")
    found = answers(client, since)
    assert len(found) == 2, found
    return found[0]


async def error_of(client: RawClient, method: str, params: Any) -> Json:
    with pytest.raises(RpcError) as error:
        await client.raw_request(method, params)
    assert error.value.data is None
    return {"code": error.value.code, "message": error.value.message}


def request(**more: Any) -> Json:
    return {"jsonrpc": "2.0", "id": 900, "method": "agent/status", **more}


async def test_what_is_no_message_is_answered_as_json_rpc_says(client: RawClient) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    unreadable: Mapping[str, bytes] = {
        "no JSON": b"{not json",
        "empty": b" ",
        "truncated": json.dumps(request()).encode()[:-1],
        "two values": b"{}{}",
        "no UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
        "a surrogate in UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"\xed\xa0\x80"}',
        "UTF-16": json.dumps(request()).encode("utf-16"),
        "NaN": b'{"jsonrpc":"2.0","id":1,"method":"agent/status","params":{"x":NaN}}',
        "Infinity": b'{"jsonrpc":"2.0","id":1,"method":"agent/status","params":[-Infinity]}',
        "nested too deeply": b'{"jsonrpc":"2.0","id":1,"method":"agent/status","params":%s}' % deep,
        "a number too long": b'{"jsonrpc":"2.0","id":1,"method":"agent/status","params":[%s]}' % (b"9" * 5000),
    }
    for name, body in unreadable.items():
        answer = await answer_to(client, body)
        assert (answer["id"], answer["error"]["code"]) == (None, -32700), (name, answer)
    values: list[Any] = [7, "text", None, True, 1.5, [], [1], [request(), request()], {}]
    for value in values:
        answer = await answer_to(client, value)
        assert (answer["id"], answer["error"]["code"]) == (None, -32600), (value, answer)


async def test_a_request_that_is_not_well_formed_is_answered_under_its_id_where_that_is_known(
    client: RawClient,
) -> None:
    for wrong in ({"jsonrpc": None}, {"jsonrpc": 2.0}, {"jsonrpc": "1.0"}, {"method": None}, {"method": 7}):
        answer = await answer_to(client, request(**wrong))
        assert (answer["id"], answer["error"]["code"]) == (900, -32600), (wrong, answer)
    answer = await answer_to(client, {"id": 900, "method": "agent/status"})
    assert (answer["id"], answer["error"]["code"]) == (900, -32600)
    answer = await answer_to(client, {"jsonrpc": "2.0", "id": 901})
    assert (answer["id"], answer["error"]["code"]) == (901, -32600)
    no_ids: list[Any] = [None, True, False, 1.0, 1.5, [], {}, [1]]
    for msg_id in no_ids:
        answer = await answer_to(client, request(id=msg_id))
        assert (answer["id"], answer["error"]["code"]) == (None, -32600), (msg_id, answer)


async def test_integers_and_texts_are_ids_and_come_back_as_they_were(client: RawClient) -> None:
    for msg_id in (0, -1, 2**31, 10**30, "", "0", "true", "a\u2028\U0001f600", "x" * 10_000):
        answer = await answer_to(client, request(id=msg_id))
        assert answer == {"jsonrpc": "2.0", "id": msg_id, "result": {"runs": []}}
        assert type(answer["id"]) is type(msg_id)
    answer = await answer_to(client, b'{"jsonrpc":"2.0","id":"\\ud800","method":"agent/status"}')
    assert answer["id"] == "\ud800"


async def test_odd_but_lawful_json_is_taken(client: RawClient) -> None:
    bodies = [
        b"\xef\xbb\xbf" + json.dumps(request()).encode(),
        b" \r\n\t" + json.dumps(request()).encode() + b"\n",
        b'{"jsonrpc":"1.0","jsonrpc":"2.0","id":1,"id":900,"method":"no/such","method":"agent/status"}',
        json.dumps(request(params=None, extra=[1])).encode(),
        json.dumps(request(params={"x": {"jsonrpc": "1", "id": 3, "method": "m", "result": 1, "error": {}}})).encode(),
        json.dumps(request(params={"x": [[{"error": None, "deep": {"id": [], "jsonrpc": "2.0"}}]]})).encode(),
        json.dumps(request(result=None, error={"code": 1})).encode(),
    ]
    for body in bodies:
        assert (await answer_to(client, body)) == {"jsonrpc": "2.0", "id": 900, "result": {"runs": []}}, body


async def test_unknown_methods_are_told_and_unknown_notifications_ignored(client: RawClient) -> None:
    for method in ("textDocument/nothing", "$/unknown", "", "exit", "initialized/", "$/cancelRequest", "m" * 10_000):
        for params in ANY:
            error = await error_of(client, method, params)
            assert error["code"] == -32601
            assert len(error["message"]) < 200
    for params in ANY:
        client.raw_notify("textDocument/nothing", params)
        client.raw_notify("$/unknown", params)
    assert await client.command("agent.status") == {"runs": []}


INVALID: list[tuple[str, Any, str]] = [
    ("textDocument/codeAction", None, "params"),
    ("textDocument/codeAction", [], "params"),
    ("textDocument/codeAction", 7, "params"),
    ("textDocument/codeAction", {**ACTION, "textDocument": {}}, "textDocument.uri"),
    ("textDocument/codeAction", {**ACTION, "textDocument": {"uri": 3}}, "textDocument.uri"),
    ("textDocument/codeAction", {**ACTION, "range": None}, "range"),
    ("textDocument/codeAction", {**ACTION, "context": {}}, "context.diagnostics"),
    ("textDocument/codeAction", {**ACTION, "context": {"diagnostics": [{}]}}, "context.diagnostics[0].range"),
    ("textDocument/codeAction", {**ACTION, "context": {"diagnostics": [], "only": [1]}}, "context.only[0]"),
    *(
        (
            "textDocument/codeAction",
            {**ACTION, "range": {**RANGE, "end": {**PLACE, "line": line}}},
            "range.end.line",
        )
        for line in NO_LINES
    ),
    ("textDocument/codeLens", {"textDocument": None}, "textDocument"),
    ("codeAction/resolve", {"title": 1}, "title"),
    ("codeLens/resolve", {"range": {}}, "range.start"),
    ("workspace/executeCommand", {"arguments": []}, "command"),
    ("workspace/executeCommand", {"command": "agent.status", "arguments": {}}, "arguments"),
    ("workspace/executeCommand", {"command": "agent.status", "workDoneToken": 1.5}, "workDoneToken"),
    ("workspace/textDocumentContent", {}, "uri"),
]


async def test_invalid_params_are_told_by_their_key(client: RawClient) -> None:
    for method, params, key in INVALID:
        error = await error_of(client, method, params)
        assert error["code"] == -32602, (method, params)
        assert f"`{key}`" in error["message"]


SLOPPY: list[tuple[str, Any]] = [
    ("textDocument/codeAction", {**ACTION, "context": {"diagnostics": [], "only": None, "triggerKind": None}}),
    ("textDocument/codeAction", {**ACTION, "context": {"diagnostics": [], "triggerKind": 77}, "more": {}}),
    ("textDocument/codeAction", {**ACTION, "textDocument": {"uri": "untitled:x", "version": None}}),
    ("textDocument/codeAction", {**ACTION, "workDoneToken": None, "partialResultToken": None}),
    ("textDocument/codeLens", {"textDocument": DOCUMENT, "workDoneToken": {}}),
    ("codeAction/resolve", {"title": "x", "kind": None, "edit": None, "isPreferred": None, "data": None}),
    ("codeLens/resolve", {"range": RANGE, "command": None, "data": [1]}),
    ("workspace/executeCommand", {"command": "agent.status", "arguments": None, "workDoneToken": None}),
    *(
        (
            "textDocument/codeAction",
            {**ACTION, "context": {"diagnostics": [{"range": RANGE, "message": "m", **odd}]}},
        )
        for odd in (
            {"severity": 0, "source": None, "code": None},
            {"severity": "error", "tags": [9], "relatedInformation": None},
            {"code": {"value": "E1", "target": "x"}, "codeDescription": {"href": None}},
            {"message": {"kind": "markdown", "value": "**m**"}},
            {"user_data": {"lsp": {}}, "source": 7},
        )
    ),
]


async def test_what_editors_are_sloppy_about_is_taken(client: RawClient) -> None:
    for method, params in SLOPPY:
        await client.raw_request(method, params)


async def test_a_malformed_notification_changes_nothing(client: RawClient, root: Path) -> None:
    uri = client.open(root / "calc.py", "# agent: make it fast\n")
    for method, params in [
        ("textDocument/didClose", {"textDocument": {"uri": uri.encode().hex(), "version": None}}),
        ("textDocument/didClose", {"textDocument": uri}),
        ("textDocument/didClose", [uri]),
        ("textDocument/didChange", {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": 7}]}),
        ("textDocument/didChange", {"textDocument": {"uri": uri, "version": 2}, "contentChanges": "none"}),
        ("textDocument/didOpen", {"textDocument": {"uri": uri, "version": 2, "text": None}}),
        ("workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": [{"uri": 1}]}}),
        ("workspace/didChangeWatchedFiles", {"changes": [{"type": 1}]}),
        ("$/setTrace", {"value": "loud"}),
        ("window/workDoneProgress/cancel", {"token": None}),
    ]:
        client.raw_notify(method, params)
    actions = await client.actions(uri, 0)
    assert actions[0]["title"] == 'Agent: run "make it fast"'
    assert not client.heard("$/logTrace")
    assert b"ignored textDocument/didClose: invalid params" in client.stderr


async def test_a_request_without_an_id_does_nothing(client: RawClient) -> None:
    since = len(client.messages)
    client.raw_notify("shutdown", None)
    client.raw_notify("workspace/executeCommand", {"command": "agent.run", "arguments": [{"goal": "work"}]})
    client.raw_notify("agent/control", {"runId": "r_1", "action": "cancel"})
    assert await client.command("agent.status") == {"runs": []}
    assert len(answers(client, since)) == 1


async def test_before_initialize_requests_wait_for_nothing_and_notifications_are_dropped(root: Path) -> None:
    client = RawClient()
    await client.start(SERVE)
    client.raw_notify("textDocument/didOpen", {"textDocument": {"uri": URI, "version": 1, "text": ""}})
    client.raw_notify("initialized", {})
    for method in ("shutdown", "textDocument/codeAction", "no/such"):
        assert (await error_of(client, method, None))["code"] == -32002
    no_params: list[Any] = [None, [], {}, {"capabilities": 7}]
    for params in no_params:
        assert (await error_of(client, "initialize", params))["code"] == -32602
    await client.initialize(VSCODE, root)
    assert (await error_of(client, "initialize", {"capabilities": {}}))["code"] == -32600
    await client.request("shutdown", None)
    for method in ("shutdown", "initialize", "textDocument/codeAction", "no/such"):
        assert (await error_of(client, method, None))["code"] == -32600
    client.notify("exit", None)
    assert await client.wait_exit() == 0


async def test_a_first_message_that_is_none_is_answered_and_the_next_one_taken(root: Path) -> None:
    firsts: list[tuple[bytes, Any, int]] = [
        (b"[" * 100_000, None, -32700),
        (b'{"jsonrpc":"2.0","id":true,"method":"initialize","params":{"capabilities":{}}}', None, -32600),
        (b'{"id":"x","method":"initialize","params":{"capabilities":{}}}', "x", -32600),
    ]
    for body, msg_id, code in firsts:
        client = RawClient()
        await client.start(SERVE)
        client.send_bytes(body)
        await client.wait_until(partial(answers, client))
        (answer,) = answers(client)
        assert (answer["id"], answer["error"]["code"]) == (msg_id, code), body[:80]
        await client.initialize(VSCODE, root)
        assert await client.close() == 0


async def test_exit_is_obeyed_before_initialize() -> None:
    client = RawClient()
    await client.start(SERVE)
    client.notify("exit", None)
    assert await client.wait_exit() == 1


async def test_results_that_are_no_json_and_handlers_that_fail_are_answered_without_a_path(odd: RawClient) -> None:
    for name in ("nan", "infinity", "set", "bytes", "object", "circle", "raises", "raises-later"):
        error = await error_of(odd, f"odd/{name}", None)
        assert error["code"] == -32603, name
        assert "secret" not in error["message"]
        assert "/" not in error["message"].replace(f"odd/{name}", "")
    assert await odd.raw_request("odd/surrogate", None) == "\ud800"
    log = odd.stderr.decode()
    assert "FileNotFoundError: [Errno 2] No such file: '/secret/place'" in log
    assert "Traceback" in log
    assert "odd/raises-later (id " in log


async def test_an_id_in_use_is_refused_and_a_handler_that_never_ends_holds_nothing_up(odd: RawClient) -> None:
    since = len(odd.messages)
    for msg_id in (5, 5, "5", 0):
        odd.send({"jsonrpc": "2.0", "id": msg_id, "method": "odd/never"})
    await odd.wait_until(lambda: answers(odd, since))
    assert await odd.raw_request("odd/echo", {"still": "here"}) == {"still": "here"}
    (refused,) = [message for message in answers(odd, since) if "error" in message]
    assert (refused["id"], refused["error"]["code"]) == (5, -32600)
    for wrong in (True, 5.0, [5], None, "0", 7777):
        odd.raw_notify("$/cancelRequest", {"id": wrong})
    odd.raw_notify("$/cancelRequest", None)
    assert await odd.raw_request("odd/echo", [1]) == [1]
    assert not [message for message in answers(odd, since) if message.get("error", {}).get("code") == -32800]
    for msg_id in (5, 5, "5", 0):
        odd.notify("$/cancelRequest", {"id": msg_id})
    await odd.wait_until(lambda: len([m for m in answers(odd, since) if "error" in m]) == 4)
    odd.notify("$/cancelRequest", {"id": 5})
    assert await odd.raw_request("odd/echo", [2]) == [2]
    cancelled = [message["id"] for message in answers(odd, since) if message.get("error", {}).get("code") == -32800]
    assert sorted(map(repr, cancelled)) == ["'5'", "0", "5"]


async def test_an_answer_of_the_editor_that_says_nothing_is_a_refusal(client: RawClient) -> None:
    wrong: list[Json] = [
        {"result": {"title": "this"}, "error": {"code": 1, "message": "both"}},
        {},
        {"error": None},
        {"error": "text"},
        {"error": {}},
        {"error": {"code": "one", "message": 7}},
        {"error": [1]},
        {"result": {"title": 3}},
    ]
    since = len(client.messages)
    for answer in wrong:
        asked = await unanswered_question(client)
        client.send({"jsonrpc": "2.0", "id": asked["id"], **answer})
    rows = (await client.command("agent.status"))["runs"]
    assert [row["state"] for row in rows] == ["blocked"] * len(wrong)
    assert not [message for message in answers(client, since) if "error" in message]


async def test_answers_to_nobody_and_second_answers_are_logged_and_ignored(client: RawClient) -> None:
    since = len(client.messages)
    asked = await unanswered_question(client)
    for msg_id in ("nobody's", 1, None, True, [asked["id"]], asked["id"] + "0"):
        client.send({"jsonrpc": "2.0", "id": msg_id, "result": {"title": "that"}})
        client.send({"jsonrpc": "2.0", "id": msg_id, "error": {"code": 1, "message": "no"}})
    for _ in range(3):
        client.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"title": "this"}})
    (row,) = (await client.command("agent.status"))["runs"]
    await wait_state(client, row["runId"], "executing")
    assert not [message for message in answers(client, since) if "error" in message]
    assert b'an answer to no open question, id "nobody\'s"' in client.stderr


async def unanswered_question(client: RawClient) -> Json:
    """A question of the server that waits for its answer."""

    def silence(_: Any) -> Malformed:
        raise NoAnswerError

    client.handlers["window/showMessageRequest"] = silence
    since = len(client.messages)
    await run(client, "ask me")

    def found() -> Json | None:
        return next((m for m in client.messages[since:] if m.get("method") == "window/showMessageRequest"), None)

    asked: Json = await client.wait_until(found)
    return asked


async def test_every_refusal_and_failure_is_in_the_console_log(root: Path) -> None:
    client = RawClient()
    await client.start([sys.executable, "-m", "agent_lsp", "serve"])
    await client.initialize(VSCODE, root)
    await client.wait_for("window/logMessage")
    await error_of(client, "no/such", None)
    await error_of(client, "textDocument/codeLens", {})
    await answer_to(client, b"{")
    assert await client.close() == 0
    log = (root / ".agent-lsp" / "copilot_console.log").read_text(encoding="utf-8")
    for line in ("refused no/such", "-32601", "refused textDocument/codeLens", "-32602", "-32700"):
        assert line in log
