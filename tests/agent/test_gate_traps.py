"""Owns small likenesses of what real suites do to a gate: each a workspace of a few files, real pytest, one verdict."""

import importlib.util
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent_lsp.agent.goal_tests import find_goals
from agent_lsp.domain.verdict import Decision
from tests.agent.suite_project import Project

BUGGY = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a * 2\n"
FIXED = BUGGY.replace("a - b", "a + b")
TESTS = """
from calc import add, double


def test_add():
    assert add(1, 2) == 3


def test_double():
    assert double(4) == 8
"""
FILES: Mapping[str, str] = {"calc.py": BUGGY, "tests/test_calc.py": TESTS, "tests/__init__.py": ""}
GOAL = "tests/test_calc.py::test_add"


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins of this project's own environment take longer to load than the small suites to run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (GOAL, (GOAL,)),
        (f"  ./{GOAL}\n", (GOAL,)),
        (f"repo/{GOAL}", (GOAL,)),
        ("test_add", (GOAL,)),
        ("test_calc.py::test_add", (GOAL,)),
        ("tests.test_calc.test_add", (GOAL,)),
        ("test_unit (tests.test_calc.TestOld)", ("tests/test_calc.py::TestOld::test_unit",)),
        ("test_unit (tests.test_calc.TestOld.test_unit)", ("tests/test_calc.py::TestOld::test_unit",)),
        ("TestOld::test_unit[a-1]", ("tests/test_calc.py::TestOld::test_unit[a-1]",)),
        ("A unit: it's old.", ("tests/test_calc.py::TestOld::test_unit",)),
        ("No test says this.", ("No test says this.",)),
        ("tests/test_new.py::test_made", ("tests/test_new.py::test_made",)),
        ("test_nowhere", ("test_nowhere",)),
    ],
)
async def test_goal_tests_are_found_by_the_names_that_people_and_reports_use(
    tmp_path: Path, asked: str, found: tuple[str, ...]
) -> None:
    unit = '\n\nclass TestOld:\n    def test_unit(self):\n        """A unit: it\'s old.\n\n        Still."""\n'
    project = Project(tmp_path, {**FILES, "tests/test_calc.py": TESTS + unit})
    assert await find_goals(project.trees, await project.tree(), [asked], ["tests"], ["tests/test_new.py"]) == found


async def test_a_goal_whose_parameters_were_cut_at_a_blank_is_still_judged(tmp_path: Path) -> None:
    tests = """
    import pytest
    from calc import add

    @pytest.mark.parametrize("text", ["one two", "three four"])
    def test_text(text):
        assert add(len(text), 0) == len(text) and add(1, 1) == 2
    """
    project = Project(tmp_path, {**FILES, "tests/test_calc.py": tests})
    asked = {"goal_tests": ("tests/test_calc.py::test_text[one",), "scope": ("tests/test_calc.py",)}
    assert (await project.check({"calc.py": FIXED}, **asked)).decision is Decision.PROVEN
    assert (await project.check({"calc.py": BUGGY + "\n# idle\n"}, **asked)).decision is Decision.FAILED


async def test_what_a_change_leaks_into_later_tests_is_a_regression_and_not_flaky(tmp_path: Path) -> None:
    state = "\n\nseen = []\n\n\ndef note(value):\n    return value\n"
    later = (
        "import calc\n\n\ndef test_a():\n    assert calc.note(1) == 1\n\n\ndef test_b():\n    assert calc.seen == []\n"
    )
    project = Project(tmp_path, {**FILES, "calc.py": BUGGY + state, "tests/test_state.py": later})
    leaking = (FIXED + state).replace("    return value", "    seen.append(value)\n    return value")

    verdict = await project.check({"calc.py": leaking}, goal_tests=(GOAL,))

    assert verdict.decision is Decision.REGRESSED
    assert verdict.broken == ("tests/test_state.py::test_b",)
    assert any("by themselves they do otherwise" in reason for reason in verdict.reasons)


async def test_a_hanging_test_that_was_there_before_does_not_hide_a_proof(tmp_path: Path) -> None:
    waits = "import time\n\n\ndef test_waits():\n    time.sleep(600)\n"
    project = Project(tmp_path, {**FILES, "tests/test_waits.py": waits}, timeout_s=12.0)
    verdict = await project.check({"calc.py": FIXED}, goal_tests=(GOAL,))
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert verdict.still_failing == ("tests/test_waits.py::test_waits",)


