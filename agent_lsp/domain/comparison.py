"""Owns comparing the runs of a change test by test: what it fixed, broke, left as it was, added and took away."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.findings import FindingKind
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.integrity import Integrity, test_names
from agent_lsp.domain.verdict import AddedCase, CaseResult, SuiteReport


class Status(Enum):
    """A test on one side. UNREACHED: the run ended before it; ABSENT: the run was whole and it is not in it."""

    GOOD = auto()
    BAD = auto()
    SKIPPED = auto()
    UNREACHED = auto()
    ABSENT = auto()


Pair = tuple[SuiteReport, SuiteReport]
"""The runs without and with a change."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Everything that was run for one change.

    `source_only` ran the tests as they stood with the source edits alone (None: the change edits only source),
    `without_source` the tests that the change adds, on the base's source (None: no added tests, or no source edits).
    `again_*` are second runs of some tests. `modules` are the importable names of the workspace. `by_order` are tests
    that do otherwise when they run by themselves; they are judged as they do in the whole selection.
    """

    edits: tuple[FileEdit, ...]
    before: SuiteReport
    after: SuiteReport
    source_only: SuiteReport | None = None
    without_source: SuiteReport | None = None
    again_before: SuiteReport | None = None
    again_after: SuiteReport | None = None
    again_source_only: SuiteReport | None = None
    integrity: Integrity = field(default_factory=Integrity)
    goal_tests: tuple[CaseId, ...] = ()
    selection: str = "full"
    candidate: str = ""
    duration_s: float = 0.0
    modules: frozenset[str] = frozenset()
    by_order: frozenset[CaseId] = frozenset()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The tests of a trial, sorted; ids are those of the changed side. `explain` has a sentence per removed id.

    `green_only` pass only because tests, fixtures or configuration changed. `unknown` fail now, and what they did
    before could not be seen. `new_failing` fail now and did not run before.
    """

    fixed: tuple[CaseId, ...] = ()
    broken: tuple[CaseId, ...] = ()
    still_failing: tuple[CaseId, ...] = ()
    flaky: tuple[CaseId, ...] = ()
    added: tuple[AddedCase, ...] = ()
    removed: tuple[CaseId, ...] = ()
    skipped: tuple[CaseId, ...] = ()
    green_only: tuple[CaseId, ...] = ()
    unknown: tuple[CaseId, ...] = ()
    new_failing: tuple[CaseId, ...] = ()


def status(report: SuiteReport, case_id: CaseId) -> Status:
    """How a test fared in a run; a test whose file could not be collected is BAD."""
    case = report.cases.get(case_id)
    if case is not None and _cut_off(report, case):
        return Status.UNREACHED
    if case is not None:
        return Status.GOOD if case.outcome.good else Status.BAD if case.outcome.bad else Status.SKIPPED
    if any(within(case_id, place) for place in report.collection_errors):
        return Status.BAD
    return Status.ABSENT if report.finished and not report.cut_short else Status.UNREACHED


def _cut_off(report: SuiteReport, case: CaseResult) -> bool:
    """Whether a test was only the one that ran when the time for all of them was over, or the process was gone."""
    if not (report.timed_out or report.vanished) or report.finished:
        return False
    return bool(case.message) and case.message in report.trouble


def within(case_id: CaseId, place: str) -> bool:
    """Whether a test is `place` or lies in it: a folder, a file, a class, a parametrized function."""
    place = place.rstrip("/")
    return place in ("", ".", case_id) or case_id.startswith((place + "::", place + "[", place + "/"))


def suspects(trial: Trial) -> tuple[CaseId, ...]:
    """Tests whose change for better or worse is worth a second look on both sides, before it is believed."""
    first = compare(replace(trial, again_before=None, again_after=None, again_source_only=None))
    return tuple(sorted({*first.broken, *first.fixed, *first.unknown, *first.new_failing, *_vanished(trial, first)}))


