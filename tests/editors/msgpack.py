"""Owns msgpack as Neovim speaks it: enough of it to drive one, with nothing but the standard library."""

import struct
from collections.abc import Callable
from typing import Any, Final


class IncompleteError(Exception):
    """The bytes end before the value does."""


def pack(value: Any) -> bytes:
    """One value as bytes. Raises TypeError for what msgpack has no word for."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return _int(value)
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            data = value.encode("utf-8", "surrogateescape")
            return b"\xdb" + struct.pack(">I", len(data)) + data
        case bytes():
            return b"\xc6" + struct.pack(">I", len(value)) + value
        case list() | tuple():
            return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
        case dict():
            items = b"".join(pack(key) + pack(item) for key, item in value.items())
            return b"\xdf" + struct.pack(">I", len(value)) + items
        case _:
            raise TypeError(f"{type(value).__name__} cannot be packed")


def _int(value: int) -> bytes:
    return b"\xd3" + struct.pack(">q", value)


class Reader:
    """Takes values off the front of what was fed."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Adds bytes at the end."""
        self._data += data

    def next(self) -> Any:
        """The next whole value. Raises IncompleteError, and then nothing was taken."""
        self._at = 0
        value = self._value()
        del self._data[: self._at]
        return value

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise IncompleteError
        found = bytes(self._data[self._at : end])
        self._at = end
        return found

    def _number(self, shape: str) -> Any:
        return struct.unpack(">" + shape, self._take(struct.calcsize(">" + shape)))[0]

    def _value(self) -> Any:
        tag = self._take(1)[0]
        if tag < 0x80:
            return tag
        if tag >= 0xE0:
            return tag - 0x100
        if tag < 0x90:
            return self._map(tag & 0x0F)
        if tag < 0xA0:
            return self._list(tag & 0x0F)
        if tag < 0xC0:
            return self._text(tag & 0x1F)
        return self._tagged(tag)

    def _tagged(self, tag: int) -> Any:
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag in _NUMBERS:
            return self._number(_NUMBERS[tag])
        if tag in _SHORT_HANDLES:
            return self._handle(_SHORT_HANDLES[tag])
        readers: tuple[tuple[dict[int, str], Callable[[int], Any]], ...] = (
            (_BYTES, self._take),
            (_HANDLES, self._handle),
            (_TEXTS, self._text),
            (_LISTS, self._list),
            (_MAPS, self._map),
        )
        for shapes, read in readers:
            if tag in shapes:
                return read(self._number(shapes[tag]))
        raise ValueError(f"{tag:#x} begins no value")

    def _text(self, count: int) -> str:
        return self._take(count).decode("utf-8", "surrogateescape")

    def _list(self, count: int) -> list[Any]:
        return [self._value() for _ in range(count)]

    def _map(self, count: int) -> dict[Any, Any]:
        return {self._value(): self._value() for _ in range(count)}

    def _handle(self, count: int) -> Any:
        """A buffer, a window or a tab page: its number."""
        self._take(1)
        inner = Reader()
        inner.feed(self._take(count))
        return inner.next()


_CONSTANTS: Final[dict[int, Any]] = {0xC0: None, 0xC2: False, 0xC3: True}
_BYTES: Final = {0xC4: "B", 0xC5: "H", 0xC6: "I"}
_HANDLES: Final = {0xC7: "B", 0xC8: "H", 0xC9: "I"}
_NUMBERS: Final = dict(zip(range(0xCA, 0xD4), "fdBHIQbhiq", strict=True))
_SHORT_HANDLES: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_TEXTS: Final = {0xD9: "B", 0xDA: "H", 0xDB: "I"}
_LISTS: Final = {0xDC: "H", 0xDD: "I"}
_MAPS: Final = {0xDE: "H", 0xDF: "I"}
