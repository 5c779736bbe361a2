"""Holds writing to: one process at a time, on what a crash left only once it is mended, on disks that are full."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry
from agent_lsp.domain.errors import RefusedError
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.keeping import Checkpoint, CheckpointFile, CheckpointState
from agent_lsp.workspace.files import DiskFiles
from agent_lsp.workspace.turn import WorkspaceTurn
from tests.agent.review_world import World

HERE = Path(__file__).parents[2]
TEXT = "".join(f"line {number}\n" for number in range(1, 21))
CHANGED = TEXT.replace("line 5\n", "agent 5\n")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def offered(world: World, *names: str, text: str = CHANGED) -> str:
    for name in names:
        if not (world.root / name).exists():
            world.put(name, TEXT)
    return await world.offer(*[await world.edit(name, text) for name in names])


# --- whose turn it is ------------------------------------------------------------------------------------------------

HOLDER = """
import asyncio, sys
from pathlib import Path
from agent_lsp.workspace.turn import WorkspaceTurn

async def main(root):
    async with WorkspaceTurn(Path(root)).taken():
        print("taken", flush=True)
        sys.stdin.read()

asyncio.run(main(sys.argv[1]))
"""


async def holder(root: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(root)),
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"taken\n"
    return process


async def test_while_another_process_writes_one_waits_and_goes_on_when_that_is_killed(tmp_path: Path) -> None:
    process = await holder(tmp_path)
    entered = asyncio.Event()

    async def write() -> None:
        async with WorkspaceTurn(tmp_path).taken():
            entered.set()

    waiting = asyncio.create_task(write())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(entered.wait(), 0.2)
    process.kill()
    await process.wait()
    await asyncio.wait_for(waiting, 20)
    assert entered.is_set()


async def test_a_process_that_keeps_its_turn_for_ever_is_named_as_the_reason(tmp_path: Path) -> None:
    process = await holder(tmp_path)
    try:
        with pytest.raises(RefusedError, match="another agent-lsp is writing") as caught:
            async with WorkspaceTurn(tmp_path, wait_s=0.1).taken():
                raise AssertionError("two had their turn at once")
        assert "close the other editor" in caught.value.hint
    finally:
        process.kill()
        await process.wait()


async def test_what_another_process_left_half_written_is_taken_back_before_anything_is_written(world: World) -> None:
    world.put("half.py", "new\n")
    files = (CheckpointFile("half.py", Entry(b"old\n"), Entry(b"new\n"), False),)
    await world.checkpoints.save(Checkpoint("c_dead", "r_0", "p_0", "half", CheckpointState.INTENDED, files))
    answer = await world.review.apply({"proposalId": await offered(world, "a.py")})
    assert answer["applied"] is True
    assert world.disk("half.py") == b"old\n"
    assert world.checkpoints.kept["c_dead"].state is CheckpointState.UNDONE
    assert "interrupted" in world.last("message")["text"]


async def test_typing_after_a_crash_stays_when_the_edit_is_taken_back(world: World) -> None:
    world.put("a.py", TEXT)
    world.editor.open("a.py", CHANGED + "typed\n")
    world.put("saved.py", CHANGED + "formatted\n")
    files = tuple(
        CheckpointFile(n, Entry(TEXT.encode()), Entry(CHANGED.encode()), n == "a.py") for n in ("a.py", "saved.py")
    )
    await world.checkpoints.save(Checkpoint("c_1", "r_1", "p_1", "half", CheckpointState.INTENDED, files))
    found = await world.review.recover()
    assert found.left == ()
    assert world.editor.documents["a.py"].text == TEXT + "typed\n"
    assert world.disk("saved.py") == (TEXT + "formatted\n").encode()


async def test_drafts_and_empty_folders_of_a_crash_are_removed_and_nothing_of_the_persons(world: World) -> None:
    (world.root / "made" / "deep").mkdir(parents=True)
    world.put("kept/own.py", "mine\n")
    for folder in ("made/deep", "kept", "."):
        world.put(f"{folder}/.agent-lsp-draft-abc", "half of")
    files = tuple(CheckpointFile(n, None, Entry(b"new\n"), False) for n in ("made/deep/new.py", "kept/new.py"))
    await world.checkpoints.save(Checkpoint("c_1", "r_1", "p_1", "half", CheckpointState.INTENDED, files))
    await world.review.recover()
    assert sorted(path.relative_to(world.root).as_posix() for path in world.root.rglob("*")) == ["kept", "kept/own.py"]


async def test_a_change_that_was_written_when_its_process_died_is_told_as_applied(world: World) -> None:
    world.put("a.py", CHANGED)
    files = (CheckpointFile("a.py", Entry(TEXT.encode()), Entry(CHANGED.encode()), False),)
    await world.checkpoints.save(Checkpoint("c_1", "r_1", "p_1", "done", CheckpointState.DONE, files))
    world.journal.append(Event("r_1", EventKind.RUN_STARTED, {"goal": "x"}))
    await world.review.recover()
    kinds = world.journal.kinds()
    assert kinds == [EventKind.RUN_STARTED, EventKind.APPLY_DONE, EventKind.RUN_ENDED]
    assert "stays applied (c_1)" in world.journal.events[-1].data["reason"]
    assert world.disk("a.py") == CHANGED.encode()


# --- editors that make one undo of several documents -----------------------------------------------------------------


async def two_open(world: World) -> str:
    for name in ("a.py", "b.py"):
        world.put(name, TEXT)
        world.editor.open(name, TEXT)
    world.editor.transactional = True
    return await offered(world, "a.py", "b.py", "closed.py")


async def test_a_transactional_editor_gets_all_documents_in_one_request_and_so_does_the_rollback(world: World) -> None:
    answer = await world.review.apply({"proposalId": await two_open(world)})
    assert answer["applied"] is True
    await world.review.rollback({"checkpointId": answer["checkpointId"]})
    assert world.editor.together == [["a.py", "b.py"]] * 2
    assert {buffer.text for buffer in world.editor.documents.values()} == {TEXT}
    assert world.disk("closed.py") == TEXT.encode()


@pytest.mark.parametrize("trouble", ["refuses", "lies"])
async def test_a_transactional_editor_that_refuses_or_lies_gets_everything_taken_back(
    world: World, trouble: str
) -> None:
    proposal_id = await two_open(world)
    getattr(world.editor, trouble).add("b.py")
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert "b.py" in answer["reason"] or "a.py" in answer["reason"]
    assert "Nothing was changed" in answer["reason"]
    assert {buffer.text for buffer in world.editor.documents.values()} == {TEXT}
    assert world.disk("closed.py") == TEXT.encode()


# --- disks ---------------------------------------------------------------------------------------------------------

FULL = """
import asyncio, os, resource, sys
from pathlib import Path
from tests.agent.review_world import World

