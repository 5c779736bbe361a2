"""Owns columns: characters of a Python string against the code units that the client counts in.

One rule for what a client should never send: a column beyond the line is the end of its content, before the line end;
a column inside a character (half a surrogate pair, the middle of a UTF-8 sequence) is the start of that character.
A lone surrogate is a character of its own, as wide as its code point would be: 3 in UTF-8, 1 in UTF-16 and UTF-32.
"""

from enum import StrEnum
from typing import Final


class Encoding(StrEnum):
    """The position encodings of LSP 3.17 and later."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


_CONTINUATION: Final = bytes(range(0x80, 0xC0))
"""The bytes of a UTF-8 sequence after its first."""


def content_of(line: str) -> str:
    """The line without its end."""
    return line[: _content_length(line)]


def units_of(text: str, encoding: Encoding) -> int:
    """How many code units the text takes."""
    if encoding is Encoding.UTF32 or text.isascii():
        return len(text)
    if encoding is Encoding.UTF16:
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text.encode("utf-8", "surrogatepass"))


def index_of(line: str, units: int, encoding: Encoding) -> int:
    """The character index of a column, by the rule above; quick on long lines, since C counts the units."""
    units = max(units, 0)
    index = min(units, _content_length(line))
    if encoding is Encoding.UTF32 or line.isascii():
        return index
    before = line[:index]  # no character takes less than one unit
    if encoding is Encoding.UTF8:
        coded = before.encode("utf-8", "surrogatepass")
        whole = coded[:units]
        inside = len(coded) > units and coded[units] in _CONTINUATION
        return len(whole.translate(None, _CONTINUATION)) - inside
    coded = before.encode("utf-16-le", "surrogatepass")
    if len(coded) <= 2 * units:
        return index
    index = len(coded[: 2 * units].decode("utf-16-le", "surrogatepass"))
    return index - (units_of(line[:index], encoding) > units)


def _content_length(line: str) -> int:
    if line.endswith("\r\n"):
        return len(line) - 2
    return len(line) - line.endswith(("\n", "\r"))
