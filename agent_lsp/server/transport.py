"""Owns the transport: bytes between an editor and the event loop, in both directions, never blocking the loop.

What stock pygls 2.1.1 does here, and why this stands in its place: it reads stdin through the pool that also runs
handlers (three hops between threads for a message), blocks the loop when the editor does not read, and takes a broken
header for the end. Here the loop itself reads what is there and writes what fits (`PipeEnd`, `SocketEnd`), and a thread
stands in only where a descriptor cannot be waited for (a regular file, a terminal).
"""

import asyncio
import os
import socket
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from agent_lsp.server.blocking_ends import ThreadReader, ThreadWriter
from agent_lsp.server.wire import FrameDecoder, Noise, Stdio

BACKLOG_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""What may wait for an editor that does not read. With more the session ends as lost."""

_READ_BYTES: Final = 256 * 1024
_BURST_BYTES: Final = 1024 * 1024
_SLICE_S: Final = 0.005
"""How long messages are taken in one go before the loop gets its turn."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """Where a channel brings what it hears. `on_lost` is told why, once; nothing is heard after it."""

    on_frame: Callable[[bytes], None]
    on_noise: Callable[[Noise], None]
    on_lost: Callable[[str], None]


class Channel(Protocol):
    """One editor's line. Adapters: StdioChannel here, TCP and WebSocket in sockets.py."""

    def start(self, hearing: Hearing) -> None:
        """Begins to hear, on the running loop."""
        ...

    def write(self, data: bytes) -> None:
        """Sends or queues one frame; dropped when the editor is lost."""
        ...

    async def drain(self, timeout_s: float) -> None:
        """Hears no more, and waits so long for what is queued."""
        ...

    def close(self) -> None:
        """Ends the line and drops what waits; safe to repeat."""
        ...


class Intake:
    """Hands out messages one by one, with a turn for the rest of the loop between slices of a long row."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes | Noise] = deque()
        self._scheduled = False
        self._end: str | None = None
        self._over = False

    @property
    def busy(self) -> bool:
        """Whether messages wait; more should not be read now."""
        return self._scheduled

    def take(self, items: list[bytes | Noise]) -> None:
        """Messages in their order."""
        if len(items) == 1 and not self._scheduled and not self._over:
            self._hand_out(items[0])
            return
        self._waiting.extend(items)
        if not self._scheduled:
            self._work()

    def end(self, why: str) -> None:
        """No more will come; the loss is told after what waits."""
        if self._end is None:
            self._end = why
            if not self._scheduled:
                self._work()

    def stop(self) -> None:
        """Nothing is handed out any more."""
        self._over = True
        self._waiting.clear()

    def _work(self) -> None:
        self._scheduled = False
        until_s = self._loop.time() + _SLICE_S
        while self._waiting:
            self._hand_out(self._waiting.popleft())
            if self._waiting and self._loop.time() > until_s:
                self._scheduled = True
                self._loop.call_soon(self._work)
                return
        if self._end is not None and not self._over:
            self._over = True
            self._hearing.on_lost(self._end)

    def _hand_out(self, item: bytes | Noise) -> None:
        if isinstance(item, bytes):
            self._hearing.on_frame(item)
        else:
            self._hearing.on_noise(item)


class End(Protocol):
    """A descriptor that is read and written without blocking. BlockingIOError: not now. OSError: it is broken."""

    def fileno(self) -> int: ...

    def read(self, size: int) -> bytes: ...

    def write(self, data: memoryview) -> int: ...

    def reader_is_gone(self) -> bool:
        """Of an end that is written, once it became readable: whether nobody reads it any more."""
        ...

    def close(self) -> None: ...


class PipeEnd:
    """A pipe, opened once more: not blocking is a trait of the opened file, and the first one is shared with strangers.

    Raises OSError where the system cannot open it again.
    """

    def __init__(self, descriptor: int, mode: int) -> None:
        self._descriptor = os.open(f"/proc/self/fd/{descriptor}", mode | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._descriptor

    def read(self, size: int) -> bytes:
        return os.read(self._descriptor, size)

    def write(self, data: memoryview) -> int:
        return os.write(self._descriptor, data)

    def reader_is_gone(self) -> bool:
        return True  # the writing end of a pipe never becomes readable otherwise

    def close(self) -> None:
        os.close(self._descriptor)


class SocketEnd:
    """A socket, as Node gives its children. Each call says for itself that it does not block."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self, size: int) -> bytes:
        return self._socket.recv(size, socket.MSG_DONTWAIT)

    def write(self, data: memoryview) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def reader_is_gone(self) -> bool:
        try:
            return not self._socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self._socket.close()


def open_end(descriptor: int, mode: int) -> End | None:
    """An end that the loop can wait for; None if there is none and a thread must do it."""
    kind = os.fstat(descriptor).st_mode
    try:
        if stat.S_ISFIFO(kind):
            return PipeEnd(descriptor, mode)
        if stat.S_ISSOCK(kind):
            return SocketEnd(descriptor)
    except OSError:
        return None
    return None


