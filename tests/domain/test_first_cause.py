"""What a failure's text says first, in the shapes that pytest, unittest and doctest give it."""

import pytest

from agent_lsp.domain.first_cause import cause_of, passes_through, place_of_first, same_cause, shown
from agent_lsp.domain.verdict import CaseResult, Outcome, SuiteReport

CHAINED = """tests/conftest.py:5: in db
    return connect()
shop/db.py:9: in connect
    raise ValueError("x") from error
E   OSError: [Errno 111] refused at 0x7f01

The above exception was the direct cause of the following exception:
tests/conftest.py:5: in db
E   shop.NoDatabase: is it on?"""
SYNTAX = """E     File "/work/test_a.py", line 1
E       def (
E           ^
E   SyntaxError: invalid syntax"""
PLAIN = """Traceback (most recent call last):
  File "/work/test_a.py", line 3, in test_x
    raise KeyError('k')
KeyError: 'k'
"""
DOCTEST = """001 >>> add(1, 2)
Expected:
    3
Got:
    -1

/work/calc.py:1: DocTestFailure"""


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (CHAINED, "OSError: [Errno 111] refused at 0x7f01"),
        (SYNTAX, "SyntaxError: invalid syntax"),
        (PLAIN, "KeyError: 'k'"),
        (DOCTEST, "DocTestFailure"),
        (
            "file /work/test_a.py, line 3\nE       fixture 'nope' not found\n>       available",
            "fixture 'nope' not found",
        ),
        ("E   assert 2 == 3\nE    +  where 2 = add(1, 1)", "assert 2 == 3"),
        ("AssertionError [ERR_ASSERTION]: 1 !== 2", "AssertionError [ERR_ASSERTION]: 1 !== 2"),
        ("", ""),
    ],
)
def test_the_first_exception_is_the_cause(text: str, cause: str) -> None:
    assert cause_of(text) == cause


def test_causes_are_compared_without_what_differs_from_run_to_run() -> None:
    assert same_cause(CHAINED, CHAINED.replace("0x7f01", "0x99").replace("tests/", "/tmp/other/tests/"))
    assert same_cause(CHAINED, CHAINED[CHAINED.index("The above") :]), "a kept text may have lost its head"
    assert not same_cause(CHAINED, PLAIN)


def test_a_text_passes_through_the_files_of_its_frames() -> None:
    assert passes_through(CHAINED, "shop/db.py")
    assert passes_through(CHAINED, "packages/one/shop/db.py"), "as a project in a folder tells it"
    assert passes_through(PLAIN, "test_a.py")
    assert not passes_through(CHAINED, "db.py")
    assert not passes_through('File "/usr/lib/python3.11/socket.py", line 851, in connect', "socket.py")
    assert not passes_through(CHAINED, "shop/other.py")


def test_the_place_is_that_of_the_first_test_that_tells_one() -> None:
    silent = CaseResult("a.py::t", Outcome.ERROR, "the tests did not end within 5 s", "a.py", 1)
    loud = CaseResult("b.py::t", Outcome.FAILED, f"E   ValueError: {'x' * 300}\nE   more", "b.py", 1)
    report = SuiteReport("pytest", {"a.py::t": silent, "b.py::t": loud}, collection_errors={"c.py": SYNTAX})
    assert place_of_first(report, ["b.py::t", "a.py::t"]) == f"at b.py:2: ValueError: {'x' * 148}..."[:180].rstrip(".")
    assert place_of_first(report, ["c.py::any"]) == "at c.py: SyntaxError: invalid syntax"
    assert place_of_first(report, ["a.py::t", "d.py::t"]) == ""
    assert shown("two\n  lines.") == "two lines"
