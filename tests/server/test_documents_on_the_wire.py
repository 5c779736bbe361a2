"""Documents through the real server: what editors say wrongly of them, and what is no file."""

from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import CALC, Connect
from tests.server.flows import proposed, run, settled, wait_state
from tests.server.raw_client import BARE, VSCODE, Json, RawClient, uri_for

CELL = "vscode-notebook-cell:/project/a.ipynb#W0sZmlsZQ%3D%3D"


def change(uri: str, *changes: Any, **version: Any) -> Json:
    return {"textDocument": {"uri": uri, **version}, "contentChanges": list(changes)}


def typed(line: int, character: int, text: str) -> Json:
    place = {"line": line, "character": character}
    return {"range": {"start": place, "end": place}, "text": text}


def say(client: RawClient, method: str, params: Any) -> None:
    """A notification that no editor should send; the client's judge does not look at it."""
    client.send({"jsonrpc": "2.0", "method": method, "params": params})


async def goals_at(client: RawClient, uri: str, line: int) -> list[str]:
    """The goals that the server reads in a comment of this line: what it believes the text to be."""
    actions = await client.actions(uri, line, only=["refactor.rewrite"])
    return [action["title"] for action in actions if action["title"].startswith("Agent: run")]


@pytest.mark.parametrize("version", [{"version": 1}, {"version": -9}, {"version": None}, {}, {"version": 2**31}])
async def test_a_change_counts_whatever_its_version(client: RawClient, root: Path, version: Json) -> None:
    uri = client.open(root / "calc.py", "one\ntwo\n")
    say(client, "textDocument/didChange", change(uri, typed(1, 0, "# agent: go on\n"), **version))
    assert await goals_at(client, uri, 1) == ['Agent: run "go on"']


async def test_nothing_wrong_that_is_said_of_documents_ends_the_session(client: RawClient, root: Path) -> None:
    uri = client.open(root / "calc.py", "one\n")
    wrongs: list[Any] = [None, [], 7, {}, {"textDocument": None}]
    wrongs += [change(uri), change(uri, None), change(uri, {"text": 3})]
    for params in wrongs:
        say(client, "textDocument/didOpen", params)
        say(client, "textDocument/didChange", params)
        say(client, "textDocument/didClose", params)
    say(client, "textDocument/didClose", {"textDocument": {"uri": uri_for(root / "never.py")}})
    client.notify("textDocument/didChange", change(uri_for(root / "never.py"), typed(0, 0, "x"), version=2))
    say(client, "textDocument/didOpen", {"textDocument": {"uri": uri, "text": "# agent: second\n"}})
    assert await goals_at(client, uri, 0) == ['Agent: run "second"']
    for wrong in ("", "%", "file:", "file://host/a.py", "file:///a%00", "untitled:x", "://", "file:///\ud800"):
        item = {"uri": wrong, "languageId": "x", "version": 1, "text": "# agent: x\n"}
        say(client, "textDocument/didOpen", {"textDocument": item})
        say(client, "textDocument/didChange", change(wrong, typed(9, 9, "x"), version=2))
        say(client, "textDocument/didClose", {"textDocument": {"uri": wrong}})
        answer = await client.command("agent.run", {"goal": "x", "uri": wrong})
        assert answer["error"]["hint"]
    assert {params["type"] for params in client.heard("window/showMessage")} == {2}, "refused commands alone are told"


async def test_an_edit_is_not_sent_after_a_change_that_could_not_be_understood(client: RawClient, root: Path) -> None:
    uri, _, proposal_id = await proposed(client, root)
    say(client, "textDocument/didChange", change(uri, {"range": {}, "text": "lost"}, version=1))
    answer = await settled(client, await client.command("agent.apply", {"proposalId": proposal_id}))
    assert answer["applied"] is False
    assert "close the document and open it again" in answer["reason"]
    assert client.heard("workspace/applyEdit") == []
    client.notify("textDocument/didChange", change(uri, {"text": CALC}, version=1))
    answer = await settled(client, await client.command("agent.apply", {"proposalId": proposal_id}))
    assert answer["applied"] is True, "the whole text came, so nothing is lost any more"


