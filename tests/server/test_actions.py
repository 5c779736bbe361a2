"""What stands in an editor's menus and above its lines: code actions, lenses, diagnostics, documents."""

from pathlib import Path
from typing import Any

import pytest

from agent_lsp.server.offers import goal_of
from tests.server.conftest import Connect
from tests.server.flows import calls, proposed, run, settled, wait_state
from tests.server.raw_client import (
    BARE,
    NEOVIM,
    VSCODE,
    Json,
    RawClient,
    RpcError,
    aware,
    path_for,
    uri_for,
    with_capabilities,
)

LINT: Json = {
    "range": {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 10}},
    "message": "wrong sign",
    "source": "lint",
    "severity": 2,
    "code": "L1",
}


def titles(actions: list[Json]) -> list[str]:
    return [action["title"] for action in actions]


def named(actions: list[Json], start: str) -> Json:
    found = [action for action in actions if action["title"].startswith(start)]
    assert found, (start, titles(actions))
    return found[0]


@pytest.mark.parametrize(
    ("line", "goal"),
    [
        ("# agent: make it fast", "make it fast"),
        ("    // agent: make it fast", "make it fast"),
        ("-- Agent: make it fast", "make it fast"),
        ("; agent: make it fast", "make it fast"),
        ("/* agent: make it fast */", "make it fast"),
        ("<!-- agent: make it fast -->", "make it fast"),
        ("% agent: make it fast", "make it fast"),
        ('" agent: make it fast', "make it fast"),
        ("x = 1  # agent: rename x to y", "rename x to y"),
        (" * agent: make it fast", "make it fast"),
        ("#agent:make it fast", "make it fast"),
        ("agent: make it fast", None),
        ("# agents: many", None),
        ("# agent:   ", None),
        ('print("agent: hello")', None),
        ("user-agent: x", None),
    ],
)
def test_a_goal_is_read_from_any_comment(line: str, goal: str | None) -> None:
    assert goal_of(line + "\r\n") == goal


async def test_a_comment_with_a_goal_can_be_run_by_a_stock_client(client: RawClient, root: Path) -> None:
    uri = client.open(root / "calc.py", "# agent: fix add\ndef add(a, b):\n    return a - b\n")
    action = named(await client.actions(uri, 0), 'Agent: run "fix add"')
    assert action["kind"] == "refactor.rewrite"
    assert named(await client.actions(uri, 0, only=["source"]), 'Agent: run "fix add"')["kind"] == "source.agent"
    assert await client.actions(uri, 0, only=["quickfix"]) == []
    assert await client.actions(uri, 1) == []
    answer = await client.do(action)
    await wait_state(client, answer["runId"], "proposed")
    assert (await calls(client, "run"))[0]["path"] == "calc.py"


async def test_a_diagnostic_and_a_selection_start_runs(client: RawClient, root: Path) -> None:
    uri = client.open(root / "calc.py")
    actions = await client.actions(uri, 0, 2, diagnostics=[LINT])
    fix = named(actions, "Agent: fix this")
    assert (fix["kind"], fix["diagnostics"][0]["message"], fix["tags"]) == ("quickfix", "wrong sign", [1])
    assert named(actions, "Agent: work on the selection…")["kind"] == "refactor.rewrite"
    await client.do(fix)
    (call,) = await calls(client, "run")
    assert call["problems"] == [{"path": "calc.py", "line": 1, "message": "wrong sign", "source": "lint", "code": "L1"}]


async def test_a_run_is_told_what_other_servers_say_of_the_text_of_open_files(client: RawClient, root: Path) -> None:
    uri, other = client.open(root / "calc.py"), client.open(root / "other.py")
    unused = {**LINT, "message": "unused"}
    await client.actions(uri, 0, 2, diagnostics=[LINT, unused])
    await client.actions(uri, 1, diagnostics=[LINT])  # `unused` is gone from this line
    await client.actions(other, 1, diagnostics=[{**LINT, "message": "of a text that is typed over"}])
    client.type(other, 0, 0, "# changed\n")
    await client.actions(other, 0)
    await client.command("agent.run", {"goal": "work"})
    (call,) = await calls(client, "run")
    assert call["nearby"] == [{"path": "calc.py", "line": 1, "message": "wrong sign", "source": "lint", "code": "L1"}]


