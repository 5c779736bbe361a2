"""Owns the splitting of one run of the tests into several at once: how, whether it pays, and the parts made whole."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import SuiteReport

_LEAST_RUN_S: Final = 2.0
"""A shorter run is not split."""

_LEAST_GAIN_S: Final = 0.8
"""What splitting must save: every part starts a process, and loads what the tests use, once more."""

_GUESSED_BYTES: Final = 512 << 20
_MOST_OF_FREE: Final = 0.6
_HEADROOM: Final = 1.3


@dataclass(frozen=True, slots=True)
class Room:
    """What this machine has to give now: cores that may be used, and memory that is free."""

    cores: int
    free_bytes: int

    def fits(self, peak_bytes: int) -> int:
        """How many runs of this size go at once (0 bytes: unknown); always one."""
        each = int((peak_bytes or _GUESSED_BYTES) * _HEADROOM)
        return max(1, min(self.cores, int(self.free_bytes * _MOST_OF_FREE) // each))


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a run: the tests of `files`; with `rest` all others instead, those of files nobody knew included."""

    files: tuple[str, ...]
    rest: bool = False

    def may_hold(self, path: str, *, is_file: bool = True) -> bool:
        """Whether tests of a file belong to it; a folder may always hold some."""
        return not is_file or (path in self.files) != self.rest


def plan_shards(known: SuiteReport, room: Room, first: Collection[str] = ()) -> tuple[Shard, ...]:
    """The parts in which to run a suite whose times are known; empty where it is better run as one.

    Files with the most work are dealt out first, each to the part with the least. Files named `first` go to the first
    part, which has what is left over.
    """
    seconds = _seconds(known)
    count = min(room.fits(known.peak_bytes), len(seconds))
    if count < 2 or known.duration_s < _LEAST_RUN_S:
        return ()
    loads = [0.0] * count
    files: list[list[str]] = [[] for _ in range(count)]
    for path in sorted(seconds, key=lambda path: (path not in first, -seconds[path], path)):
        at = 0 if path in first else min(range(count), key=loads.__getitem__)
        loads[at] += seconds[path]
        files[at].append(path)
    if sum(loads) - max(loads) < _LEAST_GAIN_S:
        return ()
    others = tuple(path for part in files[1:] for path in part)
    return (Shard(others, rest=True), *(Shard(tuple(part)) for part in files[1:] if part))


def _seconds(known: SuiteReport) -> dict[str, float]:
    found: dict[str, float] = {}
    for case in known.cases.values():
        path = case.id.partition("::")[0]
        found[path] = found.get(path, 0.0) + case.duration_s
    return found


def one_report(reports: Sequence[SuiteReport], runner: str, duration_s: float) -> SuiteReport:
    """Several runs as one: it is whole only if each of them is."""
    return SuiteReport(
        runner=runner,
        cases={name: case for report in reports for name, case in report.cases.items()},
        collected=sum(report.collected for report in reports),
        collection_errors={place: text for report in reports for place, text in report.collection_errors.items()},
        finished=all(report.finished for report in reports),
        timed_out=any(report.timed_out for report in reports),
        trouble="; ".join(report.trouble for report in reports if report.trouble and not report.finished),
        exit_status=next((report.exit_status for report in reports if report.exit_status != 0), 0),
        duration_s=duration_s,
        executed=_lines([report.executed for report in reports]),
        executed_failing=_lines([report.executed_failing for report in reports]),
        executable=_executable(reports),
        loaded=tuple(dict.fromkeys(file for report in reports for file in report.loaded)),
        touched=frozenset().union(*(report.touched for report in reports)),
        output="\n".join(report.output for report in reports if report.output),
        not_found=tuple(dict.fromkeys(name for report in reports for name in report.not_found)),
        unmeasured=frozenset().union(*(report.unmeasured for report in reports)),
        blind="; ".join(dict.fromkeys(report.blind for report in reports if report.blind)),
        tampered=any(report.tampered for report in reports),
        vanished=any(report.vanished for report in reports),
        cut_short=any(report.cut_short for report in reports),
        peak_bytes=max((report.peak_bytes for report in reports), default=0),
    )


def as_one(reports: Sequence[SuiteReport], order: Collection[CaseId], duration_s: float) -> SuiteReport:
    """The parts of one run as the run they were cut from: its tests in the order of a known run, new ones last."""
    merged = one_report(reports, reports[0].runner, duration_s)
    cases = {name: merged.cases[name] for name in (*order, *merged.cases) if name in merged.cases}
    missing = [name for name in merged.not_found if all(name in report.not_found for report in reports)]
    statuses = [report.exit_status for report in reports if report.collected or report.collection_errors]
    told = f"not found: {', '.join(missing)}" if missing and merged.finished else merged.trouble
    status = next((status for status in statuses if status != 0), 0)
    return replace(merged, cases=cases, not_found=tuple(missing), exit_status=status, trouble=told, pieces=len(reports))


def strayed(known: SuiteReport, merged: SuiteReport, changed: Collection[str]) -> tuple[CaseId, ...]:
    """Tests that a run in parts did not come to, or had only there, though no change of their own file says why."""
    if not merged.finished or merged.cut_short or known.cut_short:
        return ()
    other = known.cases.keys() ^ merged.cases.keys()
    broken = {*known.collection_errors, *merged.collection_errors}
    files = {name: name.partition("::")[0] for name in other}
    return tuple(sorted(name for name, path in files.items() if path not in changed and path not in broken))


def _lines(tables: Sequence[Mapping[str, Mapping[int, frozenset[str]]]]) -> dict[str, dict[int, frozenset[str]]]:
    found: dict[str, dict[int, frozenset[str]]] = {}
    for table in tables:
        for path, rows in table.items():
            lines = found.setdefault(path, {})
            for line, ids in rows.items():
                lines[line] = lines.get(line, frozenset()) | ids
    return found


def _executable(reports: Sequence[SuiteReport]) -> dict[str, frozenset[int]]:
    found: dict[str, frozenset[int]] = {}
    for report in reports:
        for path, rows in report.executable.items():
            found[path] = found.get(path, frozenset()) | rows
    return found
