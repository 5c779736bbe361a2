"""Owns the bytes of the protocol: taking standard input and output, finding frames in what came, making frames."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

FRAME_LIMIT_BYTES: Final = 256 * 1024 * 1024
"""The longest body that is taken."""

_HEAD_LIMIT_BYTES: Final = 16 * 1024
_KEPT_BYTES: Final = 4096
_SEAM_BYTES: Final = 64
_USUAL: Final = b"Content-Length: "
_LENGTH: Final = re.compile(rb"content-length[ \t]*:[ \t]*([0-9]{1,15})[ \t]*\r?\n", re.IGNORECASE)
_HEADER_LINES: Final = re.compile(rb"\s*(?:[!-9;-~]+[ \t]*:[^\r\n]*\r?\n)+\r?\n")
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Stdio:
    """The descriptors that speak the protocol; nobody else in the process has them."""

    incoming: int
    outgoing: int


def take_stdio() -> Stdio:
    """Moves the protocol off descriptors 0 and 1: stray reads see nothing and stray prints go to stderr.

    The copies are not inherited by children.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    while nothing <= 2:  # one of the three was closed: what is opened next must not come to stand in its place
        os.set_inheritable(nothing, True)
        nothing = os.dup(nothing)
    stdio = Stdio(os.dup(0), os.dup(1))
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return stdio


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that are no frame. `text` says what was wrong with them."""

    text: str


class FrameDecoder:
    """Finds frames in bytes however they are cut; no input or output of its own.

    Header names are taken in any case, lines may end in LF alone, other headers are passed over, the last of several
    lengths counts. Time is linear in what is fed, and a body is let go as soon as it is given out.

    A broken header never costs more than what belongs to it: the next `Content-Length: N` at the end of a line is where
    reading goes on. That line cannot be a part of any JSON text, so it also ends a body whose length was said too long.
    """

    def __init__(self) -> None:
        self._head = b""
        self._partial = bytearray()
        self._length = 0
        self._in_body = self._lost = False

    def feed(self, data: bytes) -> list[bytes | Noise]:
        """The bodies that are whole now, and what was skipped on the way."""
        found: list[bytes | Noise] = []
        at = 0
        if not self._in_body and self._head:
            data, self._head = self._head + data, b""
        while at < len(data):
            at = self._body(data, at, found) if self._in_body else self._header(data, at, found)
        return found

    def _header(self, data: bytes, at: int, found: list[bytes | Noise]) -> int:
        """Reads one header; gives the place after it."""
        if data.startswith(_USUAL, at):
            end = data.find(b"\r\n\r\n", at, at + 40)
            digits = data[at + len(_USUAL) : end] if end > 0 else b""
            if digits.isdigit():
                return self._begin(int(digits), end + 4, found)
        blank = _BLANK_LINE.search(data, at)
        if blank is None:
            self._keep(data[at:], found)
            return len(data)
        end = blank.end()
        lengths = list(_LENGTH.finditer(data, at, end))
        if lengths:
            if not self._lost and not _HEADER_LINES.fullmatch(data, at, end):
                found.append(Noise("bytes that are no header were skipped"))
            return self._begin(int(lengths[-1][1]), end, found)
        if data[at:end].strip():
            self._complain("a header without a usable Content-Length", found)
        return end

    def _keep(self, head: bytes, found: list[bytes | Noise]) -> None:
        if len(head) > _HEAD_LIMIT_BYTES:
            self._complain(f"more than {_HEAD_LIMIT_BYTES} bytes without a header", found)
            head = head[-_KEPT_BYTES:]
        self._head = head

    def _begin(self, length: int, at: int, found: list[bytes | Noise]) -> int:
        if length > FRAME_LIMIT_BYTES:
            self._complain(f"a message of {length} bytes; the longest that is taken has {FRAME_LIMIT_BYTES}", found)
            return at
        self._lost = False
        if length == 0:
            found.append(b"")
            return at
        self._length, self._in_body = length, True
        return at

    def _body(self, data: bytes, at: int, found: list[bytes | Noise]) -> int:
        """Takes what belongs to the body; gives the place after it."""
        partial = self._partial
        end = min(len(data), at + self._length - len(partial))
        if data.find(b"\n", at, end) >= 0:
            seam = bytes(partial[-_SEAM_BYTES:])
            header = _LENGTH.search(seam + data[at:end])
            if header is not None:
                return self._cut(data, at, at - len(seam) + header.start(), found)
        if len(partial) + end - at < self._length:
            partial += data[at:end]
            return end
        body = data[at:end]
        if partial:
            partial += body
            body = bytes(partial)
            self._partial = bytearray()
        self._in_body = False
        found.append(body)
        return end

    def _cut(self, data: bytes, at: int, header: int, found: list[bytes | Noise]) -> int:
        """The next header begins inside this body, at `header` of `data`, or before `at` if it came in two reads."""
        whole = bytes(self._partial) + data[at : max(at, header)]
        body = whole[: header - at] if header < at else whole
        self._partial, self._in_body, self._lost = bytearray(), False, False
        if body:
            found.append(body)
        found.append(Noise(f"Content-Length said {self._length}, but the next header came after {len(body)} bytes"))
        if header >= at:
            return header
        found += self.feed(whole[len(body) :] + data[at:])
        return len(data)

    def _complain(self, text: str, found: list[bytes | Noise]) -> None:
        """Once for each loss of the thread, not once for each line of rubbish."""
        if not self._lost:
            found.append(Noise(text))
        self._lost = True


def encode_frame(message: Mapping[str, Any]) -> bytes:
    """The message with its header. Raises TypeError or ValueError if it is not JSON."""
    body = _ENCODER.encode(message).encode("ascii")
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def write_all(descriptor: int, data: bytes) -> None:
    """Writes every byte, blocking. Raises OSError when the reader is gone."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
