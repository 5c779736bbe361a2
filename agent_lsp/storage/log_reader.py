"""Owns the reading of the console log: its last lines, its error blocks, and following it through rotations."""

import os
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from agent_lsp.storage.error_block import END, START

_CHUNK_BYTES: Final = 64 * 1024
_BACKUPS_LIMIT: Final = 100
_POLL_S: Final = 0.2


def read_tail(path: Path, lines: int = 100, errors_only: bool = False) -> str:
    """The last lines, through the rotated files; with `errors_only` the last whole blocks that fit, at least one.

    Empty for a log that is not there.
    """
    if lines <= 0:
        return ""
    if not errors_only:
        return "".join(line + "\n" for line in _last_lines(path, lines))
    kept: list[str] = []
    room = lines
    for file in _newest_first(path):
        for block in reversed(error_blocks(file)):
            room -= block.count("\n") + 1
            if kept and room < 0:
                return "\n\n".join(reversed(kept)) + "\n"
            kept.append(block)
    return "\n\n".join(reversed(kept)) + "\n" if kept else ""


def error_blocks(source: Path | str) -> list[str]:
    """Every block of a file or of a text, marker lines included, oldest first.

    A block that was cut off by a crash ends where the next one starts, or with the text.
    """
    text = source.read_text("utf-8", "replace") if isinstance(source, Path) else source
    blocks: list[list[str]] = []
    inside = False
    for line in text.split("\n"):
        if line == START:
            blocks.append([line])
            inside = True
        elif inside:
            blocks[-1].append(line)
            inside = line != END
    return ["\n".join(block).rstrip("\n") for block in blocks]


def parse_block(block: str) -> dict[str, str]:
    """The fields of one block; sections of several lines without their indent."""
    fields: dict[str, str] = {}
    name = ""
    for line in block.split("\n"):
        if line in (START, END):
            continue
        if line.startswith("  ") and name:
            fields[name] += ("\n" if fields[name] else "") + line[2:]
        elif ":" in line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
    return fields


def follow(
    path: Path, *, lines: int = 0, errors_only: bool = False, stop: Callable[[], bool] = lambda: False
) -> Iterator[str]:
    """The last `lines`, then every line as it is written, without its line end; ends when `stop` says so.

    Waits for a file that is not there yet, and goes on with the next one when the log is rotated.
    """
    inside = False
    for line in _every_line(path, lines, stop):
        inside = inside or line == START
        if inside or not errors_only:
            yield line
        inside = inside and line != END


def _every_line(path: Path, lines: int, stop: Callable[[], bool]) -> Iterator[str]:
    stream = _open(path)
    rest = b""
    try:
        if stream is not None:
            end = stream.seek(0, os.SEEK_END)
            yield from _last_lines(path, lines, end) if lines > 0 else ()
        while not stop():
            if stream is None:
                stream = _open(path)
            data = stream.read() if stream is not None else b""
            *whole, rest = (rest + data).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
            if stream is not None and not data and _moved(path, stream):
                *whole, rest = (rest + _missed(path, stream)).split(b"\n")
                stream.close()
                stream = None
                yield from (line.decode("utf-8", "replace") for line in whole)
            elif not data:
                time.sleep(_POLL_S)
    finally:
        if stream is not None:
            stream.close()


def _open(path: Path) -> BufferedReader | None:
    try:
        return path.open("rb")
    except OSError:
        return None


def _moved(path: Path, stream: BufferedReader) -> bool:
    """Whether the path now names another file, or the same one cut short."""
    try:
        there = path.stat()
    except OSError:
        return False
    here = os.fstat(stream.fileno())
    return not os.path.samestat(there, here) or there.st_size < stream.tell()


def _missed(path: Path, stream: BufferedReader) -> bytes:
    """The rest of the open file, and the whole of files that were begun and rotated away meanwhile."""
    here = os.fstat(stream.fileno())
    newer: list[bytes] = []
    for file in _newest_first(path):
        if file == path:
            continue
        if os.path.samestat(file.stat(), here):
            return b"".join((stream.read(), *reversed(newer)))
        newer.append(file.read_bytes())
    return stream.read()


def _newest_first(path: Path) -> Iterator[Path]:
    if path.exists():
        yield path
    for number in range(1, _BACKUPS_LIMIT):
        backup = path.with_name(f"{path.name}.{number}")
        if not backup.exists():
            return
        yield backup


def _last_lines(path: Path, count: int, end: int | None = None) -> list[str]:
    found: list[str] = []
    for file in _newest_first(path):
        limit = end if file == path else None
        found = _tail_of(file, count - len(found), limit) + found
        if len(found) >= count:
            break
    return found


def _tail_of(file: Path, count: int, end: int | None) -> list[str]:
    """Up to `count` last lines before offset `end`, read from the back."""
    with file.open("rb") as stream:
        at = stream.seek(0, os.SEEK_END) if end is None else end
        data = b""
        while at > 0 and data.count(b"\n") <= count:
            step = min(_CHUNK_BYTES, at)
            at -= step
            stream.seek(at)
            data = stream.read(step) + data
    return [line.decode("utf-8", "replace") for line in data.removesuffix(b"\n").split(b"\n")][-count:] if data else []
