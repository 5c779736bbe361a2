"""Owns reading the report that an injected plugin wrote: what it says, and whether it is whole."""

import json
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import CommandResult
from agent_lsp.domain.verdict import CaseResult, LoadedFile, Outcome, SuiteReport

Lines = dict[str, dict[int, frozenset[CaseId]]]

_IN_SET_UP = re.compile(r"\A\S+:\d+: in (?:setUp|asyncSetUp)$|, in _callSetUp$", re.MULTILINE)
"""How the text of a unittest test begins, under pytest, or what it goes through, if its own code was never entered."""

_BY_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What somebody else ends a process with; a process of its own accord dies of other signals."""


@dataclass
class Trace:
    """The watched statements and which tests ran each; numbers are those of the injected tracer."""

    owner: dict[str, dict[int, set[int]]] = field(default_factory=dict)
    place: dict[int, str] = field(default_factory=dict)
    deferred: dict[int, bool] = field(default_factory=dict)
    hits: dict[CaseId, set[int]] = field(default_factory=dict)
    outside: set[int] = field(default_factory=set)
    dependents: Mapping[str, list[str]] = field(default_factory=dict)

    def add_statements(self, record: Mapping[str, Any]) -> None:
        """A file was compiled; a line belongs to the last statement that stands on it."""
        lines = self.owner.setdefault(record["path"], {})
        owners: dict[int, int] = {}
        for number, span in enumerate(record["spans"], record["first"]):
            self.place[number] = record["path"]
            self.deferred[number] = bool(record["deferred"][number - record["first"]])
            owners |= dict.fromkeys(span, number)
        for line, number in owners.items():
            lines.setdefault(line, set()).add(number)

    def runners_of(self, tests: Iterable[CaseId]) -> Lines:
        """Lines that ran, with those of `tests` that ran them.

        What ran at import has no test to its name, so it is credited to the tests that ran code of its file, and
        where no test did (a file of constants), to the tests whose own file imports it, directly or not.
        """
        by_statement: dict[int, set[CaseId]] = {}
        ran_any = set(self.outside).union(*self.hits.values()) if self.hits else set(self.outside)
        users: dict[str, set[CaseId]] = {}
        chosen = list(tests)
        for test in chosen:
            for number in self.hits.get(test, ()):
                by_statement.setdefault(number, set()).add(test)
                users.setdefault(self.place.get(number, ""), set()).add(test)
        for path, files in self.dependents.items():
            if not users.get(path):
                users[path] = {test for test in chosen if _depends(test, files)}
        for number in ran_any:
            if not self.deferred.get(number, True):
                by_statement.setdefault(number, set()).update(users.get(self.place[number], ()))
        return {
            path: {
                line: frozenset(who)
                for line, numbers in lines.items()
                if (who := set().union(*(by_statement.get(number, set()) for number in numbers)))
            }
            for path, lines in self.owner.items()
        }


@dataclass
class Records:
    """The records of one run, sorted out."""

    cases: dict[CaseId, CaseResult] = field(default_factory=dict)
    collected: int = 0
    ended: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    not_found: list[str] = field(default_factory=list)
    loaded: list[LoadedFile] = field(default_factory=list)
    touched: frozenset[str] = frozenset()
    current: CaseId = ""
    modules: tuple[str, ...] = ()
    unmeasured: set[str] = field(default_factory=set)
    spoiled: str = ""
    told: bool = False
    started: bool = False
    marker: Mapping[str, Any] | None = None
    trace: Trace = field(default_factory=Trace)

    def add(self, record: Mapping[str, Any]) -> None:
        """Takes one record; unknown kinds are passed over."""
        take = getattr(self, f"_take_{record['kind']}", None)
        self.told = True
        if take is not None:
            take(record)

    def _take_start(self, _record: Mapping[str, Any]) -> None:
        self.started = True

    def _take_collected(self, record: Mapping[str, Any]) -> None:
        self.collected += len(record["ids"])
        self.not_found += record["not_found"]

    def _take_modules(self, record: Mapping[str, Any]) -> None:
        self.modules = tuple(record["names"])

    def _take_uncollected(self, record: Mapping[str, Any]) -> None:
        if record["outcome"] == "failed":
            self.errors[record["id"]] = record["message"]

    def _take_begin(self, record: Mapping[str, Any]) -> None:
        self.current = record["id"]
        self.trace.outside.update(record["hits"])

    def _take_loaded(self, record: Mapping[str, Any]) -> None:
        file = LoadedFile(record["module"], record["path"], record["sha256"], record.get("loader", ""))
        self.loaded.append(file)

    def _take_unmeasured(self, record: Mapping[str, Any]) -> None:
        self.unmeasured.add(record["path"])

    def _take_statements(self, record: Mapping[str, Any]) -> None:
        self.trace.add_statements(record)

    def _take_touched(self, record: Mapping[str, Any]) -> None:
        self.touched = frozenset(record["paths"])

    def _take_dependents(self, record: Mapping[str, Any]) -> None:
        self.trace.dependents = record["files"]
        self.trace.outside.update(record["hits"])

    def _take_finish(self, record: Mapping[str, Any]) -> None:
        self.marker = record

    def _take_end(self, record: Mapping[str, Any]) -> None:
        case = CaseResult(
            record["id"],
            Outcome(record["outcome"]),
            record["message"],
            record["path"],
            record["line"],
            record["seconds"],
            float(record.get("stopped_s", 0.0)) if Outcome(record["outcome"]).bad else 0.0,
            _called(record),
        )
        earlier = self.cases.get(case.id)
        if earlier is None or not earlier.outcome.bad:
            self.cases[case.id] = case
        self.trace.hits.setdefault(case.id, set()).update(record["hits"])
        self.ended += 1
        self.current = ""


def read_records(text: str) -> Records:
    """The records of a report's text; a last line that was cut off is left out."""
    records = Records()
    for line in text.splitlines():
        try:
            records.add(json.loads(line))
        except (ValueError, KeyError, TypeError, IndexError):
            continue
    return records


