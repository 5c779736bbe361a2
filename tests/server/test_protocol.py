"""What stock pygls 2.1.1 gets wrong on the wire, each as this server does it."""

from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import SERVE, Connect
from tests.server.flows import run, status, wait_state
from tests.server.raw_client import VSCODE, Malformed, NoAnswerError, RawClient, RpcError


async def answer_to(client: RawClient, *messages: Any) -> Any:
    """The first answer without a waiting request, after these messages."""
    before = len(client.messages)
    for message in messages:
        if isinstance(message, bytes):
            client.send_bytes(message)
        else:
            client.send(message)
    return await client.wait_until(lambda: next((m for m in client.messages[before:] if "method" not in m), None))


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("textDocument/codeAction", {}),
        ("textDocument/codeAction", None),
        ("textDocument/codeLens", {"textDocument": 3}),
        ("workspace/executeCommand", {"arguments": []}),
        ("workspace/executeCommand", {"command": "nobody.knows"}),
        ("codeAction/resolve", []),
    ],
)
async def test_invalid_params_are_answered(client: RawClient, method: str, params: Any) -> None:
    with pytest.raises(RpcError) as error:
        await client.raw_request(method, params)
    assert error.value.code == -32602
    assert error.value.data is None


async def test_an_unknown_request_is_answered_with_or_without_params(client: RawClient) -> None:
    for params in (None, {}, {"a": 1}):
        with pytest.raises(RpcError) as error:
            await client.raw_request("textDocument/nothing", params)
        assert error.value.code == -32601


async def test_bad_json_batches_and_half_messages_are_answered(client: RawClient) -> None:
    assert (await answer_to(client, b"{not json"))["error"]["code"] == -32700
    assert (await answer_to(client, [{"jsonrpc": "2.0", "id": 9, "method": "x"}]))["error"]["code"] == -32600
    assert (await answer_to(client, {"id": 77, "method": "shutdown"}))["error"]["code"] == -32600
    assert (await answer_to(client, {"jsonrpc": "2.0", "id": 78}))["error"]["code"] == -32600
    assert (await answer_to(client, {"jsonrpc": "2.0", "id": {}, "method": "x"}))["id"] is None
    assert await client.command("agent.status") == {"runs": []}


async def test_malformed_and_unknown_notifications_are_ignored(client: RawClient) -> None:
    client.raw_notify("textDocument/didChange", {"textDocument": {}})
    client.raw_notify("textDocument/didChange", None)
    client.raw_notify("$/cancelRequest", {"id": [1]})
    client.raw_notify("textDocument/didClose", {"textDocument": {"uri": "file:///never/opened"}})
    client.raw_notify("window/workDoneProgress/cancel", {"token": "nobody's"})
    client.raw_notify("$/unknown", {})
    client.raw_notify("workspace/didChangeConfiguration", {"settings": 7})
    assert await client.command("agent.status") == {"runs": []}
    assert not client.heard("window/showMessage")


async def test_lower_case_and_line_feed_headers_are_read(root: Path) -> None:
    client = RawClient()
    await client.start(SERVE)
    await client.initialize(VSCODE, root)
    body = b'{"jsonrpc":"2.0","id":"mine","method":"workspace/executeCommand","params":{"command":"agent.status"}}'
    assert client.process.stdin is not None
    client.process.stdin.write(b"content-length: %d\ncontent-type: x\n\n%s" % (len(body), body))
    assert (await answer_to(client))["result"] == {"runs": []}
    await client.kill()


async def test_a_key_jsonrpc_inside_an_argument_is_data(client: RawClient) -> None:
    answer = await client.raw_command(
        "agent.control", {"runId": "r_1", "action": "cancel", "x": {"jsonrpc": "2.0", "id": 1}}
    )
    assert answer["error"]["code"] == "unknown_id"


async def test_a_cancelled_command_is_answered_once_and_its_run_is_cancelled(connect: Connect, root: Path) -> None:
    client = await connect(env={"SLOW_START_S": "1"})
    msg_id, future = client.ask("workspace/executeCommand", {"command": "agent.run", "arguments": [{"goal": "work"}]})
    await client.wait_for("window/workDoneProgress/create")
    client.notify("$/cancelRequest", {"id": msg_id})
    with pytest.raises(RpcError) as error:
        await future
    assert error.value.code == -32800
    (row,) = (await client.command("agent.status"))["runs"]
    await wait_state(client, row["runId"], "cancelled")
    assert len([m for m in client.messages if m.get("id") == msg_id and "method" not in m]) == 1


@pytest.mark.parametrize("reply", [None, "yes", [], {"jsonrpc": 3}, {"success": "perhaps"}])
async def test_malformed_replies_of_the_editor_hold_nothing_up(client: RawClient, root: Path, reply: Any) -> None:
    for method in ("window/workDoneProgress/create", "client/registerCapability", "window/showMessageRequest"):
        client.handlers[method] = lambda _: Malformed(reply)
    client.handlers["workspace/configuration"] = lambda _: Malformed(reply)
    run_id = await run(client, "ask me", uri=client.open(root / "calc.py"))
    await wait_state(client, run_id, "blocked")
    await client.wait_for("window/showMessageRequest")
    assert (await client.command("agent.answer", {"runId": run_id, "answer": "this"}))["state"] == "executing"


async def test_an_editor_that_answers_nothing_at_all_still_gets_its_answers(root: Path) -> None:
    def silence(_: Any) -> Any:
        raise NoAnswerError

    client = RawClient()
    client.handlers = dict.fromkeys(client.handlers, silence)
    await client.start(SERVE)
    await client.initialize(VSCODE, root)
    uri = client.open(root / "calc.py")
    run_id = await run(client, "work", uri=uri)
    assert (await status(client, run_id))["runId"] == run_id
    assert await client.actions(uri, 0, only=["source.agent"])
    assert await client.close() == 0
    await client.kill()


async def test_trace_messages_are_sent_when_they_are_asked_for(client: RawClient) -> None:
    await client.command("agent.status")
    assert not client.heard("$/logTrace")
    client.notify("$/setTrace", {"value": "messages"})
    await client.command("agent.status")
    assert await client.wait_for("$/logTrace") == {"message": "command agent.status"}
