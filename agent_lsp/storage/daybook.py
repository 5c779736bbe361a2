"""Owns what models were used today, by all runtimes of this person: one small file among the user's data."""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.task import DayUse

logger = logging.getLogger(__name__)

_KEPT_DAYS: Final = 60


class StoredDaybook:
    """A `domain.ports.Daybook` in a file. `today` names the day; a file that makes no sense counts from zero."""

    def __init__(self, path: Path, today: Callable[[], str]) -> None:
        self._path, self._today = path, today
        self._waiting: list[tuple[str, DayUse]] = []
        self._lock = threading.Lock()
        self._writing: asyncio.Task[None] | None = None

    def used(self) -> DayUse:
        """Everything of today, what is not written yet included."""
        today = self._today()
        with self._lock:
            waiting = [use for day, use in self._waiting if day == today]
        total = _use(self._read().get(today))
        for use in waiting:
            total = total + use
        return total

    def add(self, use: DayUse) -> None:
        """Counts one answer; the file is written in a thread."""
        with self._lock:
            self._waiting.append((self._today(), use))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all(), name="what models were used")

    async def close(self) -> None:
        """Waits for what is being written."""
        if self._writing is not None:
            await self._writing

    async def _write_all(self) -> None:
        while self._waiting:
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        """Adds what waits to what other processes wrote meanwhile, whole or not at all."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked(), self._lock:
                rows = dict(self._read())
                for day, use in self._waiting:
                    rows[day] = (_use(rows.get(day)) + use).to_json()
                self._replace({day: rows[day] for day in sorted(rows)[-_KEPT_DAYS:]})
                self._waiting.clear()
        except OSError as error:
            logger.warning("what models were used today cannot be kept in %s: %s", self._path, error.strerror)
            with self._lock:
                self._waiting.clear()

    def _read(self) -> Mapping[str, Any]:
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _replace(self, rows: Mapping[str, Any]) -> None:
        handle, name = tempfile.mkstemp(prefix=".usage-", dir=self._path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(rows, stream, indent=1)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _use(row: Any) -> DayUse:
    if not isinstance(row, Mapping):
        return DayUse()

    def number(name: str) -> float:
        value = row.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else 0

    return DayUse(int(number("tokens")), float(number("costUsd")), int(number("turns")), float(number("answerS")))