async def test_of_a_suite_too_long_for_its_time_the_goal_tests_run_first_and_a_miss_is_told(tmp_path: Path) -> None:
    slow = "import time\n\n\n" + "".join(f"def test_{n}():\n    time.sleep(1.5)\n\n\n" for n in range(9))
    project = Project(tmp_path, {**FILES, "tests/test_aaa.py": slow}, timeout_s=5.0)
    idle = await project.check({"calc.py": BUGGY + "\n# idle\n"}, goal_tests=(GOAL,))
    assert idle.decision is Decision.FAILED
    right = await project.check({"calc.py": FIXED}, goal_tests=(GOAL,))
    assert right.decision is Decision.UNDECIDED
    assert f"Fixed among them: {GOAL}." in right.reasons


async def test_a_module_that_only_a_child_process_loads_is_passed_when_its_test_is_fixed(tmp_path: Path) -> None:
    child = """
    import subprocess, sys

    def test_add():
        out = subprocess.run([sys.executable, "-c", "import calc; print(calc.add(1, 2))"], stdout=-1, check=True)
        assert out.stdout.strip() == b"3"
    """
    project = Project(tmp_path, {**FILES, "tests/test_calc.py": child})
    assert (await project.check({"calc.py": FIXED}, goal_tests=(GOAL,))).decision is Decision.PASSED
    harmless = BUGGY.replace("return a * 2", "return 2 * a")
    assert (await project.check({"calc.py": harmless})).decision is Decision.UNDECIDED


async def test_code_that_the_test_framework_itself_loads_is_seen_to_run(tmp_path: Path) -> None:
    """As with attrs, pluggy and iniconfig in their own repositories: the workspace's own comes before the installed."""
    [place] = importlib.util.find_spec("iniconfig").submodule_search_locations  # type: ignore[union-attr, misc]
    files = {f"iniconfig/{path.name}": path.read_text() for path in Path(place).glob("*.py")}
    own = files["iniconfig/__init__.py"]
    files["iniconfig/__init__.py"] = own + "\n\ndef add(a, b):\n    return a - b\n"
    tests = "from iniconfig import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
    project = Project(tmp_path, {**files, "test_it.py": tests})
    right = own + "\n\ndef add(a, b):\n    return a + b\n"
    verdict = await project.check({"iniconfig/__init__.py": right}, goal_tests=("test_it.py::test_add",))
    assert verdict.decision is Decision.PROVEN, verdict.reasons


async def test_a_new_test_file_that_cannot_be_collected_leaves_the_change_undecided(tmp_path: Path) -> None:
    broken = "from calc import multiply\n"
    verdict = await Project(tmp_path, FILES).check({"calc.py": FIXED, "tests/test_new.py": broken}, goal_tests=(GOAL,))
    assert verdict.decision is Decision.UNDECIDED
    assert (
        "tests/test_new.py fails with the change and did not run without it, at tests/test_new.py:1: ImportE"
        in (verdict.reasons[0])
    )


async def test_in_a_pytest_like_repository_inner_runs_do_not_disturb_the_report(tmp_path: Path) -> None:
    inner = """
    pytest_plugins = "pytester"

    def test_inner(pytester):
        pytester.makepyfile("def test_a(): pass\\ndef test_b(): assert 0")
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
        result.assert_outcomes(passed=1, failed=1)

    def test_outer():
        import calc
        assert calc.add(1, 2) == 3
    """
    options = (
        "[pytest]\nfilterwarnings = error\naddopts = --strict-markers -p no:cacheprovider --maxfail=1\nminversion = 6\n"
    )
    files = {"calc.py": BUGGY, "conftest.py": "", "test_it.py": textwrap.dedent(inner), "tox.ini": options}
    verdict = await Project(tmp_path, files).check({"calc.py": FIXED}, goal_tests=("test_it.py::test_outer",))
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert (verdict.collected, verdict.ran) == (2, 2)


async def test_suites_that_change_folder_close_output_and_miss_a_service_are_judged_all_the_same(
    tmp_path: Path,
) -> None:
    rough = """
    import os, socket

    def test_moves(tmp_path):
        os.chdir(tmp_path)

    def test_closes():
        os.close(1)

    def test_calls_out():
        socket.create_connection(("127.0.0.1", 1), timeout=1)
    """
    project = Project(tmp_path, {**FILES, "tests/test_a_rough.py": rough, "tests/test_missing.py": "import nowhere\n"})
    verdict = await project.check({"calc.py": FIXED}, goal_tests=(GOAL,))
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert set(verdict.still_failing) == {"tests/test_a_rough.py::test_calls_out", "tests/test_missing.py"}


async def test_a_changed_extension_that_nobody_built_again_is_undecided(tmp_path: Path) -> None:
    project = Project(tmp_path, {**FILES, "calc.py": FIXED, "fast.pyx": "cdef int x = 1\n"})
    verdict = await project.check({"fast.pyx": "cdef int x = 2\n"})
    assert verdict.decision is Decision.UNDECIDED
    assert "fast.pyx must be compiled" in verdict.reasons[0]
