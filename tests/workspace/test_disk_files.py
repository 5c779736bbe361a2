"""Writing the person's files: whole or not at all, with their rights, and never outside the root."""

import asyncio
import os
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry, FileMode
from agent_lsp.domain.errors import RefusedError
from agent_lsp.workspace.files import DiskFiles
from tests.workspace.scenes import put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a file, a script and links."""
    folder = put(tmp_path / "workspace", {"a.txt": b"a\r\n", "run.sh": "#!", "d/b.txt": "b"})
    (folder / "run.sh").chmod(0o750)
    (folder / "a.txt").chmod(0o640)
    (folder / "in").symlink_to("d/b.txt")
    (folder / "out").symlink_to(tmp_path)
    return folder


async def test_a_file_is_replaced_with_its_rights_kept(root: Path) -> None:
    files = DiskFiles(root)
    await files.replace("a.txt", Entry(b"new"))
    await files.replace("run.sh", Entry(b"#!new", FileMode.EXECUTABLE))
    assert (root / "a.txt").read_bytes() == b"new"
    assert (root / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o750
    assert await files.read("run.sh") == Entry(b"#!new", FileMode.EXECUTABLE)
    assert sorted(os.listdir(root)) == ["a.txt", "d", "in", "out", "run.sh"]


async def test_new_files_come_with_their_folders_and_go_with_them(root: Path) -> None:
    files = DiskFiles(root)
    await files.replace("x/y/z.py", Entry(b"1", FileMode.EXECUTABLE))
    assert os.access(root / "x/y/z.py", os.X_OK)
    await files.replace("l", Entry(b"a.txt", FileMode.SYMLINK))
    assert await files.read("l") == Entry(b"a.txt", FileMode.SYMLINK)
    await files.replace("x/y/z.py", None)
    await files.replace("never/was", None)
    assert not (root / "x").exists()
    assert await files.read("x/y/z.py") is None


async def test_a_symlink_is_followed_only_inside_the_root(root: Path) -> None:
    files = DiskFiles(root)
    await files.replace("in", Entry(b"through"))
    assert (root / "in").is_symlink()
    assert (root / "d/b.txt").read_bytes() == b"through"
    for path in ("out/x", "../x", "/etc/x", ".git/x", ".agent-lsp/x", ""):
        with pytest.raises(RefusedError):
            await files.replace(path, Entry(b"bad"))
    assert not (root.parent / "x").exists()


async def test_what_cannot_be_written_says_what_to_do_and_stays(root: Path) -> None:
    files = DiskFiles(root)
    (root / "a.txt").chmod(0o440)
    with pytest.raises(RefusedError, match="read-only") as read_only:
        await files.replace("a.txt", Entry(b"new"))
    assert read_only.value.hint
    with pytest.raises(RefusedError, match="folder"):
        await files.replace("d", Entry(b"new"))
    with pytest.raises(RefusedError, match="part of the path is a file"):
        await files.replace("a.txt/below", Entry(b"new"))
    assert (root / "a.txt").read_bytes() == b"a\r\n"


async def test_a_full_disk_leaves_the_old_file(root: Path) -> None:
    import resource

    files = DiskFiles(root)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(RefusedError):
            await asyncio.wait_for(files.replace("a.txt", Entry(b"x" * 1_000_000)), 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (root / "a.txt").read_bytes() == b"a\r\n"
    assert sorted(os.listdir(root)) == ["a.txt", "d", "in", "out", "run.sh"]
