"""Owns the folder that each candidate has in the cache, and the removal of those whose process died."""

import contextlib
import fcntl
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from agent_lsp.workspace.layout import Layout, make_private


@dataclass(slots=True)
class Home:
    """One candidate's folder, locked for as long as this process lives."""

    layout: Layout
    path: Path
    _handle: int

    @classmethod
    def make(cls, layout: Layout) -> "Home":
        """A new empty folder with a `scratch` in it. Raises OSError."""
        make_private(layout.candidates)
        path = layout.candidates / secrets.token_hex(6)
        lock = path.with_suffix(".lock")
        handle = _locked(lock)
        path.mkdir(mode=0o700)
        (path / "scratch").mkdir(mode=0o700)
        return cls(layout, path, handle)

    @property
    def scratch(self) -> Path:
        """A writable folder that commands see at the same path."""
        return self.path / "scratch"

    def folder(self, name: str) -> Path:
        """A new folder of its own for a layer."""
        made = self.path / name
        made.mkdir(mode=0o700)
        return made

    def discard(self) -> None:
        """Moves the folder out of sight at once; `empty_trash` deletes it. Safe to repeat."""
        if self._handle < 0:
            return
        throw_away(self.layout, self.path)
        self.path.with_suffix(".lock").unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = -1


def _locked(lock: Path) -> int:
    """A lock that nobody tidied away between its making and its taking."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


def throw_away(layout: Layout, folder: Path) -> None:
    """Moves a folder to the trash."""
    make_private(layout.trash)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(layout.trash / f"{folder.name}-{secrets.token_hex(4)}")


def remove_abandoned(layout: Layout) -> None:
    """Throws away the folders of candidates whose process is dead; those of living ones stay."""
    if not layout.candidates.is_dir():
        return
    for lock in layout.candidates.glob("*.lock"):
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # another process tidies too
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            throw_away(layout, lock.with_suffix(""))
            lock.unlink(missing_ok=True)
        finally:
            os.close(handle)


def empty_trash(layout: Layout) -> None:
    """Deletes what was thrown away, whatever rights it was left with."""
    if not layout.trash.is_dir():
        return
    for folder in layout.trash.iterdir():
        try:
            shutil.rmtree(folder)
        except OSError:
            open_up(folder)
            shutil.rmtree(folder, ignore_errors=True)


def open_up(folder: Path) -> None:
    """Gives its owner the rights to every folder below (overlay's work folders have none)."""
    folders = [folder]
    while folders:
        with contextlib.suppress(OSError):
            here = folders.pop()
            here.chmod(0o700)
            folders += [path for path in here.iterdir() if path.is_dir() and not path.is_symlink()]
