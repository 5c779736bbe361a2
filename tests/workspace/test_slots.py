"""The places of a machine: freed with their process, taken in the order of asking, never a reason to fail."""

import asyncio
import os
import sys
from pathlib import Path

from agent_lsp.workspace.slots import MachineSlots

HOLDS = """
import asyncio, sys
from pathlib import Path
from agent_lsp.workspace.slots import MachineSlots

async def main():
    slots = MachineSlots(Path(sys.argv[1]), lambda: 1)
    taken = [slots.try_take()] if sys.argv[2] == "slot" else []
    print("there", flush=True)
    await (asyncio.sleep(60) if taken else slots.take())

asyncio.run(main())
"""


async def other(folder: Path, wants: str) -> asyncio.subprocess.Process:
    """A process that has a slot, or waits for one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDS, str(folder), wants, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"there\n"
    return process


async def test_the_slot_and_the_ticket_of_a_killed_process_are_free(tmp_path: Path) -> None:
    slots = MachineSlots(tmp_path, lambda: 1, 0.01)
    holds = await other(tmp_path, "slot")
    assert slots.try_take() is None
    waits = await other(tmp_path, "ticket")
    async with asyncio.timeout(20):
        while not list(tmp_path.glob("ticket-*")):
            await asyncio.sleep(0.01)
    taking = asyncio.create_task(slots.take())
    for process in (waits, holds):
        process.kill()
        await process.wait()
    async with asyncio.timeout(20):
        release = await taking
    assert slots.try_take() is None
    release()
    release()
    again = slots.try_take()
    assert again is not None
    again()
    assert list(tmp_path.glob("ticket-*")) == []


async def test_who_stands_still_holds_up_nobody(tmp_path: Path) -> None:
    slots, still = MachineSlots(tmp_path, lambda: 2, 0.01), MachineSlots(tmp_path, lambda: 0, 0.01)
    waiting = asyncio.create_task(still.take())
    await asyncio.sleep(0)
    assert slots.try_take() is None, "somebody came before"
    [ticket] = tmp_path.glob("ticket-*")
    os.utime(ticket, (1, 1))
    release = slots.try_take()
    assert release is not None, "a ticket that nobody has touched for long"
    release()
    waiting.cancel()
    await asyncio.wait({waiting})


async def test_where_nothing_can_be_locked_everybody_works(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    slots = MachineSlots(tmp_path / "file" / "slots", lambda: 1)
    assert slots.try_take() is not None
    (await slots.take())()
