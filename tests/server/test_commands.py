"""Every command's way in: what it passes on, and that wrong arguments are results and not errors of the protocol."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.server.capabilities import COMMANDS
from tests.server.conftest import Connect
from tests.server.flows import calls, has_runtime, proposed, run, status, wait_state
from tests.server.raw_client import NEOVIM, VSCODE, RawClient, aware, path_for, uri_for

NEEDS_ARGUMENT = [
    name for name in COMMANDS if name not in ("agent.status", "agent.log.tail", "agent.checkpoints", "agent.models")
]

BAD_RANGE = {"start": {"line": -1, "character": 0}, "end": {"line": 0, "character": 0}}


async def refused(client: RawClient, name: str, argument: Any) -> str:
    """The code of the command's error."""
    answer = await client.raw_command(name, argument)
    assert set(answer) == {"error"}, answer
    assert set(answer["error"]) == {"code", "message", "hint"}
    assert answer["error"]["message"]
    return str(answer["error"]["code"])


async def test_missing_and_odd_arguments_of_every_command_are_error_results(client: RawClient) -> None:
    for name in NEEDS_ARGUMENT:
        wrong: tuple[Any, ...] = (None, {}, [], 7, "text", [[]], {"runId": 3, "proposalId": [], "goal": " ", "root": 1})
        for argument in wrong:
            assert await refused(client, name, argument) == "bad_argument", (name, argument)
    for name in ("agent.status", "agent.log.tail"):
        assert await refused(client, name, 7) == "bad_argument"


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("agent.run", {"goal": "x", "range": BAD_RANGE}),
        ("agent.run", {"goal": "x", "mode": "fast"}),
        ("agent.run", {"goal": "x", "tests": "tests/test_calc.py"}),
        ("agent.run", {"goal": "x", "diagnostics": [3]}),
        ("agent.run", {"goal": "x", "uri": "untitled:Untitled-1"}),
        ("agent.run", {"goal": "x", "uri": "file:///somewhere/else.py"}),
        ("agent.control", {"runId": "r_1", "action": "explode"}),
        ("agent.control", {"runId": "r_1"}),
        ("agent.plan.approve", {"runId": "r_1", "steps": [{"detail": "no title"}]}),
        ("agent.plan.approve", {"runId": "r_1", "steps": []}),
        ("agent.log.tail", {"lines": 0}),
        ("agent.log.tail", {"errorsOnly": "yes"}),
        ("agent.trust", {"root": "/x", "trusted": "yes"}),
    ],
)
async def test_a_wrong_value_names_its_key(client: RawClient, name: str, argument: Any) -> None:
    assert await refused(client, name, argument) == "bad_argument"


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("agent.status", {"runId": "r_none"}),
        ("agent.control", {"runId": "r_none", "action": "cancel"}),
        ("agent.plan.approve", {"runId": "r_none"}),
        ("agent.plan.reject", {"runId": "r_none"}),
        ("agent.say", {"runId": "r_none", "text": "hi"}),
        ("agent.answer", {"runId": "r_none", "answer": "x"}),
        ("agent.proposal", {"proposalId": "p_none"}),
        ("agent.apply", {"proposalId": "p_none"}),
        ("agent.discard", {"proposalId": "p_none"}),
        ("agent.revalidate", {"proposalId": "p_none"}),
        ("agent.rollback", {"checkpointId": "c_none"}),
        ("agent.show", {"proposalId": "p_none"}),
        ("agent.show", {"runId": "r_none"}),
        ("agent.trust", {"root": "file:///nowhere", "trusted": True}),
    ],
)
async def test_an_unknown_id_is_an_error_result(client: RawClient, name: str, argument: Any) -> None:
    assert await refused(client, name, argument) == "unknown_id"


async def test_the_object_may_be_wrapped_in_a_list(client: RawClient) -> None:
    assert await client.raw_command("agent.status", [{}]) == {"runs": []}


