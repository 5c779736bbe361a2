"""Owns what test runs report and what the gate says of a change: the vocabulary, not the judging."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent_lsp.domain.ids import CaseId


class Outcome(StrEnum):
    """How one test ended. An error in set-up or tear-down is ERROR, whatever its call did."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"

    @property
    def good(self) -> bool:
        """Whether the test is evidence that its code works. Skips and expected failures are none."""
        return self in (Outcome.PASSED, Outcome.XPASSED)

    @property
    def bad(self) -> bool:
        """Whether the test fails the suite."""
        return self in (Outcome.FAILED, Outcome.ERROR)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One test in one run. `message` is the failure's text, shortened; `path` and `line` (zero-based) its place.

    `stopped_s` is the time after which it was stopped, since it had not ended (0: it ended by itself). `called` tells
    that its own code was entered, and not only what sets it up.
    """

    id: CaseId
    outcome: Outcome
    message: str = ""
    path: str = ""
    line: int | None = None
    duration_s: float = 0.0
    stopped_s: float = 0.0
    called: bool = True


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A changed module as the run loaded it.

    `path` is relative to the root when the file lies in it, else absolute. `sha256` is of the source bytes
    that were compiled, empty where that could not be seen. `loader` names what loaded a Python file in a way that
    hides which bytes ran.
    """

    module: str
    path: str
    sha256: str = ""
    loader: str = ""


@dataclass(frozen=True, slots=True)
class SuiteReport:
    """What one run of a test runner showed.

    `finished` is False when the report ended before its end marker or its counts do not add up: crash,
    time-out, `os._exit`, tampering; `trouble` then says which. `executed` maps each watched file to its lines
    (one-based) that ran and the passing tests that ran them; import-time lines are credited to tests
    that ran code of that file. `executed_failing` is the same for the tests that failed, where the runner
    knows it. `touched` are the files under the root that the run read or imported. `not_found` are
    the asked ids and paths that no test answered to. `unmeasured` are the changed files whose lines the runner cannot
    follow; that it loaded them (opened them while the tests ran) is told all the same, unless `blind` says why not.
    `tampered` says that code of the workspace replaced what reports, or changed the report: nothing in it is believed.
    `vanished` says that the process ended by itself, or was stopped by another, in the middle of it.
    `peak_bytes` is the most memory that one of its processes used (0: not known). `cut_short` says that it was asked
    to begin no further test after some time, and did so. `pieces` is how many runs at once it was put together from.
    """

    runner: str
    cases: Mapping[CaseId, CaseResult] = field(default_factory=dict)
    collected: int = 0
    collection_errors: Mapping[str, str] = field(default_factory=dict)
    finished: bool = True
    timed_out: bool = False
    trouble: str = ""
    exit_status: int | None = None
    duration_s: float = 0.0
    executed: Mapping[str, Mapping[int, frozenset[CaseId]]] = field(default_factory=dict)
    executable: Mapping[str, frozenset[int]] = field(default_factory=dict)
    loaded: tuple[LoadedFile, ...] = ()
    touched: frozenset[str] = frozenset()
    output: str = ""
    executed_failing: Mapping[str, Mapping[int, frozenset[CaseId]]] = field(default_factory=dict)
    not_found: tuple[str, ...] = ()
    unmeasured: frozenset[str] = frozenset()
    blind: str = ""
    tampered: bool = False
    peak_bytes: int = 0
    cut_short: bool = False
    pieces: int = 1
    vanished: bool = False

    @property
    def ran(self) -> int:
        """Tests whose call was entered (skips are collected but did not run)."""
        return sum(1 for case in self.cases.values() if case.called and case.outcome is not Outcome.SKIPPED)

    def failing(self) -> frozenset[CaseId]:
        """Ids of the tests that fail the suite."""
        return frozenset(case.id for case in self.cases.values() if case.outcome.bad)

    def passing(self) -> frozenset[CaseId]:
        """Ids of the tests that passed."""
        return frozenset(case.id for case in self.cases.values() if case.outcome.good)


