"""The gate on real projects with real pytest runs: what each kind of change is told."""

import json
from pathlib import Path

import pytest

from agent_lsp.agent.validation import GateOptions
from agent_lsp.domain.verdict import Decision
from tests.agent.suite_project import Project

pytestmark = pytest.mark.usefixtures("no_plugins")

BUGGY = """
def add(a, b):
    return a - b

def double(a):
    return 2 * a
"""
FIXED = BUGGY.replace("a - b", "a + b")
TESTS = """
from calc import add, double

def test_add():
    assert add(1, 2) == 3

def test_double():
    assert double(2) == 4
"""


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins of this project's own environment take longer to load than the small suites to run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, {"calc.py": BUGGY, "tests/test_calc.py": TESTS})


async def test_a_one_line_fix_is_proven(project: Project) -> None:
    heard: list[str] = []
    evidence = await project.evidence(
        {"calc.py": FIXED},
        goal_tests=("tests/test_calc.py::test_add",),
        on_progress=lambda told, share: heard.append(told),
    )
    verdict = evidence.verdict
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert verdict.fixed == ("tests/test_calc.py::test_add",)
    assert (verdict.collected, verdict.ran, verdict.changed_lines, verdict.changed_lines_run) == (2, 2, 1, 1)
    assert verdict.selection == "full"
    assert {"calc.py", "tests/test_calc.py"} <= set(evidence.witness)
    assert any("2 of 2" in told for told in heard)
    assert verdict.title() == "proven: 1 fixed, 0 broken"


async def test_a_changed_line_that_no_test_runs_is_passed_and_shown(project: Project) -> None:
    fixed = FIXED + "\ndef unused(a):\n    return a\n"
    verdict = await project.check({"calc.py": fixed})
    assert verdict.decision is Decision.PASSED
    assert verdict.fixed == ("tests/test_calc.py::test_add",)
    assert [(row.path, row.line) for row in verdict.unrun_lines] == [("calc.py", 7)]
    assert any("calc.py:8" in reason for reason in verdict.reasons)


async def test_breaking_another_test_is_a_regression_that_names_it(project: Project) -> None:
    verdict = await project.check({"calc.py": FIXED.replace("2 * a", "3 * a")})
    assert verdict.decision is Decision.REGRESSED
    assert verdict.broken == ("tests/test_calc.py::test_double",)
    assert verdict.fixed == ("tests/test_calc.py::test_add",)
    assert "tests/test_calc.py::test_double" in verdict.reasons[0]


async def test_a_goal_test_that_still_fails_is_failed(project: Project) -> None:
    verdict = await project.check(
        {"calc.py": BUGGY.replace("a - b", "a * b")}, goal_tests=("tests/test_calc.py::test_add",)
    )
    assert verdict.decision is Decision.FAILED
    assert verdict.still_failing == ("tests/test_calc.py::test_add",)


async def test_a_deleted_assertion_is_listed_and_never_counts_as_green(project: Project) -> None:
    weaker = TESTS.replace("assert add(1, 2) == 3", "add(1, 2)")
    verdict = await project.check({"calc.py": FIXED, "tests/test_calc.py": weaker})
    assert verdict.decision is Decision.UNDECIDED
    assert verdict.fixed == ()
    (row,) = verdict.removed_or_weakened
    assert row.endswith("an assertion was removed: `add(1, 2) == 3` (tests/test_calc.py:3)")
    assert row in verdict.reasons


async def test_a_goal_test_without_its_assertion_is_failed(project: Project) -> None:
    weaker = TESTS.replace("assert add(1, 2) == 3", "add(1, 2)")
    verdict = await project.check({"tests/test_calc.py": weaker}, goal_tests=("tests/test_calc.py::test_add",))
    assert verdict.decision is Decision.FAILED


async def test_a_test_made_green_by_another_expected_value_is_not_fixed(project: Project) -> None:
    other = TESTS.replace("== 3", "== -1")
    verdict = await project.check({"tests/test_calc.py": other})
    assert verdict.decision is Decision.UNDECIDED
    assert verdict.fixed == ()
    (row,) = verdict.removed_or_weakened
    assert row == (
        "tests/test_calc.py::test_add passes only because tests or their configuration changed (tests/test_calc.py:3)"
    )


