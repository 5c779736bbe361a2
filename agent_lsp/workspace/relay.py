"""Owns the carrying of bytes between two connections: never more than a little in memory, never idle for long."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from agent_lsp.workspace.proxy_request import RequestError, answer_head, chunk_bytes, is_interim

CHUNK_BYTES: Final = 1 << 16
Way = Coroutine[object, object, None]


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ways of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class _Clock:
    """Puts the end off whenever a byte has moved."""

    def __init__(self, limit: asyncio.Timeout, idle_s: float) -> None:
        self._limit, self._idle_s = limit, idle_s
        self._loop = asyncio.get_running_loop()
        self._last_s = self._loop.time()

    def moved(self) -> None:
        now_s = self._loop.time()
        if now_s - self._last_s > self._idle_s / 50:
            self._last_s = now_s
            self._limit.reschedule(now_s + self._idle_s)


async def tunnel(client: Ends, host: Ends, idle_s: float) -> None:
    """Carries both ways until both have ended, one has failed, or nothing has moved for `idle_s`."""

    async def there(clock: _Clock) -> None:
        await _all(client.reader, host.writer, clock)

    async def back(clock: _Clock) -> None:
        await _all(host.reader, client.writer, clock)

    await _both(there, back, idle_s)


async def exchange(client: Ends, host: Ends, body_bytes: int | None, idle_s: float) -> None:
    """Carries the body of one request (None: in chunks) and its answer. Raises RequestError before that has begun."""
    begun = False

    async def there(clock: _Clock) -> None:
        if body_bytes is None:
            await _chunks(client.reader, host.writer, clock)
        else:
            await _part(client.reader, host.writer, body_bytes, clock)

    async def back(clock: _Clock) -> None:
        nonlocal begun
        while is_interim(head := await host.reader.readuntil(b"\r\n\r\n")):
            client.writer.write(head)
        answer = answer_head(head)
        begun = True
        client.writer.write(answer)
        await _all(host.reader, client.writer, clock)
        raise _Answered

    try:
        idle = await _both(there, back, idle_s)
    except RequestError:
        if not begun:
            raise
    else:
        if not begun and idle:
            raise RequestError(504, f"the host did not answer within {idle_s:g} s")
        if not begun:
            raise RequestError(502, "the host ended the connection without an answer")


class _Answered(Exception):  # noqa: N818 - no error: the answer is whole, whatever the client would still send
    pass


async def _both(there: Callable[[_Clock], Way], back: Callable[[_Clock], Way], idle_s: float) -> bool:
    """Runs both; the first that fails, or silence, ends the other, and it was silence if True. Raises RequestError."""
    asked: RequestError | None = None
    limit = asyncio.timeout(idle_s)
    try:
        async with limit, asyncio.TaskGroup() as group:
            clock = _Clock(limit, idle_s)
            group.create_task(there(clock))
            group.create_task(back(clock))
    except* RequestError as trouble:
        asked = next(error for error in trouble.exceptions if isinstance(error, RequestError))
    except* (_Answered, OSError, EOFError, asyncio.LimitOverrunError):
        pass
    if asked is not None:
        raise asked
    return limit.expired()


async def _all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, clock: _Clock) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        await _send(chunk, writer, clock)
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size_bytes: int, clock: _Clock) -> None:
    while size_bytes > 0:
        chunk = await reader.read(min(CHUNK_BYTES, size_bytes))
        if not chunk:
            raise EOFError
        size_bytes -= len(chunk)
        await _send(chunk, writer, clock)


async def _chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, clock: _Clock) -> None:
    while size_bytes := chunk_bytes(line := await reader.readuntil(b"\n")):
        writer.write(line)
        await _part(reader, writer, size_bytes, clock)
        await _send(await reader.readexactly(2), writer, clock)
    await _send(line, writer, clock)
    while (line := await reader.readuntil(b"\n")).strip():
        continue  # trailers are not sent on
    await _send(b"\r\n", writer, clock)


async def _send(chunk: bytes, writer: asyncio.StreamWriter, clock: _Clock) -> None:
    clock.moved()
    writer.write(chunk)
    await writer.drain()
    clock.moved()
