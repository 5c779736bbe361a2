"""Holds the transaction to all or nothing, on real files and an editor that can refuse, lie and change under us."""

import contextlib
import random
from pathlib import Path

import pytest

from agent_lsp.domain.changes import ChangeKind, Entry, FileEdit, FileMode
from agent_lsp.domain.errors import RefusedError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.keeping import CheckpointState
from agent_lsp.domain.verdict import Decision, Evidence, Verdict
from tests.agent.review_world import Killed, World, full_disk

LATIN = "name = 'Jos\xe9'\r\nlast = 'ma\xf1ana'".encode("latin-1")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def four_files(world: World) -> str:
    """Two open documents, one of them dirty, and two closed files."""
    for name in ("a.py", "b.py", "c.py", "d.py"):
        world.put(name, f"{name} = 1\nlast = 1\n")
    world.editor.open("a.py", "a.py = 1\nlast = 1\n", version=4)
    world.editor.open("b.py", "b.py = 1\nlast = 1\ntyped = 1\n", version=9)
    edits = [
        await world.edit("a.py", "a.py = 2\nlast = 1\n"),
        await world.edit("b.py", "b.py = 2\nlast = 1\ntyped = 1\n"),
        await world.edit("c.py", "c.py = 2\nlast = 1\n"),
        await world.edit("d.py", "d.py = 2\nlast = 1\n"),
    ]
    return await world.offer(*edits)


def texts(world: World) -> dict[str, str]:
    """What the person sees of the four files."""
    seen = {}
    for name in ("a.py", "b.py", "c.py", "d.py"):
        buffer = world.editor.documents.get(name)
        seen[name] = buffer.text if buffer is not None else (world.disk(name) or b"").decode()
    return seen


def stages(world: World) -> set[int]:
    """Which stages of the change are seen: {1} is none of it, {2} is all of it."""
    return {int(text.split(" = ")[1][0]) for text in texts(world).values()}


async def test_all_four_files_are_written_and_the_checkpoint_says_so(world: World) -> None:
    proposal_id = await four_files(world)
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is True
    assert stages(world) == {2}
    assert world.disk("b.py") == b"b.py = 1\nlast = 1\n"
    checkpoint = world.checkpoints.kept[answer["checkpointId"]]
    assert checkpoint.state is CheckpointState.DONE
    assert [(file.path, file.in_editor) for file in checkpoint.files] == [
        ("c.py", False), ("d.py", False), ("a.py", True), ("b.py", True),
    ]  # fmt: skip
    assert all(change.label.startswith("Agent: ") for change in world.editor.edits)


@pytest.mark.parametrize("trouble", ["refuses", "lies"])
@pytest.mark.parametrize("path", ["a.py", "b.py"])
async def test_an_editor_that_refuses_or_lies_gets_everything_taken_back(world: World, trouble: str, path: str) -> None:
    proposal_id = await four_files(world)
    getattr(world.editor, trouble).add(path)
    before = texts(world)
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert path in answer["reason"]
    assert "Nothing was changed" in answer["reason"]
    assert texts(world) == before
    assert [kept.state for kept in world.checkpoints.kept.values()] == [CheckpointState.UNDONE]
    assert world.journal.kinds()[-2:] == [EventKind.APPLY_INTENT, EventKind.APPLY_UNDONE]
    getattr(world.editor, trouble).clear()
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    assert stages(world) == {2}


@pytest.mark.parametrize("error", [full_disk(), RefusedError("d.py is read-only; make it writable, then accept again")])
async def test_a_disk_that_refuses_gets_everything_taken_back(world: World, error: OSError | RefusedError) -> None:
    proposal_id = await four_files(world)
    world.files.refuses["d.py"] = error
    before = texts(world)
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert ("No space left" in answer["reason"]) or ("read-only" in answer["reason"])
    assert texts(world) == before
    assert world.editor.edits == []


async def test_a_file_without_the_write_bit_is_refused_with_what_to_do(world: World) -> None:
    proposal_id = await four_files(world)
    (world.root / "d.py").chmod(0o444)
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert "d.py was not written: the file is read-only" in answer["reason"]
    assert stages(world) == {1}


