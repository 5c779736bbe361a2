"""Cancelling and progress at the edge: tokens that are freed, and a runtime that stands still or dies."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from agent_lsp.server.progress import Progress, Work
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.session import Session
from tests.server.conftest import Connect
from tests.server.flows import calls, proposed, run, wait_state
from tests.server.raw_client import VSCODE, Json, NoAnswerError, RawClient, RpcError, uri_for

ANSWERED_WITHIN_S = 2.0


# --- tokens, in process ---------------------------------------------------------------------------------------------


class Editor:
    """The client of a protocol in this process: answers `create` as it was told to and keeps what it hears."""

    def __init__(self, root: Path, answer: Mapping[str, Any] | None) -> None:
        self.protocol = EdgeServer("0").protocol
        self.protocol.writer = cast("Any", self)
        self.answer, self.heard, self.created = answer, list[Json](), 0
        params = {"capabilities": VSCODE["capabilities"], "rootUri": uri_for(root)}
        self.session = Session(self.protocol, params, self._start)
        self.progress = Progress(self.session)
        (self.desk,) = self.session.folders.desks

    async def _start(self, root: Path, settings: Mapping[str, Any]) -> Any:
        raise OSError(f"no runtime for {root} with {settings}")

    def write(self, frame: bytes) -> None:
        message = json.loads(frame.partition(b"\r\n\r\n")[2])
        if message["method"] == "$/progress":
            self.heard.append(message["params"])
        elif message["method"] == "window/workDoneProgress/create" and self.answer is not None:
            self.created += 1
            answer = {"jsonrpc": "2.0", "id": message["id"], **self.answer}
            asyncio.get_running_loop().call_soon(self.protocol.take, json.dumps(answer).encode())

    def tell(self, run_id: str, state: str, message: str = "") -> None:
        """What the runtime says of a run."""
        row = {"runId": run_id, "goal": "g", "state": state, "message": message}
        self.desk.board.take("run", row)
        self.session.listeners.announce(self.desk, "run", row)

    def kinds(self, token: Any) -> list[str]:
        """What was told of one token, in order."""
        mine = [row for row in self.heard if row["token"] == token and type(row["token"]) is type(token)]
        return [row["value"]["kind"] for row in mine]

    def work(self, run_id: str, name: str = "run") -> Work:
        return Work(self.desk, name, "g", run_id)


YES: Mapping[str, Any] = {"result": None}
NO: Mapping[str, Any] = {"error": {"code": -32601, "message": "no such method"}}


@pytest.mark.parametrize("answer", [YES, NO], ids=["takes create", "refuses create"])
async def test_thousands_of_runs_leave_no_token_behind(tmp_path: Path, answer: Mapping[str, Any]) -> None:
    editor = Editor(tmp_path, answer)
    for number in range(2000):
        run_id, state = f"r_{number}", ("proposed", "failed", "cancelled")[number % 3]
        token = number if number % 5 == 0 else None
        editor.progress.begin(editor.work(run_id), token)
        if number % 2:
            await asyncio.sleep(0)
        editor.tell(run_id, "executing", "editing")
        editor.tell(run_id, state, "over")
        editor.tell(run_id, state, "over again")
    for _ in range(5):
        await asyncio.sleep(0)
    assert editor.progress._bars == {}
    assert editor.protocol._asked == {}
    assert editor.protocol._hearing == set()
    tokens = {(type(row["token"]), row["token"]) for row in editor.heard}
    assert len(tokens) == (2000 if answer is YES else 400)
    for _, token in tokens:
        kinds = editor.kinds(token) if isinstance(token, int) else []
        assert kinds in ([], ["begin", "report", "end"])
    ends = [row for row in editor.heard if row["value"]["kind"] == "end"]
    assert len(ends) == len(tokens)


async def test_a_token_that_is_taken_is_left_alone_and_one_that_has_ended_serves_again(tmp_path: Path) -> None:
    editor = Editor(tmp_path, YES)
    for run_id, token in (("r_1", 1), ("r_2", "1"), ("r_3", 1)):
        editor.progress.begin(editor.work(run_id), token)
    await asyncio.sleep(0)
    assert (editor.kinds(1), editor.kinds("1"), editor.created) == (["begin"], ["begin"], 1)
    editor.tell("r_3", "executing", "the third")
    editor.tell("r_3", "failed")
    assert editor.kinds(1) == ["begin"], "the first run's bar is its own"
    editor.tell("r_1", "failed")
    editor.progress.begin(editor.work("r_4"), 1)
    editor.tell("r_4", "proposed")
    assert editor.kinds(1) == ["begin", "end", "begin", "end"]
    nobodys: list[Any] = [1, True, 1.0, None, [], {}, "2"]
    for name in nobodys:
        await editor.progress.cancel(name)
    editor.session.listeners.announce(editor.desk, "gone", {})
    assert editor.progress._bars == {}
    assert editor.kinds("1") == ["begin", "end"]


async def test_only_the_named_bar_is_stopped(tmp_path: Path) -> None:
    editor, stopped = Editor(tmp_path, YES), list[str]()

    async def stop() -> None:
        stopped.append("the call")

    work = Work(editor.desk, "apply", "g", "r_1", "p_1", stop)
    bar = editor.progress.begin(work, 5)
    for token in ("5", 5.0, 6):
        await editor.progress.cancel(token)
    assert stopped == []
    await editor.progress.cancel(5)
    assert stopped == ["the call"]
    over = {"runId": "r_1", "proposalId": "p_1", "work": "apply", "outcome": "not applied: x", "cancelled": True}
    editor.session.listeners.announce(editor.desk, "work_over", {**over, "proposalId": "p_2"})
    assert editor.kinds(5) == ["begin"]
    editor.session.listeners.announce(editor.desk, "work_over", over)
    editor.progress.end(bar, "again")
    assert editor.kinds(5) == ["begin", "end"]
    assert editor.heard[-1]["value"]["message"] == "not applied: x"


# --- over the wire ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["refuses", "never answers"])
async def test_a_client_without_create_gets_no_progress_and_the_job_is_done(
    connect: Connect, root: Path, how: str
) -> None:
    client = await connect()

    def create(_: Any) -> None:
        raise RpcError({"code": -32601, "message": "no"}) if how == "refuses" else NoAnswerError

    client.handlers["window/workDoneProgress/create"] = create
    _, _, proposal_id = await proposed(client, root)
    assert (await client.command("agent.apply", {"proposalId": proposal_id}))["applied"] is True
    assert not client.heard("$/progress")


async def test_a_cancelled_request_ends_the_call_in_the_runtime_and_its_bar(client: RawClient, root: Path) -> None:
    _, run_id, proposal_id = await proposed(client, root, "long")
    params = {"command": "agent.apply", "arguments": [{"proposalId": proposal_id, "workDoneToken": "t"}]}
    msg_id, answer = client.ask("workspace/executeCommand", params)
    await wait_state(client, run_id, "validating")
    for wrong in (str(msg_id), msg_id + 50):
        client.notify("$/cancelRequest", {"id": wrong})
    assert not answer.done()
    client.notify("$/cancelRequest", {"id": msg_id})
    with pytest.raises(RpcError, match="-32800"):
        await answer
    assert await calls(client, "ended") == [{"proposalId": proposal_id}]
    await wait_state(client, run_id, "proposed")
    rows = client.heard("$/progress", lambda row: row["token"] == "t")
    assert [row["value"]["kind"] for row in rows] in (["begin", "end"], ["begin", "report", "end"])
    assert rows[-1]["value"]["message"] == "cancelled"
    assert [row["id"] for row in client.messages if row.get("id") == msg_id] == [msg_id], "answered once"


@pytest.mark.parametrize("name", ["apply", "revalidate", "discard", "rollback"])
async def test_every_command_that_takes_long_shows_itself_on_the_token_it_was_given(
    client: RawClient, root: Path, name: str
) -> None:
    _, _, proposal_id = await proposed(client, root)
    argument = {"checkpointId": "c_1"} if name == "rollback" else {"proposalId": proposal_id}
    answer = await client.command(f"agent.{name}", argument, workDoneToken=3)
    assert "error" not in answer
    await client.wait_for("$/progress", lambda row: row["token"] == 3 and row["value"]["kind"] == "end")
    rows = [row["value"] for row in client.heard("$/progress", lambda row: row["token"] == 3)]
    kinds = [row["kind"] for row in rows]
    assert kinds == ["begin", *["report"] * (len(kinds) - 2), "end"]
    said = {"apply": "applied", "revalidate": "proven", "discard": "discarded", "rollback": "rolled back"}
    assert said[name] in rows[-1]["message"]
    created = client.heard("window/workDoneProgress/create", lambda row: row["token"] == 3)
    assert not created


def runtime_of(root: Path) -> int:
    """The process of the fake runtime of a folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = (entry / "cmdline").read_bytes().split(b"\0") if (entry / "cmdline").exists() else []
            if os.fsencode(root) in words and any(word.endswith(b"fake_runtime.py") for word in words):
                return int(entry.name)
    raise AssertionError("no runtime")


