"""Kills the real server or its runtime at random moments of an apply or a rollback, and two servers on one folder.

Proposals are put into the state database as an earlier process would have left them, so that no test suite runs here.
"""

import asyncio
import hashlib
import os
import random
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from agent_lsp.agent.proposal_records import kept
from agent_lsp.agent.proposals import Proposal
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.ids import ProposalId
from agent_lsp.domain.ports import Snapshot
from agent_lsp.domain.task import Goal
from agent_lsp.domain.verdict import Decision, Evidence, Verdict
from agent_lsp.storage.database import Database
from agent_lsp.storage.journal import StoredJournal
from agent_lsp.storage.proposals import StoredProposals
from tests.scenarios.looking import editor_on, eventually, journal, runtimes
from tests.scenarios.scene import WAIT_S, Scene
from tests.server.raw_client import Json, RawClient, RpcError

SESSIONS, KILLS_EACH = 5, 4
"""So many servers, and kills in the time of each: the runtime alone, and at last the server."""


def folder(tmp_path: Path) -> Path:
    """A workspace beside `home0`, where `editor_on` has its caches."""
    (tmp_path / "home0").mkdir()
    root = tmp_path / "project0"
    root.mkdir()
    return root


def text(stage: int, name: str) -> bytes:
    return f"value = {stage}\n# {name}\n".encode()


def edit(root: Path, name: str, stage: int = 1) -> FileEdit:
    """The change of a file from nought to a stage; one whose name says so is new."""
    if name.endswith("new.py"):
        return FileEdit(name, None, Entry(text(stage, name)))
    (root / name).write_bytes(text(0, name))
    return FileEdit(name, Entry(text(0, name)), Entry(text(stage, name)))


async def leave_proposal(root: Path, name: str, edits: tuple[FileEdit, ...]) -> str:
    """A proven proposal of a process that is gone."""
    database = Database(root / ".agent-lsp" / "state.db")
    verdict = Verdict(Decision.PROVEN, ("it passes",), candidate=hashlib.sha256(name.encode()).hexdigest()[:40])
    goal, base = Goal(f"make {name}"), Snapshot("0" * 40)
    proposal = Proposal(ProposalId(f"p_{name}"), f"r_{name}", goal, f"Make {name}", base, edits, Evidence(verdict))
    StoredJournal(database).append(Event(proposal.run_id, EventKind.RUN_STARTED, {"goal": name}))
    StoredProposals(database).keep(kept(proposal))
    await database.flush()
    await database.close()
    return proposal.id


def stage_of(scene: Scene, number: int) -> int:
    """The one stage that the files of a proposal are of, as the person sees them."""
    found = []
    for name in names(number):
        path = scene.root / name
        content = path.read_bytes() if path.exists() else None
        for uri, buffer in scene.client.buffers.items():
            content = buffer.text.encode() if uri.endswith(f"/{name}") else content
        found.append(next((stage for stage in (0, 1) if content == text(stage, name)), 0 if content is None else -1))
    assert found in ([0, 0, 0], [1, 1, 1]), f"proposal {number} is half written: {found}"
    return found[0]


def names(number: int) -> tuple[str, str, str]:
    """An open document, a closed file, a new one."""
    return f"n{number}_open.py", f"n{number}_closed.py", f"n{number}_new.py"


def unfinished(root: Path) -> int:
    with closing(sqlite3.connect(root / ".agent-lsp" / "state.db")) as database:
        return int(database.execute("SELECT count(*) FROM checkpoints WHERE state = 'intended'").fetchone()[0])


async def rested(scene: Scene) -> None:
    """The runtime has mended what it found, and offers what was on offer."""
    answer: Json = {}
    async with asyncio.timeout(WAIT_S):
        while "checkpoints" not in answer:
            answer = await scene.client.command("agent.checkpoints", {})
            await asyncio.sleep(0.02)


async def apply_and_kill(scene: Scene, number: int, chance: random.Random, *, server: bool) -> None:
    """kill -9 of the runtime, or of the server with it, at a random moment of an apply."""
    await eventually(lambda: len(runtimes(scene)) == 1)  # what the one before had just forked may still be going
    [runtime] = runtimes(scene)
    asked = asyncio.ensure_future(scene.client.command("agent.apply", {"proposalId": f"p_n{number}"}))
    await asyncio.sleep(chance.random() * 0.1)
    os.kill(scene.client.process.pid if server else runtime, signal.SIGKILL)
    if server:
        await scene.client.process.wait()
        asked.cancel()
        await eventually(lambda: not runtimes(scene))
        return
    await asyncio.gather(asked, return_exceptions=True)
    await eventually(lambda: runtime not in runtimes(scene))


