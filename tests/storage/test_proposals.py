"""Holds kept proposals to: every byte comes back, to one process, once that of its maker is gone."""

import asyncio
import sys
from pathlib import Path

from agent_lsp.domain.changes import Entry, FileEdit, FileMode
from agent_lsp.domain.keeping import KeptProposal
from agent_lsp.storage.database import Database
from agent_lsp.storage.proposals import StoredProposals

EDITS = (
    FileEdit("ä b.py", Entry(bytes(range(256))), Entry(b"", FileMode.EXECUTABLE), "old.py"),
    FileEdit("new", None, Entry(b"target", FileMode.SYMLINK)),
    FileEdit("gone", Entry(b"\xff"), None),
)
RECORD = KeptProposal("p_1", "r_1", {"summary": "hunter2 é", "rows": [1, None]}, EDITS, 3.5)

HOLDER = """
import asyncio, sys
from pathlib import Path
from agent_lsp.storage.database import Database
from agent_lsp.storage.proposals import StoredProposals
from tests.storage.test_proposals import RECORD

async def main(path):
    database = Database(Path(path))
    StoredProposals(database).keep(RECORD)
    await database.flush()
    print("kept", flush=True)
    sys.stdin.read()

asyncio.run(main(sys.argv[1]))
"""


async def test_a_living_process_keeps_its_proposals_and_of_a_dead_one_they_go_to_one_that_asks(tmp_path: Path) -> None:
    path = tmp_path / ".agent-lsp" / "state.db"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(path)),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"kept\n"
    first, second = Database(path), Database(path)
    assert await StoredProposals(first).adopt() == []
    assert await StoredProposals(first).runs() == {"r_1"}
    process.kill()
    await process.wait()
    assert await StoredProposals(first).adopt() == [RECORD]
    assert await StoredProposals(second).adopt() == [], "it belongs to the first now"
    StoredProposals(first).drop("p_1")
    await first.close()
    assert await StoredProposals(second).adopt() == []
    await second.close()


async def test_what_is_said_of_a_change_is_masked_and_its_bytes_are_not(tmp_path: Path) -> None:
    database = Database(tmp_path / ".agent-lsp" / "state.db")
    StoredProposals(database, redact=lambda text: text.replace("hunter2", "***")).keep(RECORD)
    await database.close()
    again = Database(tmp_path / ".agent-lsp" / "state.db")
    [found] = await StoredProposals(again).adopt()
    assert (found.data["summary"], found.edits) == ("*** é", EDITS)
    await again.close()
