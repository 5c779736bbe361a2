"""What a verdict says of code whose lines no runner follows, and of what could not be seen to be loaded."""

from dataclasses import replace

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.comparison import Trial
from agent_lsp.domain.judging import judge
from agent_lsp.domain.verdict import CaseResult, Decision, LoadedFile, Outcome, SuiteReport, Verdict

JS = FileEdit("src/a.js", Entry(b"let a = 1\n"), Entry(b"let a = 2\n"))
PY = FileEdit("calc.py", Entry(b"A = 1\n"), Entry(b"A = 2\n"))
JS_TEST, PY_TEST = "test/a.test.js::a", "test_calc.py::test_a"
SEEN = LoadedFile("src/a.js", "src/a.js")
PY_SEEN = LoadedFile("calc", "calc.py", PY.after.sha256 if PY.after else "")


def report(*passing: str, failing: tuple[str, ...] = (), loaded: tuple[LoadedFile, ...] = ()) -> SuiteReport:
    cases = {name: CaseResult(name, Outcome.PASSED) for name in passing}
    cases |= {name: CaseResult(name, Outcome.FAILED) for name in failing}
    return SuiteReport("r", cases, len(cases), loaded=loaded, unmeasured=frozenset({"src/a.js"}))


def verdict(before: SuiteReport, after: SuiteReport, *edits: FileEdit) -> Verdict:
    return judge(Trial(edits, before, after, again_before=before, again_after=after))


def test_a_fix_of_unmeasured_code_is_passed_whether_or_not_it_was_seen_to_be_opened() -> None:
    for loaded in ((SEEN,), ()):
        told = verdict(report(failing=(JS_TEST,)), report(JS_TEST, loaded=loaded), JS)
        assert (told.decision, told.fixed) == (Decision.PASSED, (JS_TEST,))
        assert "Which lines of src/a.js ran is not measured" in told.reasons[1]


@pytest.mark.parametrize("blind", ["", "no inotify here"])
def test_unmeasured_code_that_was_not_opened_is_undecided(blind: str) -> None:
    good = report(JS_TEST)
    told = verdict(good, replace(good, blind=blind), JS)
    assert told.decision is Decision.UNDECIDED
    assert ("could not be seen: no inotify here" if blind else "was not loaded by any test") in told.reasons[0]
    assert verdict(good, report(JS_TEST, loaded=(SEEN,)), JS).decision is Decision.PASSED


def test_a_test_that_goes_on_failing_may_be_about_unmeasured_lines_unless_it_is_of_another_language() -> None:
    before = report(JS_TEST, failing=("test/a.test.js::b",))
    told = verdict(before, report(JS_TEST, failing=("test/a.test.js::b",), loaded=(SEEN,)), JS)
    assert told.decision is Decision.UNDECIDED
    assert "test/a.test.js::b fails before and after" in told.reasons[0]
    before = report(JS_TEST, failing=(PY_TEST,))
    assert verdict(before, report(JS_TEST, failing=(PY_TEST,), loaded=(SEEN,)), JS).decision is Decision.PASSED


def test_measured_lines_do_not_prove_the_unmeasured_ones_beside_them() -> None:
    before, after = report(JS_TEST, failing=(PY_TEST,)), report(JS_TEST, PY_TEST, loaded=(SEEN, PY_SEEN))
    after = replace(after, executable={"calc.py": frozenset({1})}, executed={"calc.py": {1: frozenset({PY_TEST})}})
    both = verdict(before, after, JS, PY)
    assert (both.decision, both.changed_lines, both.changed_lines_run) == (Decision.PASSED, 1, 1)
    assert verdict(before, after, PY).decision is Decision.PROVEN
    blind = replace(after, unmeasured=frozenset({"calc.py"}))
    alone = verdict(before, blind, PY)
    assert (alone.decision, alone.changed_lines, alone.unrun_lines) == (Decision.PASSED, 0, ())