async def test_killed_twenty_times_over_stdio_the_next_start_finishes_or_undoes(tmp_path: Path) -> None:
    root, chance, held = folder(tmp_path), random.Random(20261121), dict[str, str]()
    for session in range(SESSIONS + 1):
        mine = range(session * KILLS_EACH, (session + 1) * KILLS_EACH) if session < SESSIONS else range(0)
        for number in mine:
            await leave_proposal(root, f"n{number}", tuple(edit(root, name) for name in names(number)))
        async with editor_on(root, None) as scene:
            for name, unsaved in held.items():
                scene.open(name, unsaved)
            for number in mine:
                scene.open(names(number)[0])
            await rested(scene)
            for number in range(mine.start):
                stage_of(scene, number)
            assert unfinished(root) == 0
            for number in mine:
                await apply_and_kill(scene, number, chance, server=number == mine[-1])
                if number != mine[-1]:
                    await rested(scene)
                    stage_of(scene, number)
            held = {uri.rpartition("/")[2]: buffer.text for uri, buffer in scene.client.buffers.items()}
            if session == SESSIONS:
                await everything_once(scene)
                assert await scene.client.close() == 0
    assert not list(root.rglob(".agent-lsp-*")), "a draft is left behind"


async def everything_once(scene: Scene) -> None:
    """What was undone is on offer still, and what was applied is not; in the end each is applied one time."""
    for number in range(SESSIONS * KILLS_EACH):
        if stage_of(scene, number) == 0:
            answer = await scene.apply(f"p_n{number}")
            assert answer["applied"] is True, (number, answer)
            assert stage_of(scene, number) == 1
    done = [fact.run_id for fact in journal(scene.root) if fact.kind == "apply.done"]
    assert sorted(done) == sorted(f"r_n{number}" for number in range(SESSIONS * KILLS_EACH))


async def test_two_editors_on_one_folder_write_one_after_the_other_and_the_second_is_told(tmp_path: Path) -> None:
    root = folder(tmp_path)
    mine = await leave_proposal(root, "mine", (edit(root, "both.py", 1), edit(root, "one.py", 1)))
    async with editor_on(root, None) as first:
        await rested(first)
        theirs = await leave_proposal(root, "theirs", (edit(root, "both.py", 2), edit(root, "two.py", 2)))
        async with editor_on(root, None) as second:
            await rested(second)
            for scene, run_id in ((first, "r_mine"), (second, "r_theirs")):
                assert [row["runId"] for row in (await scene.client.command("agent.status"))["runs"]] == [run_id]
            answers = await asyncio.gather(first.apply(mine), second.apply(theirs))
            assert sorted(answer["applied"] for answer in answers) == [False, True], answers
            won, other = (0, second) if answers[0]["applied"] else (1, first)
            assert "both.py changed since this was tested" in answers[1 - won]["reason"]
            stages = [1, 1, 0] if won == 0 else [2, 0, 2]
            found = [(root / name).read_bytes() for name in ("both.py", "one.py", "two.py")]
            assert found == [
                text(stage, name) for stage, name in zip(stages, ("both.py", "one.py", "two.py"), strict=True)
            ]
            rows = (await other.client.command("agent.checkpoints", {}))["checkpoints"]
            assert [row["checkpointId"] for row in rows if row["state"] == "applied"] == [answers[won]["checkpointId"]]
            undone = await other.rollback(answers[won]["checkpointId"])
            assert undone["applied"] is True, "either may take it back"
            assert (root / "both.py").read_bytes() == text(0, "both.py")


def _lie(client: RawClient, style: str, victim: str) -> None:
    """From now on the editor does not take edits of one document, and says so in the way of a real one."""

    def answer(params: Json) -> Any:
        changes = params["edit"].get("documentChanges") or []
        if not any(row["textDocument"]["uri"].endswith(victim) for row in changes):
            return client.apply_edit(params)
        if style == "eglot":
            raise RpcError({"code": -32603, "message": "Edits on `three.py' require version 0, you have 1"})
        return {"applied": style == "neovim"}

    client.handlers["workspace/applyEdit"] = answer


async def test_when_the_third_of_four_files_is_not_taken_all_is_as_before_however_the_editor_says_it(
    tmp_path: Path,
) -> None:
    root = folder(tmp_path)
    documents = ("one.py", "two.py", "three.py")
    edits = (*(edit(root, name) for name in documents), edit(root, "closed.py"), edit(root, "new.py"))
    proposal_id = await leave_proposal(root, "four", edits)
    async with editor_on(root, None) as scene:
        for name in documents:
            scene.open(name)
        await rested(scene)
        before = {uri: buffer.text for uri, buffer in scene.client.buffers.items()}
        for style, said in (
            ("neovim", "said that it applied the edit, but the text did not change"),
            ("vscode", "the editor did not apply the edit"),
            ("eglot", "the editor answered with an error: Edits on `three.py'"),
        ):
            _lie(scene.client, style, "three.py")
            answer = await scene.apply(proposal_id)
            assert answer["applied"] is False
            assert said in answer["reason"], style
            assert "three.py" in answer["reason"]
            assert "Nothing was changed" in answer["reason"]
            assert {uri: buffer.text for uri, buffer in scene.client.buffers.items()} == before
            assert (root / "closed.py").read_bytes() == text(0, "closed.py")
            assert not (root / "new.py").exists()
        scene.client.handlers["workspace/applyEdit"] = scene.client.apply_edit
        assert (await scene.apply(proposal_id))["applied"] is True
        assert (root / "new.py").read_bytes() == text(1, "new.py")
        assert await scene.client.close() == 0
