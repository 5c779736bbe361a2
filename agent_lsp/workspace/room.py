"""Owns what is said when the disk is full."""

import errno
import shutil
import tempfile
from pathlib import Path
from typing import Final

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_WORDS: Final = ("No space left on device", "Disk quota exceeded")
_MIB: Final = 1 << 20
_PROBE_BYTES: Final = 1 << 18


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the disk or the quota is full."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in _FULL) or any(word in str(error) for word in _WORDS):
            return True
        error = error.__cause__
    return False


def check(folder: Path) -> None:
    """Raises OSError if nothing more can be written there: git does not say why it could not."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x" * _PROBE_BYTES)
        file.flush()


def no_room(cache: Path) -> tuple[str, str]:
    """A message and what to do."""
    folder = next((place for place in (cache, *cache.parents) if place.is_dir()), cache)
    free = f"{shutil.disk_usage(folder).free // _MIB} MiB free"
    hint = (
        "Free some space, or move the cache with AGENT_LSP_CACHE_DIR, and start again; `agent-lsp doctor` tells the "
        "cache's size, cache.max_gb bounds it."
    )
    return f"the disk that holds the cache is full ({cache}, {free}); nothing of yours was touched", hint
