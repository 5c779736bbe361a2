"""Owns columns: characters of a Python string against the code units that the client counts in."""

from enum import StrEnum
from typing import Final


class Encoding(StrEnum):
    """The position encodings of LSP 3.17 and later."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


_BMP_END: Final = 0xFFFF


def content_of(line: str) -> str:
    """The line without its end."""
    if line.endswith("\r\n"):
        return line[:-2]
    return line[:-1] if line.endswith(("\n", "\r")) else line


def units_of(text: str, encoding: Encoding) -> int:
    """How many code units the text takes; lone surrogates count as the client sent them."""
    if encoding is Encoding.UTF32 or text.isascii():
        return len(text)
    if encoding is Encoding.UTF16:
        return len(text) + sum(1 for char in text if ord(char) > _BMP_END)
    return len(text.encode("utf-8", "surrogatepass"))


def index_of(line: str, units: int, encoding: Encoding) -> int:
    """The character index of a column; beyond the end of the line's content it is that end.

    A column inside a character is the character's start.
    """
    content = content_of(line)
    if encoding is Encoding.UTF32 or content.isascii():
        return min(max(units, 0), len(content))
    seen = 0
    for index, char in enumerate(content):
        seen += units_of(char, encoding)
        if seen > units:
            return index
    return len(content)
