"""Owns the rotation of a log file that several processes write. Imported only when a file has grown to its limit."""

import logging
import os
from pathlib import Path

from concurrent_log_handler import ConcurrentRotatingFileHandler


class RotatingLog:
    """Writes under a lock that all processes share, and renames `name` to `name.1` and so on when it is full."""

    def __init__(self, path: Path, *, max_bytes: int, backups: int) -> None:
        self._handler = _RaisingHandler(
            str(path), "a", maxBytes=max_bytes, backupCount=backups, encoding="utf-8", unicode_error_policy="replace"
        )

    def write(self, text: str) -> None:
        """Writes whole lines at once. Raises OSError."""
        handler = self._handler
        handler.leave_deleted_lock()
        handler.emit(logging.makeLogRecord({"msg": text.removesuffix("\n")}))

    def close(self) -> None:
        """Closes file and lock."""
        self._handler.close()


class _RaisingHandler(ConcurrentRotatingFileHandler):
    """The library's handler, with failures left to the caller and its lock file watched."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - the name is logging's
        """Called inside the library's `except`: hands the error on instead of printing it."""
        raise  # noqa: PLE0704

    def leave_deleted_lock(self) -> None:
        """Lets go of a lock file that was deleted with its folder: other processes lock the new one."""
        lock = self.stream_lock
        if lock is None or lock.closed:
            return
        try:
            there = Path(self.lockFilename).stat()
            same = os.path.samestat(there, os.fstat(lock.fileno()))
        except OSError:
            same = False
        if not same:
            lock.close()
            self.stream_lock = None
