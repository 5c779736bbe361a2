"""Snapshots: every byte that is not ignored, buffers over, and nothing of the person's git touched or run."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from agent_lsp.domain.changes import ChangeKind, Entry, FileEdit, FileMode
from agent_lsp.domain.errors import SnapshotError
from agent_lsp.domain.ports import Buffer
from agent_lsp.workspace.bases import materialise
from agent_lsp.workspace.snapshot import GitTrees
from tests.workspace.scenes import git, put

ODD: dict[str, bytes] = {
    "crlf.txt": b"a\r\nb\r\n",
    "mixed.txt": b"a\r\nb\nc\r",
    "latin1.txt": "caf\xe9".encode("latin-1"),
    "utf16.txt": "x\u20ac\n".encode("utf-16"),
    "noend.py": b"x = 1",
    "ident.txt": b"$Id$\n",
    "filtered.dat": b"raw\n",
    "binary.bin": bytes(range(256)),
    "empty": b"",
    "back\\slash and space": b"1",
    "caf\u00e9/\u6f22\u5b57.txt": b"2",
    "-dash": b"3",
    ".gitattributes": b"* text=auto eol=lf\nident.txt ident\nfiltered.dat filter=mark\n"
    b"utf16.txt working-tree-encoding=UTF-16\n",
}


def odd_workspace(root: Path) -> dict[str, Entry]:
    """A folder of everything that git likes to change, and what must come out of it."""
    put(root, ODD)
    raw = os.fsencode(root) + b"/not-utf8-\xff.txt"
    Path(os.fsdecode(raw)).write_bytes(b"4")
    (root / "tool.sh").write_text("#!/bin/sh\n")
    (root / "tool.sh").chmod(0o755)
    (root / "link").symlink_to("crlf.txt")
    (root / "dangling").symlink_to("/nowhere/at/all")
    wanted = {path: Entry(content) for path, content in ODD.items()}
    wanted[os.fsdecode(b"not-utf8-\xff.txt")] = Entry(b"4")
    wanted["tool.sh"] = Entry(b"#!/bin/sh\n", FileMode.EXECUTABLE)
    wanted["link"] = Entry(b"crlf.txt", FileMode.SYMLINK)
    wanted["dangling"] = Entry(b"/nowhere/at/all", FileMode.SYMLINK)
    return wanted


async def everything(trees: GitTrees, tree: str) -> dict[str, Entry]:
    """A whole tree."""
    found = {}
    for path in await trees.paths(tree):
        entry = await trees.read(tree, path)
        assert entry is not None
        found[path] = entry
    return found


async def snapped(root: Path, cache: Path, *buffers: Buffer) -> dict[str, Entry]:
    """What a fresh snapshot of a folder holds."""
    trees = GitTrees(root, cache)
    return await everything(trees, (await trees.snapshot(buffers)).tree)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty workspace."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder that is not there yet."""
    return tmp_path / "cache"


@pytest.mark.parametrize("state", ["no git", "fresh git", "committed", "broken git", "broken index"])
async def test_every_file_survives_byte_for_byte_with_and_without_git(root: Path, cache: Path, state: str) -> None:
    wanted = odd_workspace(root)
    if state == "broken git":
        put(root, {".git/HEAD": "nonsense", ".git/index": "nonsense", ".git/objects/x": ""})
    elif state != "no git":
        git(root, "init", "-q")
    if state in ("committed", "broken index"):
        git(root, "-c", "core.autocrlf=input", "add", ".")
        git(root, "commit", "-q", "-m", "all")
    if state == "broken index":
        (root / ".git/index").write_bytes(b"DIRC broken")
    trees = GitTrees(root, cache)
    tree = (await trees.snapshot(())).tree
    assert await everything(trees, tree) == wanted
    folder = cache / "out"
    await materialise(trees, tree, folder)
    copy = GitTrees(folder, cache / "second")
    assert (await copy.snapshot(())).tree == tree, "the checkout differs from what was stored"


