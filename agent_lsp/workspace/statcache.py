"""Owns the memory of what was hashed: a file whose stat has not moved is not read again."""

import itertools
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent_lsp.domain.errors import SnapshotError
from agent_lsp.workspace.objects import Leaf

_FINE_NS: Final = 50_000_000
_COARSE_NS: Final = 2_100_000_000
_TRIES: Final = 3
_PORTION: Final = 250


class Known(NamedTuple):
    """A file as it was hashed. `settled` is False while an edit could still hide behind the same stat."""

    stat: tuple[int, int, int, int, int]
    leaf: Leaf
    settled: bool


class Loaded(NamedTuple):
    """A file as it was read just now."""

    known: tuple[int, int, int, int, int]
    mode: str
    content: bytes
    settled: bool


def signature(found: os.stat_result) -> tuple[int, int, int, int, int]:
    """What must stay equal for a file to count as unchanged."""
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode)


def load(path: str) -> Loaded | None:
    """Bytes and mode of a file or symlink; None if it is gone or is neither. Raises SnapshotError."""
    try:
        for _ in range(_TRIES):
            before = os.lstat(path)
            began_ns = time.time_ns()
            if stat.S_ISLNK(before.st_mode):
                content, mode = os.fsencode(os.readlink(path)), "120000"  # noqa: PTH115 - bytes as they are
            elif stat.S_ISREG(before.st_mode):
                content, mode = _bytes(path), "100755" if before.st_mode & 0o100 else "100644"
            else:
                return None
            quiet = signature(os.lstat(path)) == signature(before)
            if quiet:
                break
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        hint = "Make it readable, or add it to .gitignore."
        raise SnapshotError(f"{os.fsdecode(path)} cannot be read: {error.strerror}", hint=hint) from error
    newest = max(before.st_mtime_ns, before.st_ctime_ns)
    return Loaded(signature(before), mode, content, quiet and newest + grain_ns(before) < began_ns)


def grain_ns(found: os.stat_result) -> int:
    """How far apart two changes must be for the file system's clock to tell them apart, with room to spare."""
    return _COARSE_NS if found.st_ctime_ns % 1_000_000_000 == 0 else _FINE_NS


def _bytes(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        return file.read()


def write_rows(file: Path, rows: Iterable[tuple[str, tuple[int | str, ...]]]) -> None:
    """Writes paths with what is known of them; in small portions, so that no other thread waits for long."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    left = iter(rows)
    with draft.open("w", encoding="ascii") as out:
        while portion := list(itertools.islice(left, _PORTION)):
            out.write(json.dumps(portion, separators=(",", ":")) + "\n")
    draft.replace(file)


def read_rows(file: Path) -> Iterator[tuple[str, Any]]:
    """What `write_rows` wrote. Raises OSError, ValueError."""
    with file.open(encoding="ascii") as lines:
        for line in lines:
            yield from json.loads(line)


class StatCache:
    """Stats and blob ids of one workspace's files. Meant for a worker thread; one user at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.known: dict[str, Known] = {}

    def restore(self) -> None:
        """Takes over what an earlier process kept; a broken file counts as none."""
        try:
            self.known = {
                path: Known((row[0], row[1], row[2], row[3], row[4]), Leaf(row[5], row[6]), True)
                for path, row in read_rows(self._file)
            }
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            self.known = {}

    def keep(self) -> None:
        """Writes what is settled for the next process."""
        rows = ((path, (*known.stat, *known.leaf)) for path, known in list(self.known.items()) if known.settled)
        write_rows(self._file, rows)

    def mtime_ns(self, path: str, leaf: Leaf) -> int | None:
        """When the live file with exactly this content was written, if that is known."""
        known = self.known.get(path)
        return known.stat[0] if known is not None and known.leaf == leaf else None

    def scan(self, root: Path, paths: Iterable[str]) -> tuple[dict[str, Leaf], dict[str, os.stat_result]]:
        """Files that are as they were, and those that must be looked at. What is not there is in neither."""
        manifest: dict[str, Leaf] = {}
        stale: dict[str, os.stat_result] = {}
        base, known, lstat = f"{root}/", self.known, os.lstat
        real: dict[str, bool] = {"": True}
        for path in paths:
            parent = path.rpartition("/")[0]
            if not (real[parent] if parent in real else _is_real(base, parent, real)):
                continue
            try:
                found = lstat(base + path)
            except OSError:
                continue
            row = known.get(path)
            if row is not None and row.settled and row.stat == signature(found):
                manifest[path] = row.leaf
            elif stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
                stale[path] = found
        return manifest, stale


def _is_real(base: str, folder: str, real: dict[str, bool]) -> bool:
    """Whether a folder is reached without following a symlink."""
    above = folder.rpartition("/")[0]
    answer = real[above] if above in real else _is_real(base, above, real)
    if answer:
        try:
            answer = stat.S_ISDIR(os.lstat(base + folder).st_mode)
        except OSError:
            answer = False
    real[folder] = answer
    return answer
