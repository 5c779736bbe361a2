"""Owns how bytes become text and text becomes lines, the way LSP counts them: `\\n`, `\\r\\n` and `\\r` only."""

import codecs
import re
from dataclasses import dataclass, replace

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")

_C1 = re.compile(rb"[\x80-\x9f]")
_NOT_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")

_BOM = "\ufeff"
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
        """`text` in this file's encoding with its BOM; UTF-8 if that encoding cannot hold it.

        A lone surrogate, which no file can hold, becomes U+FFFD, as editors save it.
        """
        text = _without_lone_surrogates(text)
        try:
            return self.bom + text.encode(self.encoding)
        except UnicodeEncodeError:
            return text.encode("utf-8")

    def can_hold(self, text: str) -> bool:
        """Whether this file's encoding has every character, so that the bytes of the others stay as they are."""
        try:
            _without_lone_surrogates(text).encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True


def decode(content: bytes) -> Decoded | None:
    """Text of a file, or None for a binary one (a NUL byte without a UTF-16 BOM).

    UTF-8 first. Other bytes are read as Windows-1252 where they use what it has and Latin-1 has not (curly quotes,
    the euro sign), else as Latin-1; both keep every byte.
    """
    for bom, encoding in _BOMS:
        if content.startswith(bom):
            try:
                return Decoded(content[len(bom) :].decode(encoding), encoding, bom)
            except UnicodeDecodeError:
                return None if b"\0" in content else _decode_bytewise(content)
    if b"\0" in content:
        return None
    try:
        return Decoded(content.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return _decode_bytewise(content)


def decode_like(content: bytes, base: Decoded | None) -> Decoded | None:
    """As `decode`, but in the encoding of `base` where only that leads back to these very bytes.

    An edit may leave bytes that look like another encoding than the rest of the file was in.
    """
    plain = decode(content)
    if plain is None or base is None or base.encode(plain.text) == content:
        return plain
    try:
        text = content.removeprefix(base.bom).decode(base.encoding)
    except UnicodeDecodeError:
        return plain
    return replace(base, text=text) if base.encode(text) == content else plain


def encode_like(text: str, base: bytes | None) -> bytes:
    """An editor's text as bytes, in the encoding (and with the BOM) of the file it was opened from."""
    decoded = (decode(base) if base is not None else None) or Decoded("", "utf-8")
    if decoded.bom and text.startswith(_BOM) and not decoded.text.startswith(_BOM):
        text = text[1:]  # an editor that shows the BOM as text would have it twice
    return decoded.encode(text)


def _decode_bytewise(content: bytes) -> Decoded:
    if _C1.search(content) and not _NOT_CP1252.search(content):
        return Decoded(content.decode("cp1252"), "cp1252")
    return Decoded(content.decode("latin-1"), "latin-1")


def _without_lone_surrogates(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
