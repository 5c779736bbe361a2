"""Owns writing to the person's files: one file at a time, whole or not at all, on disk when it returns."""

import asyncio
import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import Final

from agent_lsp.domain.changes import Entry, FileMode
from agent_lsp.domain.errors import RefusedError, SnapshotError, StaleError
from agent_lsp.domain.ports import Was
from agent_lsp.workspace.layout import STATE_FOLDER
from agent_lsp.workspace.listing import FORBIDDEN
from agent_lsp.workspace.statcache import load
from agent_lsp.workspace.swap import create_absent, delete_expected, replace_expected

_ADVICE: Final = {
    errno.EACCES: "Give yourself the right to write there, then apply again.",
    errno.EPERM: "Give yourself the right to write there, then apply again.",
    errno.EROFS: "The file system is read-only; make it writable, then apply again.",
    errno.ENOSPC: "The disk is full; free some space, then apply again.",
    errno.EFBIG: "The system allows no file of this size (ulimit -f); raise the limit, then apply again.",
    errno.EIO: "The disk reports an error; look after it, then apply again.",
    errno.ESTALE: "The network file system lost the file; mount it again, then apply again.",
    errno.EDQUOT: "Your disk quota is used up; free some space, then apply again.",
    errno.ENOTDIR: "A part of the path is a file; move it away, then apply again.",
    errno.EEXIST: "A part of the path is a file; move it away, then apply again.",
    errno.EISDIR: "There is a folder at this path; move it away, then apply again.",
    errno.ENAMETOOLONG: "The file system does not take names of this length.",
}


_DRAFT: Final = ".agent-lsp-draft-"
"""What the names of unfinished files begin with; one that a crash left is removed by `tidy`."""


