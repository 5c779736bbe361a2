"""Holds checkpoints to: every byte comes back, the newest are kept, and nobody undoes a living process's work."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry, FileMode
from agent_lsp.domain.keeping import Checkpoint, CheckpointFile, CheckpointState
from agent_lsp.storage.checkpoints import StoredCheckpoints
from agent_lsp.storage.database import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(tmp_path / ".agent-lsp" / "state.db")
    yield made
    await made.close()


def checkpoint(name: str, *, state: CheckpointState = CheckpointState.DONE, size_bytes: int = 10) -> Checkpoint:
    files = (CheckpointFile("a.py", Entry(b"x" * size_bytes), None, False),)
    return Checkpoint(name, "r_1", "p_1", "label", state, files, 12.5)


async def test_every_byte_and_mode_comes_back_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / ".agent-lsp" / "state.db"
    every_byte = bytes(range(256))
    files = (
        CheckpointFile("ä/b c.py", Entry(every_byte, FileMode.EXECUTABLE), Entry(b""), True),
        CheckpointFile("new", None, Entry(b"target", FileMode.SYMLINK), False),
        CheckpointFile("gone", Entry(b"\xff\xfe"), None, False),
    )
    saved = Checkpoint("c_1", "r_1", "p_1", "Agent: label", CheckpointState.INTENDED, files, 12.5)
    first = Database(path)
    await StoredCheckpoints(first).save(saved)
    await first.close()
    second = Database(path)
    checkpoints = StoredCheckpoints(second)
    assert await checkpoints.get("c_1") == saved
    assert await checkpoints.unfinished() == [saved]
    await checkpoints.mark("c_1", CheckpointState.DONE)
    assert await checkpoints.unfinished() == []
    assert await checkpoints.get("c_none") is None
    await second.close()


async def test_saving_again_replaces(database: Database) -> None:
    checkpoints = StoredCheckpoints(database)
    await checkpoints.save(checkpoint("c_1", size_bytes=5))
    await checkpoints.save(checkpoint("c_1", size_bytes=7))
    found = await checkpoints.get("c_1")
    assert found is not None
    assert found.files[0].before == Entry(b"x" * 7)
    assert len(found.files) == 1


async def test_only_the_newest_are_kept_but_unfinished_ones_stay(database: Database) -> None:
    checkpoints = StoredCheckpoints(database, keep_count=3)
    await checkpoints.save(checkpoint("c_open", state=CheckpointState.INTENDED))
    for number in range(6):
        await checkpoints.save(checkpoint(f"c_{number}"))
    kept = [name for name in ("c_open", *(f"c_{n}" for n in range(6))) if await checkpoints.get(name)]
    assert kept == ["c_open", "c_3", "c_4", "c_5"]


async def test_the_total_size_is_bounded_but_the_last_one_always_fits(database: Database) -> None:
    checkpoints = StoredCheckpoints(database, keep_bytes=2500)
    for number in range(4):
        await checkpoints.save(checkpoint(f"c_{number}", size_bytes=1000))
    assert [n for n in range(4) if await checkpoints.get(f"c_{n}")] == [2, 3]
    await checkpoints.save(checkpoint("c_huge", size_bytes=9000))
    assert await checkpoints.get("c_huge") is not None
    assert await checkpoints.get("c_3") is None


async def test_unfinished_ones_come_oldest_first(database: Database) -> None:
    checkpoints = StoredCheckpoints(database)
    for name in ("c_b", "c_a", "c_c"):
        await checkpoints.save(checkpoint(name, state=CheckpointState.INTENDED))
    assert [found.id for found in await checkpoints.unfinished()] == ["c_b", "c_a", "c_c"]


HOLDER = """
import asyncio, sys
from pathlib import Path
from agent_lsp.storage.checkpoints import StoredCheckpoints
from agent_lsp.storage.database import Database
from tests.storage.test_checkpoints import CheckpointState, checkpoint

async def main(path):
    database = Database(Path(path))
    await StoredCheckpoints(database).save(checkpoint("c_theirs", state=CheckpointState.INTENDED))
    print("saved", flush=True)
    sys.stdin.read()

asyncio.run(main(sys.argv[1]))
"""


async def test_a_living_process_keeps_its_unfinished_work_and_a_dead_one_leaves_it(database: Database) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(database.path),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"saved\n"
    checkpoints = StoredCheckpoints(database)
    assert await checkpoints.unfinished() == []
    process.kill()
    await process.wait()
    assert [found.id for found in await checkpoints.unfinished()] == ["c_theirs"]