class Decision(StrEnum):
    """The decisions of PROTOCOL.md section 4, from the strongest down."""

    PROVEN = "proven"
    PASSED = "passed"
    REGRESSED = "regressed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    NOT_RUN = "not_run"

    @property
    def acceptable(self) -> bool:
        """Whether a change with this decision may be applied by default."""
        return self in (Decision.PROVEN, Decision.PASSED)


@dataclass(frozen=True, slots=True)
class AddedCase:
    """A test that the change adds; one that passes without the change proves nothing."""

    id: CaseId
    failed_without_change: bool

    def to_json(self) -> dict[str, object]:
        """The element of the verdict's `added`."""
        return {"id": self.id, "failedWithoutChange": self.failed_without_change}


@dataclass(frozen=True, slots=True)
class UnrunLine:
    """A changed line (zero-based, in the changed file) that no passing test executed."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Survivor:
    """A small fault put into a changed line (zero-based, in the changed file) that no test noticed.

    `text` says what became of what.
    """

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """PROTOCOL.md section 4. `candidate` is the id of the exact git tree that was tested.

    `survivors` are None until small faults in the changed lines were tried.
    """

    decision: Decision
    reasons: tuple[str, ...] = ()
    fixed: tuple[CaseId, ...] = ()
    broken: tuple[CaseId, ...] = ()
    still_failing: tuple[CaseId, ...] = ()
    flaky: tuple[CaseId, ...] = ()
    added: tuple[AddedCase, ...] = ()
    removed_or_weakened: tuple[str, ...] = ()
    collected: int = 0
    ran: int = 0
    changed_lines: int = 0
    changed_lines_run: int = 0
    unrun_lines: tuple[UnrunLine, ...] = ()
    selection: str = "full"
    duration_s: float = 0.0
    candidate: str = ""
    survivors: tuple[Survivor, ...] | None = None

    def to_json(self) -> dict[str, object]:
        """Public shape, but with `path` in `unrunLines` and `survivors`: the edge turns paths into URIs."""
        survivors = [{"path": row.path, "line": row.line, "text": row.text} for row in self.survivors or ()]
        return {
            "decision": self.decision.value,
            "fixed": list(self.fixed),
            "broken": list(self.broken),
            "stillFailing": list(self.still_failing),
            "flaky": list(self.flaky),
            "added": [case.to_json() for case in self.added],
            "removedOrWeakened": list(self.removed_or_weakened),
            "collected": self.collected,
            "ran": self.ran,
            "changedLines": self.changed_lines,
            "changedLinesRun": self.changed_lines_run,
            "unrunLines": [{"path": row.path, "line": row.line} for row in self.unrun_lines],
            "selection": self.selection,
            "durationS": round(self.duration_s, 3),
            "candidate": self.candidate,
            "reasons": list(self.reasons),
            **({} if self.survivors is None else {"survivors": survivors}),
        }

    def title(self) -> str:
        """One line for a lens or an action: `proven: 2 fixed, 0 broken, 12 as before`."""
        if self.decision is Decision.NOT_RUN:
            return "not tested"
        parts = [f"{len(self.fixed)} fixed", f"{len(self.broken)} broken"]
        if self.still_failing:
            parts.append(f"{len(self.still_failing)} as before")
        return f"{self.decision.value}: {', '.join(parts)}"


NOT_RUN = Verdict(Decision.NOT_RUN, reasons=("The tests have not run on this change yet.",))
"""The verdict of a change before its validation."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verdict with the runs it rests on.

    `witness` maps every file that the change touches or its tests read to the sha256 of its bytes in the
    *base*: when one of them moves, the verdict is stale.
    """

    verdict: Verdict
    before: SuiteReport | None = None
    after: SuiteReport | None = None
    witness: Mapping[str, str] = field(default_factory=dict)