async def test_a_proposal_is_reviewed_by_code_actions_alone(client: RawClient, root: Path) -> None:
    uri, _, proposal_id = await proposed(client, root)
    diagnostic, hint = await client.wait_until(lambda: client.diagnostics.get(uri))
    assert diagnostic["source"] == "agent-lsp"
    assert (diagnostic["severity"], hint["severity"]) == (3, 4)
    assert hint["message"] == "No passing test runs the proposed line `return a + b`."
    assert "proven: 1 fixed, 0 broken" in diagnostic["message"]
    actions = await client.actions(uri, 1, diagnostics=[diagnostic])
    accept = named(actions, "Accept change ")
    assert (accept["kind"], accept["isPreferred"], accept["tags"]) == ("quickfix", True, [1])
    assert accept["diagnostics"][0]["code"] == diagnostic["code"]
    assert "proven" in accept["title"]
    assert "command" not in accept
    assert not [title for title in titles(actions) if title.startswith("Agent: fix")]
    for start in ("Discard change ", "Accept all ", "Discard all ", "Show diff "):
        assert "proven" in named(actions, start)["title"]
    away = await client.actions(uri, 4)
    assert named(away, "Accept all ")["kind"] == "source.agent"
    assert not [title for title in titles(away) if "change `" in title]
    elsewhere = await client.actions(client.open(root / "other.py"), 0, only=["source.agent"])
    assert named(elsewhere, "Discard all ")["kind"] == "source.agent"
    answer = await settled(client, await client.do(accept))
    assert answer["applied"] is True
    assert client.buffers[uri].text.startswith("def add(a, b):\n    return a + b\n")
    assert client.diagnostics[uri] == []
    assert named(await client.actions(uri, 0), "Roll back ")
    assert (await calls(client, "apply"))[0] == {"proposalId": proposal_id, "hunks": [diagnostic["code"]]}


async def test_lenses_stand_above_the_hunk_and_on_the_first_line(client: RawClient, root: Path) -> None:
    uri, _, _ = await proposed(client, root)
    lenses = await client.lenses(uri)
    by_line: dict[int, list[str]] = {}
    for lens in lenses:
        by_line.setdefault(lens["range"]["start"]["line"], []).append(lens["command"]["title"])
    assert [title.split(" (")[0].split(" `")[0] for title in by_line[1]] == [
        "Accept change",
        "Discard change",
        "Show diff of 1 change",
    ]
    assert by_line[0][0].startswith("Accept all (1 change): Use the plus sign (proven")
    assert client.heard("workspace/codeLens/refresh")
    bare = {key: value for key, value in lenses[0].items() if key != "command"}
    assert (await client.request("codeLens/resolve", bare))["command"] == lenses[0]["command"]
    assert (await client.do(next(lens for lens in lenses if "Discard all" in lens["command"]["title"])))["state"]
    assert await client.lenses(uri) == []


async def test_a_client_that_asks_for_short_lenses_gets_what_they_do_and_the_verdict(
    connect: Connect, root: Path
) -> None:
    client = await connect(with_capabilities(VSCODE, experimental={"agentLsp": {"version": "1", "shortLenses": True}}))
    uri, _, _ = await proposed(client, root)
    titles = [lens["command"]["title"] for lens in await client.lenses(uri)]
    assert titles == [
        "Accept all (proven: 1 fixed, 0 broken)",
        "Discard all",
        "Show diff",
        "Accept change (proven: 1 fixed, 0 broken)",
        "Discard change",
        "Show diff",
    ]


async def test_what_cannot_be_accepted_is_disabled_with_the_reason(client: RawClient, root: Path) -> None:
    uri, _, _ = await proposed(client, root, "regress it")
    actions = await client.actions(uri, 1)
    accept = named(actions, "Accept change ")
    assert "regressed" in accept["disabled"]["reason"]
    assert "isPreferred" not in accept
    assert "disabled" not in named(actions, "Discard change ")
    (lens,) = [row for row in await client.lenses(uri) if "Not acceptable" in row["command"]["title"]][1:]
    assert "regressed" in lens["command"]["title"]


async def test_a_client_without_disabled_actions_is_not_offered_them(connect: Connect, root: Path) -> None:
    client = await connect(NEOVIM)
    uri, _, _ = await proposed(client, root, "regress it")
    actions = titles(await client.actions(uri, 1))
    assert not [title for title in actions if title.startswith("Accept")]
    assert [title for title in actions if title.startswith("Show diff ")]


async def test_a_client_without_resolve_gets_the_command_inline(connect: Connect, root: Path) -> None:
    profile = with_capabilities(VSCODE, textDocument__codeAction__resolveSupport={"properties": ["edit"]})
    client = await connect(profile)
    uri, _, _ = await proposed(client, root)
    accept = named(await client.actions(uri, 1), "Accept change ")
    assert accept["command"]["command"] == "agent.apply"
    assert "data" not in accept


