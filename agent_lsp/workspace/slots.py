"""Owns how many runs work at the same time on this machine, whatever folders they are in: slots that are locked files.

The system drops a lock with its process, so that nobody has to free the slot of one that died. Who finds no slot takes
a ticket, and tickets are served in the order of their time; a runtime has one ticket at a time, so runtimes take turns.
"""

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent_lsp.domain.slots import Release
from agent_lsp.workspace.layout import make_private

logger = logging.getLogger(__name__)

_LOOK_S: Final = 0.1
_STALE_S: Final = 15.0
"""A ticket that nobody has touched for so long is of a process that stands still, and holds up nobody."""

_TICKET: Final = "ticket-"
_numbers = itertools.count()


class MachineSlots:
    """A `domain.slots.Slots`. `most` is asked each time, so that settings may change."""

    def __init__(self, folder: Path, most: Callable[[], int], look_s: float = _LOOK_S) -> None:
        self._folder, self._most, self._look_s = folder, most, look_s
        self._warned = False

    def try_take(self) -> Release | None:
        """A slot, if one is free and nobody waits for it. Where there can be no locks everybody works."""
        try:
            make_private(self._folder)
            return None if self._before("") else self._free_slot()
        except OSError as error:
            return self._unbounded(error)

    async def take(self) -> Release:
        """A slot, once all who came before have one."""
        try:
            make_private(self._folder)
            ticket, handle = self._ticket()
        except OSError as error:
            return self._unbounded(error)
        try:
            while True:
                os.utime(handle)
                if not self._before(ticket) and (release := self._free_slot()) is not None:
                    return release
                await asyncio.sleep(self._look_s)
        except OSError as error:
            return self._unbounded(error)
        finally:
            with contextlib.suppress(OSError):
                (self._folder / ticket).unlink()
            os.close(handle)

    def _ticket(self) -> tuple[str, int]:
        """A ticket that is locked before it has its name."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(_numbers)}"
        making = self._folder / f"making-{name}"
        handle = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            making.rename(self._folder / f"{_TICKET}{name}")
        except BaseException:
            making.unlink(missing_ok=True)
            os.close(handle)
            raise
        return f"{_TICKET}{name}", handle

    def _before(self, ticket: str) -> bool:
        """Whether somebody waits who came before this one; without a ticket, anybody."""
        names = sorted(path.name for path in self._folder.glob(f"{_TICKET}*"))
        return any(self._waits(self._folder / name) for name in names if not ticket or name < ticket)

    def _waits(self, ticket: Path) -> bool:
        try:
            handle = os.open(ticket, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if _locked(handle):
                ticket.unlink(missing_ok=True)  # its process is gone
                return False
            return time.time() - os.fstat(handle).st_mtime < _STALE_S
        finally:
            os.close(handle)

    def _free_slot(self) -> Release | None:
        for number in range(self._most()):
            handle = os.open(self._folder / f"slot-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                taken = _locked(handle)
            except OSError:
                os.close(handle)
                raise
            if taken:
                return _Held(handle)
            os.close(handle)
        return None

    def _unbounded(self, error: OSError) -> Release:
        if not self._warned:
            self._warned = True
            logger.warning("runs of other folders are not waited for: %s", error)
        return lambda: None


class _Held:
    """A locked slot; calling it gives the slot back."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __call__(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def _locked(handle: int) -> bool:
    """Locks an open file; False where another one has it. Raises OSError where the file system knows no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
