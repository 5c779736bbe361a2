"""Holds rollback and recovery to their promise: only what the agent wrote goes, and nothing stays half done."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry
from agent_lsp.domain.errors import RefusedError, UnknownIdError
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.keeping import Checkpoint, CheckpointFile, CheckpointState
from agent_lsp.storage.checkpoints import StoredCheckpoints
from agent_lsp.storage.database import Database
from agent_lsp.storage.journal import StoredJournal
from tests.agent.review_world import World

TEXT = "".join(f"line {number}\n" for number in range(1, 21))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def applied(world: World, *names: str) -> str:
    """The checkpoint of a change of line 5 in each file, applied."""
    for name in names:
        if name not in world.editor.documents:
            world.put(name, TEXT)
    edits = [await world.edit(name, TEXT.replace("line 5\n", "agent 5\n")) for name in names]
    proposal_id = await world.offer(*edits)
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is True
    return str(answer["checkpointId"])


async def test_rollback_keeps_what_the_person_did_since(world: World) -> None:
    world.editor.open("a.py", TEXT)
    checkpoint_id = await applied(world, "a.py", "b.py")
    world.editor.type("a.py", "line 15\n", "typed 15\n")
    world.put("b.py", TEXT.replace("line 5\n", "agent 5\n") + "appended\n")
    answer = await world.review.rollback({"checkpointId": checkpoint_id})
    assert answer["applied"] is True
    assert world.editor.documents["a.py"].text == TEXT.replace("line 15\n", "typed 15\n")
    assert world.disk("b.py") == (TEXT + "appended\n").encode()
    assert world.journal.kinds()[-2:] == [EventKind.ROLLBACK_INTENT, EventKind.ROLLBACK_DONE]


async def test_a_rollback_can_itself_be_rolled_back(world: World) -> None:
    checkpoint_id = await applied(world, "a.py")
    undone = await world.review.rollback({"checkpointId": checkpoint_id})
    world.put("a.py", TEXT + "appended\n")
    redone = await world.review.rollback({"checkpointId": undone["checkpointId"]})
    assert redone["applied"] is True
    assert world.disk("a.py") == (TEXT.replace("line 5\n", "agent 5\n") + "appended\n").encode()


async def test_a_rollback_that_conflicts_touches_nothing_and_says_where(world: World) -> None:
    checkpoint_id = await applied(world, "a.py", "b.py")
    world.put("b.py", TEXT.replace("line 5\n", "mine 5\n"))
    before = world.disk("a.py")
    answer = await world.review.rollback({"checkpointId": checkpoint_id})
    assert answer["applied"] is False
    assert "b.py was changed since in the same lines" in answer["reason"]
    assert world.disk("a.py") == before
    assert len(world.checkpoints.kept) == 1


async def test_a_file_that_the_agent_created_and_the_person_edited_is_not_deleted(world: World) -> None:
    proposal_id = await world.offer(await world.edit("new.py", "new\n"))
    answer = await world.review.apply({"proposalId": proposal_id})
    world.put("new.py", "new\nmine\n")
    refused = await world.review.rollback({"checkpointId": answer["checkpointId"]})
    assert refused["applied"] is False
    assert "new.py was created by this change and edited since" in refused["reason"]
    assert world.disk("new.py") == b"new\nmine\n"


async def test_a_second_rollback_has_nothing_left_to_undo(world: World) -> None:
    checkpoint_id = await applied(world, "a.py")
    await world.review.rollback({"checkpointId": checkpoint_id})
    answer = await world.review.rollback({"checkpointId": checkpoint_id})
    assert answer == {"applied": False, "reason": "nothing of this change is left to undo"}
    with pytest.raises(UnknownIdError):
        await world.review.rollback({"checkpointId": "c_none"})


async def half_done(world: World) -> Checkpoint:
    """A crash after the first of two files and one of two documents."""
    before, after = Entry(b"old\n"), Entry(b"new\n")
    for name in ("done.py", "mine.py"):
        world.put(name, "new\n")
    world.put("todo.py", "old\n")
    world.put("mine.py", "neither\n")
    world.editor.open("open.py", "new\n")
    world.editor.open("typed.py", "new\ntyped\n")
    files = [CheckpointFile(name, before, after, False) for name in ("done.py", "todo.py", "mine.py")]
    files += [CheckpointFile(name, before, after, True) for name in ("open.py", "typed.py", "closed.py")]
    checkpoint = Checkpoint("c_1", "r_1", "p_1", "half", CheckpointState.INTENDED, tuple(files))
    await world.checkpoints.save(checkpoint)
    world.journal.append(Event("r_1", EventKind.RUN_STARTED, {"goal": "x"}))
    return checkpoint


async def test_recovery_takes_back_what_it_can_and_reports_the_rest(world: World) -> None:
    await half_done(world)
    found = await world.review.recover()
    assert found.undone == ("c_1",)
    assert set(found.restored) == {"done.py", "open.py"}
    assert set(found.left) == {"mine.py", "typed.py"}
    assert found.closed_runs == ("r_1",)
    assert (world.disk("done.py"), world.disk("todo.py"), world.disk("mine.py")) == (b"old\n", b"old\n", b"neither\n")
    assert world.editor.documents["open.py"].text == "old\n"
    assert world.editor.documents["typed.py"].text == "new\ntyped\n"
    assert "mine.py" in world.last("message")["text"]
    ended = world.journal.events[-1]
    assert (ended.kind, ended.data["state"]) == (EventKind.RUN_ENDED, "failed")
    assert ended.data["reason"] == "the runtime ended unexpectedly"
    again = await world.review.recover()
    assert (again.undone, again.closed_runs, again.message) == ((), (), "")


async def test_a_file_that_cannot_be_put_back_now_is_tried_again_at_the_next_start(world: World) -> None:
    await half_done(world)
    world.files.refuses["done.py"] = RefusedError("done.py is read-only")
    found = await world.review.recover()
    assert found.undone == ()
    assert "done.py" in found.left
    world.files.refuses.clear()
    assert (await world.review.recover()).restored == ("done.py",)


async def test_a_checkpoint_that_names_a_place_outside_is_not_followed(world: World, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside.txt"
    outside.write_text("after")
    files = (
        CheckpointFile(f"../{outside.name}", Entry(b"before"), Entry(b"after"), False),
        CheckpointFile(".git/config", Entry(b"bad"), None, False),
    )
    await world.checkpoints.save(Checkpoint("c_1", "r_1", "p_1", "bad", CheckpointState.INTENDED, files))
    found = await world.review.recover()
    assert outside.read_text() == "after"
    assert world.disk(".git/config") is None
    assert len(found.left) == 2


async def test_a_run_whose_change_was_accepted_is_closed_with_that_said(world: World) -> None:
    world.journal.append(Event("r_1", EventKind.RUN_STARTED, {}))
    world.journal.append(Event("r_1", EventKind.APPLY_DONE, {"checkpointId": "c_7"}))
    await world.review.recover()
    assert "stays applied (c_7)" in world.journal.events[-1].data["reason"]


CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.storage.checkpoints import StoredCheckpoints
from agent_lsp.storage.database import Database
from agent_lsp.storage.journal import StoredJournal
from tests.agent.review_world import World

async def main(root, dies_at):
    world = World(Path(root))
    database = Database(Path(root, ".agent-lsp", "state.db"))
    world.journal, world.checkpoints = StoredJournal(database), StoredCheckpoints(database)
    world.review = world.new_review(journal=world.journal, checkpoints=world.checkpoints)
    world.journal.append(Event("r_1", EventKind.RUN_STARTED, {"goal": "x"}))
    edits = [await world.edit(name, name + " = 2\\n") for name in ("a.py", "b.py", "c.py", "d.py")]
    proposal_id = await world.offer(*edits)
    left = [dies_at]
    def guard(_):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    world.guard = guard
    await world.review.apply({"proposalId": proposal_id})
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def killed(root: Path, dies_at: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(root), str(dies_at), cwd=Path(__file__).parents[2]
    )
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("dies_at", [0, 1, 2, 3, 4, 5, 6, 7, 8])
async def test_after_kill_9_the_next_start_closes_the_run_and_leaves_nothing_half_done(
    tmp_path: Path, dies_at: int
) -> None:
    world = World(tmp_path)
    names = ("a.py", "b.py", "c.py", "d.py")
    for name in names:
        world.put(name, f"{name} = 1\n")
    await killed(tmp_path, dies_at)
    seen = {world.disk(name) for name in names}
    assert all(content is not None for content in seen)

    database = Database(tmp_path / ".agent-lsp" / "state.db")
    journal, checkpoints = StoredJournal(database), StoredCheckpoints(database)
    review = world.new_review(journal=journal, checkpoints=checkpoints)
    found = await review.recover()
    stage = {(world.disk(name) or b"").split(b" = ")[1] for name in names}
    assert stage == ({b"2\n"} if dies_at == 8 else {b"1\n"})
    assert found.closed_runs == ("r_1",)
    assert (await review.recover()).undone == ()
    assert [event.kind for event in await journal.read("r_1")].count(EventKind.RUN_ENDED) == 1
    if dies_at == 8:
        done = next(event for event in await journal.read("r_1") if event.kind is EventKind.APPLY_DONE)
        assert (await review.rollback({"checkpointId": done.data["checkpointId"]}))["applied"] is True
        assert world.disk("a.py") == b"a.py = 1\n"
    await database.close()
    assert os.listdir(tmp_path / ".agent-lsp" / "state.db.alive") == []