class DiskFiles:
    """The files of one workspace. Paths are POSIX and relative to the root."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def read(self, path: str) -> Entry | None:
        """What lies on disk at a path, or None. A symlink is told as such. Raises RefusedError."""
        return await asyncio.to_thread(self._read, path)

    async def replace(self, path: str, entry: Entry | None, was: Entry | Was | None = Was.ANYTHING) -> None:
        """Writes, creates (with its folders) or deletes one file. Raises RefusedError with what to do.

        Raises StaleError where the file is not what it `was`, be it since the last moment; it is left alone then.
        """
        await asyncio.to_thread(self._replace, path, entry, was)

    async def hold_room(self, size_bytes: int) -> Callable[[], None]:
        """Takes so much of the disk until the answer is called, so that putting files back finds it free.

        Raises RefusedError where the disk has not that much left.
        """
        return (lambda: None) if size_bytes <= 0 else await asyncio.to_thread(self._hold_room, size_bytes)

    async def tidy(self, paths: Collection[str], created: Collection[str] = ()) -> None:
        """Removes what interrupted writes of these files left: drafts, and empty folders of `created` ones.

        Only for who may write alone in the workspace now, since a draft of another writer would go too.
        """
        await asyncio.to_thread(self._tidy, paths, created)

    def _hold_room(self, size_bytes: int) -> Callable[[], None]:
        folder = self._root / STATE_FOLDER
        try:
            if folder.is_symlink() or not folder.is_dir() or not os.access(folder, os.W_OK):
                folder = self._root
            handle, name = tempfile.mkstemp(dir=folder, prefix=_DRAFT)
            try:
                os.posix_fallocate(handle, 0, size_bytes)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                advice = _ADVICE[error.errno]
                raise RefusedError(f"nothing was written: {error.strerror}. {advice}", hint=advice) from error
            return lambda: None  # the root takes no files of its own, or its file system cannot hold room
        return lambda: Path(name).unlink(missing_ok=True)

    def _tidy(self, paths: Collection[str], created: Collection[str]) -> None:
        folders = {self._root, self._root / STATE_FOLDER}
        for path in paths:
            with contextlib.suppress(RefusedError, OSError):
                folders |= {self._place(path, follow=follow).parent for follow in (False, True)}
        for folder in folders:
            with contextlib.suppress(OSError):
                for draft in [found for found in folder.iterdir() if found.name.startswith(_DRAFT)]:
                    draft.unlink(missing_ok=True)
        for path in created:
            with contextlib.suppress(RefusedError, OSError):
                place = self._place(path, follow=False)
                if _stat(place) is None:
                    _drop_empty(place.parent, self._root)

    def _read(self, path: str) -> Entry | None:
        target = self._place(path, follow=False)
        try:
            loaded = load(str(target))
        except SnapshotError as error:
            raise RefusedError(error.message, hint=_ADVICE[errno.EACCES]) from error
        return None if loaded is None else Entry(loaded.content, FileMode(loaded.mode))

    def _replace(self, path: str, entry: Entry | None, was: Entry | Was | None) -> None:
        follow = entry is not None and entry.mode is not FileMode.SYMLINK
        try:
            target = self._place(path, follow=follow)
            if entry is None:
                done = _delete(target, self._root, was)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                done = _write(target, entry, was)
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "See the log for what the system said.")
            reason = error.strerror or str(error)
            raise RefusedError(f"{path} was not written: {reason}. {advice}", hint=advice) from error
        if not done:
            raise StaleError(f"{path} changed just now")

    def _place(self, path: str, *, follow: bool) -> Path:
        """Where a path leads on disk, inside the root. Raises RefusedError."""
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in path:
            raise RefusedError(f"{path!r} is not a path inside the workspace", hint="Give a plain relative path.")
        joined = self._root / pure
        real = Path(os.path.realpath(joined)) if follow else Path(os.path.realpath(joined.parent)) / joined.name
        if not real.is_relative_to(self._root) or real == self._root:
            hint = "A symlink on the way leads out; change the file where it really lies."
            raise RefusedError(f"{path} leads out of the workspace", hint=hint)
        if real.relative_to(self._root).parts[0] in FORBIDDEN:
            raise RefusedError(f"{path} belongs to {real.relative_to(self._root).parts[0]}", hint="It is left alone.")
        return real


def _is(was: Entry | None) -> Callable[[Path], bool]:
    """Whether a file is what it was."""

    def same(path: Path) -> bool:
        try:
            loaded = load(str(path))
        except SnapshotError:
            return False
        return (None if loaded is None else Entry(loaded.content, FileMode(loaded.mode))) == was

    return same


def _write(target: Path, entry: Entry, was: Entry | Was | None) -> bool:
    """False where the target is not what it was."""
    before = _stat(target)
    if before is not None and stat.S_ISDIR(before.st_mode):
        raise IsADirectoryError(errno.EISDIR, "there is a folder")
    regular = before is not None and stat.S_ISREG(before.st_mode)
    if regular and not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        if os.statvfs(target).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, "the file system is read-only")
        raise PermissionError(errno.EACCES, "the file is read-only")
    if before is not None and regular and not before.st_mode & 0o222:
        raise PermissionError(errno.EACCES, "the file is read-only")
    draft = _draft(target, entry, before if regular else None)
    done = True
    try:
        if isinstance(was, Was):
            draft.replace(target)
        else:
            done = create_absent(draft, target) if was is None else replace_expected(draft, target, _is(was))
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)
    return done


def _draft(target: Path, entry: Entry, before: os.stat_result | None) -> Path:
    """The new content beside the target, on disk, with the rights and owner of what it replaces."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=_DRAFT)
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            if entry.mode is FileMode.SYMLINK:
                draft.unlink()
                os.symlink(entry.content, os.fsencode(draft))  # noqa: PTH211 - bytes as they are
                return draft
            file.write(entry.content)
            os.fchmod(handle, _bits(entry.mode, before))
            if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                _keep_owner(handle, before)
            file.flush()
            os.fsync(handle)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _keep_owner(handle: int, before: os.stat_result) -> None:
    now = os.fstat(handle)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(handle, before.st_uid, before.st_gid)
        os.fchmod(handle, stat.S_IMODE(now.st_mode))


def _bits(mode: FileMode, before: os.stat_result | None) -> int:
    if before is None:
        mask = _umask()
        return (0o777 if mode is FileMode.EXECUTABLE else 0o666) & ~mask
    bits = stat.S_IMODE(before.st_mode)
    if mode is FileMode.EXECUTABLE:
        return bits if bits & 0o100 else bits | (bits & 0o444) >> 2
    return bits & ~0o111 if bits & 0o100 else bits


def _umask() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1], 8) for line in status.splitlines() if line.startswith("Umask:"))
    except (OSError, StopIteration, ValueError):
        return 0o022


def _delete(target: Path, root: Path, was: Entry | Was | None) -> bool:
    """False where the target is not what it was."""
    before = _stat(target)
    if before is None:
        return was in (None, Was.ANYTHING)
    if stat.S_ISDIR(before.st_mode):
        raise IsADirectoryError(errno.EISDIR, "there is a folder")
    if isinstance(was, Was):
        target.unlink()
    elif not delete_expected(target, _is(was), _DRAFT):
        return False
    _sync_folder(target.parent)
    _drop_empty(target.parent, root)
    return True


def _drop_empty(folder: Path, root: Path) -> None:
    """Removes a folder and those above it as far as nothing is in them."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _stat(target: Path) -> os.stat_result | None:
    try:
        return target.lstat()
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
