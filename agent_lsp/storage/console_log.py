"""Owns the console log of a process: which records reach it, how a line reads, and that errors are on disk at once.

Whoever logs only formats the message and puts it on a queue (microseconds, so an event loop never waits for a disk);
a thread masks, writes and flushes in order. Plain lines are on disk a moment later: a killed process loses at most
what was in flight, normally less than a millisecond. An error waits for the disk before the logging call returns,
a short while on an event loop and longer elsewhere, and the hooks for unhandled errors wait longest.
"""

import asyncio
import atexit
import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agent_lsp.domain.scope import OPERATION, REQUEST_ID, RUN_ID
from agent_lsp.storage.error_block import END, MESSAGE_CHARS, START, Trouble, body, capture, clip, versions
from agent_lsp.storage.error_causes import Symptom
from agent_lsp.storage.log_file import LogFile
from agent_lsp.storage.log_hooks import install_hooks
from agent_lsp.storage.redaction import Redactor

LOOP_WAIT_S: Final = 0.015
"""How long an error may hold up an event loop until it is on disk (the loop's own limit is 20 ms)."""

THREAD_WAIT_S: Final = 2.0
DYING_WAIT_S: Final = 5.0
QUEUE_LIMIT: Final = 20_000
"""Records waiting for the disk; beyond it lines below WARNING are dropped, counted, and the count is told."""

BATCH_BYTES: Final = 64 * 1024
QUIET: Final = (
    "pygls", "httpx", "httpx2", "httpcore", "httpcore2", "anthropic", "openai", "asyncio", "urllib3", "requests",
    "detect_secrets", "concurrent_log_handler", "watchfiles", "git", "charset_normalizer", "markdown_it",
)  # fmt: skip
"""Libraries that log every message they carry; only their warnings are kept."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record as it is queued: text and plain values only."""

    time_s: float
    level: str
    logger: str
    run_id: str
    request_id: str
    operation: str
    message: str
    trouble: Trouble | None = None


class LineFormat:
    """Makes the text of an entry, its secrets masked. Parts of a line are given in docs/copilot-log.md."""

    def __init__(self, process: str, root: Path, redactor: Redactor) -> None:
        self._process = f"{process}[{os.getpid()}]"
        self._root, self._redactor = root, redactor

    def warm_up(self) -> None:
        """Loads the detectors of secrets."""
        self._redactor.mask("token")

    def hide(self, *values: str) -> None:
        """Masks these from now on."""
        self._redactor.hide(*values)

    def text(self, entry: Entry) -> str:
        """The entry's lines, and its error block."""
        stamp = datetime.fromtimestamp(entry.time_s, UTC).astimezone().isoformat(timespec="milliseconds")
        run, request = entry.run_id or "-", entry.request_id or "-"
        head = f"{stamp} {entry.level} {self._process} run={run} req={request} {entry.logger}"
        message = self._redactor.mask(entry.message)
        if message.isprintable():
            lines = f"{head}: {message}\n"
        else:
            first, *more = [plain(line) for line in message.splitlines()] or [""]
            lines = f"{head}: {first}\n" + "".join(f"{head}| {line}\n" for line in more)
        return lines if entry.trouble is None else lines + self._block(entry, entry.trouble, stamp)

    def _block(self, entry: Entry, trouble: Trouble, stamp: str) -> str:
        head = {
            "time": stamp,
            "level": entry.level,
            "process": self._process,
            "run": entry.run_id or "-",
            "request": entry.request_id or "-",
            "logger": entry.logger,
            "operation": entry.operation or "-",
            "logged": clip(entry.message, 2_000) if entry.message != trouble.message else "",
        }
        try:
            text = body(trouble, head, self._root)
        except Exception as failure:  # noqa: BLE001 - worker boundary: a block that cannot be made is still a block
            message = plain(trouble.message)
            text = f"time: {stamp}\ntype: {trouble.type}\nmessage: {message}\nstack: not readable: {failure!r}"
        masked = self._redactor.mask(text)
        return "\n".join((START, *(plain(line) for line in masked.splitlines()), END, ""))


def plain(line: str) -> str:
    """A line without control characters and lone surrogates, which would act on terminals or break readers."""
    if line.isprintable():
        return line
    kept = (char if char.isprintable() or char in "\t\u00a0" else ascii(char)[1:-1] for char in line)
    return "".join(kept)


