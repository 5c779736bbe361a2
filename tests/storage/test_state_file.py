"""Holds the state file to: nothing is lost when it is deleted, locked, denied or of an earlier version."""

import asyncio
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.keeping import Checkpoint, CheckpointFile, CheckpointState
from agent_lsp.storage import state_file
from agent_lsp.storage.checkpoints import StoredCheckpoints
from agent_lsp.storage.database import Database, StorageError
from agent_lsp.storage.journal import StoredJournal

FILES = (CheckpointFile("a.py", Entry(b"old"), Entry(b"new"), False),)


def note(journal: StoredJournal, number: int) -> None:
    journal.append(Event("r_1", EventKind.NOTE, {"n": number}))


async def numbers(path: Path) -> list[int]:
    """What another process reads of the file."""
    other = Database(path)
    found = [event.data["n"] for event in await StoredJournal(other).read("r_1")]
    await other.close()
    return found


async def test_a_state_folder_that_is_deleted_in_use_is_written_anew_with_everything_and_that_is_said(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    path = tmp_path / ".agent-lsp" / "state.db"
    database = Database(path, told.append)
    journal, checkpoints = StoredJournal(database), StoredCheckpoints(database)
    note(journal, 1)
    await checkpoints.save(Checkpoint("c_1", "r_1", "p_1", "label", CheckpointState.DONE, FILES, 1.5, "c_0"))
    shutil.rmtree(path.parent)
    note(journal, 2)
    await journal.flush()
    assert await numbers(path) == [1, 2]
    assert (await checkpoints.get("c_1")) == Checkpoint(
        "c_1", "r_1", "p_1", "label", CheckpointState.DONE, FILES, 1.5, "c_0"
    )
    assert len(told) == 1
    assert "state.db was deleted or replaced while it was in use" in told[0]
    other = Database(path)
    assert database.owner in await other.run(lambda _: other.living_owners()), "others must see that it lives"
    await other.close()
    await database.close()


async def test_a_folder_that_is_denied_is_used_as_soon_as_it_can_be_and_nothing_kept_in_memory_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "RETRY_S", 0.0)
    told: list[str] = []
    folder = tmp_path / ".agent-lsp"
    folder.write_text("in the way")
    database = Database(folder / "state.db", told.append)
    journal = StoredJournal(database)
    note(journal, 1)
    await journal.flush()
    folder.unlink()
    note(journal, 2)
    await journal.flush()
    assert await numbers(folder / "state.db") == [1, 2]
    assert "kept in memory only until that is mended" in told[0]
    assert "can be used again" in told[-1]
    await database.close()


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_locked_database_is_said_with_what_to_do_and_written_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "BUSY_TIMEOUT_S", 0.05)
    database = Database(tmp_path / ".agent-lsp" / "state.db", lambda _: None)
    journal = StoredJournal(database)
    await journal.flush()
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(database.path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    note(journal, 1)
    with pytest.raises(StorageError) as caught:
        await StoredCheckpoints(database).save(Checkpoint("c_1", "r", "p", "l", CheckpointState.INTENDED, FILES))
    assert "Another program holds it" in caught.value.hint
    holder.kill()
    await holder.wait()
    await journal.flush()
    assert [event.data["n"] for event in await journal.read()] == [1]
    assert await StoredCheckpoints(database).get("c_1") is None, "what was refused was not done later"
    await database.close()


async def test_a_file_of_the_first_version_keeps_its_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / ".agent-lsp" / "state.db"
    first = Database(path)
    await StoredCheckpoints(first).save(Checkpoint("c_1", "r", "p", "l", CheckpointState.DONE, FILES, 2.0))
    await first.close()
    with sqlite3.connect(path) as connection:  # what the first version had
        connection.execute("ALTER TABLE checkpoints DROP COLUMN undoes")
        connection.execute("DROP TABLE proposal_files")
        connection.execute("DROP TABLE proposals")
        connection.execute("PRAGMA user_version=1")
    connection.close()
    second = Database(path)
    [row] = await StoredCheckpoints(second).rows()
    assert (row.id, row.undoes, row.paths, row.size_bytes) == ("c_1", "", ("a.py",), 6)
    await second.close()


async def test_two_processes_that_lose_one_file_both_find_everything_in_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / ".agent-lsp" / "state.db"
    both = [Database(path, lambda _: None), Database(path, lambda _: None)]
    journals = [StoredJournal(database) for database in both]
    for number, journal in enumerate(journals):
        note(journal, number)
        await journal.flush()
    shutil.rmtree(path.parent)
    for number, journal in enumerate(journals):
        note(journal, number + 2)
    await asyncio.gather(*(journal.flush() for journal in journals))
    assert sorted(await numbers(path)) == [0, 1, 2, 3]
    for database in both:
        await database.close()