class LoopReader:
    """Reads an end whenever it is ready."""

    def __init__(self, end: End, decoder: FrameDecoder, intake: Intake) -> None:
        self._end, self._decoder, self._intake = end, decoder, intake
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def start(self) -> None:
        """Raises OSError if the loop cannot wait for it."""
        self._loop.add_reader(self._end.fileno(), self._ready)

    def close(self) -> None:
        """Safe to repeat."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._end.fileno())
            self._end.close()

    def _ready(self) -> None:
        if self._intake.busy:
            return
        try:
            data = self._end.read(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            data, why = b"", f"its input broke: {error.strerror}"
        else:
            why = "it closed its end"
        if data:
            self._intake.take(self._decoder.feed(data))
        else:
            self.close()
            self._intake.end(why)


class LoopWriter:
    """Writes to an end what it takes at once, and the rest whenever it is ready."""

    def __init__(self, end: End, on_lost: Callable[[str], None]) -> None:
        self._end, self._on_lost = end, on_lost
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self._emptied: asyncio.Event | None = None

    def start(self) -> None:
        """Watches for the reader's end. Raises OSError if the loop cannot wait for it."""
        self._loop.add_reader(self._end.fileno(), self._look)

    def write(self, data: bytes) -> None:
        """Sends or queues."""
        if self._closed:
            return
        rest = memoryview(data)
        if not self._waiting:
            sent = self._send(rest)
            if sent is None or sent == len(rest):
                return
            rest = rest[sent:]
            self._loop.add_writer(self._end.fileno(), self._ready)
        elif self._waiting_bytes > BACKLOG_LIMIT_BYTES:
            self._lose(f"it does not read; {self._waiting_bytes >> 20} MiB were waiting for it")
            return
        self._waiting.append(rest)
        self._waiting_bytes += len(rest)

    async def drain(self, timeout_s: float) -> None:
        """Waits until all is sent or the editor is lost, no longer than this."""
        if self._waiting and timeout_s > 0:
            self._emptied = asyncio.Event()
            await asyncio.wait([asyncio.ensure_future(self._emptied.wait())], timeout=timeout_s)

    def close(self) -> None:
        """Drops what waits; safe to repeat."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._end.fileno())
        self._loop.remove_writer(self._end.fileno())
        self._end.close()
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._emptied is not None:
            self._emptied.set()

    def _send(self, data: memoryview) -> int | None:
        """How much was taken; None when the editor is lost."""
        try:
            return self._end.write(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._lose(f"it closed its end: {error.strerror}")
            return None

    def _ready(self) -> None:
        sent_bytes = 0
        while self._waiting and sent_bytes < _BURST_BYTES:
            sent = self._send(self._waiting[0])
            if sent is None:
                return
            sent_bytes += sent
            self._waiting_bytes -= sent
            if sent < len(self._waiting[0]):
                self._waiting[0] = self._waiting[0][sent:]
                return
            self._waiting.popleft()
        if not self._waiting:
            self._loop.remove_writer(self._end.fileno())
            if self._emptied is not None:
                self._emptied.set()

    def _look(self) -> None:
        if self._end.reader_is_gone():
            self._lose("it closed its end")
        else:  # it speaks on the line that it should only read: not ours to take
            self._loop.remove_reader(self._end.fileno())

    def _lose(self, why: str) -> None:
        self.close()
        self._loop.call_soon(self._on_lost, why)


class StdioChannel:
    """Standard input and output. `decoder` and `early` are what was read before there was a loop."""

    def __init__(self, stdio: Stdio, decoder: FrameDecoder, early: list[bytes | Noise]) -> None:
        self._stdio, self._decoder, self._early = stdio, decoder, early
        self._intake: Intake | None = None
        self._reader: LoopReader | ThreadReader | None = None
        self._writer: LoopWriter | ThreadWriter | None = None

    def start(self, hearing: Hearing) -> None:
        """Threads take over where the loop cannot wait."""
        self._intake = intake = Intake(hearing)
        self._writer = self._start_writer()
        intake.take(self._early)
        self._early = []
        self._reader = self._start_reader(intake)

    def write(self, data: bytes) -> None:
        """Dropped before the start."""
        if self._writer is not None:
            self._writer.write(data)

    async def drain(self, timeout_s: float) -> None:
        """Hears no more, and waits so long for what is queued."""
        if self._intake is not None:
            self._intake.stop()
        if self._writer is not None:
            await self._writer.drain(timeout_s)

    def close(self) -> None:
        """Ends both directions."""
        if self._intake is not None:
            self._intake.stop()
        for end in (self._reader, self._writer):
            if end is not None:
                end.close()

    def _start_writer(self) -> LoopWriter | ThreadWriter:
        end = open_end(self._stdio.outgoing, os.O_WRONLY)
        if end is None:
            return ThreadWriter(self._stdio.outgoing, self._lost, BACKLOG_LIMIT_BYTES)
        writer = LoopWriter(end, self._lost)
        writer.start()
        os.close(self._stdio.outgoing)
        return writer

    def _start_reader(self, intake: Intake) -> LoopReader | ThreadReader:
        end = open_end(self._stdio.incoming, os.O_RDONLY)
        if end is None:
            return ThreadReader(self._stdio.incoming, self._decoder, intake.take, intake.end)
        reader = LoopReader(end, self._decoder, intake)
        reader.start()
        os.close(self._stdio.incoming)
        return reader

    def _lost(self, why: str) -> None:
        if self._intake is not None:
            self._intake.end(why)
