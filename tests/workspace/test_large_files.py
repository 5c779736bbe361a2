"""Large files: pointed to instead of copied, shown as they are, never tested as something that they no longer are."""

import os
from pathlib import Path

import pytest

from agent_lsp.domain.changes import ChangeKind, Entry, FileEdit, FileMode
from agent_lsp.domain.errors import CandidateError, SnapshotError
from agent_lsp.domain.ports import Buffer, SandboxKind
from agent_lsp.workspace.in_place import LARGE_BYTES
from agent_lsp.workspace.snapshot import GitTrees
from tests.workspace.scenes import KINDS, git, put, scene, sh

each_kind = pytest.mark.parametrize("kind", KINDS)
BIG = os.urandom(1 << 16) * (LARGE_BYTES >> 16)
LATER = b"later" + BIG


def held_bytes(folder: Path) -> int:
    """What the files of a folder take on the disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


@each_kind
async def test_a_large_file_is_seen_and_hashed_and_not_copied(tmp_path: Path, kind: SandboxKind) -> None:
    files: dict[str, str | bytes] = {
        "data/model.bin": BIG,
        "data/note": "small",
        "a.py": "1",
        "lfs.bin": "oid sha256:1\n",
    }
    async with scene(tmp_path, kind, files) as made:
        (made.root / "data/model.bin").chmod(0o755)
        tree = (await made.trees.snapshot(())).tree
        candidate = await made.pool.open(tree)
        assert held_bytes(made.cache) < LARGE_BYTES / 4
        seen = await sh(candidate, "sha256sum < data/model.bin; test -x data/model.bin && echo x; cat lfs.bin; ls data")
        assert seen.output.split() == [Entry(BIG).sha256, "-", "x", "oid", "sha256:1", "model.bin", "note"]
        assert await candidate.harvest() == ()
        asked = ["data/note", "data/model.bin", "a.py", "gone.py"]
        assert await made.trees.contents(tree, asked) == {"data/note": b"small", "a.py": b"1"}
        assert "data/model.bin" in await candidate.paths()
        assert await made.trees.read(tree, "data/model.bin") == Entry(BIG, FileMode.EXECUTABLE)
        assert (await made.trees.hashes(tree, ["data/model.bin"])) == {"data/model.bin": Entry(BIG).sha256}
        await candidate.close()
        again = GitTrees(made.root, made.cache)
        assert (await again.snapshot(())).tree == tree
        assert await again.read(tree, "data/model.bin") == Entry(BIG, FileMode.EXECUTABLE)


@each_kind
async def test_what_a_command_does_to_a_large_file_never_reaches_the_live_one(
    tmp_path: Path, kind: SandboxKind
) -> None:
    async with scene(tmp_path, kind, {"big.bin": BIG, "other.bin": BIG, "kept.bin": BIG, "a": ""}) as made:
        candidate = await made.open()
        await sh(candidate, "echo more >> big.bin; rm -f other.bin; cp kept.bin k && cat k > kept.bin; rm k")
        assert {(made.root / name).read_bytes() for name in ("big.bin", "other.bin", "kept.bin")} == {BIG}
        if kind is SandboxKind.OVERLAY:
            edits = {edit.path: edit for edit in await candidate.harvest()}
            assert {path: edit.kind for path, edit in edits.items()} == {
                "big.bin": ChangeKind.MODIFY,
                "other.bin": ChangeKind.DELETE,
            }, "a file that was written with the same bytes is no change"
            assert edits["big.bin"].before == Entry(BIG)
            assert edits["big.bin"].after == Entry(BIG + b"more\n")
            tree = await made.trees.write(candidate.tree, list(edits.values()))
            second = await made.pool.open(tree)
            assert (await sh(second, "tail -c 5 big.bin; ls *.bin")).output.split() == ["more", "big.bin", "kept.bin"]
            await second.close()
        await candidate.close()


@each_kind
async def test_a_large_file_that_moves_beneath_a_command_ends_it_and_is_copied_from_then_on(
    tmp_path: Path, kind: SandboxKind
) -> None:
    async with scene(tmp_path, kind, {"big.bin": BIG, "a": ""}) as made:
        candidate = await made.open()
        await sh(candidate, "head -c 1 big.bin")
        (made.root / "big.bin").write_bytes(LATER)
        with pytest.raises(CandidateError, match=r"big\.bin was changed") as moved:
            await sh(candidate, "head -c 1 big.bin")
        assert "Start again" in moved.value.hint
        with pytest.raises(CandidateError, match=r"big\.bin was changed"):
            await made.pool.open(candidate.tree)
        with pytest.raises(SnapshotError, match=r"big\.bin was changed"):
            await made.trees.hashes(candidate.tree, ["big.bin"])
        await candidate.close()
        second = await made.open()
        (made.root / "big.bin").write_bytes(BIG)
        assert (await sh(second, "head -c 5 big.bin")).output == "later"
        await second.close()


async def test_files_that_grow_shrink_and_change_places_are_right_in_every_candidate(tmp_path: Path) -> None:
    shapes: list[dict[str, str | bytes]] = [
        {"x": "small", "d/y.bin": BIG, "d/z": "z", "e": "file"},
        {"x": BIG, "d/y.bin": "small", "d/z": "z", "e/in.bin": BIG},
        {"x/deep.bin": BIG, "d": BIG, "e/in.bin": "small"},
        {"x": "small", "d/y.bin": BIG, "d/z": "z", "e": "file"},
    ]
    async with scene(tmp_path, SandboxKind.OVERLAY, {"keep": "k"}) as made:
        kept = await made.open()  # holds the first checkout, so that others are laid over it
        for shape in shapes:
            for old in sorted(made.root.rglob("*"), reverse=True):
                old.rmdir() if old.is_dir() else old.unlink()
            put(made.root, {"keep": "k", **shape})
            candidate = await made.open()
            for path, content in shape.items():
                wanted = Entry(content.encode() if isinstance(content, str) else content)
                assert await candidate.read(path) == wanted, path
            found = (await sh(candidate, "find . -type f | sort")).output.split()
            assert found == sorted(f"./{path}" for path in ("keep", *shape))
            await candidate.close()
        await kept.close()


async def test_code_and_open_documents_are_copied_whatever_their_size(tmp_path: Path) -> None:
    text = "# " + "x" * LARGE_BYTES + "\n"
    async with scene(tmp_path, SandboxKind.OVERLAY, {"long.py": text, "long.txt": text}) as made:
        snapshot = await made.trees.snapshot([Buffer("long.txt", 3, text + "typed")])
        candidate = await made.pool.open(snapshot.tree)
        put(made.root, {"long.py": "other", "long.txt": "other"})
        assert (await sh(candidate, "wc -c < long.py; tail -c 5 long.txt")).output.split() == [str(len(text)), "typed"]
        await candidate.close()


async def test_a_tracked_large_file_and_one_below_a_mode_of_its_own_are_edited_like_others(tmp_path: Path) -> None:
    root = put(tmp_path / "workspace", {"big.bin": BIG, "a.py": "a\n"})
    git(root, "init", "-q")
    git(root, "add", ".")
    trees = GitTrees(root, tmp_path / "cache")
    tree = (await trees.snapshot(())).tree
    edits = [FileEdit("a.py", Entry(b"a\n"), Entry(b"b\n")), FileEdit("big.bin", Entry(BIG), Entry(b"small"))]
    new = await trees.write(tree, edits)
    assert await trees.read(new, "big.bin") == Entry(b"small")
    assert [edit.path for edit in await trees.diff(tree, new)] == ["a.py", "big.bin"]
    assert await trees.paths(new) == ["a.py", "big.bin"]


def hole(path: Path, size_bytes: int) -> None:
    """A file of zeros that takes nothing on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size_bytes)


