"""Owns the watch over what the commands of a candidate use together: processes, memory, disk. Holder only."""

# The holder starts for every candidate: it does without pathlib, which costs more than all it does at start.
# ruff: noqa: PTH123, PTH208

import os
import resource
import time
from collections.abc import Callable
from typing import Any

INTERVAL_S = 0.2
_DISK_STEP_BYTES = 32 << 20
_DISK_STEP_FILES = 20_000
_FILES = 1_000_000
_MIB = 1 << 20


def limit_own(config: dict[str, Any], *, in_namespace: bool) -> None:
    """Limits of a process about to become a command; whatever it starts has them too."""
    _lower(resource.RLIMIT_FSIZE, config["file_bytes"])
    _lower(resource.RLIMIT_CORE, 0)
    # In a user namespace only its own processes count (Linux 5.14); root is never held by it.
    if in_namespace and os.getuid() != 0 and hasattr(resource, "RLIMIT_NPROC"):
        _lower(resource.RLIMIT_NPROC, config["processes"])


def _lower(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


class Watch:
    """Looks a few times a second. `pids` tells the processes that count."""

    def __init__(self, limits: dict[str, Any], pids: Callable[[], list[int]]) -> None:
        self._limits, self._pids = limits, pids
        self._skipped = set(limits["disk_skipped"])
        self._last_s = 0.0
        self._seen: tuple[int, int] | None = None

    def begin(self) -> None:
        """A command starts where none was running."""
        if self._seen is None:
            self._seen = self._free()
        self._last_s = time.monotonic()

    def wait_s(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._last_s + INTERVAL_S - time.monotonic())

    def reason(self) -> str:
        """What is over its limit, or nothing. Costs next to nothing between two looks."""
        if self.wait_s() > 0:
            return ""
        text = self._processes() or self._disk()
        self._last_s = time.monotonic()
        return text

    def _processes(self) -> str:
        pids = self._pids()
        most, memory = self._limits["processes"], self._limits["memory_bytes"]
        # A process namespace may have this limit itself: then its last few places are never taken.
        if len(pids) > most - most // 20:
            return f"more than {most} processes"
        resident = [_resident_bytes(pid) for pid in pids]
        used = sum(own for own, _ in resident)
        if used <= memory < used + sum(shared for _, shared in resident):
            used += sum(map(_memory_without_file_bytes, pids))
        return f"more than {memory // _MIB} MiB of memory" if used > memory else ""

    def _free(self) -> tuple[int, int]:
        found = [os.statvfs(folder) for folder in self._limits["disk"]]
        bytes_free = [row.f_bavail * row.f_frsize for row in found]
        return min(bytes_free, default=0), min((row.f_favail for row in found), default=0)

    def _disk(self) -> str:
        if not self._limits["disk"]:
            return ""
        free, files = self._free()
        before = self._seen or (free, files)
        if before[0] - free < _DISK_STEP_BYTES and before[1] - files < _DISK_STEP_FILES:
            self._seen = (max(free, before[0]), max(files, before[1]))
            return ""
        self._seen = (free, files)
        most = self._limits["disk_bytes"]
        if free < self._limits["free_bytes"]:
            return f"the disk is full but for {free // _MIB} MiB"
        used, count = self._used(most)
        if used > most or count > _FILES:
            return f"more than {most // _MIB} MiB on the disk" if used > most else f"more than {_FILES} files"
        return ""

    def _used(self, most: int) -> tuple[int, int]:
        used = count = 0
        folders = list(self._limits["disk"])
        while folders and used <= most and count <= _FILES:
            try:
                rows = list(os.scandir(folders.pop()))
            except OSError:
                continue
            for row in rows:
                count += 1
                try:
                    used += row.stat(follow_symlinks=False).st_blocks * 512
                    if row.is_dir(follow_symlinks=False) and row.path not in self._skipped:
                        folders.append(row.path)
                except OSError:
                    continue
        return used, count


def _resident_bytes(pid: int) -> tuple[int, int]:
    """What a process has of memory that it does not share, and that it may share: files, and memory without a file."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            fields = file.read().split()
        page = resource.getpagesize()
        return (int(fields[1]) - int(fields[2])) * page, int(fields[2]) * page
    except (OSError, IndexError, ValueError):
        return 0, 0


def _memory_without_file_bytes(pid: int) -> int:
    """Its part of shared memory that no file on a disk is behind. Takes long for a large process."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            rows = [row.split() for row in file if row.startswith(b"Pss_Shmem:")]
        return sum(int(row[1]) << 10 for row in rows)
    except (OSError, IndexError, ValueError):
        return 0


def pids_of_namespace() -> list[int]:
    """Every other process, where this one is the first of a namespace with a /proc of its own."""
    own = str(os.getpid())
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != own]
