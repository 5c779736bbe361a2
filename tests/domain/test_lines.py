"""Which lines of a file can run, and how statements tell that they did."""

import ast
from typing import Any

import pytest

from agent_lsp.domain.lines import HIT, executable_lines, instrument, same_code


def ran(source: str) -> set[int]:
    """Runs instrumented code and gives the lines whose statement was reached."""
    tree, statements = instrument(source.encode(), "<test>")
    hits: set[int] = set()
    names: dict[str, Any] = {HIT: hits.add, "__name__": "sample"}
    exec(compile(tree, "<test>", "exec"), names)
    return {line for line, number in statements.owners().items() if number in hits}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('"""doc"""\n\n# comment\nx = 1\n', {4}),
        ("from __future__ import annotations\nx: int\ny: int = 1\n", {3}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import os\nelse:\n    import re\n", {1, 5}),
        ("x = (1,\n  # why\n\n  2)\n", {1, 4}),
        ('x = """a\n# no comment\n"""\n', {1, 2, 3}),
        ("def f():\n    'doc'\n    global x\n    ...\n", {1}),
        ("@a\n@b(\n  1)\ndef f(\n  x,\n):\n    return x\n", {1, 2, 3, 4, 5, 6, 7}),
        ("try:\n    a()\nexcept E:\n    b()\nelse:\n    c()\nfinally:\n    d()\n", {1, 2, 3, 4, 6, 8}),
        ("match x:\n    case 1:\n        a()\n    case _:\n        b()\n", {1, 2, 3, 4, 5}),
        ("", set()),
    ],
)
def test_comments_docstrings_and_what_is_only_for_types_cannot_run(source: str, lines: set[int]) -> None:
    assert executable_lines(source.encode()) == lines


def test_only_what_was_reached_counts_as_run() -> None:
    source = "def f(x):\n    if x:\n        return 1\n    elif not x:\n        y = 2\n    return y\n\nf(0)\n"
    assert ran(source) == {1, 2, 4, 5, 6, 8}


def test_one_line_bodies_count_once_the_body_ran() -> None:
    assert ran("def f(): return 1\nif 0: x = 1\nif 1: x = 2\n") == {3}


def test_an_except_counts_once_it_was_entered() -> None:
    assert ran("try:\n    1 / 0\nexcept KeyError:\n    pass\nexcept ZeroDivisionError:\n    pass\n") == {1, 2, 5, 6}


def test_docstrings_future_imports_and_line_numbers_keep_their_places() -> None:
    source = b'"""doc"""\nfrom __future__ import annotations\n\n\ndef f():\n    """inner"""\n    raise ValueError\n'
    tree, _ = instrument(source, "<test>")
    assert ast.get_docstring(tree) == "doc"
    names: dict[str, Any] = {HIT: lambda number: None}
    exec(compile(tree, "<test>", "exec"), names)
    assert names["f"].__doc__ == "inner"
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        names["f"]()
    assert caught.traceback[-1].lineno == 6


def test_statements_in_functions_are_deferred_and_those_of_modules_and_classes_are_not() -> None:
    _, statements = instrument(b"x = 1\nclass A:\n    y = 2\n    def f(self):\n        z = 3\n", "<test>")
    assert statements.deferred == [False, False, False, False, True]


def test_layout_and_comments_do_not_make_another_program() -> None:
    assert same_code(b"x = 1 # a\n", b"x  =  1\n")
    assert not same_code(b"x = 1\n", b"x = 2\n")
    assert not same_code(b"x = (", b"x = 1")