async def test_every_command_is_answered_while_the_runtime_stands_still_and_nothing_is_lost(
    client: RawClient, root: Path
) -> None:
    uri, _, proposal_id = await proposed(client, root)
    working = await run(client, "work on it", uri=uri)
    await wait_state(client, working, "executing")
    of_run, of_proposal = {"runId": working}, {"proposalId": proposal_id}
    wanted: dict[str, Json] = {
        "agent.run": {"goal": "two", "workDoneToken": "late"},
        "agent.apply": {**of_proposal, "workDoneToken": "apply"},
        "agent.revalidate": of_proposal,
        "agent.rollback": {"checkpointId": "c_1", "workDoneToken": "rollback"},
        "agent.say": {**of_run, "text": "hello"},
        "agent.answer": {**of_run, "answer": "x"},
        "agent.plan.approve": of_run,
        "agent.plan.reject": of_run,
        "agent.control": {**of_run, "action": "pause"},
        "agent.trust": {"root": str(root), "trusted": True},
        "agent.status": {},
        "agent.proposal": of_proposal,
        "agent.log.tail": {"lines": 3},
        "agent.show": of_proposal,
    }
    pid = runtime_of(root)
    os.kill(pid, signal.SIGSTOP)
    try:
        call = {"command": "agent.run", "arguments": [{"goal": "given up"}], "workDoneToken": "given up"}
        given_up, answer = client.ask("workspace/executeCommand", call)
        await client.wait_for("$/progress", lambda row: row["token"] == "given up")
        began_s = time.monotonic()
        asked = [client.command(name, argument) for name, argument in wanted.items()]
        gathering = asyncio.gather(*asked)
        client.notify("$/cancelRequest", {"id": given_up})
        answers = dict(zip(wanted, await gathering, strict=True))
        took_s = time.monotonic() - began_s
        with pytest.raises(RpcError, match="-32800"):
            await answer
    finally:
        os.kill(pid, signal.SIGCONT)
    assert took_s < ANSWERED_WITHIN_S, f"{took_s:.2f} s"
    assert set(answers["agent.run"]) == {"runId"}
    for name in ("agent.apply", "agent.revalidate", "agent.rollback"):
        assert (answers[name]["applied"], answers[name]["pending"]) == (False, True)
    for name in ("agent.say", "agent.answer", "agent.plan.approve", "agent.control", "agent.trust"):
        assert answers[name]["error"]["code"] == "timeout", name
    for name in ("agent.status", "agent.proposal", "agent.log.tail", "agent.show"):
        assert "error" not in answers[name], name

    await wait_state(client, answers["agent.run"]["runId"], "proposed")
    for token in ("late", "apply", "rollback"):
        ends = "$/progress", lambda row, token=token: row["token"] == token and row["value"]["kind"] == "end"
        await client.wait_for(*ends)
    rows = (await client.command("agent.status"))["runs"]
    assert {row["state"] for row in rows if row["goal"] == "given up"} == {"cancelled"}
    assert "given up" not in [call["goal"] for call in await calls(client, "run")]


async def test_bars_end_with_a_runtime_that_dies_and_the_next_run_is_not_lost(client: RawClient, root: Path) -> None:
    uri = client.open(root / "calc.py")
    dead = await run(client, "work on it", uri=uri, workDoneToken=9)
    await wait_state(client, dead, "executing")
    os.kill(runtime_of(root), signal.SIGKILL)
    answer = await client.command("agent.run", {"goal": "fix add", "uri": uri})
    end = await client.wait_for("$/progress", lambda row: row["token"] == 9 and row["value"]["kind"] == "end")
    assert end["value"]["message"] == "the runtime ended"
    assert "signal 9" in (await wait_state(client, dead, "failed"))["message"], "the next one knows nothing of it"
    if "error" in answer:  # it was in the pipe of the dead one: said, and not lost silently
        assert answer["error"]["code"] == "link_closed"
        answer = await client.command("agent.run", {"goal": "fix add", "uri": uri})
    await wait_state(client, answer["runId"], "proposed")