async def test_a_bare_client_gets_commands_and_no_request_that_it_did_not_declare(connect: Connect, root: Path) -> None:
    client = await connect(BARE)
    uri, _, proposal_id = await proposed(client, root)
    accept = named(await client.actions(uri, 1), "Accept change ")
    assert accept["command"] == "agent.apply"
    shown = await client.command("agent.show", {"proposalId": proposal_id})
    path = path_for(shown["uri"])
    assert "+    return a + b" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.parent.stat().st_mode & 0o777 == 0o700
    await client.wait_for("window/showMessage", lambda params: str(path) in params["message"])
    assert client.requests == []
    assert await client.close() == 0
    assert not path.parent.exists()


async def test_a_plan_is_approved_by_a_code_action(client: RawClient, root: Path) -> None:
    uri = client.open(root / "calc.py")
    run_id = await run(client, "fix add", uri=uri, mode="plan")
    await wait_state(client, run_id, "awaiting_approval")
    actions = await client.actions(client.open(root / "other.py"), 0)
    assert named(actions, "Reject plan ")["kind"] == "source.agent"
    shown = await client.do(named(actions, "Show plan "))
    assert shown["uri"] == f"agent-lsp:/plan/{run_id}.md"
    assert [row for row in await client.lenses(uri) if row["command"]["title"].startswith("Approve plan ")]
    assert await client.do(named(actions, "Approve plan ")) == {"state": "executing"}
    await wait_state(client, run_id, "proposed")


async def test_a_run_is_cancelled_by_a_code_action(client: RawClient, root: Path) -> None:
    uri = client.open(root / "calc.py")
    run_id = await run(client, "work", uri=uri)
    await wait_state(client, run_id, "executing")
    assert await client.do(named(await client.actions(uri, 0), "Cancel run ")) == {"state": "cancelled"}
    assert not await client.actions(uri, 0)


async def test_problems_are_published_for_closed_files_with_related_places(client: RawClient, root: Path) -> None:
    await proposed(client, root, "problems")
    uri = uri_for(root / "tests" / "test_calc.py")
    (problem,) = await client.wait_until(lambda: client.diagnostics.get(uri))
    assert (problem["severity"], problem["message"], problem["source"]) == (1, "assert 1 == 3", "agent-lsp")
    assert problem["range"]["start"] == {"line": 3, "character": 0}
    (related,) = problem["relatedInformation"]
    assert (related["location"]["uri"], related["message"]) == (uri_for(root / "calc.py"), "called from here")
    actions = await client.actions(client.open(root / "tests" / "test_calc.py"), 3, diagnostics=[problem])
    assert named(actions, "Agent: fix this")


async def test_virtual_documents_are_registered_opened_and_read(client: RawClient, root: Path) -> None:
    registered = await client.wait_for(
        "client/registerCapability",
        lambda params: params["registrations"][0]["method"] == "workspace/textDocumentContent",
    )
    assert registered["registrations"][0]["registerOptions"]["schemes"] == ["agent-lsp"]
    _, _, proposal_id = await proposed(client, root, "two")
    shown = await client.command("agent.show", {"proposalId": proposal_id, "path": "other.py"})
    assert shown["uri"] == f"agent-lsp:/proposal/{proposal_id}/other.py"
    assert (await client.wait_for("window/showDocument"))["uri"] == shown["uri"]
    one = await client.request("workspace/textDocumentContent", {"uri": shown["uri"]})
    assert "b/other.py" in one["text"]
    assert "b/calc.py" not in one["text"]
    whole = await client.request(
        "workspace/textDocumentContent", {"uri": f"agent-lsp:/proposal/{proposal_id}/all.diff"}
    )
    assert "b/other.py" in whole["text"]
    assert "b/calc.py" in whole["text"]
    assert "proven" in whole["text"]
    for wrong in ("agent-lsp:/proposal/p_none/x", f"agent-lsp:/proposal/{proposal_id}/none.py", "agent-lsp:/else"):
        with pytest.raises(RpcError) as error:
            await client.request("workspace/textDocumentContent", {"uri": wrong})
        assert error.value.code == -32602


async def test_a_document_that_is_not_a_file_gets_nothing(client: RawClient) -> None:
    client.open(Path("/x"), "# agent: fix it\n", uri="untitled:Untitled-1")
    assert await client.actions("untitled:Untitled-1", 0) == []
    assert await client.lenses("untitled:Untitled-1") == []
    answer = await client.command("agent.run", {"goal": "x", "uri": "untitled:Untitled-1"})
    assert "not a file" in answer["error"]["message"]


