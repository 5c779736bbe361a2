"""Owns the count of what a process holds: memory, open files, mounts, processes below it, folders of candidates."""

import contextlib
import gc
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.scenarios.scene import descendants

_OF_THE_LOOP = ("asyncio_", "waitpid-")
"""Threads that asyncio begins as it needs them, up to a number, and keeps."""


@dataclass(frozen=True, slots=True)
class Held:
    """What this process has at one moment; `resident_bytes` is its memory."""

    files: Sequence[str]
    mounts: int
    processes: Sequence[str]
    threads: Sequence[str]
    candidates: Sequence[str]
    resident_bytes: int


def held(cache: Path) -> Held:
    """Counted after everything that nobody refers to is gone."""
    gc.collect()
    me = os.getpid()
    return Held(
        sorted(open_files(me)),
        len(Path("/proc/self/mountinfo").read_text().splitlines()),
        descendants(me),
        sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith(_OF_THE_LOOP)),
        sorted(path.name for path in cache.glob("*/candidates/*")),
        resident_bytes(me),
    )


def resident_bytes(pid: int) -> int:
    """The memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> list[str]:
    """What each handle of a process leads to, without the numbers that sockets and pipes have."""
    found = []
    for handle in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{handle}").partition(":[")[0])
    return found