async def test_typing_just_before_the_edit_arrives_keeps_what_was_typed(world: World) -> None:
    proposal_id = await four_files(world)
    typed: list[str] = []

    def type_now(path: str) -> None:
        if path == "b.py" and not typed:
            typed.append(path)
            world.editor.type("b.py", "typed = 1\n", "typed = 1\nmore = 1\n")

    world.editor.meanwhile = type_now
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert world.editor.documents["b.py"].text == "b.py = 1\nlast = 1\ntyped = 1\nmore = 1\n"
    assert stages(world) == {1}


async def test_typing_after_an_edit_stays_when_the_edit_is_taken_back(world: World) -> None:
    proposal_id = await four_files(world)
    world.editor.refuses.add("b.py")

    def type_now(path: str) -> None:
        if path == "b.py":
            world.editor.type("a.py", "last = 1\n", "last = 1\n# typed\n")

    world.editor.meanwhile = type_now
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is False
    assert world.editor.documents["a.py"].text == "a.py = 1\nlast = 1\n# typed\n"
    assert stages(world) == {1}


async def test_typing_into_the_edited_line_before_it_is_taken_back_is_told_and_left(world: World) -> None:
    proposal_id = await four_files(world)
    world.editor.refuses.add("b.py")

    def type_now(path: str) -> None:
        if path == "b.py":
            world.editor.type("a.py", "a.py = 2\n", "a.py = 2 + 5\n")

    world.editor.meanwhile = type_now
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert "could not be taken back in: a.py" in answer["reason"]
    assert world.editor.documents["a.py"].text == "a.py = 2 + 5\nlast = 1\n"
    assert world.disk("c.py") == b"c.py = 1\nlast = 1\n"


async def test_a_file_deleted_under_us_is_a_stale_proposal(world: World) -> None:
    proposal_id = await four_files(world)
    (world.root / "c.py").unlink()
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert "c.py changed since this was tested" in answer["reason"]
    assert world.disk("c.py") is None
    await world.review.revalidate({"proposalId": proposal_id})
    data = await world.review.proposal({"proposalId": proposal_id})
    assert data["verdict"]["reasons"][0] == "c.py was deleted; the proposal changes it."


LAST_MOMENT = ["written", "deleted", "created"]


@pytest.mark.parametrize("deed", LAST_MOMENT)
async def test_what_a_program_does_to_a_closed_file_after_the_last_look_is_not_lost(world: World, deed: str) -> None:
    """Here the file is what was tested when it is looked at, and another when it is written."""
    for name in ("c.py", "d.py", "gone.py"):
        world.put(name, f"{name} = 1\n")
    path = {"written": "d.py", "deleted": "gone.py", "created": "new.py"}[deed]
    proposal_id = await world.offer(
        await world.edit("c.py", "c.py = 2\n"),
        await world.edit("d.py", "d.py = 2\n"),
        await world.edit("new.py", "new\n"),
        await world.edit("gone.py", None),
    )

    def write_now(moment: str) -> None:
        if moment == f"before {path}":
            world.put(path, "by a program\n")

    world.files.guard = write_now
    answer = await world.review.apply({"proposalId": proposal_id})
    assert (answer["applied"], answer["reason"]) == (False, f"{path} changed just now. Nothing was changed."), answer
    left = {name: world.disk(name) for name in ("c.py", "d.py", "new.py", "gone.py")}
    before = {"c.py": b"c.py = 1\n", "d.py": b"d.py = 1\n", "new.py": None, "gone.py": b"gone.py = 1\n"}
    assert left == {**before, path: b"by a program\n"}
    assert [kept.state for kept in world.checkpoints.kept.values()] == [CheckpointState.UNDONE]


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a = 1\r\nb = 2\r\n", b"a = 9\r\nb = 2\r\n"),
        (b"\xef\xbb\xbfa = 1\nb = 2\n", b"\xef\xbb\xbfa = 9\nb = 2\n"),
        (LATIN, LATIN.replace(b"name", b"nom\xe9")),
        (b"a = '\xc3\xa9' # \xe9\n", b"b = '\xc3\xa9'\n"),
        (b"a = 1\nno newline", b"a = 9\nno newline"),
        (b"a = 1\rb = 2\r", b"a = 9\rb = 2\r"),
        ("\ufeffa = 1\n".encode("utf-16-le"), "\ufeffa = 9\n".encode("utf-16-le")),
        ("x = '\U0001f600\x0c\u2028'\n".encode(), "y = '\U0001f600\x0c\u2028'\n".encode()),
    ],
    ids=["crlf", "bom", "latin-1", "latin-1 that looks like utf-8", "no newline", "cr", "utf-16", "astral"],
)
async def test_every_encoding_and_line_end_is_kept(world: World, is_open: bool, before: bytes, after: bytes) -> None:
    from agent_lsp.domain.text import decode

    world.put("a.py", before)
    decoded = decode(before)
    assert decoded is not None
    if is_open:
        world.editor.open("a.py", decoded.text)
    proposal_id = await world.offer(await world.edit("a.py", after))
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    if is_open:
        assert decoded.encode(world.editor.documents["a.py"].text) == after
        assert world.disk("a.py") == before
    else:
        assert world.disk("a.py") == after