def disputed(trial: Trial, asked: Sequence[CaseId]) -> tuple[CaseId, ...]:
    """Tests that did otherwise in a second run: flaky, or dependent on what ran before them."""
    flaky = set(compare(trial).flaky)
    return tuple(case_id for case_id in asked if case_id in flaky)


def settle_order(trial: Trial, whole: Pair, alone: Pair, asked: Sequence[CaseId]) -> Trial:
    """Tells tests that depend on the order from flaky ones, by a second look at the whole and one more by themselves.

    A test that does the same each time in the whole selection, and the same each time by itself, depends on the order.
    """
    assert trial.again_before is not None
    assert trial.again_after is not None
    rows = (
        (trial.before, trial.again_before, whole[0], alone[0]),
        (trial.after, trial.again_after, whole[1], alone[1]),
    )
    steady = {
        case_id
        for case_id in asked
        if all(
            status(first, case_id) is status(again, case_id) and status(second, case_id) is status(third, case_id)
            for first, second, again, third in rows
        )
    }
    steady &= whole[0].cases.keys() & whole[1].cases.keys()
    seen = [
        replace(again, cases={**again.cases, **{case_id: side.cases[case_id] for case_id in steady}})
        for again, side in ((trial.again_before, whole[0]), (trial.again_after, whole[1]))
    ]
    return replace(trial, again_before=seen[0], again_after=seen[1], by_order=frozenset(steady))


def added_ids(trial: Trial) -> tuple[CaseId, ...]:
    """Tests that only the changed side has."""
    return tuple(sorted(case_id for case_id in trial.after.cases if not _existed(trial, case_id)))


def compare(trial: Trial) -> Comparison:
    """Sorts every test of a trial. A test that two runs of one side disagree on is flaky and counts nowhere else."""
    sorts: dict[str, list[CaseId]] = {name: [] for name in Comparison.__dataclass_fields__ if name != "added"}
    new_name = {_rename(trial, case_id): case_id for case_id in trial.before.cases}
    ids = [*new_name, *(case_id for case_id in trial.after.cases if case_id not in new_name)]
    added = []
    for case_id in ids:
        if _flaky(trial, new_name.get(case_id, case_id), case_id):
            sorts["flaky"].append(case_id)
        elif case_id in new_name or _existed(trial, case_id):
            kind = _kind(trial, new_name.get(case_id, case_id), case_id)
            if kind:
                sorts[kind].append(case_id)
        else:
            added.append(AddedCase(case_id, _failed_without(trial, case_id)))
            if status(trial.after, case_id) is Status.BAD:
                sorts["new_failing"].append(case_id)
    for place in trial.before.collection_errors:
        if place in trial.after.collection_errors and place not in sorts["still_failing"]:
            sorts["still_failing"].append(place)
    sorts["new_failing"] += [place for place in trial.after.collection_errors if _is_new_trouble(trial, place)]
    return Comparison(added=tuple(added), **{name: tuple(found) for name, found in sorts.items()})


def respelled(trial: Trial, case_id: CaseId) -> bool:
    """Whether a test only has other parameters now: as it stood it passes, and so do no fewer cases of its function."""
    if trial.source_only is None or status(trial.source_only, case_id) is not Status.GOOD:
        return False
    name = case_id.partition("[")[0]
    was, now = (
        [found for found in run.cases if found.partition("[")[0] == name] for run in (trial.before, trial.after)
    )
    if case_id in now or len(now) < len(was) or weakened(trial, [name]):
        return False
    return bool(now) and all(status(trial.after, found) is Status.GOOD for found in now)


def _is_new_trouble(trial: Trial, place: str) -> bool:
    """Whether a file cannot be collected that the change brought; the tests of one that was there tell for it."""
    if place in trial.before.collection_errors or any(within(case_id, place) for case_id in trial.before.cases):
        return False
    return any(within(edit.path, place) for edit in trial.edits)


