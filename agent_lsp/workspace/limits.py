"""Owns how much commands of one candidate may use of this machine, all of them together."""

import os
from typing import Any, Final

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
MEMORY_SHARE: Final = 0.75
PROCESSES: Final = 4096
"""Processes and threads. A test suite that uses every core stays far below."""
DISK_BYTES: Final = 8 * _GIB
FILE_BYTES: Final = 4 * _GIB
FREE_BYTES: Final = 256 * _MIB
"""What must stay free on the disk: below it, a command that made the disk this full is stopped."""


def limits(disk: list[str], skipped: list[str] | None = None, *, held_bytes: int = 0) -> dict[str, Any]:
    """For the configuration of a holder. `disk` are the folders whose growth counts, without the `skipped` ones.

    `held_bytes` lie in them from the start.
    """
    try:
        memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        memory_bytes = 8 * _GIB
    return {
        "memory_bytes": int(memory_bytes * MEMORY_SHARE),
        "processes": PROCESSES,
        "disk_bytes": DISK_BYTES + held_bytes,
        "file_bytes": FILE_BYTES,
        "free_bytes": FREE_BYTES,
        "disk": disk,
        "disk_skipped": skipped or [],
    }
