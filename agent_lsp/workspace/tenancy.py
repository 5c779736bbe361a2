"""Owns the lock that tells whether a workspace's cache is in use, and what its folder says of itself."""

import asyncio
import fcntl
import os
import time
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import SnapshotError
from agent_lsp.workspace.layout import Layout, make_private

_WAIT_S: Final = 120.0
_LOOK_S: Final = 0.05


class Tenancy:
    """The use of one workspace's cache by this process, for as long as the object lives."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        weakref.finalize(self, os.close, handle)

    @classmethod
    async def begin(cls, layout: Layout, root: Path, alone: Callable[[], Awaitable[None]]) -> "Tenancy":
        """Waits until nobody tidies the cache. `alone` is run first if nobody else uses it. Raises SnapshotError."""
        end_s = time.monotonic() + _WAIT_S
        while True:
            make_private(layout.cache)
            tenancy = cls(os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            if tenancy._lock(fcntl.LOCK_EX):
                if not os.fstat(tenancy._handle).st_nlink:
                    continue  # the whole cache was removed in between
                layout.owner.write_bytes(os.fsencode(root))
                await alone()
            if tenancy._lock(fcntl.LOCK_SH) and os.fstat(tenancy._handle).st_nlink:
                os.utime(layout.lock)
                return tenancy
            if time.monotonic() > end_s:
                hint = f"Another agent-lsp tidies {layout.cache}; wait for it, or end it."
                raise SnapshotError("the cache of this workspace is locked", hint=hint)
            await asyncio.sleep(_LOOK_S)

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._handle, kind | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