async def test_a_run_passes_on_what_it_was_given_as_paths_and_lines(client: RawClient, root: Path) -> None:
    uri = client.open(root / "calc.py")
    range_ = {"start": {"line": 1, "character": 4}, "end": {"line": 2, "character": 0}}
    diagnostic = {"range": range_, "message": "wrong sign", "source": "lint", "code": 12}
    run_id = await run(
        client, "work", uri=uri, range=range_, diagnostics=[diagnostic], tests=["t::x"], scope=["tests"], mode="auto"
    )
    assert await calls(client, "run") == [
        {
            "runId": run_id,
            "goal": "work",
            "path": "calc.py",
            "lines": {"start": 1, "end": 2},
            "problems": [{"path": "calc.py", "line": 1, "message": "wrong sign", "source": "lint", "code": "12"}],
            "tests": ["t::x"],
            "scope": ["tests"],
            "mode": "auto",
        }
    ]


async def test_a_goal_that_the_runtime_refuses_is_an_error_result_and_no_run(client: RawClient) -> None:
    answer = await client.command("agent.run", {"goal": "refuse me"})
    assert answer["error"]["code"] == "no_model"
    assert answer["error"]["hint"] == "Set ANTHROPIC_API_KEY."
    assert await client.command("agent.status") == {"runs": []}


async def test_a_slow_runtime_does_not_hold_the_answer(connect: Connect, root: Path) -> None:
    client = await connect(env={"SLOW_START_S": "3"})
    await client.command("agent.status")
    began = time.monotonic()
    run_id = await run(client, "fix add")
    assert time.monotonic() - began < 2
    assert (await status(client, run_id))["state"] == "planning"
    await wait_state(client, run_id, "proposed")


async def test_a_run_is_cancelled_while_its_runtime_starts(connect: Connect, root: Path) -> None:
    client = await connect(env={"SLOW_START_S": "3"})
    run_id = await run(client, "fix add")
    answer = await client.command("agent.control", {"runId": run_id, "action": "cancel"})
    assert answer == {"state": "cancelled"}
    assert (await status(client, run_id))["state"] == "cancelled"
    await client.wait_for("$/progress", lambda params: params["value"]["kind"] == "end")


async def test_a_run_whose_bar_is_cancelled_before_its_answer_is_answered_and_cancelled(connect: Connect) -> None:
    client = await connect(env={"SLOW_START_S": "3"})
    began = time.monotonic()
    _, answer = client.ask(
        "workspace/executeCommand", {"command": "agent.run", "arguments": [{"goal": "x", "workDoneToken": 4}]}
    )
    await client.wait_for("$/progress")
    client.notify("window/workDoneProgress/cancel", {"token": 4})
    row = await status(client, (await answer)["runId"])
    assert time.monotonic() - began < 2, "before the runtime is there"
    assert (row["state"], row["message"]) == ("cancelled", "cancelled before it began")
    rows = [params["value"] for params in client.heard("$/progress")]
    assert [row["kind"] for row in rows] == ["begin", "end"]
    assert rows[-1]["message"] == "cancelled before it began"


async def test_a_refusal_after_the_answer_shows_in_the_run(connect: Connect, root: Path) -> None:
    client = await connect(env={"SLOW_START_S": "2.2"})
    run_id = await run(client, "refuse me")
    row = await wait_state(client, run_id, "failed")
    assert row["message"] == "This goal needs a language model. Set ANTHROPIC_API_KEY."
    end = await client.wait_for("$/progress", lambda params: params["value"]["kind"] == "end")
    assert end["value"]["message"] == "failed: This goal needs a language model. Set ANTHROPIC_API_KEY."
    assert "ANTHROPIC_API_KEY" in (await client.wait_for("window/showMessage"))["message"]


async def test_two_runs_at_once_are_both_in_the_status(client: RawClient, root: Path) -> None:
    uri = client.open(root / "calc.py")
    one, two = await run(client, "work on one", uri=uri), await run(client, "work on two", uri=uri)
    await wait_state(client, one, "executing")
    await wait_state(client, two, "executing")
    rows = (await client.command("agent.status"))["runs"]
    assert {row["runId"] for row in rows} == {one, two}
    assert (await client.request("agent/status", {}))["runs"] == rows
    assert await client.request("agent/control", {"runId": one, "action": "cancel"}) == {"state": "cancelled"}
    assert (await status(client, one))["state"] == "cancelled"
    assert (await status(client, two))["state"] == "executing"


