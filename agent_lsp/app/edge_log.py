"""Owns where the edge's log goes: each session's records to the console log of its workspace, from the first one on.

Before `initialized` the workspace's log is not open yet: records wait in memory. A session without a folder has no log;
its warnings go to standard error.
"""

import contextlib
import logging
import os
import select
import threading
from collections import deque
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from agent_lsp.app.logs import start_log
from agent_lsp.domain.scope import OPERATION, REQUEST_ID
from agent_lsp.storage.console_log import ConsoleLog

KEPT_RECORDS: Final = 1000
"""How many records wait for a log; the oldest give way."""

_LINE_BYTES: Final = 4096
"""So much a pipe takes without blocking once it is writable."""


class SessionLog:
    """One session's share of the log."""

    def __init__(self) -> None:
        self._waiting: deque[logging.LogRecord] | None = deque(maxlen=KEPT_RECORDS)
        self._log: ConsoleLog | None = None
        self._level = logging.INFO

    def take(self, record: logging.LogRecord) -> None:
        """To the log, to those that wait for it, or to standard error."""
        waiting = self._waiting
        if waiting is not None:
            record.request_id = REQUEST_ID.get()
            record.operation = OPERATION.get()
            waiting.append(record)
        elif self._log is None:
            _tell(record)
        elif record.levelno >= self._level:
            self._log.emit(record)

    def give_up(self) -> None:
        """The session ends: what still waits for a log is told on standard error."""
        if self._waiting is not None:
            self.settle(None, logging.INFO)

    def settle(self, log: ConsoleLog | None, level: int) -> None:
        """From now on there is a log, or it is known that there is none."""
        waiting, self._log, self._level, self._waiting = self._waiting, log, level, None
        for record in waiting or ():
            self.take(record)


_SESSION: ContextVar[SessionLog | None] = ContextVar("agent_lsp_session_log", default=None)


class EdgeLog(logging.Handler):
    """The handler at the root logger of an edge. What belongs to no session goes to every one."""

    def __init__(self) -> None:
        super().__init__()
        self._logs: dict[Path, tuple[ConsoleLog, int]] = {}
        self._sessions: list[SessionLog] = []
        self._opening = threading.Lock()

    def handle(self, record: logging.LogRecord) -> bool:
        """Without logging's lock around it: an event loop must not wait for a thread that waits for the disk."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises."""
        session = _SESSION.get()
        if session is not None:
            session.take(record)
        elif self._sessions:
            for each in list(self._sessions):
                each.take(record)
        else:
            _tell(record)

    def begin(self) -> SessionLog:
        """A session begins in the current context."""
        session = SessionLog()
        self._sessions.append(session)
        _SESSION.set(session)
        return session

    def end(self, session: SessionLog) -> None:
        """What found no log until now is told on standard error."""
        session.give_up()
        self._sessions.remove(session)

    def open(self, root: Path) -> None:
        """The current session's workspace is known. May wait for the disk."""
        session = _SESSION.get()
        if session is not None:
            session.settle(*self._open(root))

    def settle_without_a_log(self) -> None:
        """The current session has no workspace."""
        session = _SESSION.get()
        if session is not None:
            session.settle(None, logging.INFO)

    def _open(self, root: Path) -> tuple[ConsoleLog, int]:
        """Sessions on one workspace share its log, which stays open until the process ends."""
        top = logging.getLogger()
        with self._opening:
            if root not in self._logs:
                log = start_log(root, "edge")
                top.removeHandler(log)
                self._logs[root] = log, top.level
                top.setLevel(min(level for _, level in self._logs.values()))
            return self._logs[root]


def install_edge_log() -> EdgeLog:
    """The edge's handler, put at the root logger if it is not there yet."""
    top = logging.getLogger()
    for handler in top.handlers:
        if isinstance(handler, EdgeLog):
            return handler
    made = EdgeLog()
    top.addHandler(made)
    top.setLevel(logging.INFO)
    return made


def _tell(record: logging.LogRecord) -> None:
    """One line on standard error for a warning or worse; dropped if nobody reads there, for that must not block."""
    if record.levelno < logging.WARNING:
        return
    try:
        line = f"agent-lsp: {record.levelname} {record.name}: {record.getMessage()}"
    except (TypeError, ValueError):
        line = f"agent-lsp: {record.levelname} {record.name}: {record.msg!r}"
    writable = select.poll()
    writable.register(2, select.POLLOUT)
    with contextlib.suppress(OSError):
        if any(events & select.POLLOUT for _, events in writable.poll(0)):
            os.write(2, line.encode("utf-8", "backslashreplace")[: _LINE_BYTES - 1] + b"\n")
