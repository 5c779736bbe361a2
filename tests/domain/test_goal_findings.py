"""What became of a diagnostic that a run was started from, as the project's own checker tells it."""

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.checker_output import CheckerFinding, new_findings, read_mypy
from agent_lsp.domain.goal_findings import Fate, GoalFinding, is_diagnostic, names_of, settled, split_goals, with_fates
from agent_lsp.domain.task import Problem
from agent_lsp.domain.verdict import Decision, Evidence, Verdict

PROBLEM = Problem("calc.py", 1, "Incompatible return value type", "mypy", "return-value")
OLD = b"def one():\n    return 1\n\ndef two():\n    return 2\n"
TEXT = "Incompatible return value type  [return-value]"


def rows(*lines: int, text: str = TEXT, path: str = "calc.py") -> list[CheckerFinding]:
    return [CheckerFinding("mypy", path, line, text) for line in lines]


def fate(before: list[CheckerFinding] | None, after: list[CheckerFinding] | None, new: bytes = OLD) -> GoalFinding:
    _, goals = split_goals(names_of([PROBLEM]))
    edits = [FileEdit("calc.py", Entry(OLD), Entry(new))]
    return settled(goals, {"mypy": (before, after)}, edits)[0]


def test_diagnostics_go_among_the_goals_by_name_and_failing_tests_as_tests() -> None:
    test = Problem("tests/test_a.py", 4, "fails", "pytest", "tests/test_a.py::test_a")
    wide = Problem("a b/[x].py", 0, "odd:\n  [text]", "Pylance")
    names = names_of([test, PROBLEM, wide, Problem("a.py", 0, "not run", "agent-lsp")])
    assert names[0] == "tests/test_a.py::test_a"
    assert names[1] == "diagnostic mypy[return-value] calc.py:2: Incompatible return value type"
    assert [is_diagnostic(name) for name in names] == [False, True, True]
    tests, goals = split_goals(names)
    assert tests == ("tests/test_a.py::test_a",)
    assert goals[0] == GoalFinding(PROBLEM)
    assert (goals[1].problem.path, goals[1].problem.line, goals[1].tool) == ("a b/[x].py", 0, "pyright")


@pytest.mark.parametrize(
    ("before", "after", "new", "expected"),
    [
        (rows(2), rows(2), OLD, Fate.STAYS),
        (rows(2), rows(4), b"import a\n\n" + OLD, Fate.STAYS),
        (rows(2), [], OLD.replace(b"1", b"'1'"), Fate.GONE),
        (rows(2, 5), rows(5), OLD.replace(b"1", b"'1'"), Fate.GONE),
        (rows(2, 5), rows(2), OLD.replace(b"2", b"'2'"), Fate.STAYS),
        (rows(2), rows(2), OLD.replace(b"1", b"11"), Fate.STAYS),
        (rows(2), None, OLD, Fate.UNKNOWN),
        (None, [], OLD, Fate.UNKNOWN),
        (rows(5, text="Name x already defined on line 1  [no-redef]"), [], OLD, Fate.UNKNOWN),
    ],
)
def test_a_diagnostic_is_gone_only_where_its_checker_finds_one_less_of_it(
    before: list[CheckerFinding] | None, after: list[CheckerFinding] | None, new: bytes, expected: Fate
) -> None:
    assert fate(before, after, new).fate is expected


def test_a_line_number_in_the_words_makes_no_new_finding() -> None:
    before, after = (rows(line, text=f"Name x already defined on line {line - 1}  [no-redef]") for line in (5, 7))
    assert new_findings(before, after).rows == ()


def test_what_silences_a_checker_is_said_and_who_cannot_be_asked_too() -> None:
    silenced = fate(rows(2), [], OLD.replace(b"return 1", b"return 1  # type: ignore[return-value]"))
    assert "is gone, by a comment that silences it: calc.py:2 mypy: " in silenced.sentence()
    (foreign,) = settled(split_goals(names_of([Problem("a.js", 2, "no-undef", "eslint")]))[1], {}, [])
    assert foreign.sentence() == (
        "Whether the problem that this was started from is gone was not checked"
        " (none of the project's own checkers reports it): a.js:3 eslint: no-undef."
    )
    (absent,) = settled(split_goals(names_of([PROBLEM]))[1], {}, [])
    assert "mypy was not found beside the project's Python" in absent.sentence()


@pytest.mark.parametrize("was", list(Decision))
def test_a_change_that_leaves_the_diagnostic_is_never_accepted(was: Decision) -> None:
    evidence = Evidence(Verdict(was, ("Said before.",)))
    left = with_fates(evidence, [fate(rows(2), rows(2))]).verdict
    kept = was in (Decision.REGRESSED, Decision.NOT_RUN)
    assert left.decision is (was if kept else Decision.FAILED)
    assert any("is still there: calc.py:2 mypy: " in reason for reason in left.reasons)
    assert with_fates(evidence, [fate(rows(2), [])]).verdict.decision is was


def test_mypys_own_words_are_read() -> None:
    told = "calc.py:2: error: Incompatible return value type  [return-value]\ncalc.py:3: note: Revealed type\n"
    assert read_mypy(told, "/x") == rows(2)