async def test_a_plan_is_offered_edited_and_approved(connect: Connect, root: Path) -> None:
    client = await connect(aware(VSCODE))
    uri = client.open(root / "calc.py")
    run_id = await run(client, "fix add", uri=uri, mode="plan")
    plan = await client.wait_for("agent/plan")
    assert plan["steps"][0]["title"] == "Mend add"
    await wait_state(client, run_id, "awaiting_approval")
    steps = [{"title": "Mend add well", "files": ["calc.py"]}]
    answer = await client.command("agent.plan.approve", {"runId": run_id, "steps": steps})
    assert answer == {"state": "executing"}
    (call,) = await calls(client, "plan_approve")
    assert call["steps"] == [{"title": "Mend add well", "detail": "", "files": ["calc.py"], "acceptance": ""}]
    row = await wait_state(client, run_id, "proposed")
    note = await client.wait_for("agent/proposal")
    assert note["proposalId"] == row["proposalId"]


async def _plan_shown(client: RawClient, root: Path) -> tuple[str, str]:
    """The run whose plan waits, and the URI that was opened for it."""
    run_id = await run(client, "fix add", uri=client.open(root / "calc.py"), mode="plan")
    await wait_state(client, run_id, "awaiting_approval")
    return run_id, (await client.command("agent.show", {"runId": run_id}))["uri"]


async def test_a_plan_that_is_open_is_read_again_when_its_marks_change(client: RawClient, root: Path) -> None:
    run_id, uri = await _plan_shown(client, root)
    assert "[~]" not in (await client.request("workspace/textDocumentContent", {"uri": uri}))["text"]
    await client.command("agent.plan.approve", {"runId": run_id})
    assert await client.wait_for("workspace/textDocumentContent/refresh") == {"uri": uri}
    assert "[~] **Mend add**" in (await client.request("workspace/textDocumentContent", {"uri": uri}))["text"]


async def test_a_plan_that_was_shown_as_a_file_is_written_anew_when_its_marks_change(
    connect: Connect, root: Path
) -> None:
    client = await connect(NEOVIM)
    run_id, uri = await _plan_shown(client, root)
    assert "[~]" not in path_for(uri).read_text()
    await client.command("agent.plan.approve", {"runId": run_id})
    async with asyncio.timeout(30):
        while not (path_for(uri).exists() and "[~] **Mend add**" in path_for(uri).read_text()):
            await asyncio.sleep(0.02)
    await wait_state(client, run_id, "proposed")
    assert not client.heard("workspace/textDocumentContent/refresh"), "it knows no such request"


async def test_a_client_that_does_not_know_us_gets_no_message_of_ours(client: RawClient, root: Path) -> None:
    await proposed(client, root)
    assert not [name for name, _ in client.notifications if name.startswith(("agent/", "memory/"))]


async def test_a_proposal_is_public_with_uris_and_ranges_in_the_clients_units(connect: Connect, root: Path) -> None:
    client = await connect(VSCODE)
    (root / "calc.py").write_text('def add(a, b):\n    "😀"; return a - b')
    _, run_id, proposal_id = await proposed(client, root)
    proposal = await client.command("agent.proposal", {"proposalId": proposal_id})
    assert proposal["runId"] == run_id
    (file,) = proposal["files"]
    assert (file["uri"], file["kind"], file["oldUri"]) == (uri_for(root / "calc.py"), "modify", None)
    (hunk,) = file["hunks"]
    assert hunk["range"] == {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 22}}
    assert proposal["verdict"]["unrunLines"] == [{"uri": uri_for(root / "calc.py"), "line": 1}]
    assert "witness" not in proposal


async def test_an_unknown_hunk_is_refused_before_the_runtime_is_asked(client: RawClient, root: Path) -> None:
    _, _, proposal_id = await proposed(client, root)
    argument = {"proposalId": proposal_id, "hunks": ["h_none"]}
    assert await refused(client, "agent.apply", argument) == "unknown_id"
    assert await refused(client, "agent.apply", {"proposalId": proposal_id, "hunks": []}) == "bad_argument"
    assert await calls(client, "apply") == []