def _kind(trial: Trial, old: CaseId, new: CaseId) -> str:
    """The sort of a test that existed, or empty if there is nothing to say of it."""
    was, now = _was(trial, old), _now(trial, new)
    if now is Status.ABSENT and respelled(trial, old):
        return _kind_of_good(trial, old, new, was)
    if now is Status.ABSENT:
        unstable = trial.again_before is not None and status(trial.again_before, old) is Status.ABSENT
        return "" if unstable or was is Status.SKIPPED else "removed"
    if now is Status.SKIPPED:
        return "skipped" if was in (Status.GOOD, Status.BAD) else ""
    if now is Status.BAD:
        sort_of = {Status.GOOD: "broken", Status.BAD: "still_failing", Status.UNREACHED: "unknown"}
        return sort_of.get(was, "new_failing")
    if now is Status.GOOD:
        return _kind_of_good(trial, old, new, was)
    return ""


def _kind_of_good(trial: Trial, old: CaseId, new: CaseId, was: Status) -> str:
    alone = _alone(trial, old, new)
    if alone is Status.GOOD:
        return "fixed" if was is Status.BAD else ""
    if alone in (Status.BAD, Status.SKIPPED) and was in (Status.GOOD, Status.BAD):
        return "green_only"
    return ""


def _was(trial: Trial, case_id: CaseId) -> Status:
    first = status(trial.before, case_id)
    if first is Status.UNREACHED and trial.again_before is not None:
        return status(trial.again_before, case_id)
    return first


def _now(trial: Trial, case_id: CaseId) -> Status:
    return status(trial.after, case_id)


def _alone(trial: Trial, old: CaseId, new: CaseId) -> Status:
    """How the test as it stood does with the source edits alone."""
    if trial.source_only is None:
        return _now(trial, new)
    found = status(trial.source_only, old)
    return _now(trial, new) if found is Status.ABSENT and not _edited(trial, old) else found


def _edited(trial: Trial, case_id: CaseId) -> bool:
    path = case_id.partition("::")[0]
    return any(path in (edit.path, edit.base_path) for edit in trial.edits)


def _flaky(trial: Trial, old: CaseId, new: CaseId) -> bool:
    pairs = (
        (trial.before, trial.again_before, old),
        (trial.after, trial.again_after, new),
        (trial.source_only, trial.again_source_only, old),
    )
    for first, second, case_id in pairs:
        if first is not None and second is not None:
            seen = {status(first, case_id), status(second, case_id)}
            if {Status.GOOD, Status.BAD} <= seen:
                return True
    return False


def _existed(trial: Trial, case_id: CaseId) -> bool:
    """Whether the base has this test, even where its run did not come to it."""
    if case_id in trial.before.cases or case_id in _new_names(trial):
        return True
    if status(trial.before, case_id) is Status.ABSENT:
        return False
    path, _, name = case_id.partition("::")
    for edit in trial.edits:
        if path in (edit.path, edit.base_path):
            return edit.before is not None and name.partition("[")[0] in test_names(edit.before.content)
    return True


def _new_names(trial: Trial) -> set[CaseId]:
    return {_rename(trial, case_id) for case_id in trial.before.cases} if trial.integrity.renamed else set()


def _rename(trial: Trial, case_id: CaseId) -> CaseId:
    name, bracket, parameters = case_id.partition("[")
    return trial.integrity.renamed.get(name, name) + bracket + parameters


def _failed_without(trial: Trial, case_id: CaseId) -> bool:
    return trial.without_source is not None and status(trial.without_source, case_id) is Status.BAD


def _vanished(trial: Trial, first: Comparison) -> Iterable[CaseId]:
    """Removed ids that no edit of theirs explains: perhaps their names are made anew in each run."""
    return [case_id for case_id in first.removed if not _edited(trial, case_id)]


def weakened(trial: Trial, case_ids: Sequence[CaseId]) -> tuple[CaseId, ...]:
    """Those of the tests that the change weakened."""
    findings = trial.integrity.of(FindingKind.WEAKENED, FindingKind.REMOVED)
    return tuple(case_id for case_id in case_ids if any(finding.concerns(case_id) for finding in findings))
