"""Owns the watch over the editor's process, which stock pygls 2.1.1 does not have: a sibling may hold the pipe open."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

POLL_S: Final = 0.05


def watch_process(pid: int, on_death: Callable[[], None]) -> Callable[[], None]:
    """Calls `on_death` once when the process is gone; the returned function ends the watch.

    Uses a pidfd where the system has one, else asks twenty times a second.
    """
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        handle = loop.call_soon(on_death)
        return handle.cancel
    except (AttributeError, OSError, ValueError, OverflowError):
        return _poll_process(pid, on_death)

    watching = True

    def stop() -> None:
        nonlocal watching
        if watching:
            watching = False
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def died() -> None:
        stop()
        on_death()

    loop.add_reader(descriptor, died)
    return stop


def _poll_process(pid: int, on_death: Callable[[], None]) -> Callable[[], None]:
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle

    def poll() -> None:
        nonlocal handle
        if _alive(pid):
            handle = loop.call_later(POLL_S, poll)
        else:
            on_death()

    handle = loop.call_later(0, poll)

    def stop() -> None:
        handle.cancel()

    return stop


def _alive(pid: int) -> bool:
    """A process that has ended and was not yet collected by its parent is not alive."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in (b"Z", b"X")
