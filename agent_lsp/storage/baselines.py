"""Owns the kept runs of unchanged trees: one small file each in the user's cache, the oldest go when it is full."""

import asyncio
import hashlib
import json
import logging
import os
import tempfile
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.baseline import Baseline, BaselineKey, joined
from agent_lsp.domain.verdict import CaseResult, Outcome, SuiteReport

logger = logging.getLogger(__name__)

_VERSION: Final = 3
_OLDEST_S: Final = 30 * 24 * 3600.0
_MESSAGE_CHARACTERS: Final = 4_000
_IN_MEMORY: Final = 4


class StoredBaselines:
    """`domain.ports.Baselines` in a folder that all runtimes of a workspace share.

    Whatever is missing, damaged or of another version counts as not there: the tests run once more, that is all.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes
        self._lock = asyncio.Lock()
        self._seen: dict[Path, tuple[tuple[int, int], Baseline]] = {}

    async def find(self, key: BaselineKey) -> Baseline | None:
        """What was kept of this tree in this environment."""
        return await asyncio.to_thread(self._read, self._file(key))

    async def keep(self, key: BaselineKey, baseline: Baseline) -> None:
        """Adds a finished run to what is kept. Never raises for the disk."""
        async with self._lock:
            try:
                await asyncio.to_thread(self._write, key, baseline)
            except OSError as error:
                logger.warning("a run of the unchanged tests could not be kept: %s", error)

    def _file(self, key: BaselineKey) -> Path:
        name = hashlib.sha256(f"{key.tree}\0{key.environment}".encode()).hexdigest()[:32]
        return self._folder / f"{name}.json.z"

    def _write(self, key: BaselineKey, baseline: Baseline) -> None:
        file = self._file(key)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = zlib.compress(json.dumps(_row(joined(self._read(file), baseline)), separators=(",", ":")).encode(), 1)
        if len(data) > self._limit_bytes:
            return
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".new-", delete=False) as out:
            out.write(data)
        Path(out.name).replace(file)
        self._trim()

    def _read(self, file: Path) -> Baseline | None:
        """As it lies on the disk now; the last few are not parsed again."""
        try:
            os.utime(file)
            stat = file.stat()
        except OSError:
            return None
        mark, known = (stat.st_ino, stat.st_size), self._seen.pop(file, None)
        baseline = known[1] if known is not None and known[0] == mark else _read(file)
        if baseline is not None:
            self._seen[file] = (mark, baseline)
            while len(self._seen) > _IN_MEMORY:
                del self._seen[next(iter(self._seen))]
        return baseline

    def _trim(self) -> None:
        """Within the size, and nothing that nobody asked for in a month; a file counts as old since its last use."""
        rows = []
        for path in self._folder.iterdir():
            stat = path.stat()
            rows.append((stat.st_mtime, stat.st_size, path))
        kept_bytes = 0
        for used_s, size_bytes, path in sorted(rows, reverse=True):
            kept_bytes += size_bytes
            if kept_bytes > self._limit_bytes or time.time() - used_s > _OLDEST_S:
                path.unlink(missing_ok=True)


def _read(file: Path) -> Baseline | None:
    try:
        table = json.loads(zlib.decompress(file.read_bytes()))
        if table["version"] != _VERSION:
            return None
        return _baseline(table)
    except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        logger.warning("a kept run of the unchanged tests is damaged and not used: %s", error)
        return None


def _row(baseline: Baseline) -> dict[str, Any]:
    report = baseline.report
    return {
        "version": _VERSION,
        "asked": baseline.asked,
        "ignored": baseline.ignored,
        "runner": report.runner,
        "cases": [_case_row(case) for case in report.cases.values()],
        "collected": report.collected,
        "errors": dict(report.collection_errors),
        "status": report.exit_status,
        "duration_s": report.duration_s,
        "touched": sorted(report.touched),
        "not_found": report.not_found,
        "trouble": report.trouble,
        "peak_bytes": report.peak_bytes,
    }


def _case_row(case: CaseResult) -> list[Any]:
    message = case.message[-_MESSAGE_CHARACTERS:]
    return [case.id, case.outcome.value, message, case.path, case.line, case.duration_s, case.stopped_s, case.called]


def _baseline(table: Mapping[str, Any]) -> Baseline:
    cases = {}
    for name, outcome, *rest in table["cases"]:
        cases[name] = CaseResult(name, Outcome(outcome), *rest)
    report = SuiteReport(
        runner=table["runner"],
        cases=cases,
        collected=table["collected"],
        collection_errors=table["errors"],
        exit_status=table["status"],
        duration_s=table["duration_s"],
        touched=frozenset(table["touched"]),
        not_found=tuple(table["not_found"]),
        trouble=table["trouble"],
        peak_bytes=table.get("peak_bytes", 0),
    )
    return Baseline(report, tuple(table["asked"]), tuple((path, mark) for path, mark in table["ignored"]))