async def test_new_deleted_and_moved_files_executable_bits_and_links_are_one_transaction(world: World) -> None:
    world.put("gone.py", "gone\n")
    world.put("old/name.py", "moved = 1\nkept = 1\n")
    world.put("run.sh", "#!/bin/sh\n")
    world.put("data.bin", b"\x00\x01")
    edits = [
        await world.edit("gone.py", None),
        await world.edit("old/name.py", "moved = 2\nkept = 1\n", to="new/deep/name.py"),
        await world.edit("run.sh", "#!/bin/sh\n", mode=FileMode.EXECUTABLE),
        await world.edit("data.bin", b"\x00\x02"),
        await world.edit("fresh/new.py", "new\n"),
        await world.edit("link", "run.sh", mode=FileMode.SYMLINK),
    ]
    assert [edit.kind for edit in edits].count(ChangeKind.RENAME) == 1
    proposal_id = await world.offer(*edits)
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is True
    assert (world.disk("gone.py"), world.disk("old/name.py")) == (None, None)
    assert world.disk("new/deep/name.py") == b"moved = 2\nkept = 1\n"
    assert world.disk("fresh/new.py") == b"new\n"
    assert (world.root / "run.sh").stat().st_mode & 0o111
    assert (world.root / "link").readlink() == Path("run.sh")
    undone = await world.review.rollback({"checkpointId": answer["checkpointId"]})
    assert undone["applied"] is True
    assert world.disk("gone.py") == b"gone\n"
    assert world.disk("old/name.py") == b"moved = 1\nkept = 1\n"
    assert (world.disk("new/deep/name.py"), world.disk("fresh/new.py"), world.disk("link")) == (None, None, None)
    assert world.disk("data.bin") == b"\x00\x01"
    assert not (world.root / "run.sh").stat().st_mode & 0o111


@pytest.mark.parametrize("refused", [False, True])
async def test_a_link_may_become_a_file_and_what_it_points_to_is_not_written(world: World, refused: bool) -> None:
    world.put("target.py", "target\n")
    (world.root / "link.py").symlink_to("target.py")
    (world.root / "file.py").write_text("file\n")
    edits = [
        FileEdit("link.py", Entry(b"target.py", FileMode.SYMLINK), Entry(b"own\n")),
        FileEdit("file.py", Entry(b"file\n"), Entry(b"target.py", FileMode.SYMLINK)),
        await world.edit("zz.py", "new\n"),
    ]
    proposal_id = await world.offer(*edits, evidence=Evidence(Verdict(Decision.PASSED)))
    if refused:
        world.files.refuses["zz.py"] = full_disk()
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is not refused
    if not refused:
        assert world.disk("link.py") == b"own\n"
        assert (world.root / "file.py").readlink() == Path("target.py")
        assert (await world.review.rollback({"checkpointId": answer["checkpointId"]}))["applied"] is True
    assert world.disk("target.py") == b"target\n"
    assert (world.root / "link.py").readlink() == Path("target.py")
    assert not (world.root / "file.py").is_symlink()
    assert world.disk("file.py") == b"file\n"


async def test_a_file_may_make_way_for_a_folder_of_its_name(world: World) -> None:
    world.put("pkg", "a file\n")
    proposal_id = await world.offer(await world.edit("pkg", None), await world.edit("pkg/__init__.py", "x = 1\n"))
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    assert world.disk("pkg/__init__.py") == b"x = 1\n"