async def test_blocked_runs_and_trust_are_asked_with_buttons(client: RawClient, root: Path) -> None:
    def press(params: Any) -> Any:
        buttons = [action["title"] for action in params["actions"]]
        return {"title": "that" if "that" in buttons else "Trust this workspace"}

    client.handlers["window/showMessageRequest"] = press
    run_id = await run(client, "ask about trust", uri=client.open(root / "calc.py"))
    row = await wait_state(client, run_id, "executing")
    assert row["message"] == "answered that"
    question = await client.wait_for("window/showMessageRequest", lambda params: "Which one?" in params["message"])
    assert question["message"] == "Which one? (“ask about trust”)", "the run is named by what was asked for"
    await client.wait_for("window/showMessageRequest", lambda params: "test.command" in params["message"])
    await client.command("agent.status")
    assert await calls(client, "trust") == [{"trusted": True}]


async def test_an_editor_without_buttons_answers_and_trusts_by_code_actions(client: RawClient, root: Path) -> None:
    del client.handlers["window/showMessageRequest"]
    uri = client.open(root / "calc.py")
    run_id = await run(client, "ask about trust", uri=uri)
    await client.wait_for("window/showMessage", lambda params: "Answer with a code action." in params["message"])
    (mark,) = await client.wait_until(lambda: client.diagnostics.get(uri))
    assert "Which one?" in mark["message"]
    assert await client.do(named(await client.actions(uri, 0), "Answer “that”: ")) == {"state": "executing"}
    assert (await wait_state(client, run_id, "executing"))["message"] == "answered that"
    assert await client.do(named(await client.actions(uri, 0), "Trust this workspace")) == {"trusted": True}
    assert not [title for title in titles(await client.actions(uri, 0)) if title.startswith(("Trust", "Answer"))]
    assert await calls(client, "trust") == [{"trusted": True}]


async def test_no_actions_are_an_empty_list_since_eglot_trips_on_null(client: RawClient) -> None:
    client.open(Path("/x"), "# agent: fix it\n", uri="untitled:Untitled-1")
    place = {"line": 0, "character": 0}
    params = {
        "textDocument": {"uri": "untitled:Untitled-1"},
        "range": {"start": place, "end": place},
        "context": {"diagnostics": []},
    }
    assert await client.request("textDocument/codeAction", params) == []


async def test_what_a_command_refuses_is_said_to_a_stock_editor_that_drops_its_answer(client: RawClient) -> None:
    answer = await client.command("agent.plan.approve", {"runId": "r_none"})
    assert "r_none" in answer["error"]["message"]
    await client.wait_for("window/showMessage", lambda params: answer["error"]["message"] in params["message"])


async def test_what_a_command_refuses_is_left_to_a_client_that_shows_it_itself(connect: Connect) -> None:
    client = await connect(aware(VSCODE))
    assert "error" in await client.command("agent.plan.approve", {"runId": "r_none"})
    await client.command("agent.status")
    assert client.heard("window/showMessage") == []


async def test_progress_is_shown_and_cancelled_on_our_token(client: RawClient, root: Path) -> None:
    run_id = await run(client, "work", uri=client.open(root / "calc.py"))
    begin = await client.wait_for("$/progress", lambda params: params["value"]["kind"] == "begin")
    assert begin["value"]["cancellable"] is True
    assert begin["value"]["title"] == "Agent: work"
    report = await client.wait_for("$/progress", lambda params: params["value"].get("percentage") == 40)
    assert report["value"]["message"] == "executing: editing calc.py"
    client.notify("window/workDoneProgress/cancel", {"token": begin["token"]})
    await wait_state(client, run_id, "cancelled")
    end = await client.wait_for("$/progress", lambda params: params["value"]["kind"] == "end")
    assert (end["token"], end["value"]["message"]) == (begin["token"], "cancelled")


async def test_progress_uses_the_token_of_the_client(connect: Connect, root: Path) -> None:
    client = await connect(BARE)
    run_id = await run(client, "work", uri=client.open(root / "calc.py"), workDoneToken="mine")
    begin = await client.wait_for("$/progress", lambda params: params["value"]["kind"] == "begin")
    assert begin["token"] == "mine"
    client.notify("window/workDoneProgress/cancel", {"token": "mine"})
    await wait_state(client, run_id, "cancelled")
    await client.command("agent.run", {"goal": "work"}, workDoneToken=7)
    await client.wait_for("$/progress", lambda params: params["token"] == 7)
    assert not client.heard("window/workDoneProgress/create")
