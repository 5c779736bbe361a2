"""Owns what a client asks of the proxy: the head of its request read, and the heads that go on to either side."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from agent_lsp.domain.network_hosts import HostError, host_name, split_port

_LINE: Final = re.compile(rb"([A-Z]{1,20}) ([!-~]{1,8000}) HTTP/1\.[01]")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_OF_THIS_HOP: Final = frozenset({b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"host"})
_HTTP_PORT: Final = 80


class RequestError(Exception):
    """A request that cannot be done; status and sentence go back to the client."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


@dataclass(frozen=True, slots=True)
class Asked:
    """A host and what to send it: nothing for a tunnel (`head` is empty), else a head and a body.

    `body_bytes` is the length of the body; None for one in chunks.
    """

    name: str
    port: int
    head: bytes = b""
    body_bytes: int | None = 0


def read_request(head: bytes) -> Asked:
    """A head with its empty line. Raises RequestError."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise RequestError(400, "this is no request of HTTP/1.1")
    method, target = line[1], line[2].decode("ascii")
    try:
        if method == b"CONNECT":
            name, port = split_port(target)
            if port is None:
                raise RequestError(400, "CONNECT needs a host and a port")
            return Asked(host_name(name), port)
        return _forward(method, target, _fields(lines))
    except HostError as error:
        raise RequestError(400, f"the host cannot be read: {error}") from error


def _forward(method: bytes, target: str, fields: list[tuple[bytes, bytes]]) -> Asked:
    try:
        parts = urlsplit(target)
    except ValueError as error:
        raise RequestError(400, "the address cannot be read") from error
    if parts.scheme != "http" or not parts.netloc or "@" in parts.netloc:
        raise RequestError(400, "only http://host/... is sent on; other addresses go through CONNECT")
    written, given = split_port(parts.netloc)
    name, port = host_name(written), given or _HTTP_PORT
    shown = f"[{name}]" if ":" in name else name
    shown += "" if port == _HTTP_PORT else f":{port}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    rows = [b"%s %s HTTP/1.1" % (method, path.encode("ascii")), b"Host: " + shown.encode("ascii")]
    return Asked(name, port, _joined(rows, fields), _body_bytes(fields))


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    found = [_FIELD.fullmatch(line) for line in lines]
    if None in found:
        raise RequestError(400, "a header cannot be read")
    return [(row[1], row[2]) for row in found if row is not None]


def _joined(rows: list[bytes], fields: list[tuple[bytes, bytes]]) -> bytes:
    """A head for one exchange, without what concerns the other side's connection alone."""
    named = {
        word.strip().lower() for name, value in fields if name.lower() == b"connection" for word in value.split(b",")
    }
    kept = [
        name + b": " + value
        for name, value in fields
        if (low := name.lower()) not in _OF_THIS_HOP
        and (low not in named or low in (b"content-length", b"transfer-encoding"))
        and not low.startswith(b"proxy-")
    ]
    return b"\r\n".join([*rows, *kept, b"Connection: close", b"", b""])


def _body_bytes(fields: list[tuple[bytes, bytes]]) -> int | None:
    codings = [value.strip().lower() for name, value in fields if name.lower() == b"transfer-encoding"]
    lengths = {value.strip() for name, value in fields if name.lower() == b"content-length"}
    if codings:
        if codings != [b"chunked"] or lengths:
            raise RequestError(400, "the length of the body is not clear")
        return None
    if not lengths:
        return 0
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 15:
        raise RequestError(400, "the length of the body is not clear")
    return int(length)


def chunk_bytes(line: bytes) -> int:
    """How many bytes of a body in chunks follow this line; 0 at its end. Raises RequestError."""
    size = line.partition(b";")[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,12}", size):
        raise RequestError(400, "a chunk of the body cannot be read")
    return int(size, 16)


def is_interim(head: bytes) -> bool:
    """Whether another answer follows this one."""
    return re.match(rb"HTTP/1\.[01] 1(?!01)\d\d[ \r]", head) is not None


def answer_head(head: bytes) -> bytes:
    """The head of a server's answer, saying that nothing more comes on this connection. Raises RequestError."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not re.match(rb"HTTP/1\.[01] \d\d\d", first):
        raise RequestError(502, "the host did not answer as HTTP does")
    found = [_FIELD.fullmatch(line) for line in lines]
    if None in found:
        raise RequestError(502, "the host answered with a header that cannot be read")
    return _joined([first], [(row[1], row[2]) for row in found if row is not None])
