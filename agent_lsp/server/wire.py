"""Owns the bytes on standard input and output: taking the descriptors, and frames of header and body."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_CHUNK_BYTES: Final = 65536
_FRAME_LIMIT_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stdio:
    """The descriptors that speak the protocol; nobody else in the process has them."""

    incoming: int
    outgoing: int


def take_stdio() -> Stdio:
    """Moves the protocol off descriptors 0 and 1: stray reads see nothing and stray prints go to stderr.

    The copies are not inherited by children.
    """
    stdio = Stdio(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:
        os.dup2(nothing, 1)
    os.close(nothing)
    return stdio


class FrameReader:
    """Reads one frame after another, blocking. Header names in any case and LF-only header lines are taken."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()

    def read(self) -> bytes | None:
        """The next body, or None when the other side is gone."""
        length: int | None = None
        while (line := self._line()) is not None:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                length = int(value)
            elif not line.strip() and length is not None:
                return self._exactly(length)
        return None

    def _line(self) -> bytes | None:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if not self._fill():
                return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def _exactly(self, length: int) -> bytes | None:
        if length > _FRAME_LIMIT_BYTES:
            return None
        while len(self._buffer) < length:
            if not self._fill():
                return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _fill(self) -> bool:
        try:
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
        except OSError:
            return False
        self._buffer += chunk
        return bool(chunk)


def encode_frame(message: Mapping[str, Any]) -> bytes:
    """The message with its header. Raises TypeError or ValueError if it is not JSON."""
    body = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def write_all(descriptor: int, data: bytes) -> None:
    """Writes every byte, blocking. Raises OSError when the reader is gone."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
