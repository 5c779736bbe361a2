"""`agent-lsp checkpoints` and `agent-lsp rollback`: what was applied is listed, shown, taken back, brought forward."""

import asyncio
import re
import sys
from pathlib import Path

from agent_lsp.domain.changes import Entry
from agent_lsp.domain.keeping import Checkpoint, CheckpointFile, CheckpointState
from agent_lsp.storage.checkpoints import StoredCheckpoints
from agent_lsp.storage.database import Database
from tests.scenarios.scene import environment


async def shell(tmp_path: Path, *words: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent_lsp", *words, "--root", str(tmp_path)),
        env=environment(tmp_path.parent / f"{tmp_path.name}-home", None, {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    return process.returncode, out.decode(), errors.decode()


async def test_an_applied_change_is_listed_shown_taken_back_and_brought_forward_from_the_terminal(
    tmp_path: Path,
) -> None:
    status, _, errors = await shell(tmp_path, "checkpoints")
    assert (status, "nothing was applied" in errors) == (1, True)
    rest = "".join(f"# line {number}\n" for number in range(5))
    (tmp_path / "a.py").write_text(f"a = 1\n{rest}# mine\n")
    before, after = Entry(f"a = 0\n{rest}".encode()), Entry(f"a = 1\n{rest}".encode())
    files = (CheckpointFile("a.py", before, after, False),)
    database = Database(tmp_path / ".agent-lsp" / "state.db")
    await StoredCheckpoints(database).save(
        Checkpoint("c_1", "r_1", "p_1", "Agent: one", CheckpointState.DONE, files, 1e9)
    )
    await database.close()
    status, out, _ = await shell(tmp_path, "checkpoints", "c_1")
    assert (status, "-a = 1\n+a = 0\n" in out) == (0, True)
    status, out, _ = await shell(tmp_path, "rollback", "c_1")
    assert status == 0
    assert (tmp_path / "a.py").read_text() == f"a = 0\n{rest}# mine\n"
    [forward] = re.findall(r"rollback (c_\w+)", out)
    assert (await shell(tmp_path, "rollback", forward))[0] == 0
    assert (tmp_path / "a.py").read_text() == f"a = 1\n{rest}# mine\n"
    status, out, _ = await shell(tmp_path, "checkpoints")
    assert (status, out.count("Agent: one"), out.count("(rolled back)")) == (0, 3, 1)
    status, _, errors = await shell(tmp_path, "rollback", "c_none")
    assert (status, "there is no checkpoint c_none" in errors) == (1, True)
