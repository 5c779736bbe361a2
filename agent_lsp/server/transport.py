"""Owns the threads between the descriptors and the event loop, and the watch over the editor's process.

What stock pygls 2.1.1 does here, and why this stands in its place: it reads stdin through the pool that also runs
handlers, blocks the loop when the editor does not read, and does not watch `processId`.
"""

import asyncio
import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable
from typing import Final

from agent_lsp.server.wire import FrameReader, write_all

logger = logging.getLogger(__name__)

_POLL_S: Final = 0.5


def read_in_thread(
    reader: FrameReader, on_frame: Callable[[bytes], None], on_end: Callable[[], None]
) -> threading.Thread:
    """Hands every frame to the running loop, then tells it that the editor closed the stream."""
    loop = asyncio.get_running_loop()

    def pump() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            while (body := reader.read()) is not None:
                loop.call_soon_threadsafe(on_frame, body)
            loop.call_soon_threadsafe(on_end)

    thread = threading.Thread(target=pump, name="agent-lsp-stdin", daemon=True)
    thread.start()
    return thread


class FrameWriter:
    """Writes frames in a thread of its own, so that an editor that does not read never blocks the loop."""

    def __init__(self, descriptor: int, on_lost: Callable[[], None]) -> None:
        self._descriptor, self._on_lost = descriptor, on_lost
        self._loop = asyncio.get_running_loop()
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._pump, name="agent-lsp-stdout", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Queues one frame."""
        self._frames.put(data)

    def close(self) -> None:
        """Ends the thread once the queue is written."""
        self._frames.put(None)

    def flush(self, timeout_s: float) -> None:
        """Closes, and waits for what is queued; blocks the caller."""
        self.close()
        self._thread.join(timeout_s)

    def _pump(self) -> None:
        while (data := self._frames.get()) is not None:
            try:
                write_all(self._descriptor, data)
            except OSError:
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._on_lost)
                return


def watch_process(pid: int, on_death: Callable[[], None]) -> Callable[[], None]:
    """Calls `on_death` once when the process is gone; the returned function ends the watch.

    Uses a pidfd where the system has one, else asks twice a second.
    """
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        handle = loop.call_soon(on_death)
        return handle.cancel
    except (AttributeError, OSError, ValueError, OverflowError):
        return _poll_process(pid, on_death)

    def stop() -> None:
        loop.remove_reader(descriptor)
        with contextlib.suppress(OSError):
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
            handle = loop.call_later(_POLL_S, poll)
        else:
            on_death()

    handle = loop.call_later(0, poll)

    def stop() -> None:
        handle.cancel()

    return stop


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
