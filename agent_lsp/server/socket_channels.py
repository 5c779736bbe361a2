"""Owns the lines to TCP and WebSocket clients: one Channel for each."""

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from agent_lsp.server.transport import BACKLOG_LIMIT_BYTES, Hearing, Intake
from agent_lsp.server.wire import FrameDecoder, Noise

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

_GREETING: Final = b"content-"
"""What every frame begins with, in any case. A browser that is led here speaks HTTP, whose requests carry a
Content-Length and a body of a stranger's choice: what begins otherwise is not read."""

_LEFT: Final = "it closed its connection"


class _Line:
    """What both kinds have: somebody who hears, and a queue that empties."""

    def __init__(self) -> None:
        self._intake: Intake | None = None
        self._context = contextvars.copy_context()
        self._emptied = asyncio.Event()
        self._emptied.set()

    async def drain(self, timeout_s: float) -> None:
        """Hears no more, and waits so long for what is queued."""
        if self._intake is not None:
            self._intake.stop()
        if timeout_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), timeout_s)


class TcpChannel(_Line, asyncio.Protocol):
    """One TCP client. `on_open` is called when it has connected."""

    def __init__(self, on_open: Callable[["TcpChannel"], None]) -> None:
        super().__init__()
        self._on_open = on_open
        self._transport: asyncio.Transport
        self._decoder = FrameDecoder()
        self._greeting: bytes | None = b""
        self._early: list[bytes | Noise] = []
        self._lost: str | None = None

    @property
    def peer(self) -> str:
        """The client's address."""
        return _peer(self._transport.get_extra_info("peername"))

    def start(self, hearing: Hearing) -> None:
        """What is heard runs in the context of the caller."""
        self._context = contextvars.copy_context()
        self._intake = Intake(hearing)
        self._intake.take(self._early)
        self._early = []
        if self._lost is not None:
            self._intake.end(self._lost)

    def write(self, data: bytes) -> None:
        """Sends or queues; ends the session when too much waits."""
        if self._transport.is_closing():
            return
        waiting_bytes = self._transport.get_write_buffer_size()
        if waiting_bytes > BACKLOG_LIMIT_BYTES:
            self._end(f"it does not read; {waiting_bytes >> 20} MiB were waiting for it")
            self._transport.abort()
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Safe to repeat."""
        if self._intake is not None:
            self._intake.stop()
        if self._emptied.is_set():
            self._transport.close()
        else:
            self._transport.abort()

    # --- called by asyncio ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(0)
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        if self._greeting is not None:
            self._greeting += data
            if not _GREETING.startswith(self._greeting[: len(_GREETING)].lower()):
                self._end("it does not speak the language server protocol")
                self._transport.abort()
                return
            if len(self._greeting) < len(_GREETING):
                return
            data, self._greeting = self._greeting, None
        items = self._decoder.feed(data)
        if self._intake is None:
            self._early += items
            return
        self._context.run(self._intake.take, items)
        if self._intake.busy:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._resume)

    def eof_received(self) -> None:
        self._end(_LEFT)

    def connection_lost(self, exc: Exception | None) -> None:
        self._emptied.set()
        self._end(_LEFT if exc is None else f"{_LEFT}: {exc}")

    def pause_writing(self) -> None:
        self._emptied.clear()

    def resume_writing(self) -> None:
        self._emptied.set()

    def _resume(self) -> None:
        if self._intake is not None and self._intake.busy:
            asyncio.get_running_loop().call_soon(self._resume)
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _end(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
            if self._intake is not None:
                self._context.run(self._intake.end, why)


class WebSocketChannel(_Line):
    """One WebSocket client: a message is one frame of text, without a header."""

    def __init__(self, connection: "ServerConnection") -> None:
        super().__init__()
        self._connection = connection
        self._waiting: deque[str] = deque()
        self._waiting_bytes = 0
        self._wanted = asyncio.Event()
        self._closed = False
        self._sending = asyncio.get_running_loop().create_task(self._send())

    @property
    def peer(self) -> str:
        """The client's address."""
        return _peer(self._connection.remote_address)

    def start(self, hearing: Hearing) -> None:
        """What is heard runs in the context of the caller."""
        self._context = contextvars.copy_context()
        self._intake = Intake(hearing)

    async def listen(self) -> None:
        """Hears the client until it leaves; `start` comes first."""
        from websockets.exceptions import ConnectionClosed

        assert self._intake is not None
        why = _LEFT
        try:
            while True:
                message = await self._connection.recv()
                self._context.run(self._intake.take, [_bytes(message)])
                while self._intake.busy:  # noqa: ASYNC110  # turns of the loop, not time, are what is waited for
                    await asyncio.sleep(0)
        except ConnectionClosed as error:
            reason = error.sent.reason if error.sent is not None else ""
            why = f"{_LEFT}: {reason}" if reason else _LEFT
        finally:
            self._context.run(self._intake.end, why)

    def write(self, data: bytes) -> None:
        """Queues the body of a frame; ends the session when too much waits."""
        if self._closed:
            return
        if self._waiting_bytes > BACKLOG_LIMIT_BYTES:
            if self._intake is not None:
                why = f"it does not read; {self._waiting_bytes >> 20} MiB were waiting for it"
                self._context.run(self._intake.end, why)
            self.close()
            return
        body = data[data.index(b"\r\n\r\n") + 4 :].decode("ascii")
        self._waiting.append(body)
        self._waiting_bytes += len(body)
        self._emptied.clear()
        self._wanted.set()

    def close(self) -> None:
        """Safe to repeat."""
        if self._intake is not None:
            self._intake.stop()
        if not self._closed:
            self._closed = True
            self._sending.cancel()
            if not self._emptied.is_set():
                self._connection.transport.abort()

    async def _send(self) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                while self._waiting:
                    body = self._waiting.popleft()
                    await self._connection.send(body)
                    self._waiting_bytes -= len(body)
                self._emptied.set()
        self._emptied.set()


def _bytes(message: str | bytes) -> bytes:
    return message.encode("utf-8") if isinstance(message, str) else message


def _peer(address: Any) -> str:
    return str(address[0]) if isinstance(address, tuple) and address else ""
