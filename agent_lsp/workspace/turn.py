"""Owns whose turn it is to write in a workspace: one process at a time, whichever editor it serves."""

import asyncio
import contextlib
import errno
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import RefusedError

logger = logging.getLogger(__name__)

WAIT_S: Final = 15.0
_LOOK_S: Final = 0.02

_UNSUPPORTED: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EACCES, errno.EPERM)


class WorkspaceTurn:
    """`domain.ports.Turn`: a lock of the workspace's root folder itself, which the system drops with its process.

    A lock file could be deleted or lie where nobody may write; the folder is there as long as the workspace.
    """

    def __init__(self, root: Path, wait_s: float = WAIT_S) -> None:
        self._root, self._wait_s = root.resolve(), wait_s

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Holds the turn. Raises RefusedError when another process keeps it for long."""
        handle = await self._lock()
        try:
            yield
        finally:
            if handle is not None:
                os.close(handle)

    async def _lock(self) -> int | None:
        """The locked folder; None where the file system knows no locks, and everybody writes as they like."""
        try:
            handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RefusedError(
                f"{self._root} cannot be opened: {error.strerror}", hint="Look whether the folder is still there."
            ) from error
        try:
            until_s = time.monotonic() + self._wait_s
            while not _try_lock(handle):
                if time.monotonic() >= until_s:
                    raise RefusedError(
                        f"another agent-lsp is writing in {self._root.name} and has not ended for {self._wait_s:.0f} s",
                        hint="Wait until its change is written, or close the other editor.",
                    )
                await asyncio.sleep(_LOOK_S)
        except OSError as error:
            os.close(handle)
            if error.errno not in _UNSUPPORTED:
                raise
            logger.info("%s knows no locks: %s", self._root, error)
            return None
        except BaseException:
            os.close(handle)
            raise
        return handle


def _try_lock(handle: int) -> bool:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
