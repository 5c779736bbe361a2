"""Owns the model that documents are judged by: text as LSP says it, slow and obvious, sharing no code with the product.

It reads the specification literally: three line ends, columns in code units, a column beyond the line is its end, a
line beyond the last is the end of the text. What the specification leaves open: a column inside a character is the
character's start, and a range that ends before it starts is taken the right way.
"""

import itertools
from collections.abc import Sequence
from typing import Any

ENCODINGS = ("utf-8", "utf-16", "utf-32")


def width(char: str, encoding: str) -> int:
    """Code units of a character."""
    point = ord(char)
    if encoding == "utf-32":
        return 1
    if encoding == "utf-16":
        return 2 if point >= 0x10000 else 1
    return 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4


def offset_of(text: str, line: int, character: int, encoding: str) -> int:
    """The index of a position."""
    at = 0
    for _ in range(line):
        while at < len(text) and text[at] not in "\r\n":
            at += 1
        if at == len(text):
            return at
        at += 2 if text[at] == "\r" and text[at + 1 : at + 2] == "\n" else 1
    units = 0
    while at < len(text) and text[at] not in "\r\n":
        units += width(text[at], encoding)
        if units > character:
            return at
        at += 1
    return at


def lines_of(text: str) -> list[str]:
    """Lines with their ends; the last one has none."""
    lines, line, at = [], "", 0
    while at < len(text):
        line += text[at]
        if text[at] == "\n" or (text[at] == "\r" and text[at + 1 : at + 2] != "\n"):
            lines.append(line)
            line = ""
        at += 1
    return [*lines, line]


def as_json_carries(text: str) -> str:
    """The text with its surrogate pairs made whole, as any JSON parser gives it."""
    whole, at = "", 0
    while at < len(text):
        high, low = text[at], text[at + 1 : at + 2]
        if "\ud800" <= high <= "\udbff" and low and "\udc00" <= low <= "\udfff":
            whole += chr(0x10000 + (ord(high) - 0xD800) * 0x400 + (ord(low) - 0xDC00))
            at += 2
        else:
            whole += high
            at += 1
    return whole


def change(text: str, content_change: Any, encoding: str) -> str:
    """The text after one content change of `didChange`."""
    if content_change.get("range") is None:
        return as_json_carries(content_change["text"])
    ends = sorted(
        offset_of(text, place["line"], place["character"], encoding) for place in content_change["range"].values()
    )
    return as_json_carries(text[: ends[0]] + content_change["text"] + text[ends[1] :])


def apply_edits(text: str, edits: Sequence[Any], encoding: str) -> str:
    """The text after the text edits of one document, all of them meant for `text` as it is."""
    spans = [
        (
            offset_of(text, edit["range"]["start"]["line"], edit["range"]["start"]["character"], encoding),
            offset_of(text, edit["range"]["end"]["line"], edit["range"]["end"]["character"], encoding),
            edit["newText"],
        )
        for edit in edits
    ]
    spans.sort(key=lambda span: span[:2])
    for (_, end, _), (start, _, _) in itertools.pairwise(spans):
        assert end <= start, "edits overlap"
    for start, end, new in reversed(spans):
        assert start <= end, "an edit ends before it starts"
        text = text[:start] + new + text[end:]
    return as_json_carries(text)
