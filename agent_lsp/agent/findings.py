"""Owns how test runs and verdicts read as text for a model, and as problems for a person."""

from collections.abc import Collection, Iterable
from typing import Any, Final

from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import CaseResult, Evidence, Outcome, SuiteReport

MOST_FAILURES: Final = 8
FAILURE_CHARACTERS: Final = 3000
OUTPUT_CHARACTERS: Final = 4000
MOST_NAMES: Final = 25


def shortened(text: str, most_characters: int) -> str:
    """Text with its middle left out where it is too long: the head and, twice as much, the tail are kept."""
    if len(text) <= most_characters:
        return text
    head = most_characters // 3
    tail = most_characters - head
    return f"{text[:head]}\n… ({len(text) - most_characters} characters left out) …\n{text[-tail:]}"


def report_text(report: SuiteReport) -> str:
    """One test run for a model: counts, failing tests with their messages, and output where it explains more."""
    parts = [_counts(report)]
    if report.trouble:
        parts.append(f"The run did not end as it should: {report.trouble}")
    parts += [f"Could not be collected: {path}\n{shortened(why, 2000)}" for path, why in _first(report.collection_errors)]
    parts += _failures(report, report.failing())
    if report.output and (not report.ran or not report.finished):
        parts.append("Output:\n" + shortened(report.output, OUTPUT_CHARACTERS))
    return "\n\n".join(parts)


def evidence_text(evidence: Evidence) -> str:
    """What a model should read of a verdict before it tries again."""
    verdict = evidence.verdict
    parts = [f"Verdict: {verdict.title()}", *verdict.reasons]
    parts += _named("Tests that passed before and fail now", verdict.broken)
    parts += _named("Tests that still fail", verdict.still_failing)
    parts += _named("Tests that were fixed", verdict.fixed)
    parts += _named("Tests removed or weakened (they never count as green)", verdict.removed_or_weakened)
    parts += _named("Changed lines that no passing test ran", [f"{r.path}:{r.line + 1}" for r in verdict.unrun_lines])
    report = evidence.after
    if report is not None:
        wanted = [*verdict.broken, *verdict.still_failing]
        parts += [f"Could not be collected: {path}\n{shortened(why, 2000)}" for path, why in _first(report.collection_errors)]
        parts += _failures(report, wanted or sorted(report.failing()))
        if not report.ran or not report.finished:
            parts.append("Output of the tests:\n" + shortened(report.output, OUTPUT_CHARACTERS))
    return "\n\n".join(part for part in parts if part)


def problems_of(evidence: Evidence, goal_tests: Collection[CaseId]) -> list[dict[str, Any]]:
    """The failing tests that speak against the change, as the `problems` event lists them."""
    report = evidence.after
    if report is None:
        return []
    against = [*evidence.verdict.broken, *(case for case in evidence.verdict.still_failing if case in goal_tests)]
    return [_problem(report.cases[case], case in goal_tests) for case in against if case in report.cases]


def _problem(case: CaseResult, is_goal: bool) -> dict[str, Any]:
    what = "still fails" if is_goal else "passed before the change and fails with it"
    return {
        "path": case.path or case.id.partition("::")[0],
        "line": case.line or 0,
        "message": f"{case.id} {what}: {_assertion(case.message)}",
        "severity": "error",
        "code": case.id,
        "related": [],
    }


def _assertion(message: str) -> str:
    """The lines of a failure that say what went wrong."""
    lines = [line.rstrip() for line in message.splitlines() if line.strip()]
    wrong = [line.lstrip("E ").strip() for line in lines if line.startswith("E ")]
    return shortened("\n".join(wrong[:6] or lines[-3:]), 600) or "no message"


def _counts(report: SuiteReport) -> str:
    counts = {outcome: 0 for outcome in Outcome}
    for case in report.cases.values():
        counts[case.outcome] += 1
    told = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count)
    ended = "" if report.exit_status is None else f" Exit status {report.exit_status}."
    return f"{report.collected} tests collected, {report.ran} ran: {told or 'nothing'}.{ended}"


def _failures(report: SuiteReport, wanted: Iterable[CaseId]) -> list[str]:
    cases = [report.cases[case] for case in wanted if case in report.cases and report.cases[case].outcome.bad]
    shown = [f"{case.id} ({case.outcome.value})\n{shortened(case.message, FAILURE_CHARACTERS)}" for case in cases]
    if len(shown) > MOST_FAILURES:
        names = ", ".join(case.id for case in cases[MOST_FAILURES:][:MOST_NAMES])
        shown = [*shown[:MOST_FAILURES], f"… and {len(cases) - MOST_FAILURES} more failing tests: {names}"]
    return shown


def _named(title: str, names: Collection[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(list(names)[:MOST_NAMES])
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return [f"{title}: {shown}{more}."]


def _first(errors: Any) -> list[tuple[str, str]]:
    return list(errors.items())[:MOST_FAILURES]
