"""Owns what runs showed of a workspace's tests: durations, who ran which file, how selections fared. One small file."""

import asyncio
import json
import logging
import tempfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.impact import SuiteFacts
from agent_lsp.domain.ports import SuiteRequest
from agent_lsp.domain.verdict import SuiteReport

logger = logging.getLogger(__name__)

_VERSION: Final = 1
_MOST_CASES: Final = 200_000
_MOST_FILES: Final = 1_000
_MOST_RUNNERS: Final = 20_000
_MOST_MISSES: Final = 200


@dataclass(slots=True)
class _Memory:
    durations_s: dict[CaseId, float] = field(default_factory=dict)
    ran_by: dict[str, list[CaseId]] = field(default_factory=dict)
    touched: list[str] | None = None
    whole_s: float | None = None
    unended: bool = False
    audits: int = 0
    wrong: int = 0
    missed_by: dict[str, list[CaseId]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Audit:
    """How selections fared: `checked` by a whole run, of which `wrong` had left out a test that broke."""

    checked: int
    wrong: int

    def sentence(self) -> str:
        """For doctor and the log."""
        if not self.checked:
            return "no selection of tests has been checked by a whole run yet"
        share = 100.0 * self.wrong / self.checked
        return f"{self.checked} selections checked by whole runs, {self.wrong} ({share:.0f} %) had missed a broken test"


class StoredSuiteMemory:
    """`domain.suite_ports.SuiteMemory` in one file of the user's cache; damaged or missing, it starts anew."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = asyncio.Lock()
        self._memory: _Memory | None = None

    async def facts(self) -> SuiteFacts:
        """All of it, as the selection takes it."""
        async with self._lock:
            memory = await self._loaded()
        return SuiteFacts(
            memory.durations_s,
            {path: frozenset(cases) for path, cases in memory.ran_by.items()},
            None if memory.touched is None else frozenset(memory.touched),
            memory.whole_s,
            memory.unended,
            {path: frozenset(cases) for path, cases in memory.missed_by.items()},
        )

    async def learn(self, request: SuiteRequest, report: SuiteReport) -> None:
        """Takes what a run showed. A run that broke off tells durations, and how long the whole takes at least."""
        if not report.cases:
            return
        async with self._lock:
            memory = await self._loaded()
            before = len(memory.durations_s)
            _learn(memory, request, report)
            news = not request.tests or bool(request.watch) or len(memory.durations_s) != before
            if news:
                await asyncio.to_thread(_write, self._file, memory)

    def glimpse(self, durations_s: Mapping[CaseId, float]) -> None:
        """Takes what a run showed that was stopped before its end; kept with the next thing that is learned."""
        if self._memory is not None:
            self._memory.durations_s = {**durations_s, **self._memory.durations_s}

    async def audit(self, paths: Sequence[str], missed: Sequence[CaseId]) -> None:
        """A whole run checked a selection for changes of `paths`; `missed` broke and had not been selected."""
        async with self._lock:
            memory = await self._loaded()
            memory.audits += 1
            memory.wrong += bool(missed)
            for path in paths if missed else ():
                memory.missed_by[path] = list(dict.fromkeys([*memory.missed_by.get(path, ()), *missed]))[-_MOST_MISSES:]
            await asyncio.to_thread(_write, self._file, memory)
        logger.log(logging.WARNING if missed else logging.INFO, "impact: %s", self._audit(memory).sentence())

    async def audited(self) -> Audit:
        """The count so far."""
        async with self._lock:
            return self._audit(await self._loaded())

    @staticmethod
    def _audit(memory: _Memory) -> Audit:
        return Audit(memory.audits, memory.wrong)

    async def _loaded(self) -> _Memory:
        if self._memory is None:
            self._memory = await asyncio.to_thread(_read, self._file)
        return self._memory


def _learn(memory: _Memory, request: SuiteRequest, report: SuiteReport) -> None:
    durations = {case.id: round(case.duration_s, 4) for case in report.cases.values()}
    whole = not request.tests and not request.fail_fast and request.shard is None
    if whole and report.finished:
        memory.durations_s, memory.whole_s, memory.unended = durations, report.duration_s, False
        memory.touched = sorted(report.touched)
    else:
        memory.durations_s = {**memory.durations_s, **durations}
        if whole and report.timed_out and report.duration_s > (memory.whole_s or 0.0):
            memory.whole_s, memory.unended = report.duration_s, True
    memory.durations_s = _newest(memory.durations_s, _MOST_CASES)
    for path in request.watch:
        if ran := _runners(report, path):
            memory.ran_by.pop(path, None)
            memory.ran_by[path] = sorted(ran)[:_MOST_RUNNERS]
    memory.ran_by = _newest(memory.ran_by, _MOST_FILES)


def _runners(report: SuiteReport, path: str) -> Collection[CaseId]:
    found: set[CaseId] = set()
    for executed in (report.executed, report.executed_failing):
        for cases in executed.get(path, {}).values():
            found |= cases
    return found


def _newest(table: dict[str, Any], most: int) -> dict[str, Any]:
    return dict(list(table.items())[-most:]) if len(table) > most else table


def _write(file: Path, memory: _Memory) -> None:
    table = {"version": _VERSION, **{name: getattr(memory, name) for name in _Memory.__dataclass_fields__}}
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".memory-", delete=False) as out:
            out.write(zlib.compress(json.dumps(table, separators=(",", ":")).encode(), 1))
        Path(out.name).replace(file)
    except OSError as error:
        logger.warning("what the tests showed could not be kept: %s", error)


def _read(file: Path) -> _Memory:
    try:
        table: Mapping[str, Any] = json.loads(zlib.decompress(file.read_bytes()))
        if table["version"] != _VERSION:
            return _Memory()
        return _Memory(**{name: table[name] for name in _Memory.__dataclass_fields__})
    except FileNotFoundError:
        return _Memory()
    except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        logger.warning("%s is damaged and is made anew: %s", file, error)
        return _Memory()
