"""Owns the bytes of the console log: appending, its folder, and where lines go when the file cannot be written.

Until the file first reaches its limit each write is one `write(2)` to a file opened with O_APPEND, which the kernel
keeps whole between processes; the rotation (and its library, 75 ms and 9 MiB) is loaded only then.
"""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent_lsp.storage.log_rotation import RotatingLog

LOG_NAME: Final = "copilot_console.log"
_RETRY_AFTER_S: Final = 1.0


def make_home(folder: Path) -> None:
    """Makes the folder with a `.gitignore` that keeps all of it out of git. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


class LogFile:
    """One process's way to the log file. For one thread at a time; never raises for trouble with the disk."""

    def __init__(self, folder: Path, *, max_bytes: int, backups: int) -> None:
        self.path = folder / LOG_NAME
        self._folder = folder
        self._max_bytes, self._backups = max_bytes, backups
        self._fd: int | None = None
        self._rotating: RotatingLog | None = None
        self._warned = False
        self._retry_at_s = 0.0

    def write(self, text: str) -> None:
        """Writes whole lines, to stderr while the file cannot be written."""
        if time.monotonic() >= self._retry_at_s:
            try:
                self._write(text)
            except OSError as first:
                self._mend_and_retry(text, first)
            return
        _to_stderr(text)

    def close(self) -> None:
        """Closes the file; writing again opens it again."""
        self._leave()
        if self._rotating is not None:
            self._rotating.close()
            self._rotating = None

    def _mend_and_retry(self, text: str, first: OSError) -> None:
        self.close()
        try:
            make_home(self._folder)
            self._write(text)
        except OSError as second:
            self._retry_at_s = time.monotonic() + _RETRY_AFTER_S
            if not self._warned:
                self._warned = True
                reason = second.strerror or first.strerror or str(second)
                _to_stderr(f"agent-lsp: warning: cannot write {self.path} ({reason}); log lines go to stderr\n")
            _to_stderr(text)

    def _write(self, text: str) -> None:
        if self._rotating is not None:
            self._rotating.write(text)
            self._warned = False
            return
        size = self._size_of_open_file()
        if 0 < self._max_bytes <= size:
            from agent_lsp.storage.log_rotation import RotatingLog

            self._leave()
            self._rotating = RotatingLog(self.path, max_bytes=self._max_bytes, backups=self._backups)
            self._rotating.write(text)
            return
        assert self._fd is not None
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        while data:
            data = data[os.write(self._fd, data) :]
        self._warned = False

    def _size_of_open_file(self) -> int:
        """Opens the file that is at the path now, unless it is the open one, and gives its size."""
        if self._fd is not None:
            try:
                there = self.path.stat()
                if os.path.samestat(there, os.fstat(self._fd)):
                    return there.st_size
            except OSError:
                pass
            self._leave()
        if not self._folder.is_dir() or not (self._folder / ".gitignore").exists():
            make_home(self._folder)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return os.fstat(self._fd).st_size

    def _leave(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _to_stderr(text: str) -> None:
    stream = sys.stderr
    if stream is None or stream.closed:
        return
    try:
        stream.write(text.encode("utf-8", "backslashreplace").decode())
        stream.flush()
    except (OSError, ValueError):
        return