class ConsoleLog(logging.Handler):
    """The handler at the root logger, with its thread. Close it to have everything on disk."""

    def __init__(self, file: LogFile, form: LineFormat) -> None:
        super().__init__()
        self._file, self._form = file, form
        self._queue: queue.SimpleQueue[Entry | threading.Event | Callable[[], object] | None] = queue.SimpleQueue()
        self._dropped = 0
        self._closed = False
        self._levels: list[tuple[logging.Logger, int]] = []
        self._on_close: Callable[[], object] = bool
        self._thread = threading.Thread(target=self._work, name="agent-lsp-log", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._file.path

    def handle(self, record: logging.LogRecord) -> bool:
        """Without logging's lock around it: an event loop must not wait for a thread that waits for the disk."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Queues the record; an error also waits until it is on disk. Never raises."""
        in_own_thread = threading.current_thread() is self._thread
        if self._closed or (in_own_thread and record.levelno < logging.ERROR):
            return
        if self._queue.qsize() > QUEUE_LIMIT and record.levelno < logging.WARNING:
            self._dropped += 1
            return
        self._queue.put(_entry(record))
        if record.levelno >= logging.ERROR:
            self.flush_within(LOOP_WAIT_S if _on_event_loop() else THREAD_WAIT_S)

    def flush_within(self, limit_s: float) -> bool:
        """Waits until everything logged so far is on disk; False when that took longer than the limit."""
        if self._closed or threading.current_thread() is self._thread:
            return True
        done = threading.Event()
        self._queue.put(done)
        return done.wait(limit_s)

    def hide(self, *values: str) -> None:
        """Masks these values too; for keys whose variables have names that do not tell."""
        self._form.hide(*values)

    def warm_up(self) -> None:
        """Loads, in the log's thread, what the first error needs (0.3 s, 7 MiB): later errors are quick anyway."""
        self._queue.put(versions)
        self._queue.put(self._form.warm_up)

    def attach(self, level: int) -> None:
        """Takes the records of all loggers from this level on, and quietens the chatty ones."""
        root = logging.getLogger()
        self._levels = [(logger, logger.level) for logger in (root, *map(logging.getLogger, QUIET))]
        for logger, _ in self._levels[1:]:
            logger.setLevel(max(level, logging.WARNING))
        root.setLevel(level)
        root.addHandler(self)
        logging.captureWarnings(True)

    def on_close(self, undo: Callable[[], object]) -> None:
        """What to take back when the log is closed."""
        self._on_close = undo

    def close(self) -> None:
        """Everything on disk, the loggers as they were before; safe to repeat."""
        if self._closed:
            return
        atexit.unregister(self.close)
        root = logging.getLogger()
        if self in root.handlers:
            root.removeHandler(self)
            logging.captureWarnings(False)
        for logger, level in self._levels:
            logger.setLevel(level)
        self._on_close()
        self.flush_within(DYING_WAIT_S)
        self._closed = True
        self._queue.put(None)
        self._thread.join(DYING_WAIT_S)
        super().close()

    def _work(self) -> None:
        running = True
        while running:
            texts: list[str] = []
            waiting: list[threading.Event] = []
            size = 0
            item = self._queue.get()
            while True:
                if isinstance(item, threading.Event):
                    waiting.append(item)
                elif isinstance(item, Entry):
                    texts.append(self._text(item))
                    size += len(texts[-1])
                elif item is None:
                    running = False
                else:
                    item()
                if size >= BATCH_BYTES or self._queue.empty():
                    break
                item = self._queue.get()
            self._put(texts)
            for event in waiting:
                event.set()
        self._file.close()

    def _put(self, texts: list[str]) -> None:
        if self._dropped:
            count, self._dropped = self._dropped, 0
            note = f"{count} lines were dropped: the disk was slower than the log"
            texts.append(self._text(Entry(datetime.now(UTC).timestamp(), "WARNING", __name__, "", "", "", note)))
        if texts:
            self._file.write("".join(texts))

    def _text(self, entry: Entry) -> str:
        try:
            return self._form.text(entry)
        except Exception as failure:  # noqa: BLE001 - worker boundary: one odd record must not end the log
            return f"{entry.level} {entry.logger}: a line could not be written: {type(failure).__name__}\n"


def configure_logging(
    folder: Path, *, max_bytes: int = 5_000_000, backups: int = 5, level: str = "info", process: str
) -> ConsoleLog:
    """Sends the log of this process to `folder/copilot_console.log` and unhandled errors too, until it is closed.

    `folder` is `<root>/.agent-lsp`. Processes that share a file give the same `max_bytes` and `backups`.
    """
    file = LogFile(folder, max_bytes=max_bytes, backups=backups)
    log = ConsoleLog(file, LineFormat(process, folder.parent, Redactor(os.environ)))
    log.attach(logging.getLevelNamesMapping()[level.upper()])
    log.on_close(install_hooks(lambda: log.flush_within(DYING_WAIT_S)))
    atexit.register(log.close)
    return log


def _entry(record: logging.LogRecord) -> Entry:
    try:
        return _read(record)
    except Exception as failure:  # noqa: BLE001 - no logging call may raise into the code that logs
        text = f"a record could not be read: {type(failure).__name__}"
        return Entry(record.created, record.levelname, record.name, "", "", "", text)


def _read(record: logging.LogRecord) -> Entry:
    message = clip(_message(record), MESSAGE_CHARS)
    serious = record.levelno >= logging.ERROR or hasattr(record, "case")
    return Entry(
        time_s=record.created,
        level=record.levelname,
        logger=record.name,
        run_id=_word(getattr(record, "run_id", None) or RUN_ID.get()),
        request_id=_word(getattr(record, "request_id", None) or REQUEST_ID.get()),
        operation=str(getattr(record, "operation", None) or OPERATION.get()),
        message=message,
        trouble=_trouble(record, message) if serious else None,
    )


def _trouble(record: logging.LogRecord, message: str) -> Trouble:
    try:
        return capture(record, message)
    except Exception as failure:  # noqa: BLE001 - no error may be so odd that logging it raises into the code that logs
        return Trouble("UnreadableError", f"{message} ({failure!r})", (Symptom((), message),))


def _word(value: object) -> str:
    return "_".join(str(value).split())


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as failure:  # noqa: BLE001 - wrong arguments of a logging call are told in the line itself
        return f"{record.msg!r} with unfit arguments {record.args!r} ({type(failure).__name__}: {failure})"


def _on_event_loop() -> bool:
    return asyncio._get_running_loop() is not None
