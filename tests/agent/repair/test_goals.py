"""Which goals the embedded engine takes on, by their words alone."""

import pytest

from agent_lsp.agent.repair.goals import is_named, named_tests, serves
from agent_lsp.domain.task import Goal


@pytest.mark.parametrize(
    "text",
    [
        "make the failing tests pass",
        "Make the failing test pass.",
        "fix the failing test",
        "Fix the failing tests",
        "fix the tests",
        "please fix the broken tests!",
        "make tests/test_x.py::test_y pass",
        "make tests/test_x.py pass",
        "get the suite green",
        "get the test suite back to green",
        "make pytest pass",
        "fix tests/test_x.py::TestThing::test_y[1-2]",
        "test_parse fails, fix it",
        "repair whatever makes the tests fail",
        "fix the bug so that the tests pass",
        "make all tests pass without changing the tests",
        "Make the failing tests pass; do not delete anything",
        "turn the build green",
        "tests/test_new_things.py should pass",
    ],
)
def test_a_goal_about_failing_tests_is_served(text: str) -> None:
    assert serves(Goal(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "add a failing test for parse()",
        "write tests for the parser",
        "make the tests faster",
        "refactor the parser and make the tests pass",
        "implement merge() so that the tests pass",
        "fix the typo in the tests",
        "fix the bug in calc.py",
        "why do the tests fail?",
        "rename Span to Range",
        "skip the failing tests",
        "remove the failing tests",
        "explain how the tests pass",
        "make the button green",
        "add logging",
        "fix the docstrings of the tests",
        "run the tests",
    ],
)
def test_any_other_goal_is_not(text: str) -> None:
    assert not serves(Goal(text))


@pytest.mark.parametrize("text", ["fix this", "Fix it", "make it pass", "repair parse()", ""])
def test_fix_like_words_are_enough_where_a_failing_test_started_the_run(text: str) -> None:
    assert serves(Goal(text, tests=("tests/test_x.py::test_y",)))
    assert not serves(Goal(text))


def test_other_work_is_not_served_even_from_a_failing_test() -> None:
    assert not serves(Goal("add a new option and fix this", tests=("tests/test_x.py::test_y",)))


def test_the_tests_that_a_goal_names_are_found_in_its_words() -> None:
    assert named_tests("make tests/test_x.py::test_y[1] and ./test_z.py pass") == (
        "tests/test_x.py::test_y[1]",
        "test_z.py",
    )
    assert named_tests("test_parse fails in calc.py") == ("test_parse",)
    assert named_tests("make the failing tests pass") == ()


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("tests/test_x.py", True),
        ("tests/test_x.py::Case", True),
        ("tests/test_x.py::Case::test_y", True),
        ("tests/test_x.py::Case::test_y[1]", True),
        ("test_y", True),
        ("tests/test_x.py::Case::test_y[2]", False),
        ("tests/test_x.py::test_y", False),
        ("test", False),
    ],
)
def test_a_test_is_named_by_its_id_by_what_holds_it_or_by_its_bare_name(name: str, named: bool) -> None:
    assert is_named("tests/test_x.py::Case::test_y[1]", (name,)) is named
