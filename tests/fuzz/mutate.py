"""Owns what makes lawful messages unlawful: in their values, in their envelope, and in their bytes."""

import json
from random import Random
from typing import Any, Final

from tests.fuzz.generate import Json, Maker

_DEEP: Final = 60_000
_WRONG_IDS: Final[tuple[Any, ...]] = (None, True, 1.5, [], {}, [1])


def mutate_value(maker: Maker, value: Any) -> Any:
    """A copy with one place changed: replaced, removed, renamed, added, repeated or wrapped."""
    random = maker.random
    if isinstance(value, dict) and value and random.random() < 0.8:
        key = random.choice(list(value))
        rest = {name: item for name, item in value.items() if name != key}
        match random.randrange(6):
            case 0:
                return rest
            case 1:
                return {**rest, key + "X": value[key]}
            case 2:
                return {**value, random.choice(("jsonrpc", "id", "method", "result", "error", "zz")): maker.anything()}
            case _:
                return {**rest, key: mutate_value(maker, value[key])}
    if isinstance(value, list) and value and random.random() < 0.8:
        index = random.randrange(len(value))
        if random.random() < 0.1:
            return value * 40
        return [*value[:index], mutate_value(maker, value[index]), *value[index + 1 :]]
    return random.choice((maker.anything(), [value], {"value": value}, str(value), None))


def mutate_envelope(maker: Maker, message: Json) -> Any:
    """The message with a wrong outside; a list for a batch."""
    random = maker.random
    copy = dict(message)
    match random.randrange(9):
        case 0:
            copy.pop("jsonrpc")
        case 1:
            copy["jsonrpc"] = random.choice(("1.0", 2.0, None, []))
        case 2:
            copy["id"] = random.choice(_WRONG_IDS)
        case 3:
            copy["method"] = random.choice((5, None, "", "no/such", "$/no/such", [], {}, "EXIT", "Initialize"))
        case 4:
            copy.pop("method")
        case 5:
            copy["result" if random.random() < 0.5 else "error"] = maker.anything()
        case 6:
            copy["params"] = random.choice((5, "x", True, [], {}, [[]], None))
        case 7:
            return random.choice(([], [copy], [copy, copy], 5, "x", None, True))
        case _:
            copy = {key: copy[key] for key in reversed(copy)}
    return copy


def mutate_bytes(random: Random, body: bytes) -> bytes:
    """A body that is no longer what it was; mostly no JSON."""
    at = random.randrange(max(len(body), 1))
    match random.randrange(8):
        case 0 | 1:
            return body[:at]
        case 2:
            return body[:at] + bytes([random.randrange(256)]) + body[at + 1 :]
        case 3:
            return body[:at] + b"\xff\xfe" + body[at:]
        case 4:
            return b"\xef\xbb\xbf" + body
        case 5:
            return body + random.choice((b"}", b"\n", b" ", b"\0"))
        case 6:
            return random.choice((b"[" * _DEEP, b'{"a":' * _DEEP, b"9" * 6000, b"", b"\0", b"NaN"))
        case _:
            return body[at:] + body[:at]


def encode(message: Any) -> bytes:
    """As editors write it."""
    return json.dumps(message, separators=(",", ":")).encode()


def frame(random: Random, body: bytes) -> bytes:
    """The body with one of the headers that are to be understood."""
    length = len(body)
    kind = "application/vscode-jsonrpc; charset=utf-8"
    header = random.choice(
        (
            *[f"Content-Length: {length}\r\n\r\n"] * 4,
            f"content-length: {length}\r\n\r\n",
            f"CONTENT-LENGTH:{length}\r\n\r\n",
            f"Content-Length: {length}\n\n",
            f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n",
            f"Content-Length: {length}\r\nContent-Type: {kind}\r\n\r\n",
        )
    )
    return header.encode() + body
