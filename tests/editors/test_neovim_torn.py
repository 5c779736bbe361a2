"""A real Neovim whose server, or which itself, is killed while an accepted change is being written to many files."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.anthropic_server import Call, ScriptedBrain, calls, edit, finish
from tests.editors.conftest import Open
from tests.editors.hands import Hands
from tests.editors.neovim import WAIT_S
from tests.scenarios.scene import CALC, PROJECT, pids_below

pytestmark = pytest.mark.editor

FIX = edit("calc.py", "return a - b", "return a + b")
MODULES = 150
"""Closed files that one proposal changes: so many that a kill comes in the middle of writing them."""
NAMES = [f"m{number:03}.py" for number in range(MODULES)]
FILES = {**PROJECT, **dict.fromkeys(NAMES, "VALUE = 1\n")}
TWO_OF_EVERY_VALUE = calls(Call("run_command", {"command": "sed -i 's/= 1/= 2/' m*.py"}), FIX)
TYPED = "# typed and not saved"


async def test_a_server_killed_while_it_writes_many_files_leaves_none_half_done_and_applies_once(
    opened: Open, client: str
) -> None:
    async with opened(client, FILES, ScriptedBrain(execution=[TWO_OF_EVERY_VALUE, calls(finish())])) as hands:
        nvim = hands.nvim
        run_id, typed = await _proposed(hands)
        [dead] = hands.servers()
        written = await _accept_and_kill(hands, [dead, *pids_below(dead)])
        assert 0 < written < MODULES, "the kill was not in the middle of the writing"
        if not hands.plugin:
            await nvim.until("its end", "return #vim.lsp.get_clients() == 0")
            await nvim.lua("vim.lsp.enable('agent_lsp')")
        async with asyncio.timeout(WAIT_S):
            while hands.servers() in ([], [dead]):
                await asyncio.sleep(0.05)
        await nvim.until(
            "another server", "local c = vim.lsp.get_clients({ name = 'agent_lsp' })[1] return c and c.initialized"
        )
        await _comes_back(hands, run_id)
        assert _values(hands.project) == {"VALUE = 1\n"}
        assert await nvim.text() == typed, "what was typed and not saved is what the editor holds"
        await hands.shows("interrupted and has been taken back")
        await _accept_all(hands)
        await hands.until(run_id, "applied")
        assert _values(hands.project) == {"VALUE = 2\n"}
        assert await nvim.text() == typed.replace("a - b", "a + b")
        assert (hands.project / "calc.py").read_text() == CALC


async def test_an_editor_killed_while_many_files_are_written_leaves_all_or_none_and_the_next_one_applies_once(
    opened: Open,
) -> None:
    async with opened("plugin", FILES, ScriptedBrain(execution=[TWO_OF_EVERY_VALUE, calls(finish())])) as hands:
        run_id, _ = await _proposed(hands)
        below = pids_below(hands.nvim.process.pid)
        written = await _accept_and_kill(hands, [hands.nvim.process.pid])
        assert 0 < written < MODULES, "the kill was not in the middle of the writing"
        async with asyncio.timeout(WAIT_S):
            while any(Path(f"/proc/{pid}").exists() for pid in below):
                await asyncio.sleep(0.02)
    async with opened("plugin", None, ScriptedBrain(execution=[calls(finish())])) as hands:
        await hands.nvim.edit("calc.py")
        await _comes_back(hands, run_id)
        assert len(_values(hands.project)) == 1
        await _accept_all(hands)
        await hands.until(run_id, "applied")
        assert _values(hands.project) == {"VALUE = 2\n"}
        assert await hands.nvim.text() == CALC.rstrip("\n").replace("a - b", "a + b")


async def _proposed(hands: Hands) -> tuple[str, str]:
    """The run that proposes to change all files, and the text of the one that is open."""
    await hands.nvim.edit("calc.py")
    await hands.nvim.keys(f"Go{TYPED}<Esc>")
    run_id = await hands.start("make add add, and two of every value")
    await hands.until(run_id, "proposed")
    await hands.hunks(1)
    return run_id, await hands.nvim.text()


async def _comes_back(hands: Hands, run_id: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while run_id not in {row["runId"] for row in await hands.runs()}:
            await asyncio.sleep(0.05)
    await hands.until(run_id, "proposed")
    [hunk] = await hands.hunks(1)
    await hands.nvim.goto(hunk["line"])


async def _accept_all(hands: Hands) -> None:
    if hands.plugin:
        await hands.nvim.keys("\\aA")
    else:
        await hands.act("Accept all")


async def _accept_and_kill(hands: Hands, doomed: Sequence[int]) -> int:
    """kill -9 of these, once one of the files is another; how many were by then."""
    killing = asyncio.ensure_future(asyncio.to_thread(_kill_on_change, hands.project, doomed))
    try:
        await _accept_all(hands)
    except (OSError, TimeoutError):
        assert hands.nvim.process.pid in doomed
    return await killing


def _kill_on_change(folder: Path, doomed: Sequence[int]) -> int:
    watched = [folder / name for name in NAMES[:: MODULES // 10]]
    before = [path.stat().st_ino for path in watched]
    end_s = time.monotonic() + WAIT_S
    while all(path.stat().st_ino == inode for path, inode in zip(watched, before, strict=True)):
        assert time.monotonic() < end_s, "nothing was written"
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    return sum((folder / name).read_text() != "VALUE = 1\n" for name in NAMES)


def _values(folder: Path) -> set[str]:
    return {(folder / name).read_text() for name in NAMES}
