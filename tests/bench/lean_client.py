"""Owns the pipe to one measured server: frames over blocking pipes, the same few system calls for everybody.

No asyncio and no threads, so that the client's own share of a round trip stays small; `make bench` measures it with
`echo_server.py`. The clock stops when the answer's last byte was read, before it is parsed.
"""

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

Json = dict[str, Any]

_CHUNK_BYTES: Final = 1 << 20
_TIMEOUT_S: Final = 60.0
_LEAVE_S: Final = 10.0
_TOLD_BYTES: Final = 2000


class ServerFailedError(Exception):
    """A measured server died, answered with an error, or did not answer."""


def frame(message: Mapping[str, Any]) -> bytes:
    """The message as it goes over the wire, in the form in which Node's JSON writes it."""
    body = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


class Frames:
    """Bytes in, bodies out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole body, or None until more was fed."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = -1
        for line in bytes(self._buffer[:end]).split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        if length < 0:
            raise ServerFailedError(f"a header without Content-Length: {bytes(self._buffer[:end])!r}")
        body_end = end + 4 + length
        if len(self._buffer) < body_end:
            return None
        body = bytes(self._buffer[end + 4 : body_end])
        del self._buffer[:body_end]
        return body


class LeanClient:
    """A server process and the conversation with it. What the server asks is answered in the least way."""

    def __init__(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], errors: IO[bytes]) -> None:
        self._errors = errors
        self._frames = Frames()
        self._waiting, self._sent = b"", 0
        self._last_id = 0
        self.notifications: list[Json] = []
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            argv, cwd=cwd, env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._in, False)

    def request_frame(self, method: str, params: Any) -> tuple[int, bytes]:
        """A request that is not sent yet, with its id."""
        self._last_id += 1
        return self._last_id, frame({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params})

    def request(self, method: str, params: Any) -> Any:
        """The result of one request. Raises ServerFailedError for an error."""
        msg_id, data = self.request_frame(method, params)
        answer, _ = self.exchange(data, msg_id)
        if answer.get("error") is not None:
            raise ServerFailedError(f"{method} was answered with {answer['error']}")
        return answer.get("result")

    def notify(self, method: str, params: Any) -> None:
        """Sends before the next request."""
        self._queue(frame({"jsonrpc": "2.0", "method": method, "params": params}))

    def exchange(self, data: bytes, msg_id: int) -> tuple[Json, float]:
        """Sends, reads on until the answer to `msg_id` is there: the answer, and when its last byte was read.

        Raises ServerFailedError for a dead server, or silence.
        """
        self._queue(data)
        limit = time.perf_counter() + _TIMEOUT_S
        self._write()
        read_at = 0.0
        while True:
            while (body := self._frames.next()) is None:
                self._move(limit)
                read_at = time.perf_counter()
            message = json.loads(body)
            if "method" in message:
                self._heard(message)
            elif message.get("id") == msg_id:
                return message, read_at

    def leave(self) -> None:
        """Shutdown and exit; a server that does not go is killed."""
        with contextlib.suppress(ServerFailedError):
            self.request("shutdown", None)
            self._queue(frame({"jsonrpc": "2.0", "method": "exit"}))
            self._write()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _heard(self, message: Json) -> None:
        if "id" not in message:
            self.notifications.append(message)
            return
        asked = message.get("params") or {}
        result = [None] * len(asked.get("items", ())) if message["method"] == "workspace/configuration" else None
        self._queue(frame({"jsonrpc": "2.0", "id": message["id"], "result": result}))
        self._write()

    def _queue(self, data: bytes) -> None:
        self._waiting, self._sent = self._waiting[self._sent :] + data, 0

    def _write(self) -> None:
        rest = memoryview(self._waiting)[self._sent :]
        try:
            self._sent += os.write(self._in, rest) if rest else 0
        except BlockingIOError:
            return
        except OSError as error:
            raise self._failed("closed its input") from error

    def _move(self, limit: float) -> None:
        """Waits until something can be read (or written, when something waits), and does it."""
        writing = [self._in] if self._sent < len(self._waiting) else []
        readable, writable, _ = select.select([self._out], writing, [], max(limit - time.perf_counter(), 0))
        if writable:
            self._write()
        if readable:
            data = os.read(self._out, _CHUNK_BYTES)
            if not data:
                raise self._failed("ended")
            self._frames.feed(data)
        elif not writable:
            raise self._failed(f"did not answer within {_TIMEOUT_S:.0f} s")

    def _failed(self, what: str) -> ServerFailedError:
        self._errors.seek(0)
        told = self._errors.read()[-_TOLD_BYTES:].decode(errors="replace").strip()
        return ServerFailedError(f"the server {what}; its last words: {told or 'none'}")
