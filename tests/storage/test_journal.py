"""Holds the state database and the journal in it to: nothing lost, in order, whatever the disk does."""

import asyncio
import os
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from agent_lsp.domain.events import Event, EventKind
from agent_lsp.storage.database import Database, StorageError
from agent_lsp.storage.journal import StoredJournal
from agent_lsp.storage.replay import describe
from agent_lsp.storage.schema import SCHEMA_VERSION


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
async def database(tmp_path: Path, told: list[str]) -> AsyncIterator[Database]:
    made = Database(tmp_path / ".agent-lsp" / "state.db", told.append)
    yield made
    await made.close()


async def test_events_come_back_in_order_with_their_data(database: Database) -> None:
    journal = StoredJournal(database, now=lambda: 5.0)
    for number in range(700):
        journal.append(Event(f"r_{number % 2}", EventKind.NOTE, {"n": number, "text": "é\udc80\0"}, float(number)))
    await journal.flush()
    every = await journal.read()
    assert [event.data["n"] for event in every] == list(range(700))
    assert [event.seq for event in every] == sorted(event.seq for event in every)
    one = await journal.read("r_1")
    assert {event.run_id for event in one} == {"r_1"}
    assert len(one) == 350
    assert one[0].data["text"] == "é\udc80\0"
    assert (every[0].time_s, every[3].time_s) == (5.0, 3.0)
    assert await journal.run_ids() == ["r_1", "r_0"]


async def test_what_is_changed_after_appending_is_not_what_is_stored(database: Database) -> None:
    journal = StoredJournal(database)
    data = {"n": 1}
    journal.append(Event("r_1", EventKind.NOTE, data))
    data["n"] = 2
    assert (await journal.read())[0].data == {"n": 1}


async def test_secrets_are_masked_before_the_disk_sees_them(database: Database) -> None:
    journal = StoredJournal(database, redact=lambda text: text.replace("hunter2", "***"))
    journal.append(Event("r_1", EventKind.NOTE, {"a": ["x hunter2", {"b": "hunter2"}], "n": 1}))
    await journal.flush()
    assert (await journal.read())[0].data == {"a": ["x ***", {"b": "***"}], "n": 1}
    assert not any(b"hunter2" in file.read_bytes() for file in database.path.parent.glob("state.db*") if file.is_file())


async def test_the_files_are_private_and_ignored_by_git(database: Database) -> None:
    old_mask = os.umask(0)
    try:
        await database.flush()
    finally:
        os.umask(old_mask)
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        assert stat.S_IMODE((database.path.parent / name).stat().st_mode) == 0o600
    assert (database.path.parent / ".gitignore").read_text() == "*\n"


async def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    database = Database(tmp_path / ".agent-lsp" / "state.db")
    assert list(tmp_path.iterdir()) == []
    await database.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_closed_database_refuses_and_closes_twice(database: Database) -> None:
    await database.flush()
    await database.close()
    await database.close()
    database.post(lambda _: None)
    with pytest.raises(StorageError):
        await database.flush()


@pytest.mark.parametrize("damage", ["garbage", "torn"])
async def test_a_damaged_file_is_kept_aside_and_a_new_one_made(tmp_path: Path, told: list[str], damage: str) -> None:
    path = tmp_path / ".agent-lsp" / "state.db"
    first = Database(path)
    for number in range(300):
        StoredJournal(first).append(Event("r_1", EventKind.NOTE, {"text": "x" * 500, "n": number}))
    await first.close()
    content = path.read_bytes()
    path.write_bytes(
        b"not a database" * 300 if damage == "garbage" else content[:4096] + b"\xff" * (len(content) - 4096)
    )
    damaged = path.read_bytes()
    (path.parent / "state.db.corrupt-1").write_text("an earlier one")

    second = Database(path, told.append)
    journal = StoredJournal(second)
    journal.append(Event("r_2", EventKind.NOTE, {"n": 1}))
    await journal.flush()
    assert [event.run_id for event in await journal.read("r_2")] == ["r_2"]
    assert (path.parent / "state.db.corrupt-2").read_bytes() == damaged
    assert len(told) == 1
    assert "state.db.corrupt-2" in told[0]
    await second.close()


