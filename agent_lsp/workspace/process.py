"""Owns the start of every process: argument lists, own process groups, bounded output, no leftovers."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

DEFAULT_LIMIT_BYTES: Final = 256 * 1024 * 1024
_CHUNK_BYTES: Final = 1 << 16
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended. `status` is negative for a signal and None after a time-out."""

    status: int | None
    out: bytes
    err: bytes
    timed_out: bool
    duration_s: float

    @property
    def error_text(self) -> str:
        """The last lines of standard error, for a message."""
        return self.err.decode(errors="replace").strip()[-2000:]


class BoundedOutput:
    """Collects bytes and keeps the head and the tail of what is longer than the limit."""

    def __init__(self, limit_bytes: int) -> None:
        self._half = max(1, limit_bytes // 2)
        self._head, self._tail, self._dropped = bytearray(), bytearray(), 0

    def add(self, chunk: bytes) -> None:
        """Takes the next piece of output."""
        room = self._half - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        self._tail += chunk
        if len(self._tail) > 2 * self._half:
            self._trim()

    def _trim(self) -> None:
        extra = len(self._tail) - self._half
        if extra > 0:
            del self._tail[:extra]
            self._dropped += extra

    def value(self) -> bytes:
        """All of it, or head, a note of how much is missing, and tail."""
        self._trim()
        if not self._dropped:
            return bytes(self._head + self._tail)
        note = f"\n[... {self._dropped} bytes left out ...]\n".encode()
        return bytes(self._head) + note + bytes(self._tail)


@dataclass(frozen=True, slots=True)
class Start:
    """What to start. `env` is the whole environment; `stdin` is bytes to send, an open file, or nothing."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    stdin: bytes | IO[bytes] | None = None
    timeout_s: float = 120.0
    limit_bytes: int = DEFAULT_LIMIT_BYTES


async def run(start: Start) -> Finished:
    """Runs to the end, or kills the whole group at the time-out or when it is cancelled.

    Raises OSError if the program cannot be started.
    """
    began = time.monotonic()
    piped = isinstance(start.stdin, bytes)
    source = asyncio.subprocess.PIPE if piped else (start.stdin or asyncio.subprocess.DEVNULL)
    process = await asyncio.create_subprocess_exec(
        *start.argv,
        cwd=start.cwd,
        env=dict(start.env),
        stdin=source,  # type: ignore[arg-type]
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    out, err = BoundedOutput(start.limit_bytes), BoundedOutput(64 * 1024)
    timed_out = False
    try:
        async with asyncio.timeout(start.timeout_s):
            await asyncio.gather(
                _feed(process, start.stdin if isinstance(start.stdin, bytes) else None),
                _collect(process.stdout, out),
                _collect(process.stderr, err),
            )
            await process.wait()
    except TimeoutError:
        timed_out = True
    finally:
        await end_group(process)
    status = None if timed_out else process.returncode
    return Finished(status, out.value(), err.value(), timed_out, time.monotonic() - began)


async def _feed(process: asyncio.subprocess.Process, data: bytes | None) -> None:
    if process.stdin is None:
        return
    with contextlib.suppress(ConnectionError):
        for offset in range(0, len(data or b""), 1 << 20):
            process.stdin.write((data or b"")[offset : offset + (1 << 20)])
            await process.stdin.drain()
    process.stdin.close()


async def _collect(stream: asyncio.StreamReader | None, into: BoundedOutput) -> None:
    if stream is None:
        return
    while chunk := await stream.read(_CHUNK_BYTES):
        into.add(chunk)


async def end_group(process: asyncio.subprocess.Process) -> None:
    """Kills what is left of a process and its group, and reaps it. Safe to repeat."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, signal.SIGKILL)  # asyncio's own `kill` reaps what its watcher then waits for
    waiting = asyncio.ensure_future(process.wait())
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await waiting
        raise


async def start_piped(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stderr: IO[bytes] | None = None,
    line_limit_bytes: int = DEFAULT_LIMIT_BYTES,
    kept: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """A long-lived child in its own session, with its stdin and stdout as asyncio streams.

    Standard error goes to the given file or nowhere; `kept` descriptors have the same numbers in the child. It is
    expected to call `die_with_parent` (or to end at the end of its stdin). Raises OSError if it cannot be started.
    """
    return await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr if stderr is not None else asyncio.subprocess.DEVNULL,
        start_new_session=True,
        limit=line_limit_bytes,
        pass_fds=kept,
    )


def die_with_parent() -> None:
    """Asks Linux to kill this process when the thread that started it ends; a no-op elsewhere."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