async def test_an_open_document_gets_its_text_in_the_editor_and_its_mode_on_disk(world: World) -> None:
    world.put("run.sh", "echo 1\n")
    world.editor.open("run.sh", "echo 1\necho typed\n")
    proposal_id = await world.offer(await world.edit("run.sh", "echo 2\necho typed\n", mode=FileMode.EXECUTABLE))
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is True
    assert world.editor.documents["run.sh"].text == "echo 2\necho typed\n"
    assert world.disk("run.sh") == b"echo 1\n"
    assert (world.root / "run.sh").stat().st_mode & 0o111
    assert (await world.review.rollback({"checkpointId": answer["checkpointId"]}))["applied"] is True
    assert world.editor.documents["run.sh"].text == "echo 1\necho typed\n"
    assert not (world.root / "run.sh").stat().st_mode & 0o111


@pytest.mark.parametrize(("to", "said"), [(None, "deletes"), ("b.py", "moves")])
async def test_an_open_file_with_unsaved_text_is_neither_deleted_nor_moved(
    world: World, to: str | None, said: str
) -> None:
    world.put("a.py", "a = 1\n")
    world.editor.open("a.py", "a = 1\ntyped\n")
    proposal_id = await world.offer(await world.edit("a.py", "a = 1\ntyped\n" if to else None, to=to))
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert f"a.py has unsaved changes and this {said} it; save it" in answer["reason"]
    assert world.disk("a.py") == b"a = 1\n"
    world.put("a.py", "a = 1\ntyped\n")
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    assert world.disk("a.py") is None


async def test_a_journal_that_cannot_be_written_stops_the_apply_before_any_effect(world: World) -> None:
    proposal_id = await four_files(world)

    def refuse(name: str) -> None:
        if name == "before flush":
            raise full_disk()

    world.guard = refuse
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert world.files.writes == []
    assert world.editor.edits == []


async def test_a_checkpoint_that_cannot_be_completed_takes_the_change_back(world: World) -> None:
    proposal_id = await four_files(world)

    def refuse(name: str) -> None:
        if name == "before mark done":
            raise full_disk()

    world.guard = refuse
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is False
    assert stages(world) == {1}


async def count_effects(folder: Path) -> int:
    """How many effects an apply of the four files has."""
    folder.mkdir()
    world = World(folder)
    proposal_id = await four_files(world)
    seen: list[str] = []
    world.guard = seen.append
    await world.review.apply({"proposalId": proposal_id})
    return len(seen)


async def test_killed_at_any_effect_and_recovered_it_is_all_or_nothing_and_never_twice(tmp_path: Path) -> None:
    effects = await count_effects(tmp_path / "counted")
    assert effects > 12
    chance = random.Random(2026)
    for attempt in range(240):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        world = World(folder)
        proposal_id = await four_files(world)
        before = texts(world)
        dies_at = [chance.randrange(effects), chance.randrange(2 * effects), chance.randrange(effects)]
        editor_dies = chance.random() < 0.3

        kill_at(world, dies_at[0])
        with pytest.raises(Killed):
            await world.review.apply({"proposalId": proposal_id})
        done = any(kept.state is CheckpointState.DONE for kept in world.checkpoints.kept.values())
        if editor_dies and not done:
            world.editor.documents.clear()
        world.guard = lambda _: None
        world.journal.lose_what_was_not_flushed()

        review = world.new_review()
        kill_at(world, dies_at[1])
        with contextlib.suppress(Killed):
            await review.recover()
        world.guard = lambda _: None
        written = len(world.files.writes)
        await world.new_review().recover()
        assert stages(world) == ({2} if done else {1}), (attempt, dies_at)
        if not done and not editor_dies:
            assert texts(world) == before
        again = await world.new_review().recover()
        assert (again.undone, again.restored, again.left) == ((), (), ())
        assert len(world.files.writes) - written <= 2
        assert not any(kept.state is CheckpointState.INTENDED for kept in world.checkpoints.kept.values())


def kill_at(world: World, number: int) -> None:
    """From effect number `number` on, nothing happens any more."""
    left = [number]

    def guard(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    world.guard = guard
