"""Owns the failing tests of a verdict as problems for a person, and texts cut to a bearable length."""

from collections.abc import Collection
from typing import Any

from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import CaseResult, Evidence


def shortened(text: str, most_characters: int) -> str:
    """Text with its middle left out where it is too long: the head and, twice as much, the tail are kept."""
    if len(text) <= most_characters:
        return text
    head = most_characters // 3
    tail = most_characters - head
    return f"{text[:head]}\n… ({len(text) - most_characters} characters left out) …\n{text[-tail:]}"


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
