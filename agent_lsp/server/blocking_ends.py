"""Owns the threads for descriptors that an event loop cannot wait for: regular files, terminals, other systems."""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from typing import Final

from agent_lsp.server.wire import FrameDecoder, Noise, write_all

_READ_BYTES: Final = 64 * 1024
_AHEAD: Final = 8
"""How many reads may wait for the loop."""


class ThreadReader:
    """Reads a descriptor in a daemon thread and hands what it found to the running loop."""

    def __init__(
        self,
        descriptor: int,
        decoder: FrameDecoder,
        on_items: Callable[[list[bytes | Noise]], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._descriptor, self._decoder = descriptor, decoder
        self._on_items, self._on_end = on_items, on_end
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(_AHEAD)
        threading.Thread(target=self._pump, name="agent-lsp-input", daemon=True).start()

    def close(self) -> None:
        """The thread ends by itself; a read that blocks cannot be called back."""

    def _pump(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            while data := self._read():
                self._room.acquire()
                self._loop.call_soon_threadsafe(self._take, self._decoder.feed(data))
            self._loop.call_soon_threadsafe(self._on_end, "it closed its end")

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _READ_BYTES)
        except OSError:
            return b""

    def _take(self, items: list[bytes | Noise]) -> None:
        self._on_items(items)
        self._room.release()


class ThreadWriter:
    """Writes in a daemon thread, so that whoever does not read never blocks the loop."""

    def __init__(self, descriptor: int, on_lost: Callable[[str], None], limit_bytes: int) -> None:
        self._descriptor, self._on_lost, self._limit_bytes = descriptor, on_lost, limit_bytes
        self._loop = asyncio.get_running_loop()
        self._frames: queue.SimpleQueue[bytes | asyncio.Event | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._closed = False
        threading.Thread(target=self._pump, name="agent-lsp-output", daemon=True).start()

    def write(self, data: bytes) -> None:
        """Queues one frame."""
        if self._closed:
            return
        if self._waiting_bytes > self._limit_bytes:
            self._on_lost(f"it does not read; {self._waiting_bytes >> 20} MiB were waiting for it")
            self.close()
            return
        self._waiting_bytes += len(data)
        self._frames.put(data)

    async def drain(self, timeout_s: float) -> None:
        """Waits until all is written, no longer than this."""
        if not self._closed and timeout_s > 0:
            written = asyncio.Event()
            self._frames.put(written)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(written.wait(), timeout_s)

    def close(self) -> None:
        """Ends the thread once it can; safe to repeat."""
        self._closed = True
        self._frames.put(None)

    def _pump(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            while (item := self._frames.get()) is not None:
                if isinstance(item, asyncio.Event):
                    self._loop.call_soon_threadsafe(item.set)
                    continue
                try:
                    write_all(self._descriptor, item)
                except OSError as error:
                    self._loop.call_soon_threadsafe(self._on_lost, f"it closed its end: {error.strerror}")
                    return
                self._loop.call_soon_threadsafe(self._written, len(item))

    def _written(self, size_bytes: int) -> None:
        self._waiting_bytes -= size_bytes
