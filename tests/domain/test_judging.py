"""The rules of the verdict, on runs made by hand: PROTOCOL.md section 4 as a table."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.comparison import Trial, suspects
from agent_lsp.domain.integrity import inspect_tests
from agent_lsp.domain.judging import judge
from agent_lsp.domain.verdict import CaseResult, Decision, LoadedFile, Outcome, SuiteReport

OLD, NEW = b"def f():\n    return 1\n", b"def f():\n    return 2\n"
SOURCE = FileEdit("app.py", Entry(OLD), Entry(NEW))
LOADED = (LoadedFile("app", "app.py", Entry(NEW).sha256),)
GOOD, BAD, SKIP = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED
A, B, C = "test_a.py::test_a", "test_a.py::test_b", "test_a.py::test_c"


def report(outcomes: Mapping[str, Outcome], **fields: Any) -> SuiteReport:
    cases = {case_id: CaseResult(case_id, outcome) for case_id, outcome in outcomes.items()}
    return SuiteReport("pytest", cases, **({"collected": len(cases)} | fields))


def after(outcomes: Mapping[str, Outcome], **fields: Any) -> SuiteReport:
    """A run that loaded the changed file, every test of which ran its changed line."""
    good = frozenset(case_id for case_id, outcome in outcomes.items() if outcome.good)
    bad = frozenset(case_id for case_id, outcome in outcomes.items() if outcome.bad)
    known: dict[str, Any] = {
        "loaded": LOADED,
        "executable": {"app.py": frozenset({1, 2})},
        "executed": {"app.py": {2: good}} if good else {},
        "executed_failing": {"app.py": {2: bad}} if bad else {},
    }
    return report(outcomes, **(known | fields))


def trial(old: Mapping[str, Outcome], new: Mapping[str, Outcome], **fields: Any) -> Trial:
    known: dict[str, Any] = {"edits": (SOURCE,), "before": report(old), "after": after(new)}
    return Trial(**(known | fields))


@pytest.mark.parametrize(
    ("old", "new", "goals", "decision"),
    [
        ({A: BAD}, {A: GOOD}, (A,), Decision.PROVEN),
        ({A: BAD}, {A: GOOD}, (), Decision.PROVEN),
        ({A: GOOD}, {A: GOOD}, (), Decision.PASSED),
        ({A: GOOD}, {A: GOOD}, (A,), Decision.PASSED),
        ({A: BAD}, {A: BAD}, (A,), Decision.FAILED),
        ({A: BAD, B: BAD}, {A: GOOD, B: BAD}, ("test_a.py",), Decision.FAILED),
        ({A: BAD, B: BAD}, {A: GOOD, B: BAD}, (), Decision.PROVEN),
        ({A: GOOD, B: BAD}, {A: BAD, B: GOOD}, (), Decision.REGRESSED),
        ({A: GOOD}, {A: BAD}, (A,), Decision.REGRESSED),
        ({A: BAD}, {A: BAD}, (), Decision.UNDECIDED),
        ({}, {}, (), Decision.UNDECIDED),
        ({}, {}, (A,), Decision.UNDECIDED),
        ({A: SKIP}, {A: SKIP}, (), Decision.UNDECIDED),
        ({A: GOOD, B: GOOD}, {A: GOOD, B: SKIP}, (), Decision.UNDECIDED),
        ({A: BAD}, {A: SKIP}, (A,), Decision.FAILED),
        ({A: GOOD, B: GOOD}, {A: GOOD}, (), Decision.UNDECIDED),
        ({A: BAD, B: GOOD}, {B: GOOD}, (A,), Decision.FAILED),
        ({A: BAD}, {A: GOOD}, ("test_a.py::nope",), Decision.UNDECIDED),
        ({A: GOOD}, {A: GOOD, B: BAD}, (), Decision.UNDECIDED),
        ({A: Outcome.ERROR}, {A: GOOD}, (), Decision.PROVEN),
        ({A: Outcome.XFAILED}, {A: GOOD}, (), Decision.PASSED),
    ],
)
def test_each_pair_of_runs_has_its_decision(
    old: Mapping[str, Outcome], new: Mapping[str, Outcome], goals: tuple[str, ...], decision: Decision
) -> None:
    verdict = judge(trial(old, new, goal_tests=goals))
    assert verdict.decision is decision, verdict.reasons
    assert verdict.reasons
    assert all(reason.endswith((".", "`")) or "weaken" in verdict.reasons[0] for reason in verdict.reasons)


def test_the_verdict_counts_and_lists_everything() -> None:
    verdict = judge(trial({A: BAD, B: BAD, C: GOOD}, {A: GOOD, B: BAD, C: GOOD}, candidate="t", selection="impacted"))
    assert (verdict.fixed, verdict.still_failing, verdict.broken) == ((A,), (B,), ())
    assert (verdict.collected, verdict.ran, verdict.changed_lines, verdict.changed_lines_run) == (3, 3, 1, 1)
    assert (verdict.candidate, verdict.selection) == ("t", "impacted")
    assert "1 failed before and fail as before." in verdict.reasons


def test_a_line_that_no_passing_test_ran_keeps_a_fix_from_being_proven() -> None:
    verdict = judge(trial({A: BAD}, {A: GOOD}, after=after({A: GOOD}, executed={})))
    assert verdict.decision is Decision.PASSED
    assert [(row.path, row.line) for row in verdict.unrun_lines] == [("app.py", 1)]


@pytest.mark.parametrize(
    ("loaded", "words"),
    [
        ((), "was not loaded by any test"),
        ((LoadedFile("app", "/site/app.py"),), "app came from /site/app.py"),
        ((LoadedFile("app", "app.py", "0" * 64),), "not with the bytes"),
    ],
)
def test_a_changed_module_that_did_not_come_from_the_candidate_is_undecided(
    loaded: tuple[LoadedFile, ...], words: str
) -> None:
    verdict = judge(trial({A: GOOD}, {A: GOOD}, after=after({A: GOOD}, loaded=loaded)))
    assert verdict.decision is Decision.UNDECIDED
    assert words in verdict.reasons[0]


def test_what_is_fixed_by_a_module_that_only_other_processes_load_is_passed_at_best() -> None:
    verdict = judge(trial({A: BAD}, {A: GOOD}, after=after({A: GOOD}, loaded=(), executed={})))
    assert verdict.decision is Decision.PASSED


def test_crashes_count_against_the_change_only_when_it_alone_crashes() -> None:
    whole, cut = report({A: GOOD}), after({}, finished=False, trouble="the tests did not end within 5 s")
    assert judge(trial({}, {}, before=whole, after=cut)).decision is Decision.REGRESSED
    both = judge(trial({}, {}, before=replace(whole, finished=False, trouble="it was killed"), after=cut))
    assert both.decision is Decision.UNDECIDED
    mended = judge(trial({}, {}, before=report({A: BAD}, finished=False, trouble="x"), after=after({A: GOOD})))
    assert mended.decision is Decision.PROVEN


def test_a_failure_whose_past_could_not_be_seen_is_undecided() -> None:
    before = report({A: BAD}, finished=False, trouble="it was killed")
    verdict = judge(trial({}, {}, before=before, after=after({A: GOOD, B: BAD})))
    assert verdict.decision is Decision.UNDECIDED
    assert B in verdict.reasons[0]


def test_flaky_tests_are_named_and_count_for_nothing() -> None:
    one = trial({A: BAD, B: GOOD}, {A: GOOD, B: BAD})
    assert suspects(one) == (A, B)
    seen = judge(replace(one, again_before=report({A: BAD, B: GOOD}), again_after=after({A: GOOD, B: GOOD})))
    assert (seen.decision, seen.flaky, seen.broken) == (Decision.PROVEN, (B,), ())
    fix = replace(one, after=after({A: GOOD, B: GOOD}), goal_tests=(A,))
    luck = judge(replace(fix, again_before=report({A: GOOD}), again_after=after({A: GOOD})))
    assert (luck.decision, luck.fixed, luck.flaky) == (Decision.UNDECIDED, (), (A,))


def test_ids_that_are_made_anew_in_each_run_are_not_removed_tests() -> None:
    one = trial({A: GOOD, "test_a.py::test_u[1f]": GOOD}, {A: GOOD, "test_a.py::test_u[2e]": GOOD})
    assert "test_a.py::test_u[1f]" in suspects(one)
    verdict = judge(replace(one, again_before=report({A: GOOD}), again_after=after({A: GOOD})))
    assert verdict.decision is Decision.PASSED
    assert verdict.removed_or_weakened == ()


def test_what_only_changed_tests_make_green_is_listed_and_a_goal_test_of_that_kind_failed() -> None:
    test_edit = FileEdit(
        "test_a.py", Entry(b"def test_a():\n    assert f() == 1\n"), Entry(b"def test_a():\n    f()\n")
    )
    edits = (SOURCE, test_edit)
    one = trial({A: BAD}, {A: GOOD}, edits=edits, source_only=report({A: BAD}), integrity=inspect_tests(edits))
    verdict = judge(one)
    assert (verdict.decision, verdict.fixed) == (Decision.UNDECIDED, ())
    assert any("assertion was removed" in row for row in verdict.removed_or_weakened)
    assert judge(replace(one, goal_tests=(A,))).decision is Decision.FAILED
    loose = judge(replace(one, source_only=report({A: GOOD})))
    assert (loose.decision, loose.fixed) == (Decision.UNDECIDED, ())


def test_an_added_test_proves_only_when_named_and_failing_without_the_change() -> None:
    edits = (SOURCE, FileEdit("test_n.py", None, Entry(b"def test_n():\n    assert f() == 2\n")))
    new = "test_n.py::test_n"
    one = trial({A: GOOD}, {A: GOOD, new: GOOD}, edits=edits, source_only=report({A: GOOD}))
    fails = replace(one, without_source=report({new: BAD}))
    assert judge(fails).decision is Decision.PASSED
    assert judge(fails).added[0].failed_without_change
    assert judge(replace(fails, goal_tests=(new,))).decision is Decision.PROVEN
    idle = judge(replace(one, without_source=report({new: GOOD}), goal_tests=(new,)))
    assert idle.decision is Decision.PASSED
    assert any("Proves nothing" in reason for reason in idle.reasons)


def test_changed_configuration_caps_at_passed() -> None:
    edits = (SOURCE, FileEdit("pytest.ini", None, Entry(b"[pytest]\n")))
    one = trial({A: BAD}, {A: GOOD}, edits=edits, source_only=report({A: GOOD}), integrity=inspect_tests(edits))
    assert judge(one).decision is Decision.PASSED


MISSING = {"test_a.py": "ModuleNotFoundError: No module named 'numpy'"}


def test_an_environment_that_is_broken_on_both_sides_is_undecided_and_named() -> None:
    before = report({}, collection_errors=MISSING)
    for goals in ((), (A,)):
        verdict = judge(trial({}, {}, before=before, after=after({}, collection_errors=MISSING), goal_tests=goals))
        assert verdict.decision is Decision.UNDECIDED
        assert "numpy" in verdict.reasons[0]


def test_a_missing_name_of_the_workspace_itself_is_no_environment_but_a_goal_not_reached() -> None:
    errors = {"test_a.py": "ModuleNotFoundError: No module named 'app.new'"}
    one = trial({}, {}, before=report({}, collection_errors=errors), after=after({}, collection_errors=errors))
    assert judge(replace(one, goal_tests=(A,), modules=frozenset({"app"}))).decision is Decision.FAILED


def test_a_file_that_cannot_be_collected_on_both_sides_forbids_passed_but_not_proven() -> None:
    broken = {"test_z.py": "SyntaxError: x"}
    before = {"before": report({A: BAD}, collection_errors=broken)}
    proven = judge(trial({}, {}, **before, after=after({A: GOOD}, collection_errors=broken)))
    assert (proven.decision, proven.still_failing) == (Decision.PROVEN, ("test_z.py",))
    before = {"before": report({A: GOOD}, collection_errors=broken)}
    blind = judge(trial({}, {}, **before, after=after({A: GOOD}, collection_errors=broken)))
    assert blind.decision is Decision.UNDECIDED


def test_a_change_without_python_needs_no_loaded_module() -> None:
    edits = (FileEdit("data.json", Entry(b"1"), Entry(b"2")),)
    verdict = judge(trial({A: BAD}, {A: GOOD}, edits=edits, after=report({A: GOOD})))
    assert (verdict.decision, verdict.fixed) == (Decision.PASSED, (A,))


def test_a_comment_in_a_module_that_was_loaded_from_elsewhere_was_not_tested() -> None:
    edits = (FileEdit("src/app.py", Entry(OLD), Entry(OLD + b"# why\n")),)
    copy = (LoadedFile("app", "/venv/lib/python3/site-packages/app.py"),)
    verdict = judge(trial({A: GOOD}, {A: GOOD}, edits=edits, after=report({A: GOOD}, loaded=copy), goal_tests=(A,)))
    assert verdict.decision is Decision.UNDECIDED
    assert "app came from /venv" in verdict.reasons[0]
    assert judge(trial({A: GOOD}, {A: GOOD}, edits=edits, after=report({A: GOOD}))).decision is Decision.PASSED


def test_a_goal_that_passes_without_the_change_is_told() -> None:
    verdict = judge(trial({A: GOOD}, {A: GOOD}, goal_tests=(A,)))
    assert verdict.decision is Decision.PASSED
    assert f"The goal test {A} passes without the change too." in verdict.reasons


HELPER = b"\n\n@cache\ndef g(\n    a,\n):\n    return a\n"


@pytest.mark.parametrize(
    ("added", "hit_by_failing", "decision"),
    [
        (HELPER, {5, 6, 7, 8}, Decision.PASSED),
        (HELPER, {5, 6, 7, 8, 9}, Decision.UNDECIDED),
        (b"\nLIMIT = 3\n", {4}, Decision.UNDECIDED),
    ],
)
def test_a_new_function_is_no_matter_of_a_failing_test_that_does_not_call_it(
    added: bytes, hit_by_failing: set[int], decision: Decision
) -> None:
    content = OLD + added
    lines = frozenset(range(1, content.count(b"\n") + 1))
    ran = after(
        {A: GOOD, B: BAD},
        loaded=(LoadedFile("app", "app.py", Entry(content).sha256),),
        executable={"app.py": lines},
        executed_failing={"app.py": {line: frozenset({B}) for line in hit_by_failing}},
    )
    edits = (FileEdit("app.py", Entry(OLD), Entry(content)),)
    verdict = judge(trial({A: GOOD, B: BAD}, {}, edits=edits, after=ran))
    assert verdict.decision is decision, verdict.reasons


@pytest.mark.parametrize(
    ("path", "goals", "decision"),
    [
        ("test_fix.py", ("tests/test_a.py::test_a",), Decision.PASSED),
        ("scratch/test_fix.py", ("tests/test_a.py::test_a",), Decision.PASSED),
        ("tests/test_fix.py", ("tests/test_a.py::test_a",), Decision.UNDECIDED),
        ("test_fix.py", (), Decision.UNDECIDED),
        ("test_fix.py", ("tests/test_a.py::test_b",), Decision.FAILED),
    ],
)
@pytest.mark.parametrize("collects", [True, False])
def test_a_scratch_test_that_fails_is_told_and_does_not_outweigh_the_goals(
    path: str, goals: tuple[str, ...], decision: Decision, collects: bool
) -> None:
    a, b = "tests/test_a.py::test_a", "tests/test_a.py::test_b"
    edits = (SOURCE, FileEdit(path, None, Entry(b"def test_it():\n    assert False\n")))
    broken = {} if collects else {path: "SystemExit: 1"}
    scratch = {f"{path}::test_it": BAD} if collects else {}
    ran = after({a: GOOD, b: BAD, **scratch}, collection_errors=broken)
    alone = report({a: GOOD, b: BAD})
    verdict = judge(
        trial({}, {}, edits=edits, before=report({a: BAD, b: BAD}), after=ran, source_only=alone, goal_tests=goals)
    )
    assert verdict.decision is decision, verdict.reasons
    if decision is Decision.PASSED:
        assert "which the change leaves where no tests are, does not pass" in " ".join(verdict.reasons)


OLD_TEST = b"def test_a():\n    assert f() == 1\n"
MORE = b'@pytest.mark.parametrize("n", [1, 2])\ndef test_a(n):\n    assert f() == 1\n'


@pytest.mark.parametrize(
    ("now", "alone", "goals", "decision"),
    [
        ({f"{A}[1]": GOOD, f"{A}[2]": GOOD}, GOOD, (), Decision.PROVEN),
        ({f"{A}[1]": GOOD, f"{A}[2]": GOOD}, GOOD, (A,), Decision.PROVEN),
        ({f"{A}[1]": GOOD, f"{A}[2]": GOOD}, BAD, (), Decision.UNDECIDED),
        ({f"{A}[1]": GOOD, f"{A}[2]": SKIP}, GOOD, (), Decision.UNDECIDED),
        ({}, GOOD, (), Decision.UNDECIDED),
        ({}, GOOD, (A,), Decision.FAILED),
    ],
)
def test_a_test_that_is_given_parameters_is_still_the_test_that_it_was(
    now: Mapping[str, Outcome], alone: Outcome, goals: tuple[str, ...], decision: Decision
) -> None:
    new = MORE if now else b""
    edits = (SOURCE, FileEdit("test_a.py", Entry(OLD_TEST), Entry(new)))
    verdict = judge(
        trial(
            {A: BAD, B: GOOD},
            {**now, B: GOOD},
            edits=edits,
            source_only=report({A: alone, B: GOOD}),
            without_source=report(dict.fromkeys(now, BAD)),
            integrity=inspect_tests(edits),
            goal_tests=goals,
        )
    )
    assert verdict.decision is decision, verdict.reasons


def test_a_script_that_a_change_leaves_behind_is_not_mistaken_for_another_module_of_its_name() -> None:
    edits = (SOURCE, FileEdit("helpers.py", None, Entry(b"print(1)\n")))
    loaded = (*LOADED, LoadedFile("helpers", "/project/tests/helpers.py"))
    verdict = judge(
        trial({A: BAD}, {}, edits=edits, after=after({A: GOOD}, loaded=loaded), source_only=report({A: GOOD}))
    )
    assert verdict.decision is Decision.PASSED, verdict.reasons
    assert "helpers.py:1" in " ".join(verdict.reasons)