async def main(root, limit):
    root = Path(root)
    root.mkdir(exist_ok=True)
    world = World(root)
    before = {f"{name}.py": (name * 40_000).encode() for name in "abc"}
    for name, content in before.items():
        world.put(name, content)
    edits = [await world.edit(name, content.replace(name[:1].encode(), b"X") * size)
             for (name, content), size in zip(before.items(), (1, 1, 9))]
    proposal_id = await world.offer(*edits)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    answer = await world.review.apply({"proposalId": proposal_id})
    print(answer["applied"], answer.get("reason"))
    assert all((root / name).read_bytes() == content for name, content in before.items()), "a file is not as before"
    assert sorted(os.listdir(root)) == sorted(before), os.listdir(root)

asyncio.run(main(sys.argv[1], len(sys.argv) > 2))
"""


async def run(*argv: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=HERE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_a_disk_that_fills_in_the_middle_leaves_every_file_as_it_was(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=300k none "{tmp_path}"'
    if (await run("unshare", "-Urm", "sh", "-c", mount))[0] != 0:
        pytest.skip("this system lets nobody mount a small disk")
    script = f'{mount} && exec "{sys.executable}" -c "$0" "{tmp_path}/w"'
    status, out = await run("unshare", "-Urm", "sh", "-c", script, FULL)
    assert status == 0, out
    assert "False" in out
    assert "The disk is full; free some space" in out


async def test_a_limit_on_the_size_of_files_leaves_every_file_as_it_was(tmp_path: Path) -> None:
    status, out = await run(sys.executable, "-c", FULL, str(tmp_path / "w"), "limited")
    assert status == 0, out
    assert "raise the limit" in out


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
async def test_a_folder_without_rights_is_refused_with_what_to_do(world: World) -> None:
    proposal_id = await offered(world, "sub/a.py", "b.py")
    (world.root / "sub").chmod(0o555)
    try:
        answer = await world.review.apply({"proposalId": proposal_id})
    finally:
        (world.root / "sub").chmod(0o755)
    assert "Give yourself the right" in answer["reason"]
    assert world.disk("b.py") == TEXT.encode()


async def test_a_read_only_file_system_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom agent_lsp.domain.changes import Entry\n"
        "from agent_lsp.workspace.files import DiskFiles\n"
        "asyncio.run(DiskFiles(Path(sys.argv[1])).replace('a.py', Entry(b'a = 2\\n')))"
    )
    mount = f'mount --bind "{tmp_path}" "{tmp_path}" && mount -o remount,bind,ro "{tmp_path}"'
    if (await run("unshare", "-Urm", "sh", "-c", mount))[0] != 0:
        pytest.skip("this system lets nobody mount")
    _, out = await run("unshare", "-Urm", "sh", "-c", f'{mount} && exec "{sys.executable}" -c "$0" "{tmp_path}"', code)
    assert "make it writable, then apply again" in out
    assert (tmp_path / "a.py").read_text() == "a = 1\n"


async def test_room_is_held_and_given_back(tmp_path: Path) -> None:
    give_back = await DiskFiles(tmp_path).hold_room(10_000)
    [held] = tmp_path.iterdir()
    assert held.stat().st_blocks * 512 >= 10_000
    give_back()
    assert list(tmp_path.iterdir()) == []