async def test_the_persons_git_is_unchanged_to_the_time_stamp_and_runs_nothing(root: Path, cache: Path) -> None:
    mark = root.parent / "ran"
    git(root, "init", "-q")
    put(root, {"a.txt": "1\n", "b.dat": "2\n", ".gitattributes": "*.dat filter=mark diff=mark\n"})
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    git(root, "repack", "-a", "-d", "-q")
    script = root / ".git/hooks/all.sh"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\necho $0 $* >> {mark}\ncat\n")
    script.chmod(0o755)
    for hook in ("post-checkout", "post-index-change", "pre-commit", "reference-transaction", "fsmonitor-watchman"):
        shutil.copy(script, root / ".git/hooks" / hook)
    for key in ("core.fsmonitor", "filter.mark.clean", "filter.mark.smudge", "filter.mark.process", "core.pager"):
        git(root, "config", key, str(script))
    git(root, "config", "diff.mark.textconv", str(script))
    git(root, "config", "core.untrackedCache", "true")
    put(root, {"a.txt": "changed\n", "b.dat": "changed\n", "new.dat": "new\n"})

    def state() -> dict[str, tuple[int, int, int]]:
        stats = {path: path.lstat() for path in [root / ".git", *(root / ".git").rglob("*")]}
        return {str(path): (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size) for path, stat in stats.items()}

    await asyncio.sleep(0.02)
    before = state()
    trees = GitTrees(root, cache)
    first = (await trees.snapshot(())).tree
    second = (await trees.snapshot([Buffer("a.txt", 1, "buffer\n"), Buffer("unborn.txt", 1, "x")])).tree
    await trees.diff(first, second)
    await trees.look()
    await materialise(trees, second, cache / "out")
    assert state() == before
    assert not mark.exists(), mark.read_text()
    assert (await trees.read(first, "b.dat")) == Entry(b"changed\n")


async def test_ignored_files_nested_repositories_and_our_own_folder_are_left_out(root: Path, cache: Path) -> None:
    git(root, "init", "-q")
    other = root.parent / "other"
    other.mkdir()
    git(other, "init", "-q")
    put(other, {"lib.c": "1"})
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "x")
    git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    put(root, {"kept.log": "tracked although ignored", "a.py": "1", "gone.py": "1"})
    git(root, "add", ".")
    put(root, {".gitignore": "*.log\n/build\n", "x.log": "", "build/y": "", ".venv/z": "", "p/__pycache__/c.pyc": ""})
    put(root, {"nested/f": "", "node_modules/m/i.js": "", ".agent-lsp/state.db": "", "new.py": "", "p/sub.py": ""})
    put(root, {".git/info/exclude": "secret.txt\n", "secret.txt": ""})
    git(root / "nested", "init", "-q")
    (root / "gone.py").unlink()
    os.mkfifo(root / "pipe")
    assert set(await snapped(root, cache)) == {
        ".gitignore",
        ".gitmodules",
        "a.py",
        "kept.log",
        "new.py",
        "p/sub.py",
    }
    trees = GitTrees(root, cache)
    view = await trees.look()
    assert view.nested == {"nested", "sub"}
    assert {"x.log", "build", ".venv", "node_modules", ".agent-lsp", "secret.txt"} <= view.ignored


async def test_the_persons_global_excludes_file_counts(
    root: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "home", {".gitconfig": "[core]\n\texcludesFile = ~/my-ignores\n", "my-ignores": "*.mine\n"})
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    put(root, {"a.py": "", "b.mine": ""})
    assert set(await snapped(root, cache)) == {"a.py"}


async def test_a_subfolder_of_a_repository_is_a_workspace_with_its_rules(root: Path, cache: Path) -> None:
    git(root, "init", "-q")
    put(root, {".gitignore": "*.log\n", "top.py": "", "part/a.py": "", "part/b.log": "", "out/x.py": ""})
    git(root, "add", ".")
    assert set(await snapped(root / "part", cache)) == {"a.py"}
    put(root, {".gitignore": "*.log\n/out\n", "out/y.py": ""})
    git(root, "rm", "-q", "--cached", "out/x.py")
    assert set(await snapped(root / "out", cache / "2")) == {"x.py", "y.py"}


async def test_open_buffers_are_laid_over_in_the_encoding_of_their_file(root: Path, cache: Path) -> None:
    put(root, {"a.txt": b"old\r\n", "latin.txt": b"caf\xe9", "bom.txt": b"\xef\xbb\xbfx", ".gitignore": "*.log\n"})
    (root / "run.sh").write_text("old")
    (root / "run.sh").chmod(0o755)
    (root / "link.txt").symlink_to("a.txt")
    buffers = [
        Buffer("link.txt", 4, "new\r\n"),
        Buffer("latin.txt", 5, "caf\u00e9!"),
        Buffer("bom.txt", 6, "x"),
        Buffer("run.sh", 7, "new"),
        Buffer("unsaved/new.py", 8, "n = 1\n"),
        Buffer("x.log", 9, "ignored"),
        Buffer("../outside.txt", 1, "outside"),
    ]
    trees = GitTrees(root, cache)
    shot = await trees.snapshot(buffers)
    assert shot.buffers == {"link.txt": 4, "latin.txt": 5, "bom.txt": 6, "run.sh": 7, "unsaved/new.py": 8}
    found = await everything(trees, shot.tree)
    assert found["a.txt"] == Entry(b"new\r\n")
    assert found["link.txt"] == Entry(b"a.txt", FileMode.SYMLINK)
    assert found["latin.txt"] == Entry(b"caf\xe9!")
    assert found["bom.txt"] == Entry(b"\xef\xbb\xbfx")
    assert found["run.sh"] == Entry(b"new", FileMode.EXECUTABLE)
    assert found["unsaved/new.py"] == Entry(b"n = 1\n")
    assert "x.log" not in found