@each_kind
async def test_of_a_workspace_of_five_gigabytes_next_to_nothing_is_copied_or_read(
    tmp_path: Path, kind: SandboxKind
) -> None:
    async with scene(tmp_path, kind, {"a.py": "a = 1\n"}) as made:
        for number in range(40):
            hole(made.root / f"data/{number % 4}/{number}.bin", 128 << 20)
        read_before = read_bytes()
        candidate = await made.open()
        seen = await sh(candidate, "find -L data -name '*.bin' -size +127M | wc -l; echo more >> a.py")
        assert seen.output.split() == ["40"]
        assert [edit.path for edit in await candidate.harvest()] == ["a.py"]
        assert held_bytes(tmp_path / "cache") < LARGE_BYTES
        assert read_bytes() - read_before < 128 << 20, "not even one of them was read"
        await candidate.close()


def read_bytes() -> int:
    """What this process has read so far, be it from the cache."""
    rows = Path("/proc/self/io").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("rchar:"))


POINTER = """version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 8388608
"""


@each_kind
async def test_what_git_lfs_has_fetched_and_what_it_has_not_are_shown_as_they_lie_there(
    tmp_path: Path, kind: SandboxKind
) -> None:
    attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
    root = put(tmp_path / "workspace", {".gitattributes": attributes, "a.py": "a\n"})
    git(root, "init", "-q")
    put(root, {"absent.bin": POINTER, "fetched.bin": POINTER})
    git(root, "add", ".")
    git(root, "commit", "-qm", "pointers")
    for step in ("clean", "smudge", "process"):
        git(root, "config", f"filter.lfs.{step}", "false")
    git(root, "config", "filter.lfs.required", "true")
    hole(root / "fetched.bin", 8 << 20)
    async with scene(tmp_path, kind, {}) as made:
        candidate = await made.open()
        seen = await sh(candidate, "wc -c < fetched.bin; cat absent.bin; echo b > a.py")
        assert seen.output.split("\n", 1) == [str(8 << 20), POINTER]
        edits = await candidate.harvest()
        assert [edit.path for edit in edits] == ["a.py"]
        tree = await made.trees.write(candidate.tree, edits)
        assert await made.trees.read(tree, "absent.bin") == Entry(POINTER.encode())
        await candidate.close()
        second = await made.pool.open(tree)
        assert (await sh(second, "cat a.py; head -c 7 absent.bin; wc -c < fetched.bin")).output == "b\nversion8388608\n"
        await second.close()
        assert held_bytes(made.cache) < LARGE_BYTES
