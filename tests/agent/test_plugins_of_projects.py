"""Suites whose own options spread, shuffle or leave out tests, by real plugins: each test is judged in its place."""

from pathlib import Path

import pytest

from agent_lsp.domain.verdict import Decision
from tests.agent.suite_project import Project

BUGGY = "def add(a, b):\n    return a - b\n"
FIXED = BUGGY.replace("a - b", "a + b")
IN_ORDER = """
import pytest
from calc import add

SEEN = []

@pytest.mark.parametrize("number", range(8))
def test_in_order(number):
    SEEN.append(number)
    assert SEEN == list(range(number + 1))

def test_add():
    assert add(1, 2) == 3

@pytest.mark.slow
def test_slow():
    assert add(2, 2) == 4
"""
"""Nearly every other order than that of the file makes some of these tests fail, and so do two processes."""

CONFIG = """
[pytest]
addopts = --strict-markers -m "not slow" {options}
markers = slow: takes long
"""


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.mark.parametrize(
    "options",
    [
        "-p xdist -n 2 --dist loadscope",
        "-p randomly",
        "-p random_order --random-order --random-order-bucket=global --random-order-seed=7",
        "-p xdist -n 2 -p randomly -p random_order --random-order",
    ],
    ids=["xdist", "randomly", "random-order", "all"],
)
async def test_a_suite_that_is_spread_or_shuffled_is_judged_in_the_order_of_its_files(
    tmp_path: Path, options: str
) -> None:
    files = {"calc.py": BUGGY, "test_calc.py": IN_ORDER, "pytest.ini": CONFIG.format(options=options)}
    evidence = await Project(tmp_path, files).evidence({"calc.py": FIXED}, goal_tests=("test_calc.py::test_add",))
    verdict = evidence.verdict
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert (verdict.fixed, verdict.flaky, verdict.broken) == (("test_calc.py::test_add",), (), ())
    assert (verdict.collected, verdict.ran) == (9, 9), "the slow one is left out, as the project says"
    assert evidence.after is not None
    in_order = [f"test_calc.py::test_in_order[{number}]" for number in range(8)]
    assert list(evidence.after.cases) == [*in_order, "test_calc.py::test_add"]


async def test_a_goal_test_that_the_projects_own_markers_leave_out_is_told_as_not_run(tmp_path: Path) -> None:
    files = {"calc.py": BUGGY, "test_calc.py": IN_ORDER, "pytest.ini": CONFIG.format(options="")}
    verdict = await Project(tmp_path, files).check({"calc.py": FIXED}, goal_tests=("test_calc.py::test_slow",))
    assert verdict.decision is Decision.UNDECIDED
    assert verdict.reasons[0] == "The goal test test_calc.py::test_slow was not found, or did not run."