async def test_an_edit_that_keeps_size_and_time_is_seen(root: Path, cache: Path) -> None:
    put(root, {"a.py": "x = 1\n"})
    trees = GitTrees(root, cache)
    os.utime(root / "a.py", (1_000_000_000, 1_000_000_000))
    for number in (2, 3, 4, 5):
        await trees.snapshot(())
        (root / "a.py").write_text(f"x = {number}\n")
        os.utime(root / "a.py", (1_000_000_000, 1_000_000_000))
        tree = (await trees.snapshot(())).tree
        assert await trees.read(tree, "a.py") == Entry(b"x = %d\n" % number)


async def test_a_second_snapshot_of_many_files_reads_none_of_them_again(root: Path, cache: Path) -> None:
    put(root, {f"d{number % 50}/f{number}.py": f"x = {number}\n" for number in range(3000)})
    await asyncio.sleep(0.1)
    trees = GitTrees(root, cache)
    tree = (await trees.snapshot(())).tree
    for path in root.rglob("f1.py"):
        path.chmod(0o644)
    began_s = time.monotonic()
    assert (await trees.snapshot(())).tree == tree
    assert time.monotonic() - began_s < 1.0
    assert (await GitTrees(root, cache).snapshot(())).tree == tree


async def test_a_file_that_cannot_be_read_is_named_with_what_to_do(root: Path, cache: Path) -> None:
    put(root, {"a.py": ""})
    with pytest.raises(SnapshotError, match="not a folder"):
        await GitTrees(root / "a.py", cache).snapshot(())
    trees = GitTrees(root, cache)
    with pytest.raises(SnapshotError):
        await trees.read("0" * 40, "a.py")


async def test_trees_are_written_compared_and_renames_told(root: Path, cache: Path) -> None:
    put(root, {"a.py": "a\n", "b.py": "b\n", "c.py": "c\n", "e.py": ""})
    trees = GitTrees(root, cache)
    old = (await trees.snapshot(())).tree
    edits = (
        FileEdit("a.py", Entry(b"a\n"), Entry(b"A\n")),
        FileEdit("c.py", Entry(b"c\n"), None),
        FileEdit("d/new.py", None, Entry(b"n\n", FileMode.EXECUTABLE)),
        FileEdit("moved/b.py", Entry(b"b\n"), Entry(b"b\n"), "b.py"),
    )
    new = await trees.write(old, edits)
    assert await trees.diff(old, new) == edits
    assert [edit.kind for edit in await trees.diff(new, old)] == [
        ChangeKind.MODIFY,
        ChangeKind.RENAME,
        ChangeKind.CREATE,
        ChangeKind.DELETE,
    ]
    assert await trees.diff(old, old) == ()
    assert await trees.paths(new) == ["a.py", "d/new.py", "e.py", "moved/b.py"]
    assert await trees.hashes(new, ["a.py", "c.py"]) == {"a.py": Entry(b"A\n").sha256}
    assert await GitTrees(root, cache).diff(old, new) == edits
    with pytest.raises(SnapshotError, match="file and a folder"):
        await trees.write(old, [FileEdit("a.py/x", None, Entry(b""))])


async def test_texts_are_merged_or_the_conflict_told(root: Path, cache: Path) -> None:
    trees = GitTrees(root, cache)
    assert await trees.merge_text(b"a\r\nb\nc\n", b"a\r\nb\nC\n", b"A\r\nb\nc\n") == b"A\r\nb\nC\n"
    assert await trees.merge_text(b"a\n", b"b\n", b"c\n") is None
    assert await trees.merge_text(b"\0a", b"\0b", b"\0c") is None


async def test_a_removed_cache_is_made_anew(root: Path, cache: Path) -> None:
    put(root, {"a.py": "a\n"})
    trees = GitTrees(root, cache)
    tree = (await trees.snapshot(())).tree
    shutil.rmtree(cache)
    assert (await trees.snapshot(())).tree == tree
    assert await trees.read(tree, "a.py") == Entry(b"a\n")
