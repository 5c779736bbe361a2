"""The lines that failing tests accuse, as a model is told of them."""

from agent_lsp.agent.suspects import suspicious_lines
from agent_lsp.agent.validation_text import failure_text
from agent_lsp.domain.verdict import CaseResult, Outcome, SuiteReport

GOOD, BAD, WORSE = "test_a.py::good", "test_a.py::bad", "test_a.py::worse"
REPORT = SuiteReport(
    "pytest",
    {
        GOOD: CaseResult(GOOD, Outcome.PASSED),
        BAD: CaseResult(BAD, Outcome.FAILED, "assert 1 == 2"),
        WORSE: CaseResult(WORSE, Outcome.FAILED, "assert 3 == 4"),
    },
    3,
    executed={"a.py": {1: frozenset({GOOD}), 2: frozenset({GOOD})}},
    executed_failing={"a.py": {2: frozenset({BAD}), 3: frozenset({BAD, WORSE})}, "b.py": {7: frozenset({WORSE})}},
)


def test_what_only_failing_tests_ran_is_accused_most_and_what_all_ran_hardly() -> None:
    assert suspicious_lines(REPORT)[0] == ("a.py", 3, 1.0)
    assert ("a.py", 1) not in [row[:2] for row in suspicious_lines(REPORT)]
    assert [row[:2] for row in suspicious_lines(REPORT, [WORSE])] == [("a.py", 3), ("b.py", 7)]


def test_a_model_is_told_the_suspicious_lines_before_the_failures_and_nothing_where_none_are_known() -> None:
    text = failure_text(REPORT)
    assert "the most suspicious first: a.py:3 (1.00)" in text
    assert text.index("a.py:3") < text.index("assert 1 == 2")
    assert "suspicious" not in failure_text(SuiteReport("pytest", REPORT.cases, 3))