def suite_report(runner: str, records: Records, result: CommandResult, *, fail_fast: bool) -> SuiteReport:
    """The report of one run. A test in which the process ended is told as an error of that test."""
    trouble = _trouble(records, result, fail_fast)
    cases = dict(records.cases)
    if trouble and records.current:
        cases[records.current] = CaseResult(records.current, Outcome.ERROR, trouble)
    passing = [case.id for case in cases.values() if case.outcome.good]
    failing = [case.id for case in cases.values() if case.outcome.bad]
    notes = [f"not found: {', '.join(records.not_found)}"] if records.not_found else []
    return SuiteReport(
        runner=runner,
        cases=cases,
        collected=records.collected,
        collection_errors=records.errors,
        finished=not trouble,
        timed_out=result.timed_out,
        trouble="; ".join([trouble, *notes] if trouble else notes),
        exit_status=result.exit_status,
        duration_s=result.duration_s,
        executed=records.trace.runners_of(passing),
        executed_failing=records.trace.runners_of(failing),
        executable={path: frozenset(lines) for path, lines in records.trace.owner.items()},
        loaded=tuple(dict.fromkeys(records.loaded)),
        touched=records.touched,
        output=result.output,
        not_found=tuple(records.not_found),
        tampered=bool(records.spoiled) or (records.marker is not None and _is_altered(records, records.marker)),
        cut_short=bool(records.marker and records.marker.get("cut_short")) and not trouble,
        peak_bytes=int(records.marker.get("peak_bytes", 0)) if records.marker else 0,
        unmeasured=frozenset(records.unmeasured),
        vanished=records.marker is None and not result.timed_out and _left(result.exit_status),
    )


def _called(record: Mapping[str, Any]) -> bool:
    """Whether a test's own code was entered."""
    if Outcome(record["outcome"]) is Outcome.ERROR and "call" not in record.get("phases", {"call": ""}):
        return False
    return not (Outcome(record["outcome"]).bad and _IN_SET_UP.search(record["message"]))


def _is_altered(records: Records, marker: Mapping[str, Any]) -> bool:
    return bool(marker.get("replaced")) or (marker["collected"], marker["ended"]) != (records.collected, records.ended)


def _left(exit_status: int | None) -> bool:
    """Whether a process ended by itself, or was ended by another, and not of a fault."""
    if exit_status is None or 0 <= exit_status <= 128:
        return exit_status is not None
    return (-exit_status if exit_status < 0 else exit_status - 128) in _BY_OTHERS


def _trouble(records: Records, result: CommandResult, fail_fast: bool) -> str:
    where = f" during {records.current}" if records.current else ""
    marker = records.marker
    if records.spoiled:
        return records.spoiled
    if marker is None:
        if result.timed_out:
            return f"the tests did not end within {result.duration_s:.0f} s{where or ' (no test was running)'}"
        begun = records.cases or records.current
        why = f": {_complaint(result.output)}" if not begun and result.output.strip() else ""
        return f"the test process {_how(result.exit_status)}{where} before its report was complete{why}"
    if marker.get("replaced"):
        names = ", ".join(marker["replaced"][:5])
        return f"code of the workspace replaced what reports on the tests ({names}), so their results tell nothing"
    if marker["exit_status"] in (3, 4) and not records.cases:
        return f"the test framework gave up before any test ran: {_complaint(result.output)}"
    told = (marker["collected"], marker["ended"])
    if told != (records.collected, records.ended):
        return f"the report was changed: it holds {records.ended} results and its end marker says {told[1]}"
    if records.ended < records.collected and not fail_fast and not marker.get("cut_short"):
        why = marker["stopped"] or f"exit status {marker['exit_status']}"
        return f"only {records.ended} of {records.collected} tests ran ({why})"
    return ""


def _complaint(output: str) -> str:
    """What a framework said that could not start: its first error lines, in short."""
    marks = ("E ", "ERROR", "INTERNALERROR")
    told = [line for line in output.splitlines() if line.startswith(marks) or ": error: " in line]
    lines = [line.strip() for line in told if "usage: " not in line]
    chosen = lines or [line.strip() for line in output.splitlines() if line.strip()][-3:]
    return " / ".join(line.removeprefix("E ").strip() for line in chosen[:4])[:600] or "it did not say why"


def _how(exit_status: int | None) -> str:
    if exit_status is None:
        return "was stopped"
    if exit_status < 0 or exit_status > 128:
        number = -exit_status if exit_status < 0 else exit_status - 128
        try:
            return f"was killed by {signal.Signals(number).name}"
        except ValueError:
            return f"was killed by signal {number}"
    return f"ended by itself with status {exit_status}"


def _depends(test: CaseId, files: list[str]) -> bool:
    path = test.partition("::")[0]
    for file in files:
        if file == path:
            return True
        folder, _, name = file.rpartition("/")
        if name == "conftest.py" and (not folder or path.startswith(folder + "/")):
            return True
    return False