async def test_a_new_skip_is_listed(project: Project) -> None:
    skipped = TESTS.replace("def test_double", "@pytest.mark.skip\ndef test_double")
    verdict = await project.check({"calc.py": FIXED, "tests/test_calc.py": "import pytest\n" + skipped})
    assert verdict.decision is Decision.UNDECIDED
    assert any("skip" in row for row in verdict.removed_or_weakened)


async def test_a_renamed_test_is_known_again(project: Project) -> None:
    renamed = await project.check({"calc.py": FIXED, "tests/test_calc.py": TESTS.replace("test_double", "test_twice")})
    assert renamed.decision is Decision.PROVEN, renamed.reasons
    assert renamed.removed_or_weakened == ()


async def test_twelve_known_failures_are_told_as_before_and_a_fix_is_still_proven(tmp_path: Path) -> None:
    known = "import pytest\n" + "\n".join(f"def test_known_{n}():\n    assert {n} < 0\n" for n in range(12))
    project = Project(tmp_path, {"calc.py": BUGGY, "test_calc.py": TESTS, "test_known.py": known})
    verdict = await project.check({"calc.py": FIXED})
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert verdict.title() == "proven: 1 fixed, 0 broken, 12 as before"


async def test_failing_tests_that_run_the_changed_lines_and_stay_failing_are_undecided(tmp_path: Path) -> None:
    project = Project(tmp_path, {"calc.py": BUGGY, "test_calc.py": TESTS})
    verdict = await project.check({"calc.py": BUGGY.replace("a - b", "b - a")})
    assert verdict.decision is Decision.UNDECIDED
    assert verdict.still_failing == ("test_calc.py::test_add",)


async def test_nothing_collected_is_undecided(tmp_path: Path) -> None:
    verdict = await Project(tmp_path, {"calc.py": BUGGY, "conftest.py": ""}).check({"calc.py": FIXED})
    assert verdict.decision is Decision.UNDECIDED
    assert "No test was collected" in verdict.reasons[0]


async def test_an_environment_broken_before_is_undecided_and_says_what_is_missing(tmp_path: Path) -> None:
    project = Project(tmp_path, {"calc.py": BUGGY, "test_calc.py": "import no_such_library\n" + TESTS})
    verdict = await project.check({"calc.py": FIXED}, goal_tests=("test_calc.py::test_add",))
    assert verdict.decision is Decision.UNDECIDED
    assert "no_such_library" in verdict.reasons[0]


async def test_a_test_that_could_not_be_imported_before_is_fixed_by_the_function_it_needs(tmp_path: Path) -> None:
    source = "def add(a, b):\n    return a + b\n"
    project = Project(tmp_path, {"calc.py": source, "test_calc.py": TESTS})
    verdict = await project.check({"calc.py": source + "\ndef double(a):\n    return 2 * a\n"})
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert verdict.fixed == ("test_calc.py::test_add", "test_calc.py::test_double")


async def test_an_import_error_that_the_change_brings_is_a_regression(project: Project) -> None:
    verdict = await project.check({"calc.py": "import no_such_library\n" + FIXED})
    assert verdict.decision is Decision.REGRESSED
    assert verdict.broken == ("tests/test_calc.py::test_double",)


async def test_a_syntax_error_that_the_change_brings_is_a_regression(project: Project) -> None:
    verdict = await project.check({"calc.py": FIXED + "def ("})
    assert verdict.decision is Decision.REGRESSED


async def test_a_change_that_ends_the_test_process_is_undecided_and_one_that_crashes_it_a_regression(
    project: Project,
) -> None:
    leaving = "import os\n" + FIXED.replace("return 2 * a", "os._exit(0)")
    verdict = await project.check({"calc.py": leaving})
    assert verdict.decision is Decision.UNDECIDED
    assert "ended by itself with status 0 during tests/test_calc.py::test_double" in verdict.reasons[0]
    crashed = await project.check({"calc.py": leaving.replace("os._exit(0)", "os.abort()")})
    assert crashed.decision is Decision.REGRESSED
    assert "was killed by SIGABRT during tests/test_calc.py::test_double" in crashed.reasons[0]