async def test_a_folder_that_cannot_be_written_keeps_everything_in_memory_and_says_so(
    tmp_path: Path, told: list[str]
) -> None:
    (tmp_path / ".agent-lsp").write_text("a file stands where the folder should be")
    database = Database(tmp_path / ".agent-lsp" / "state.db", told.append)
    journal = StoredJournal(database)
    journal.append(Event("r_1", EventKind.NOTE, {"n": 1}))
    await journal.flush()
    assert len(await journal.read("r_1")) == 1
    assert len(told) == 1
    assert "in memory only" in told[0]
    await database.close()


async def test_a_link_planted_as_the_state_file_is_not_followed(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / ".agent-lsp").mkdir()
    (tmp_path / "victim").write_text("keep me")
    (tmp_path / ".agent-lsp" / "state.db").symlink_to(tmp_path / "victim")
    database = Database(tmp_path / ".agent-lsp" / "state.db", told.append)
    await database.flush()
    assert (tmp_path / "victim").read_text() == "keep me"
    assert "symbolic link" in told[0]
    await database.close()


async def test_a_file_of_a_later_version_is_left_as_it_is(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / ".agent-lsp" / "state.db"
    first = Database(path)
    await first.run(lambda connection: connection.execute("CREATE TABLE later (x)"))
    await first.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    content = path.read_bytes()
    second = Database(path, told.append)
    await StoredJournal(second).flush()
    await second.close()
    assert "later version" in told[0]
    assert path.read_bytes() == content


async def test_a_full_disk_loses_no_event_and_flush_says_so(database: Database, told: list[str]) -> None:
    connections: list[apsw.Connection] = []
    await database.run(connections.append)
    connection = connections[0]

    def limit(pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    await database.run(lambda _: limit(1))
    journal = StoredJournal(database)
    for number in range(30):
        journal.append(Event("r_1", EventKind.NOTE, {"text": "x" * 3000, "n": number}))
    with pytest.raises(StorageError) as caught:
        await journal.flush()
    assert "Free some disk space" in caught.value.hint
    assert "tried again" in told[0]
    journal.append(Event("r_1", EventKind.NOTE, {"n": 30}))
    with pytest.raises(StorageError):
        await journal.flush()
    limit(100_000)
    await journal.flush()
    assert [event.data["n"] for event in await journal.read("r_1")] == list(range(31))


async def test_one_refused_entry_does_not_take_the_others_with_it(database: Database) -> None:
    journal = StoredJournal(database)
    journal.append(Event("r_1", EventKind.NOTE, {"n": 1}))
    failing = asyncio.ensure_future(database.run(lambda connection: connection.execute("SELECT * FROM nowhere")))
    journal.append(Event("r_1", EventKind.NOTE, {"n": 2}))
    with pytest.raises(Exception, match="nowhere"):
        await failing
    assert [event.data["n"] for event in await journal.read()] == [1, 2]


WRITER = """
import asyncio, sys
from pathlib import Path
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.storage.database import Database
from agent_lsp.storage.journal import StoredJournal

async def main(path, run_id):
    database = Database(Path(path))
    journal = StoredJournal(database)
    journal.append(Event(run_id, EventKind.RUN_STARTED, {}))
    for number in range(200):
        journal.append(Event(run_id, EventKind.NOTE, {"n": number}))
        if number % 20 == 0:
            await journal.flush()
    await journal.flush()
    print("written", flush=True)
    sys.stdin.read()
    await database.close()

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def writer(path: Path, run_id: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), run_id,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip


async def test_several_processes_write_one_file_and_a_living_one_keeps_its_runs(database: Database) -> None:
    processes = [await writer(database.path, run_id) for run_id in ("r_a", "r_b", "r_c")]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"written\n"
    journal = StoredJournal(database)
    for run_id in ("r_a", "r_b", "r_c"):
        assert [event.data.get("n") for event in await journal.read(run_id)] == [None, *range(200)]
    assert await journal.abandoned_runs() == []
    processes[1].kill()
    await processes[1].wait()
    assert await journal.abandoned_runs() == ["r_b"]
    journal.append(Event("r_b", EventKind.RUN_ENDED, {"state": "failed"}))
    assert await journal.abandoned_runs() == []
    again = await writer(database.path, "r_b")
    assert again.stdout is not None
    assert await again.stdout.readline() == b"written\n"
    again.kill()
    await again.wait()
    assert await journal.abandoned_runs() == ["r_b"]
    journal.append(Event("r_b", EventKind.RUN_ENDED, {"state": "failed"}))
    for process in (processes[0], processes[2]):
        await process.communicate(b"")
    assert sorted(await journal.abandoned_runs()) == ["r_a", "r_c"]


async def test_many_processes_may_meet_one_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / ".agent-lsp" / "state.db"
    path.parent.mkdir()
    path.write_bytes(b"garbage " * 1000)
    processes = [await writer(path, f"r_{number}") for number in range(4)]
    for process in processes:
        await process.communicate(b"")
        assert process.returncode == 0
    database = Database(path)
    for number in range(4):
        assert len(await StoredJournal(database).read(f"r_{number}")) == 201
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1
    await database.close()


def test_a_run_is_told_line_by_line() -> None:
    usage = {"inputTokens": 100, "outputTokens": 20, "costUsd": 0.5}
    verdict = {"decision": "proven", "fixed": ["t"], "broken": [], "ran": 4, "collected": 4, "durationS": 1.5,
               "reasons": ["Every changed line ran."],
               "survivors": [{"path": "a.py", "line": 3, "text": "`a < b` became `a <= b`"}, 3]}  # fmt: skip
    events = [
        Event("r_1", EventKind.RUN_STARTED, {"goal": "make it work", "mode": "auto"}, 1000.0),
        Event("r_1", EventKind.RUN_STATE, {"state": "planning"}, 1000.5),
        Event("r_1", EventKind.PLAN, {"steps": [{"title": "Fix it"}, {"title": "Test it"}]}, 1001.0),
        Event("r_1", EventKind.MODEL_TURN, {"model": "m", "usage": usage, "text": "I look\nfirst"}, 1002.0),
        Event("r_1", EventKind.TOOL_CALLED, {"tool": "read_file", "input": {"path": "a.py"}}, 1002.0),
        Event("r_1", EventKind.TOOL_ANSWERED, {"tool": "read_file", "failed": True, "text": "no such file"}, 1002.1),
        Event("r_1", EventKind.PROPOSAL, {"proposalId": "p_1", "summary": "Fix", "diff": "+++ b/a\n+x\n-y\n",
              "files": [{"kind": "modify", "path": "a.py", "hunks": 2}], "verdict": verdict}, 1003.0),
        Event("r_1", EventKind.APPLY_INTENT, {"checkpointId": "c_1", "files": [{"path": "a.py", "inEditor": True}]}),
        Event("r_1", EventKind.RUN_ENDED, {"state": "applied"}, 1004.0),
        Event("r_1", EventKind.NOTE, {"odd": [1, {"x": 2}]}, 1004.0),
    ]  # fmt: skip
    text = "\n".join(describe(events))
    for said in (
        "Run r_1", "goal: make it work", "1. Fix it", "2. Test it", '0.50 s  run.state        planning',
        'read_file {"path": "a.py"}', "read_file failed: no such file", "modify a.py: 2 hunks", "diff: +1 -1 lines",
        "proven: 1 fixed, 0 broken; 4 of 4 tests ran in 1.5 s", "Every changed line ran.", "a.py (open document)",
        "not noticed at a.py:4: `a < b` became `a <= b`",
        "applied", "10 events, 1 model turns, 120 tokens, 0.5000 USD",
    ):  # fmt: skip
        assert said in text, said
    assert all(len(line) < 220 for line in text.split("\n"))


def test_events_of_any_shape_are_told_without_failing() -> None:
    for kind in EventKind:
        for data in ({}, {"verdict": 3, "files": 3, "steps": "x", "goal": 4, "usage": "x", "diff": 3, "text": None,
                          "input": None, "hunks": 3, "plan": 3, "state": None}):  # fmt: skip
            assert list(describe([Event("r_1", kind, data, 1.0)]))
    assert list(describe([])) == ["The journal holds no such run."]
