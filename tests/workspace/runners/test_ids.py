"""Ids and places of tests that are more, or other, than functions: subtests, examples in prose and in docstrings."""

from agent_lsp.domain.verdict import Outcome, SuiteReport
from tests.workspace.runners.conftest import Run


def outcomes(report: SuiteReport) -> dict[str, str]:
    assert report.finished, report.trouble
    return {name: case.outcome.value for name, case in report.cases.items()}


SUBTESTS = """
import unittest

def test_all(subtests):
    for number in range(3):
        with subtests.test("one of them", number=number):
            assert number != 1, "not this one"

def test_skipped_in_part(subtests):
    with subtests.test():
        import pytest
        pytest.skip("not here")

def test_well(subtests):
    with subtests.test():
        pass

class CaseOfUnits(unittest.TestCase):
    def test_all(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1, "nor this one")

    def test_well(self):
        with self.subTest(number=1):
            pass
"""


async def test_a_test_with_subtests_is_one_test_and_bad_if_one_of_them_is(run_pytest: Run) -> None:
    report = await run_pytest({"deep/test_sub.py": SUBTESTS})
    assert outcomes(report) == {
        "deep/test_sub.py::test_all": "failed",
        "deep/test_sub.py::test_skipped_in_part": "passed",
        "deep/test_sub.py::test_well": "passed",
        "deep/test_sub.py::CaseOfUnits::test_all": "failed",
        "deep/test_sub.py::CaseOfUnits::test_well": "passed",
    }
    assert (report.collected, report.ran) == (5, 5)
    plain = report.cases["deep/test_sub.py::test_all"]
    assert (plain.path, plain.line) == ("deep/test_sub.py", 6)
    assert "not this one" in plain.message
    assert "nor this one" in report.cases["deep/test_sub.py::CaseOfUnits::test_all"].message
    alone = await run_pytest({"deep/test_sub.py": SUBTESTS}, tests=("deep/test_sub.py::CaseOfUnits::test_all",))
    assert list(outcomes(alone).values()) == ["failed"]


SHAPES = '''"""Shapes.

>>> area(2, 3)
6
"""


def area(a, b):
    """
    >>> area(1, 1)
    2
    """
    return a * b
'''
DOCTESTS = "--doctest-modules --doctest-glob=*.rst --doctest-glob=*.md"
PROSE = """Shapes
======
>>> 1 + 1
2
>>> "a" * 2
'ab'
"""


async def test_examples_in_docstrings_and_in_prose_have_ids_and_lines(run_pytest: Run) -> None:
    files = {
        "src/shapes.py": SHAPES,
        "docs/index.rst": PROSE,
        "docs/well.md": PROSE.replace("'ab'", "'aa'"),
        "pytest.ini": f"[pytest]\npythonpath = src\naddopts = {DOCTESTS}\n",
    }
    report = await run_pytest(files)
    assert outcomes(report) == {
        "docs/index.rst::index.rst": "failed",
        "docs/well.md::well.md": "passed",
        "src/shapes.py::shapes": "passed",
        "src/shapes.py::shapes.area": "failed",
    }
    prose, code = report.cases["docs/index.rst::index.rst"], report.cases["src/shapes.py::shapes.area"]
    assert (prose.path, prose.line) == ("docs/index.rst", 4)
    assert (code.path, code.line) == ("src/shapes.py", 9)
    assert "Expected" in code.message

    chosen = await run_pytest(files, tests=("src/shapes.py::shapes.area", "docs/well.md"))
    assert set(chosen.cases) == {"src/shapes.py::shapes.area", "docs/well.md::well.md"}


TWICE = """
def pytest_collection_modifyitems(items):
    items += list(items)
"""
BAD_ONCE = """
SEEN = []

def test_worse():
    SEEN.append(1)
    assert len(SEEN) == 1

def test_better():
    SEEN.append(1)
    assert len(SEEN) >= 3
"""


async def test_of_several_tests_with_one_id_the_bad_result_is_kept(run_pytest: Run) -> None:
    report = await run_pytest({"conftest.py": TWICE, "test_a.py": BAD_ONCE})
    assert {name: case.outcome for name, case in report.cases.items()} == {
        "test_a.py::test_worse": Outcome.FAILED,
        "test_a.py::test_better": Outcome.FAILED,
    }
    assert (report.collected, report.finished) == (4, True)
