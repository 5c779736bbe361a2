"""What a model is told of a test run."""

from agent_lsp.agent.validation_text import failure_text
from agent_lsp.domain.verdict import CaseResult, Decision, Evidence, Outcome, SuiteReport, Verdict

A = CaseResult("t.py::a", Outcome.FAILED, "E   assert 1 == 2", "t.py", 3)
B = CaseResult("t.py::b", Outcome.FAILED, "E   assert 3 == 4", "t.py", 7)
C = CaseResult("t.py::c", Outcome.PASSED)
REPORT = SuiteReport("pytest 9", {case.id: case for case in (A, B, C)}, collected=3, not_found=("t.py::z",))


def test_a_run_is_told_by_its_counts_and_failures() -> None:
    text = failure_text(REPORT)
    assert text.startswith("2 failed, 1 passed of 3 collected")
    assert "Not found: t.py::z." in text
    assert "=== failed: t.py::a (t.py:4)\nE   assert 1 == 2" in text


def test_what_the_change_broke_comes_before_what_fails_as_ever() -> None:
    verdict = Verdict(Decision.REGRESSED, ("t.py::b passes without the change and not with it.",), broken=("t.py::b",))
    text = failure_text(Evidence(verdict, after=REPORT))
    assert text.startswith("Verdict: regressed.")
    assert text.index("failed: t.py::b") < text.index("failed: t.py::a")


def test_a_run_without_an_end_says_why_and_long_texts_are_bounded() -> None:
    cut = SuiteReport("pytest 9", finished=False, trouble="the tests did not end within 5 s")
    assert "did not end within 5 s" in failure_text(cut)
    many = {f"t{n}": CaseResult(f"t{n}", Outcome.FAILED, "x" * 5000) for n in range(50)}
    text = failure_text(SuiteReport("pytest 9", many, collected=50), limit_chars=4000)
    assert len(text) < 4200
    assert "more left out" in text
