"""Examples in docstrings that a change rewrites are tests that it touches."""

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.comparison import Trial
from agent_lsp.domain.doctests import rewritten_doctests
from agent_lsp.domain.judging import judge
from agent_lsp.domain.verdict import CaseResult, Decision, LoadedFile, Outcome, SuiteReport

OLD = '''"""Shapes.

>>> 1 + 1
2
"""


class Box:
    def area(self):
        """
        >>> Box().area()
        4
        >>> Box().area() + 1
        5
        """
        return 3
'''
AREA = "src/pkg/shapes.py::pkg.shapes.Box.area"
WHOLE = "src/pkg/shapes.py::pkg.shapes"
CASES = (AREA, WHOLE, "src/pkg/shapes.py::pkg.shapes.Box", "tests/test_a.py::test_area")


def change(*pairs: tuple[str, str]) -> FileEdit:
    text = OLD
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return FileEdit("src/pkg/shapes.py", Entry(OLD.encode()), Entry(text.encode()))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ((("return 3", "return 4"),), ()),
        ((("        4\n", "        3\n"),), (AREA,)),
        (((">>> Box().area() + 1\n        5\n", ""),), (AREA,)),
        (((">>> Box().area() + 1", ">>> Box().area() + 1  # doctest: +SKIP"),), (AREA,)),
        (((">>> Box().area()\n", "Words.\n\n        >>> Box().area()\n"),), ()),
        ((("        5\n", "        5\n        >>> 1\n        1\n"),), ()),
        ((("1 + 1\n2", "1 + 1\n3"),), (WHOLE,)),
        ((("class Box:", "class Box(:"),), (AREA, WHOLE)),
    ],
)
def test_an_example_that_is_lost_or_gives_another_result_is_rewritten(
    pairs: tuple[tuple[str, str], ...], expected: tuple[str, ...]
) -> None:
    assert rewritten_doctests([change(*pairs)], CASES) == expected


def verdict(edit: FileEdit, was: Outcome, goals: tuple[str, ...]) -> Decision:
    assert edit.after is not None
    before = SuiteReport("pytest", {AREA: CaseResult(AREA, was)}, 1)
    after = SuiteReport(
        "pytest",
        {AREA: CaseResult(AREA, Outcome.PASSED)},
        1,
        loaded=(LoadedFile("pkg.shapes", edit.path, edit.after.sha256),),
        executable={edit.path: frozenset({16})},
        executed={edit.path: {16: frozenset({AREA})}},
    )
    return judge(Trial((edit,), before, after, goal_tests=goals)).decision


def test_a_doctest_that_was_rewritten_until_it_passes_is_not_fixed() -> None:
    mended, rewritten = (
        change(("return 3", "return 4")),
        change(("        4\n", "        3\n"), ("        5\n", "        4\n")),
    )
    assert verdict(mended, Outcome.FAILED, (AREA,)) is Decision.PROVEN
    assert verdict(rewritten, Outcome.FAILED, (AREA,)) is Decision.FAILED
    assert verdict(rewritten, Outcome.FAILED, ()) is Decision.UNDECIDED
    assert verdict(rewritten, Outcome.PASSED, ()) is Decision.PASSED


@pytest.mark.parametrize(("after", "expected"), [("4", ("docs/use.rst::use.rst",)), ("3\n\nMore.", ())])
def test_the_examples_of_a_page_are_one_test(after: str, expected: tuple[str, ...]) -> None:
    edit = FileEdit("docs/use.rst", Entry(b"Use\n\n>>> f()\n3\n"), Entry(f"Use it\n\n>>> f()\n{after}\n".encode()))
    assert rewritten_doctests([edit], ["docs/use.rst::use.rst", AREA]) == expected
