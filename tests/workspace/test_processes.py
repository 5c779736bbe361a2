"""Starting programs: bounded, killed as a group, never left behind."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from agent_lsp.workspace import layout, process

ENV = {"PATH": os.environ["PATH"]}


async def test_output_status_and_input_are_kept_apart(tmp_path: Path) -> None:
    done = await process.run(process.Start(("sh", "-c", "cat; echo e >&2; exit 4"), tmp_path, ENV, b"x" * 3_000_000))
    assert (done.status, len(done.out), done.error_text, done.timed_out) == (4, 3_000_000, "e", False)
    empty = await process.run(process.Start(("cat",), tmp_path, ENV))
    assert (empty.status, empty.out) == (0, b"")


async def test_a_time_out_kills_the_whole_group(tmp_path: Path) -> None:
    start = process.Start(("sh", "-c", "sleep 77.7 & sleep 77.7"), tmp_path, ENV, timeout_s=0.2)
    began_s = time.monotonic()
    done = await process.run(start)
    assert (done.status, done.timed_out) == (None, True)
    assert time.monotonic() - began_s < 5


async def test_cancelling_kills_within_a_second_and_is_passed_on(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    task = asyncio.create_task(process.run(process.Start(("sh", "-c", f"echo $$ > {mark}; sleep 60"), tmp_path, ENV)))
    while not mark.exists() or not mark.read_text().strip():
        await asyncio.sleep(0.01)
    began_s = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began_s < 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


async def test_long_output_keeps_head_and_tail(tmp_path: Path) -> None:
    done = await process.run(process.Start(("seq", "300000"), tmp_path, ENV, limit_bytes=2000))
    assert done.out.startswith(b"1\n2\n")
    assert done.out.endswith(b"300000\n")
    assert len(done.out) < 2200


async def test_a_piped_child_talks_over_streams_and_dies_with_us(tmp_path: Path) -> None:
    code = (
        "import sys; from agent_lsp.workspace.process import die_with_parent; die_with_parent();"
        "sys.stdout.write(sys.stdin.readline()); sys.stdout.flush(); sys.stdin.read()"
    )
    with (tmp_path / "errors").open("wb") as errors:
        child = await process.start_piped(
            [sys.executable, "-c", code], env=dict(os.environ), cwd=tmp_path, stderr=errors
        )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"hello\n")
    assert await child.stdout.readline() == b"hello\n"
    await process.end_group(child)
    await process.end_group(child)
    assert child.returncode == -9


async def test_the_cache_folder_is_one_per_root_and_can_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(layout.CACHE_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    assert layout.cache_dir(tmp_path / "a") == layout.cache_dir(tmp_path / "b")
    assert layout.cache_dir(tmp_path / "a") != layout.cache_dir(tmp_path)
    assert layout.cache_dir(tmp_path).parent == tmp_path / "cache"
    monkeypatch.delenv(layout.CACHE_VARIABLE)
    assert layout.cache_dir(tmp_path).parent.name == "agent-lsp"
    folder = layout.state_dir(tmp_path / "a")
    assert (folder / ".gitignore").read_text() == "*\n"
    assert layout.state_dir(tmp_path / "a") == folder
