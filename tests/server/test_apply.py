"""Edits of open documents: editors lie about success, so only the text counts."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Connect
from tests.server.flows import calls, edit_answer, proposed, settled
from tests.server.raw_client import NEOVIM, VSCODE, Json, NoAnswerError, RawClient, RpcError, uri_for, with_capabilities


async def apply(client: RawClient, root: Path) -> tuple[Json, str]:
    uri, _, proposal_id = await proposed(client, root)
    return await settled(client, await client.command("agent.apply", {"proposalId": proposal_id})), uri


@pytest.mark.parametrize("profile", [VSCODE, NEOVIM], ids=["vscode", "neovim"])
async def test_an_edit_is_versioned_and_minimal(connect: Connect, root: Path, profile: Json) -> None:
    client = await connect(profile)
    answer, uri = await apply(client, root)
    assert answer["applied"] is True
    (params,) = client.heard("workspace/applyEdit")
    (change,) = params["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": uri, "version": 1}
    assert [edit["newText"] for edit in change["edits"]] == ["+"]


async def test_a_client_without_document_changes_gets_plain_changes(connect: Connect, root: Path) -> None:
    client = await connect(with_capabilities(VSCODE, workspace__workspaceEdit={}))
    answer, uri = await apply(client, root)
    assert answer["applied"] is True
    assert list(client.heard("workspace/applyEdit")[0]["edit"]) == ["changes"]
    assert "a + b" in client.buffers[uri].text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_astral_characters_before_the_edit_are_counted_in_the_clients_units(
    connect: Connect, root: Path, encoding: str
) -> None:
    client = await connect(with_capabilities(VSCODE, general__positionEncodings=[encoding]))
    client.open(root / "calc.py", "def add(a, b):\r\n    '😀é'; return a - b  # 😀")
    answer, uri = await apply(client, root)
    assert answer["applied"] is True
    assert client.buffers[uri].text == "def add(a, b):\r\n    '😀é'; return a + b  # 😀"


async def test_a_lying_editor_is_found_out(client: RawClient, root: Path) -> None:
    client.handlers["workspace/applyEdit"] = lambda _: {"applied": True}
    await apply(client, root)
    answer = await edit_answer(client)
    assert answer["applied"] is False
    assert "the text did not change" in answer["reason"]
    assert "a - b" in answer["text"]


async def test_an_editor_that_reports_late_is_believed(client: RawClient, root: Path) -> None:
    late: list[Any] = []

    def say_so(params: Json) -> Json:
        late.append(params)
        return {"applied": True}

    client.handlers["workspace/applyEdit"] = say_so
    _, _, proposal_id = await proposed(client, root)
    _, applying = client.ask(
        "workspace/executeCommand", {"command": "agent.apply", "arguments": [{"proposalId": proposal_id}]}
    )
    await client.wait_until(lambda: late)
    await client.command("agent.status")
    client.apply_edit(late[0])
    assert (await settled(client, await applying))["applied"] is True


async def test_a_refusal_with_the_text_changed_all_the_same_is_an_edit(client: RawClient, root: Path) -> None:
    def apply_and_deny(params: Json) -> Json:
        client.apply_edit(params)
        return {"applied": False}

    client.handlers["workspace/applyEdit"] = apply_and_deny
    answer, _ = await apply(client, root)
    assert answer["applied"] is True


async def test_a_refusing_editor_is_told_with_its_reason(client: RawClient, root: Path) -> None:
    client.handlers["workspace/applyEdit"] = lambda _: {"applied": False, "failureReason": "read-only"}
    await apply(client, root)
    answer = await edit_answer(client)
    assert answer["applied"] is False
    assert "read-only" in answer["reason"]


async def test_an_editor_that_answers_with_an_error_is_a_refusal(client: RawClient, root: Path) -> None:
    def error(_: Any) -> Any:
        raise RpcError({"code": -32603, "message": "eglot says no"})

    client.handlers["workspace/applyEdit"] = error
    await apply(client, root)
    answer = await edit_answer(client)
    assert answer["applied"] is False
    assert "eglot says no" in answer["reason"]


async def test_an_editor_that_never_answers_does_not_hold_the_command(client: RawClient, root: Path) -> None:
    def silence(_: Any) -> Any:
        raise NoAnswerError

    client.handlers["workspace/applyEdit"] = silence
    uri, _, proposal_id = await proposed(client, root)
    began = time.monotonic()
    answer = await client.command("agent.apply", {"proposalId": proposal_id})
    assert (answer["applied"], answer["pending"]) == (False, True)
    assert time.monotonic() - began < 5
    assert await client.lenses(uri)
    answer = await edit_answer(client)
    assert "did not answer" in answer["reason"]


async def test_an_editor_that_cannot_apply_edits_is_not_asked(connect: Connect, root: Path) -> None:
    client = await connect(with_capabilities(VSCODE, workspace__applyEdit=False))
    answer, _ = await apply(client, root)
    assert answer["applied"] is False
    assert not client.heard("workspace/applyEdit")


async def test_another_text_after_the_edit_is_not_called_applied(client: RawClient, root: Path) -> None:
    def apply_and_type(params: Json) -> Json:
        (change,) = params["edit"]["documentChanges"]
        uri = change["textDocument"]["uri"]
        client.buffers[uri].apply(change["edits"])
        client.buffers[uri].text += "# typed\n"
        client.changed(uri, [{"text": client.buffers[uri].text}])
        return {"applied": True}

    client.handlers["workspace/applyEdit"] = apply_and_type
    await apply(client, root)
    answer = await edit_answer(client)
    assert answer["applied"] is False
    assert "another text" in answer["reason"]
    assert answer["text"].endswith("# typed\n")


async def test_a_reopened_document_with_the_same_version_is_sent_again(client: RawClient, root: Path) -> None:
    uri, _, _ = await proposed(client, root)
    client.shut(uri)
    client.open(root / "calc.py", "def add(a, b):\n    return 0 + a - b\n")
    _, _, proposal_id = await proposed(client, root)
    proposal = await client.command("agent.proposal", {"proposalId": proposal_id})
    assert proposal["files"][0]["hunks"][0]["oldText"] == "    return 0 + a - b\n"


TRANSACTIONAL = with_capabilities(VSCODE, workspace__workspaceEdit__failureHandling="textOnlyTransactional")


async def test_a_transactional_editor_gets_several_documents_in_one_request(connect: Connect, root: Path) -> None:
    client = await connect(TRANSACTIONAL)
    (root / "other.py").write_text("def sub(a, b):\n    return a - b\n")
    uris = [client.open(root / "calc.py"), client.open(root / "other.py")]
    _, _, proposal_id = await proposed(client, root, "fix two")
    answer = await client.command("agent.apply", {"proposalId": proposal_id})
    assert answer["applied"] is True, answer
    [request] = client.heard("workspace/applyEdit")
    assert [row["textDocument"] for row in request["edit"]["documentChanges"]] == [
        {"uri": uri, "version": 1} for uri in uris
    ]
    assert all("a + b" in client.buffers[uri].text for uri in uris)


async def test_a_transactional_editor_that_did_only_a_part_is_found_out(connect: Connect, root: Path) -> None:
    client = await connect(TRANSACTIONAL)
    (root / "other.py").write_text("def sub(a, b):\n    return a - b\n")
    client.open(root / "calc.py")
    other = client.open(root / "other.py")

    def half(params: Json) -> Json:
        first = {"documentChanges": params["edit"]["documentChanges"][:1]}
        client.apply_edit({**params, "edit": first})
        return {"applied": True}

    client.handlers["workspace/applyEdit"] = half
    _, _, proposal_id = await proposed(client, root, "fix two")
    await client.command("agent.apply", {"proposalId": proposal_id})
    async with asyncio.timeout(15):
        while len(found := await calls(client, "edit")) < 2:
            await asyncio.sleep(0.05)
    assert [row["answer"]["applied"] for row in found] == [True, False]
    assert found[1]["answer"]["text"] == client.buffers[other].text


async def test_checkpoints_are_listed_previewed_and_shown(connect: Connect, root: Path) -> None:
    client = await connect()
    await proposed(client, root)
    listed = await client.command("agent.checkpoints", {})
    [row] = listed["checkpoints"]
    assert (row["checkpointId"], row["state"], row["files"]) == ("c_1", "applied", [uri_for(root / "calc.py")])
    told = await client.command("agent.checkpoints", {"checkpointId": "c_1", "show": True})
    assert told["preview"] == {"diff": "-a + b\n+a - b\n", "possible": True}
    shown = await client.request("workspace/textDocumentContent", {"uri": told["uri"]})
    assert shown["text"].startswith("Undo Agent: Use the plus sign (checkpoint c_1)\nRolling it back would change:")
    unknown = await client.command("agent.checkpoints", {"checkpointId": "c_none"})
    assert unknown["error"]["code"] == "unknown_id"
    elsewhere = await client.command("agent.checkpoints", {"root": "/somewhere/else"})
    assert elsewhere["error"]["code"] == "bad_argument"
