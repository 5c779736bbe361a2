"""Owns the rules between the stages of a verdict: what ends it at once, what a later stage makes of an earlier."""

import ast
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent_lsp.domain.changes import FileEdit, FileMode, HunkClass
from agent_lsp.domain.checker_output import NewFindings
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import Decision, Evidence, SuiteReport, Verdict

IN_THE_BACKGROUND: Final = "The whole suite runs in the background once this is proposed, and has the last word."
ONE_PIECE_FOLLOWS: Final = (
    "These tests ran in parts at once; they run in one piece in the background once this is proposed."
)
_FOLLOWS: Final = (IN_THE_BACKGROUND, ONE_PIECE_FOLLOWS)


@dataclass(frozen=True, slots=True)
class SyntaxTrouble:
    """A changed file that cannot be compiled; `line` is one-based."""

    path: str
    line: int
    text: str

    def sentence(self) -> str:
        """The reason of a verdict."""
        return f"{self.path}:{self.line} cannot be compiled: {self.text}. Nothing was run."


def syntax_troubles(edits: Iterable[FileEdit]) -> tuple[SyntaxTrouble, ...]:
    """Python files that the change leaves broken and did not find broken.

    Judged by the Python that this runs on: the workspace's own may know newer syntax and has the last word.
    """
    found = []
    for edit in edits:
        if edit.after is None or not edit.path.endswith(".py") or edit.after.mode is FileMode.SYMLINK:
            continue
        trouble = _trouble(edit.path, edit.after.content)
        if trouble is not None and _was_well(edit):
            found.append(trouble)
    return tuple(found)


def _was_well(edit: FileEdit) -> bool:
    """Whether a file that is broken now was none before.

    Of new files, test data may be broken on purpose, and a script at the root is of no concern until a test loads it.
    """
    if edit.before is None:
        return "/" in edit.path and edit.classes == {HunkClass.SOURCE}
    return _trouble(edit.path, edit.before.content) is None


def told_also(evidence: Evidence, sentences: Sequence[str]) -> Evidence:
    """The evidence with further reasons, each once."""
    verdict = evidence.verdict
    reasons = tuple(dict.fromkeys([*verdict.reasons, *sentences]))
    return replace(evidence, verdict=replace(verdict, reasons=reasons))


def without_noise(evidence: Evidence, goals: Sequence[CaseId]) -> Evidence:
    """Files that were selected and hold no test that runs are nobody's concern; missing goal tests are."""
    verdict, after = evidence.verdict, evidence.after
    missing = [goal for goal in goals if after is not None and goal in after.not_found]
    reasons = [reason for reason in verdict.reasons if not reason.startswith("Not found: ")]
    reasons += [f"Not found: {', '.join(missing)}."] if missing else []
    return replace(evidence, verdict=replace(verdict, reasons=tuple(reasons)))


def with_findings(evidence: Evidence, found: NewFindings, *, block: bool) -> Evidence:
    """New findings of the project's own checkers are told; they stop a change only where the settings say so."""
    evidence = told_also(evidence, found.sentences())
    verdict = evidence.verdict
    if not block or not found.rows or not verdict.decision.acceptable:
        return evidence
    reason = "The project's own checkers find new faults, and tests.new_findings is `block`."
    return replace(evidence, verdict=replace(verdict, decision=Decision.UNDECIDED, reasons=(reason, *verdict.reasons)))


def ran_out_of_time(evidence: Evidence) -> bool:
    """Whether the tests could not tell because their time was over, on both sides."""
    reports = (evidence.before, evidence.after)
    return all(report is not None and report.timed_out for report in reports)


def cut_short(evidence: Evidence) -> tuple[str, ...]:
    """What to say where no further test was begun since the time for them was over."""
    reports = [report for report in (evidence.before, evidence.after) if report is not None and report.cut_short]
    if not reports:
        return ()
    ended, of = min((len(report.cases), report.collected) for report in reports)
    return (f"The time for a first verdict was over when {ended} of these {of} tests had run.",)


@dataclass(frozen=True, slots=True)
class Settled:
    """What the whole suite made of an earlier verdict. `withdrawn`: it was acceptable and is no more."""

    evidence: Evidence
    withdrawn: bool = False
    missed: tuple[CaseId, ...] = ()
    audited: bool = False


def settle(first: Evidence, whole: Evidence) -> Settled:
    """The whole suite has the last word, unless it came to none."""
    earlier, later = first.verdict, whole.verdict
    selected = earlier.selection == "impacted"
    if not _ended(whole.before) or not (_ended(whole.after) or _is_against(whole)):
        why = whole.after.trouble if whole.after is not None else " ".join(later.reasons)
        speak = "only the tests that were selected speak" if selected else "what its parts showed stands"
        return alone(first, f"The whole suite came to no end, so {speak}: {why}.")
    seen = first.after.cases.keys() if first.after is not None else frozenset()
    missed = tuple(case for case in later.broken if case not in seen)
    withdrawn = earlier.decision.acceptable and not later.decision.acceptable
    reasons = list(later.reasons)
    if withdrawn:
        reasons.insert(0, _withdrawal(earlier, later, missed))
    elif earlier.decision is not later.decision:
        what = "The selected tests alone" if selected else "The tests in parts"
        reasons.append(f"{what} had made it {earlier.decision.value}.")
    verdict = replace(later, reasons=tuple(reasons))
    return Settled(replace(whole, verdict=verdict), withdrawn, missed, audited=True)


def alone(first: Evidence, why: str) -> Settled:
    """The earlier verdict stands by itself, and says why."""
    reasons = tuple(reason for reason in first.verdict.reasons if reason not in _FOLLOWS)
    return Settled(told_also(replace(first, verdict=replace(first.verdict, reasons=reasons)), [why]))


def _withdrawal(earlier: Verdict, later: Verdict, missed: Collection[CaseId]) -> str:
    named = ", ".join(sorted(missed)[:5])
    more = f" and {len(missed) - 5} more" if len(missed) > 5 else ""
    what = f": {named}{more} had not been selected" if missed else ""
    was, now = earlier.decision.value, later.decision.value
    suite = "the whole suite" if earlier.selection == "impacted" else "the suite in one piece"
    return f"The earlier verdict `{was}` is withdrawn, {suite} makes it `{now}`{what}."


def _is_against(whole: Evidence) -> bool:
    """Whether a run with the change that came to no end is held against it all the same."""
    after = whole.after
    gone = after is not None and (after.vanished or after.tampered)
    return gone or whole.verdict.decision is Decision.REGRESSED


def _ended(report: SuiteReport | None) -> bool:
    return report is not None and report.finished


def _trouble(path: str, content: bytes) -> SyntaxTrouble | None:
    try:
        ast.parse(content, path)
    except SyntaxError as error:
        return SyntaxTrouble(path, error.lineno or 1, error.msg or "invalid syntax")
    except ValueError as error:
        return SyntaxTrouble(path, 1, str(error))
    except (RecursionError, MemoryError):
        return None
    return None
