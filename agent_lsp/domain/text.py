"""Owns how bytes become text and text becomes lines, the way LSP counts them: `\\n`, `\\r\\n` and `\\r` only."""

import codecs
import re
from dataclasses import dataclass

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def split_lines(text: str) -> list[str]:
    """Lines with their ends kept; joining them gives the text back. Empty text has no lines.

    Unlike `str.splitlines`, form feed, NEL and U+2028/9 do not end a line (LSP 3.18, Text Documents).
    """
    return _LINE.findall(text)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text and what is needed to write it back byte for byte. `text` never holds the BOM."""

    text: str
    encoding: str
    bom: bytes = b""

    def encode(self, text: str) -> bytes:
        """`text` in this file's encoding with its BOM; UTF-8 if that encoding cannot hold it."""
        try:
            return self.bom + text.encode(self.encoding)
        except UnicodeEncodeError:
            return text.encode("utf-8")


def decode(content: bytes) -> Decoded | None:
    """Text of a file, or None for a binary one (a NUL byte without a UTF-16 BOM).

    UTF-8 first; bytes that are not UTF-8 are read as Latin-1, which keeps every byte.
    """
    for bom, encoding in _BOMS:
        if content.startswith(bom):
            try:
                return Decoded(content[len(bom) :].decode(encoding), encoding, bom)
            except UnicodeDecodeError:
                return None if b"\0" in content else Decoded(content.decode("latin-1"), "latin-1")
    if b"\0" in content:
        return None
    try:
        return Decoded(content.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return Decoded(content.decode("latin-1"), "latin-1")


def encode_like(text: str, base: bytes | None) -> bytes:
    """An editor's text as bytes, in the encoding (and with the BOM) of the file it was opened from."""
    decoded = decode(base) if base is not None else None
    return text.encode("utf-8") if decoded is None else decoded.encode(text)