async def test_a_run_that_ends_early_on_both_sides_is_undecided(tmp_path: Path) -> None:
    leaving = TESTS + "\ndef test_leaves():\n    import os\n    os._exit(0)\n"
    verdict = await Project(tmp_path, {"calc.py": BUGGY, "test_calc.py": leaving}).check({"calc.py": FIXED})
    assert verdict.decision is Decision.UNDECIDED
    assert "on either side" in verdict.reasons[0]


async def test_an_endless_loop_is_a_regression_told_as_a_time_out(tmp_path: Path) -> None:
    project = Project(tmp_path, {"calc.py": BUGGY, "test_calc.py": TESTS}, timeout_s=8.0)
    verdict = await project.check({"calc.py": FIXED.replace("    return 2 * a", "    while True:\n        pass")})
    assert verdict.decision is Decision.REGRESSED
    assert verdict.broken == ("test_calc.py::test_double",)
    assert any("test_calc.py::test_double did not end within" in reason for reason in verdict.reasons)


async def test_mending_an_endless_loop_is_proven(tmp_path: Path) -> None:
    endless = FIXED.replace("    return a + b", "    while True:\n        pass")
    project = Project(tmp_path, {"calc.py": endless, "test_calc.py": TESTS}, timeout_s=8.0)
    verdict = await project.check({"calc.py": FIXED}, goal_tests=("test_calc.py::test_add",))
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert verdict.fixed == ("test_calc.py::test_add",)


