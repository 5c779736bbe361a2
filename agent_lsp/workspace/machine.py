"""Owns what this machine has to give now: cores it may use, free memory, limits of containers."""

import os
from pathlib import Path
from typing import Final

from agent_lsp.domain.sharding import Room

_GUESSED_BYTES: Final = 2 << 30
_CGROUP: Final = Path("/sys/fs/cgroup")


def room() -> Room:
    """As it is now."""
    return Room(_cores(), free_bytes())


def free_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int:
    """Memory that can be had without pushing something else out: the machine's, or what a container is left with."""
    free = _available(meminfo)
    for limit, used, stat in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        most, taken = _number(cgroup / limit), _number(cgroup / used)
        if most is not None and taken is not None:
            free = min(free, max(0, most - taken + _reclaimable(cgroup / stat)))
    return free


def _cores() -> int:
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        cores = os.cpu_count() or 1
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores


def _available(meminfo: Path) -> int:
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return _GUESSED_BYTES


def _reclaimable(stat: Path) -> int:
    """The page cache counts as used, and is given up first."""
    try:
        rows = dict(line.split() for line in stat.read_text().splitlines())
        return int(rows.get("inactive_file", 0))
    except (OSError, ValueError):
        return 0


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