async def test_an_apply_that_takes_longer_is_pending(client: RawClient, root: Path) -> None:
    _, _, proposal_id = await proposed(client, root, "pending")
    answer = await client.command("agent.apply", {"proposalId": proposal_id})
    assert (answer["applied"], answer["pending"]) == (False, True)
    assert answer["verdict"]["decision"] == "proven"


async def test_the_log_is_read_in_a_thread_within_the_time_of_a_command(connect: Connect, root: Path) -> None:
    client = await connect(env={"SLOW_LOG_S": "5"})
    await client.command("agent.status")
    began = time.monotonic()
    assert (await client.command("agent.log.tail", {"lines": 5}))["error"]["code"] == "timeout"
    assert time.monotonic() - began < 2
    assert await client.close() == 0
    assert time.monotonic() - began < 5


async def test_the_tail_of_the_log_comes_with_its_path(client: RawClient, root: Path) -> None:
    answer = await client.command("agent.log.tail", {"lines": 5, "errorsOnly": True})
    assert answer == {"text": "5 lines of errors", "path": str(root / ".agent-lsp" / "copilot_console.log")}


async def test_trust_and_rollback_reach_the_runtime(client: RawClient, root: Path) -> None:
    await has_runtime(client)
    assert await client.command("agent.trust", {"root": uri_for(root), "trusted": True}) == {"trusted": True}
    assert await client.command("agent.trust", {"root": str(root), "trusted": False}) == {"trusted": False}
    assert await client.command("agent.rollback", {"checkpointId": "c_1"}) == {"applied": True}


async def test_each_run_belongs_to_the_folder_of_its_document(connect: Connect, tmp_path: Path, root: Path) -> None:
    inner = root / "inner"
    inner.mkdir()
    (inner / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    client = await connect(VSCODE, root, inner)
    assert await refused(client, "agent.run", {"goal": "fix add"}) == "bad_argument"
    outer_run = await run(client, "fix add", uri=client.open(root / "calc.py"))
    inner_run = await run(client, "fix add", uri=client.open(inner / "calc.py"))
    for run_id in (outer_run, inner_run):
        await wait_state(client, run_id, "proposed")
    found = (await client.command("agent.status"))["runs"]
    assert {row["runId"]: row["root"] for row in found} == {outer_run: uri_for(root), inner_run: uri_for(inner)}
    rows = {row["runId"]: row["proposalId"] for row in found}
    uris = {}
    for run_id, proposal_id in rows.items():
        proposal = await client.command("agent.proposal", {"proposalId": proposal_id})
        uris[run_id] = proposal["files"][0]["uri"]
    assert uris == {outer_run: uri_for(root / "calc.py"), inner_run: uri_for(inner / "calc.py")}


async def test_folders_come_and_go(connect: Connect, tmp_path: Path, root: Path) -> None:
    client = await connect(VSCODE, root)
    second = tmp_path / "second"
    second.mkdir()
    (second / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    folder = {"uri": uri_for(second), "name": "second"}
    client.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [folder], "removed": []}})
    uri = client.open(second / "calc.py")
    await wait_state(client, await run(client, "fix add", uri=uri), "proposed")
    await client.wait_until(lambda: client.diagnostics.get(uri))
    client.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": [folder]}})
    await client.wait_until(lambda: client.diagnostics.get(uri) == [])
    assert await refused(client, "agent.run", {"goal": "x", "uri": uri}) == "bad_argument"


async def test_settings_come_from_options_pulls_and_changes_and_reach_the_runtime(connect: Connect, root: Path) -> None:
    client = await connect(options={"model": {"name": "a"}, "proposal": {"revalidate_after_s": 0}})
    await proposed(client, root)
    client.settings = {"model": {"name": "b"}}
    client.notify("workspace/didChangeConfiguration", {"settings": None})
    await client.wait_until(lambda: len(client.heard("workspace/configuration")) == 2)
    await client.command("agent.status")
    settings = {"agentLsp": {"model": {"name": "c"}}}
    client.notify("workspace/didChangeConfiguration", {"settings": settings})
    names = [call["settings"]["model"]["name"] for call in await calls(client, "configure")]
    assert names[-1] == "c"
    assert (await calls(client, "configure"))[-1]["settings"]["proposal"] == {"revalidate_after_s": 0}
