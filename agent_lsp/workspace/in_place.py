"""Owns large files that are no code: a tree only points to them, and candidates are shown the live ones."""

# Many files are looked at after every command: text serves better here than pathlib.

import asyncio
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from agent_lsp.domain.changes import Entry, FileMode
from agent_lsp.domain.errors import SnapshotError
from agent_lsp.domain.languages import PYTHON, is_code, suffix
from agent_lsp.workspace.masks import is_bytecode
from agent_lsp.workspace.objects import IN_PLACE, Leaf, Manifest, Objects
from agent_lsp.workspace.statcache import Known, grain_ns, signature

LARGE_BYTES: Final = 4 << 20
"""From this size on a file that is no code is not copied."""

STORED_BYTES: Final = 256 << 20
"""Up to this size a file that keeps changing is copied all the same."""

_READ_BYTES: Final = 256 << 20
_CHUNK_BYTES: Final = 1 << 20
_MARK: Final = b"agent-lsp points to a file that stays where it is\n"


class Large(NamedTuple):
    """A file that stays where it is: its path and the stat by which it is known to be unchanged."""

    path: str
    stat: tuple[int, int, int, int, int]

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return self.stat[2]

    @property
    def mode(self) -> FileMode:
        """Its mode as git tells it."""
        return FileMode.EXECUTABLE if self.stat[4] & 0o100 else FileMode.FILE

    def pointer(self) -> bytes:
        """What the tree's entry names."""
        numbers = " ".join(map(str, self.stat)).encode("ascii")
        return _MARK + numbers + b"\n" + os.fsencode(self.path)


def _parse(pointer: bytes) -> Large:
    numbers, _, path = pointer.removeprefix(_MARK).partition(b"\n")
    mtime, ctime, size, inode, mode = map(int, numbers.split())
    return Large(os.fsdecode(path), (mtime, ctime, size, inode, mode))


def may_stay(path: str, found: os.stat_result) -> bool:
    """Whether a file is large enough to be left where it is, and no code."""
    if found.st_size < LARGE_BYTES or not stat.S_ISREG(found.st_mode):
        return False
    return not (is_code(path) or suffix(path) in PYTHON or is_bytecode(path))


class InPlace:
    """The large files of one workspace."""

    def __init__(self, root: Path, objects: Objects) -> None:
        self._root, self._objects = root, objects
        self._known: dict[str, Large] = {}
        self._sha256: dict[str, str] = {}
        self._lively: set[str] = set()

    def point(self, paths: Iterable[str]) -> tuple[dict[str, Known], list[str]]:
        """What the tree says of large files, and those that must be copied like others since they keep changing.

        Waits until no edit could hide behind a stat. For a worker thread.
        """
        known, rest = {}, []
        for path in paths:
            looked = _look(f"{self._root}/{path}")
            if looked is None:
                continue
            found, is_quiet = looked
            if not is_quiet:
                self._lively.add(path)
            if not may_stay(path, found) or (path in self._lively and found.st_size <= STORED_BYTES):
                rest.append(path)
                continue
            large = Large(path, signature(found))
            oid = self._objects.put("blob", large.pointer())
            self._known[oid] = large
            known[path] = Known(large.stat, Leaf(IN_PLACE, oid), True)
        return known, rest

    async def of(self, manifest: Manifest) -> dict[str, Large]:
        """The large files that a tree points to, by path."""
        wanted = {path: leaf.oid for path, leaf in manifest.items() if leaf.mode == IN_PLACE}
        unknown = [oid for oid in wanted.values() if oid not in self._known]
        for oid, pointer in (await self._objects.read(unknown)).items() if unknown else ():
            self._known[oid] = _parse(pointer)
        return {path: self._known[oid] for path, oid in wanted.items()}

    def check(self, files: Mapping[str, Large]) -> None:
        """Raises SnapshotError if one of them is not what it was; from then on it is copied. For a worker thread."""
        for path, large in files.items():
            try:
                same = signature(os.lstat(f"{self._root}/{path}")) == large.stat
            except OSError:
                same = False
            if not same:
                self._lively.add(large.path)
                raise _moved(large)

    async def entries(self, leaves: Iterable[Leaf]) -> dict[Leaf, Entry]:
        """The contents of large files. Raises SnapshotError if one was changed."""
        found = {}
        for leaf in leaves:
            large = await self._one(leaf)
            if large.size_bytes > _READ_BYTES:
                text = f"{large.path} has {large.size_bytes >> 20} MiB and is not read whole"
                raise SnapshotError(text, hint="Add it to .gitignore.")
            content = await asyncio.to_thread(self._read, large)
            found[leaf] = Entry(content, large.mode)
        return found

    async def sha256(self, leaves: Iterable[Leaf]) -> dict[str, str]:
        """sha256 of their bytes by object id. Raises SnapshotError if one was changed."""
        found = {}
        for leaf in leaves:
            if leaf.oid not in self._sha256:
                self._sha256[leaf.oid] = await asyncio.to_thread(self._digest, await self._one(leaf))
            found[leaf.oid] = self._sha256[leaf.oid]
        return found

    async def _one(self, leaf: Leaf) -> Large:
        return (await self.of({"": leaf}))[""]

    def _read(self, large: Large) -> bytes:
        handle = self._open(large)
        with os.fdopen(handle, "rb") as file:
            content = file.read(large.size_bytes + 1)
        self.check({large.path: large})
        return content

    def _digest(self, large: Large) -> str:
        digest = hashlib.sha256()
        with os.fdopen(self._open(large), "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        self.check({large.path: large})
        return digest.hexdigest()

    def _open(self, large: Large) -> int:
        self.check({large.path: large})
        try:
            return os.open(self._root / large.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            hint = "Make it readable, or add it to .gitignore."
            raise SnapshotError(f"{large.path} cannot be read: {error.strerror}", hint=hint) from error

    def copy(self, large: Large, target: Path) -> None:
        """A copy with the same time, for where the live file cannot be shown. Raises SnapshotError, OSError."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(self._open(large), "rb") as source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy, _CHUNK_BYTES)
        target.chmod(0o755 if large.mode is FileMode.EXECUTABLE else 0o644)
        os.utime(target, ns=(large.stat[0], large.stat[0]))
        self.check({large.path: large})


def _look(path: str) -> tuple[os.stat_result, bool] | None:
    """The stat of a file, and whether it stands still: no edit could hide behind it. None if it is gone."""
    try:
        found = os.lstat(path)
        left_ns = _unsettled_ns(found)
        if 0 < left_ns <= grain_ns(found):
            time.sleep(left_ns / 1e9)
            found = os.lstat(path)
    except OSError:
        return None
    return found, _unsettled_ns(found) <= 0


def _unsettled_ns(found: os.stat_result) -> int:
    return max(found.st_mtime_ns, found.st_ctime_ns) + grain_ns(found) - time.time_ns()


def _moved(large: Large) -> SnapshotError:
    return SnapshotError(
        f"{large.path} was changed while it was in use; files of {LARGE_BYTES >> 20} MiB and more are not copied "
        "but used where they are",
        hint="Start again: it is copied from now on. If it changes all the time, add it to .gitignore.",
    )
