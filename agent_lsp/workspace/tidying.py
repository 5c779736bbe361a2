"""Owns the bound of the cache: how much all workspaces use together, what goes first, and what crashes left.

`main` runs in a process of its own with the lowest priority (see upkeep.py): standard library only.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_lsp.workspace.home import empty_trash, remove_abandoned
from agent_lsp.workspace.layout import Layout

STAMP: Final = "upkeep"
"""Name of the file in the caches' folder whose time is that of the last tidying."""

_UNUSED_S: Final = 30 * 24 * 3600.0
_ORPHANED_S: Final = 24 * 3600.0
_DRAFT_S: Final = 24 * 3600.0
_NAME: Final = re.compile(r"[0-9a-f]{16}")
_DRAFTS: Final = ("probe-*", "import-*", "merge-*", ".imports-*", ".memory-*")
_TEMPORARY: Final = ("agent-lsp-doctor-*", "agent-lsp-demo-*")
_IDLE_CLASS: Final = 3 << 13
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30}


@dataclass(frozen=True, slots=True)
class Holding:
    """What one workspace has in the cache. `used_s` is when it was last started; `root` may be gone."""

    layout: Layout
    size_bytes: int
    used_s: float
    root: Path | None


def main() -> None:
    """`CACHES BOUND FREE`: in a process of its own."""
    caches, bound, free = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    _step_back()
    with contextlib.suppress(OSError):
        tidy(caches, None if bound == "-" else int(bound), free)


def _step_back() -> None:
    """Last in line for the processor and the disk, and gone with who started it."""
    from agent_lsp.workspace.mounts import die_with_parent

    with contextlib.suppress(OSError, AttributeError):
        die_with_parent()
        os.nice(19)
        import ctypes

        number = _IOPRIO_SET.get(os.uname().machine)
        if number is not None:
            ctypes.CDLL(None).syscall(number, 1, 0, _IDLE_CLASS)


def tidy(caches: Path, max_bytes: int | None, free_bytes: int = 0) -> None:
    """Removes what crashes left, then what was unused longest, until the caches are within their bound."""
    handle = os.open(caches / "upkeep.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return  # somebody is at it
    try:
        (caches / STAMP).touch(mode=0o600)
        _remove_temporary(Path(tempfile.gettempdir()))
        for layout in _layouts(caches):
            with _alone(layout) as is_alone:
                _remove_left(layout, is_alone=is_alone)
                if is_alone and _is_forgotten(layout):
                    _remove_all(layout)
        _evict(caches, max_bytes, free_bytes)
    finally:
        os.close(handle)


def _evict(caches: Path, max_bytes: int | None, free_bytes: int) -> None:
    rows = sorted(holdings(caches), key=lambda row: row.used_s)
    total_bytes = sum(row.size_bytes for row in rows)

    def is_enough() -> bool:
        within = max_bytes is None or total_bytes <= max_bytes
        return within and (not free_bytes or shutil.disk_usage(caches).free >= free_bytes)

    for step in (_remove_checkouts, _remove_all):
        for row in rows:
            if is_enough():
                return
            with _alone(row.layout) as is_alone:
                if is_alone and row.layout.cache.is_dir():
                    before_bytes = _size_bytes(row.layout)
                    step(row.layout)
                    total_bytes -= before_bytes - _size_bytes(row.layout)


def holdings(caches: Path) -> list[Holding]:
    """What each workspace has in the cache, unordered."""
    found = []
    for layout in _layouts(caches):
        with contextlib.suppress(OSError):
            found.append(Holding(layout, _size_bytes(layout), _used_s(layout), _root(layout)))
    return found


def _layouts(caches: Path) -> list[Layout]:
    """Folders that are certainly ours."""
    found = []
    for folder in caches.iterdir():
        layout = Layout(folder)
        signs = (layout.lock, layout.git / "stat-cache.json", layout.bases)
        if _NAME.fullmatch(folder.name) and not folder.is_symlink() and any(sign.exists() for sign in signs):
            found.append(layout)
    return found


def _used_s(layout: Layout) -> float:
    for sign in (layout.lock, layout.cache):
        with contextlib.suppress(OSError):
            return sign.stat().st_mtime
    return 0.0


def _root(layout: Layout) -> Path | None:
    try:
        return Path(os.fsdecode(layout.owner.read_bytes()))
    except OSError:
        return None


def _is_forgotten(layout: Layout) -> bool:
    """Unused for a month, or for a day when the workspace is gone."""
    age_s, root = time.time() - _used_s(layout), _root(layout)
    return age_s > _UNUSED_S or (root is not None and age_s > _ORPHANED_S and not root.is_dir())


@contextlib.contextmanager
def _alone(layout: Layout) -> Iterator[bool]:
    """Whether no process uses a workspace's cache; none can begin to while this lasts."""
    try:
        handle = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield False
        return
    used_s = os.fstat(handle).st_mtime
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
        os.utime(handle, (used_s, used_s))
    finally:
        os.close(handle)


def _remove_left(layout: Layout, *, is_alone: bool) -> None:
    """What a crash left: candidates of dead processes, drafts, checkouts that were being made or changed."""
    remove_abandoned(layout)
    for pattern in _DRAFTS:
        for draft in layout.cache.glob(pattern):
            with contextlib.suppress(OSError):
                if is_alone or time.time() - draft.lstat().st_mtime > _DRAFT_S:
                    _remove(draft)
    if is_alone:
        for checkout in (*_below(layout.bases), *_below(layout.copies)):
            if not (checkout / "state").is_file():
                _remove(checkout)
    empty_trash(layout)


def _remove_checkouts(layout: Layout) -> None:
    for folder in (layout.bases, layout.copies, layout.candidates, layout.trash):
        _remove(folder)


def _remove_all(layout: Layout) -> None:
    """The lock goes last and is held meanwhile: who waits for it finds that it is gone, and makes the cache anew."""
    for path in _below(layout.cache):
        if path != layout.lock:
            _remove(path)
    layout.lock.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        layout.cache.rmdir()


def _remove_temporary(folder: Path) -> None:
    """Folders that a doctor or a demonstration that was killed left."""
    for pattern in _TEMPORARY:
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                found = path.lstat()
                if found.st_uid == os.getuid() and time.time() - found.st_mtime > _DRAFT_S:
                    _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _below(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _size_bytes(layout: Layout) -> int:
    """What it takes on the disk. Checkouts are measured once: nobody writes to them but who makes them."""
    size_bytes = 0
    for path in _below(layout.cache):
        if path in (layout.bases, layout.copies):
            size_bytes += sum(map(_checkout_bytes, _below(path)))
        else:
            size_bytes += _disk_bytes(path)
    return size_bytes


def _checkout_bytes(checkout: Path) -> int:
    note = checkout / "size.json"
    try:
        made_ns = (checkout / "state").stat().st_mtime_ns
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            known = json.loads(note.read_bytes())
            if known["made_ns"] == made_ns:
                return int(known["size_bytes"])
        size_bytes = _disk_bytes(checkout)
        note.write_text(json.dumps({"made_ns": made_ns, "size_bytes": size_bytes}), encoding="ascii")
    except OSError:
        return _disk_bytes(checkout)
    return size_bytes


def _disk_bytes(path: Path) -> int:
    try:
        size_bytes = path.lstat().st_blocks * 512
    except OSError:
        return 0
    folders = [str(path)] if path.is_dir() and not path.is_symlink() else []
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as rows:
            for row in rows:
                size_bytes += row.stat(follow_symlinks=False).st_blocks * 512
                if row.is_dir(follow_symlinks=False):
                    folders.append(row.path)
    return size_bytes