async def test_a_cell_of_a_notebook_is_refused_with_the_way_to_go_instead(connect: Connect, root: Path) -> None:
    client = await connect(VSCODE)
    client.open(root, "# agent: go on\n", uri=CELL)
    [action] = await client.actions(CELL, 0)
    assert "Move the code to a .py file" in action["disabled"]["reason"]
    assert await client.lenses(CELL) == []
    answer = await client.command("agent.run", {"goal": "x", "uri": CELL})
    assert "cell of a notebook" in answer["error"]["message"]
    assert "Move the code to a .py file" in answer["error"]["hint"]
    notebook = {"uri": uri_for(root / "a.ipynb"), "notebookType": "jupyter-notebook", "version": 1, "cells": []}
    for _ in range(2):
        client.notify("notebookDocument/didOpen", {"notebookDocument": notebook, "cellTextDocuments": []})
    for method in ("didChange", "didSave", "didClose"):
        say(client, f"notebookDocument/{method}", {"notebookDocument": {"uri": notebook["uri"], "version": 2}})
    told = await client.wait_for("window/logMessage", lambda p: "a.ipynb" in p["message"])
    assert "works on files, not on cells" in told["message"]
    await client.command("agent.status")
    assert len(client.heard("window/logMessage", lambda p: "a.ipynb" in p["message"])) == 1
    plain = await connect(BARE)
    plain.open(root, "# agent: go on\n", uri=CELL)
    assert await plain.actions(CELL, 0) == [], "a client that cannot show a refused action gets none"


async def test_the_clients_own_spelling_goes_back_out_through_a_symlink_too(connect: Connect, root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    client = await connect(VSCODE, link)
    odd = "file://localhost" + uri_for(root / "calc.py").removeprefix("file://").replace("calc", "%63%61lc")
    uri = client.open(root / "calc.py", uri=odd)
    run_id = await run(client, "fix add", uri=uri)
    row = await wait_state(client, run_id, "proposed")
    assert await client.wait_until(lambda: client.diagnostics.get(odd))
    answer = await client.command("agent.proposal", {"proposalId": row["proposalId"]})
    assert [file["uri"] for file in answer["files"]] == [odd]
    answer = await settled(client, await client.command("agent.apply", {"proposalId": row["proposalId"]}))
    assert answer["applied"] is True
    [request] = client.heard("workspace/applyEdit")
    assert request["edit"]["documentChanges"][0]["textDocument"]["uri"] == odd
    assert client.buffers[odd].text == CALC.replace("a - b", "a + b", 1)
    assert set(client.diagnostics) == {odd}


def own_kib(pid: int) -> int:
    """What it took for itself; of pages that it shares, its part grows when others leave."""
    rows = (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("Anonymous:"))


async def test_thousands_of_changes_leave_nothing_behind(client: RawClient, root: Path) -> None:
    """Stock pygls keeps 1.9 KiB of every change: 11 MiB of these."""
    uri = client.open(root / "calc.py", "".join(f"line {number}\n" for number in range(5000)))

    async def type_much(changes: int) -> None:
        for number in range(changes):
            line = number // 2 * 37 % 5000
            row = typed(line, 4, "x") if number % 2 == 0 else {**typed(line, 4, ""), **removed(line)}
            client.buffers[uri].version += 1
            client.notify("textDocument/didChange", change(uri, row, version=client.buffers[uri].version))
            if number % 500 == 499:
                await client.command("agent.status")

    await type_much(2000)
    before_kib = own_kib(client.process.pid)
    await type_much(6000)
    assert own_kib(client.process.pid) - before_kib < 1024


def removed(line: int) -> Json:
    return {"range": {"start": {"line": line, "character": 4}, "end": {"line": line, "character": 5}}}
