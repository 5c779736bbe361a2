"""Owns naming the lines that failing tests accuse, in words for a model."""

from collections.abc import Collection

from agent_lsp.agent.repair.localise import ochiai
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import SuiteReport

_MOST_LINES = 10
_LEAST = 0.3
_OF_BEST = 0.6
"""Lines that are accused this much less than the first one only fill the list."""


def suspicious_lines(report: SuiteReport, failing: Collection[CaseId] = ()) -> list[tuple[str, int, float]]:
    """Path, one-based line and weight (0..1) of what these failing tests ran and passing ones mostly did not.

    Of all failing tests where none are given, but for those that nobody watched or that ran nothing; the most accused
    first. Empty where nobody watched what ran.
    """
    accused = failing or [case.id for case in report.cases.values() if case.outcome.bad]
    watched = {test for lines in report.executed_failing.values() for tests in lines.values() for test in tests}
    accused = [test for test in accused if test in watched]
    rows = [(path, line, weight) for path, lines in ochiai(report, accused).items() for line, weight in lines.items()]
    rows.sort(key=lambda row: (-round(row[2], 6), row[0], row[1]))
    least = max(_LEAST, _OF_BEST * rows[0][2]) if rows else _LEAST
    return [row for row in rows if row[2] >= least][:_MOST_LINES]


def suspects_text(report: SuiteReport, failing: Collection[CaseId] = ()) -> str:
    """One line for a model; empty where nothing is accused."""
    rows = suspicious_lines(report, failing)
    if not rows:
        return ""
    shown = ", ".join(f"{path}:{line} ({weight:.2f})" for path, line, weight in rows)
    return f"Lines that the failing tests ran and passing ones mostly did not, the most suspicious first: {shown}"