async def test_a_flaky_test_is_named_and_never_counts(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    flaky = f"""
    import json, pathlib

    def test_flaky():
        place = pathlib.Path({str(state)!r})
        turn = json.loads(place.read_text()) + 1 if place.exists() else 0
        place.write_text(json.dumps(turn))
        assert turn % 3 != 1
    """
    files = {"calc.py": BUGGY, "test_calc.py": TESTS, "test_flaky.py": flaky}
    root = tmp_path / "work"
    root.mkdir()
    verdict = await Project(root, files, at_once=False).check({"calc.py": FIXED})
    assert verdict.flaky == ("test_flaky.py::test_flaky",)
    assert verdict.broken == ()
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert json.loads(state.read_text()) >= 3


async def test_a_goal_that_only_a_flaky_test_shows_is_undecided(tmp_path: Path) -> None:
    state = tmp_path / "state"
    flaky = f"""
    import pathlib
    import calc

    def test_flaky():
        place = pathlib.Path({str(state)!r})
        turn = len(place.read_text()) if place.exists() else 0
        place.write_text("x" * (turn + 1))
        assert turn % 2
    """
    root = tmp_path / "work"
    root.mkdir()
    project = Project(root, {"calc.py": BUGGY, "test_flaky.py": flaky}, at_once=False)
    verdict = await project.check({"calc.py": FIXED}, goal_tests=("test_flaky.py::test_flaky",))
    assert verdict.decision is Decision.UNDECIDED
    assert "flaky" in verdict.reasons[0]


async def test_a_copy_loaded_from_elsewhere_is_no_evidence(tmp_path: Path) -> None:
    installed = tmp_path / "site" / "pkg"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    (installed / "calc.py").write_text(FIXED.lstrip())
    root = tmp_path / "work"
    root.mkdir()
    conftest = f"import sys\nsys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    tests = TESTS.replace("from calc", "from pkg.calc")
    files = {"src/pkg/__init__.py": "", "src/pkg/calc.py": BUGGY, "tests/test_calc.py": tests, "conftest.py": conftest}
    verdict = await Project(root, files).check({"src/pkg/calc.py": FIXED})
    assert verdict.decision is Decision.UNDECIDED
    assert "pkg.calc came from" in verdict.reasons[0]


async def test_a_changed_module_that_no_test_loads_is_undecided(tmp_path: Path) -> None:
    project = Project(tmp_path, {"calc.py": FIXED, "other.py": "x = 1\n", "test_calc.py": TESTS})
    verdict = await project.check({"other.py": "x = 2\n"})
    assert verdict.decision is Decision.UNDECIDED
    assert "other.py was not loaded" in verdict.reasons[0]


async def test_an_added_test_must_fail_without_the_change(project: Project) -> None:
    added = TESTS + "\ndef test_more():\n    assert add(2, 2) == 4\n\ndef test_idle():\n    assert True\n"
    verdict = await project.check({"calc.py": FIXED, "tests/test_calc.py": added})
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert {row.id: row.failed_without_change for row in verdict.added} == {
        "tests/test_calc.py::test_more": True,
        "tests/test_calc.py::test_idle": False,
    }
    assert any("Proves nothing" in reason and "test_idle" in reason for reason in verdict.reasons)


async def test_a_named_test_that_the_change_adds_can_prove_it(tmp_path: Path) -> None:
    project = Project(tmp_path, {"calc.py": FIXED, "test_calc.py": TESTS})
    change = {
        "calc.py": FIXED + "\ndef half(a):\n    return a / 2\n",
        "test_half.py": "from calc import half\n\ndef test_half():\n    assert half(4) == 2\n",
    }
    verdict = await project.check(change, goal_tests=("test_half.py::test_half",))
    assert verdict.decision is Decision.PROVEN, verdict.reasons


async def test_a_change_of_test_configuration_caps_the_verdict(project: Project) -> None:
    verdict = await project.check({"calc.py": FIXED, "pytest.ini": "[pytest]\naddopts = -q\n"})
    assert verdict.decision is Decision.PASSED
    assert any("pytest.ini" in reason for reason in verdict.reasons)
    assert verdict.removed_or_weakened == ("test configuration was added: pytest.ini",)


async def test_a_conftest_that_makes_a_test_green_is_listed(project: Project) -> None:
    conftest = "import calc\ncalc.add = lambda a, b: a + b\n"
    verdict = await project.check({"conftest.py": conftest, "calc.py": BUGGY + "\nX = 1\n"})
    assert verdict.decision is Decision.UNDECIDED
    assert verdict.fixed == ()


async def test_a_native_configuration_of_pytest_that_makes_a_test_green_is_listed(tmp_path: Path) -> None:
    files = {
        "calc.py": FIXED,
        "test_calc.py": "import warnings\n\ndef test_calm():\n    warnings.warn('old', stacklevel=1)\n",
        "pyproject.toml": "[tool.pytest.ini_options]\nfilterwarnings = ['error']\n",
    }
    verdict = await Project(tmp_path, files).check({"pytest.toml": "[pytest]\n", "calc.py": FIXED + "\nX = 1\n"})
    assert verdict.decision is Decision.UNDECIDED
    assert verdict.fixed == ()


async def test_parametrized_classes_unicode_and_equal_file_names_are_told_apart(tmp_path: Path) -> None:
    tests = """
    import pytest
    from calc import add

    @pytest.mark.parametrize("name", ["ä", "b c", "x::y"])
    def test_name(name):
        assert add(0, 1) == 1

    class TestAll:
        class TestInner:
            def test_deep(self):
                assert add(1, 0) == 1
    """
    files = {"calc.py": BUGGY, "a/__init__.py": "", "b/__init__.py": "", "a/test_x.py": tests, "b/test_x.py": tests}
    verdict = await Project(tmp_path, files).check({"calc.py": FIXED})
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert len(verdict.fixed) == 6
    assert "a/test_x.py::test_name[b c]" in verdict.fixed
    assert verdict.collected == 8


async def test_goal_tests_may_be_named_by_file_or_function_and_a_missing_one_is_told(project: Project) -> None:
    whole = await project.check({"calc.py": FIXED}, goal_tests=("tests/test_calc.py",))
    assert whole.decision is Decision.PROVEN
    missing = await project.check({"calc.py": FIXED}, goal_tests=("tests/test_calc.py::test_nope",))
    assert missing.decision is Decision.UNDECIDED
    assert "test_nope" in missing.reasons[0]


async def test_a_scope_bounds_what_runs_and_is_told(tmp_path: Path) -> None:
    files = {"calc.py": BUGGY, "tests/test_calc.py": TESTS, "slow/test_slow.py": "def test_slow():\n    pass\n"}
    verdict = await Project(tmp_path, files).check({"calc.py": FIXED}, scope=("tests",))
    assert (verdict.selection, verdict.collected, verdict.decision) == ("impacted", 2, Decision.PROVEN)


async def test_without_a_usable_interpreter_the_verdict_says_what_to_do(tmp_path: Path) -> None:
    project = Project(tmp_path, {"calc.py": BUGGY}, interpreter="/nowhere/python")
    verdict = await project.check({"calc.py": FIXED})
    assert verdict.decision is Decision.UNDECIDED
    assert "/nowhere/python" in verdict.reasons[0]


async def test_the_baseline_is_run_once_for_several_changes(project: Project) -> None:
    first = await project.evidence({"calc.py": FIXED})
    second = await project.evidence({"calc.py": FIXED + "\nX = 1\n"})
    assert first.before is second.before


async def test_a_change_of_data_only_is_judged_by_its_tests(tmp_path: Path) -> None:
    files = {
        "data.json": "{}",
        "test_data.py": "import json\n\ndef test_data():\n    assert json.load(open('data.json')) == {'a': 1}\n",
        "pytest.ini": "[pytest]\nfilterwarnings =\n    ignore::ResourceWarning\n",
    }
    evidence = await Project(tmp_path, files).evidence({"data.json": '{"a": 1}'})
    assert evidence.verdict.decision is Decision.PASSED
    assert evidence.verdict.fixed == ("test_data.py::test_data",)
    assert "data.json" in (evidence.after.touched if evidence.after else ())


READS_WHAT_IS_EXPECTED = """
import json
from calc import add, double

def test_sums():
    expected = json.load(open("testdata/expected.json"))
    assert [add(1, 2), double(2)] == expected
"""


async def test_what_only_other_expected_data_makes_green_is_not_fixed(tmp_path: Path) -> None:
    files = {"calc.py": BUGGY, "test_calc.py": READS_WHAT_IS_EXPECTED, "testdata/expected.json": "[3, 4]\n"}
    project = Project(tmp_path, files)
    rewritten = await project.check({"testdata/expected.json": "[-1, 4]\n"})
    assert (rewritten.decision, rewritten.fixed) == (Decision.UNDECIDED, ())
    assert any("test_sums passes only because" in row for row in rewritten.removed_or_weakened)
    assert rewritten.removed_or_weakened[-1].endswith("expected.json (testdata/expected.json:1)")

    goal = ("test_calc.py::test_sums",)
    mixed = {"calc.py": BUGGY + "\nX = 1\n", "testdata/expected.json": "[-1, 4]\n"}
    assert (await project.check(mixed, goal_tests=goal)).decision is Decision.FAILED


async def test_a_fix_that_also_adds_and_tidies_data_of_tests_is_judged_by_the_old_data(tmp_path: Path) -> None:
    files = {"calc.py": BUGGY, "test_calc.py": READS_WHAT_IS_EXPECTED, "testdata/expected.json": "[3, 4]\n"}
    project = Project(tmp_path, files)
    more = await project.check({"calc.py": FIXED, "testdata/more.json": "[]\n"})
    assert (more.decision, more.removed_or_weakened) == (Decision.PROVEN, ())
    tidied = await project.check({"calc.py": FIXED, "testdata/expected.json": "[3,4]\n"})
    assert (tidied.decision, tidied.fixed) == (Decision.PASSED, ("test_calc.py::test_sums",))
    assert len(tidied.removed_or_weakened) == 1


def test_the_options_of_a_gate_have_their_defaults() -> None:
    assert GateOptions() == GateOptions(timeout_s=600.0, parallel=True)
