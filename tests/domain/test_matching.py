"""Owns the tests of how edit_file's old text is found: exactly, then blanks at line ends, then uniform indent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.matching import replace_text


def refused(content: str, old: str, new: str = "z = 9\n", *, replace_all: bool = False) -> str:
    with pytest.raises(ToolError) as caught:
        replace_text(content, old, new, replace_all=replace_all)
    return caught.value.message


def test_an_exact_text_is_replaced_even_inside_a_line() -> None:
    assert replace_text("a = b + c\n", "b + c", "b - c") == "a = b - c\n"
    assert replace_text("a\nb", "b", "") == "a\n"


def test_a_text_that_is_there_twice_is_refused_with_its_lines_unless_all_are_wanted() -> None:
    assert "found 2 times (at lines 1, 3)" in refused("x = 1\ny\nx = 1\n", "x = 1\n")
    assert replace_text("x = 1\ny\nx = 1\n", "x = 1\n", "x = 2\n", replace_all=True) == "x = 2\ny\nx = 2\n"


def test_the_exact_place_wins_over_looser_ones() -> None:
    content = "if a:\n    go()  \nif b:\n    go()\nend\n"
    assert (
        replace_text(content, "    go()\nend\n", "    stop()\nend\n") == "if a:\n    go()  \nif b:\n    stop()\nend\n"
    )


def test_inserted_lines_have_the_endings_of_the_file_around_them() -> None:
    assert replace_text("a\r\nb\r\nc\r\n", "b\n", "b1\nb2\n") == "a\r\nb1\r\nb2\r\nc\r\n"
    assert replace_text("a\r\nb\r\n", "b", "b1\nb2") == "a\r\nb1\r\nb2\r\n"
    assert replace_text("a\nb\n", "b\r\n", "b1\r\nb2\r\n") == "a\nb1\nb2\n"
    assert replace_text("a\rb\rc\r", "b\n", "x\ny\n") == "a\rx\ry\rc\r"
    assert replace_text("a\r\nb\nc\n", "b\n", "x\ny\n") == "a\r\nx\ny\nc\n"


def test_a_carriage_return_is_never_cut_from_its_line_feed() -> None:
    assert replace_text("a\r\nb\r\n", "\nb", "\nx\ny") == "a\r\nx\r\ny\r\n"


def test_blanks_at_line_ends_do_not_count_and_stay_where_the_line_stays() -> None:
    assert replace_text("a  \nb\t\nc\n", "a\nb\n", "a\nx\n") == "a  \nx\nc\n"
    assert replace_text("a\nb\n", "a   \nb \n", "q\n") == "q\n"
    assert "not in the file" in refused("foobar\n", "foo  ", "x")


def test_a_last_line_without_ending_keeps_having_none() -> None:
    assert replace_text("a\nb", "b\n", "c\n") == "a\nc"
    assert replace_text("a\nb", "a\nb\n", "a\nb\nc\n") == "a\nb\nc"


def test_uniform_indent_is_added_to_the_new_text_and_to_nothing_else() -> None:
    content = "class A:\n    def f(self):\n        return 1\n"
    new = "def f(self):\n    x = 1\n\n    return x\n"
    assert (
        replace_text(content, "def f(self):\n    return 1\n", new)
        == "class A:\n    def f(self):\n        x = 1\n\n        return x\n"
    )


def test_uniform_indent_is_taken_away_where_the_file_has_less() -> None:
    assert (
        replace_text("def f():\n    return 1\n", "    def f():\n        return 1\n", "    def g():\n") == "def g():\n"
    )
    assert "too little" in refused("def f():\n    return 1\n", "    def f():\n        return 1\n", "def g():\n")


def test_tabs_are_an_indent_like_any_other() -> None:
    assert replace_text("\tif a:\n\t\tb()\n", "if a:\n\tb()\n", "if c:\n\tb()\n") == "\tif c:\n\t\tb()\n"


def test_indent_that_differs_in_more_than_one_way_is_refused_and_said_so() -> None:
    message = refused("def f():\n    return 1\n", "def f():\n  return 1\n")
    assert "indent differs in more than one way" in message
    assert "     2\t    return 1" in message


def test_lines_that_are_only_alike_are_never_taken() -> None:
    content = (
        "def total(prices):\n    return sum(prices)\n\n\ndef mean(prices):\n    return sum(prices) / len(prices)\n"
    )
    message = refused(content, "def mean(prices):\n    return sum(prices) / len(price)\n")
    assert "The nearest lines are:" in message
    assert "     6\t    return sum(prices) / len(prices)" in message


def test_a_refusal_says_what_would_work() -> None:
    assert "use write_file" in refused("a\n", "")
    assert "nothing to change" in refused("a\n", "a", "a")
    assert "line numbers; leave them out" in refused("foo = 1\nbar = 2\n", "     1\tfoo = 1\n     2\tbar = 2\n")
    assert "stands at line 2" in refused("a\nvalue = compute(1)\n", "value = compute(2)\n", "value = compute(1)\n")
    assert "Nothing in the file" in refused("a\n", "qqq\n")
    assert "The file is empty." in refused("", "qqq\n")


def test_form_feeds_and_line_separators_do_not_end_lines() -> None:
    assert replace_text("a\x0cb\u2028c\nd\n", "d\n", "e\nf\n") == "a\x0cb\u2028c\ne\nf\n"


LINES = st.lists(st.sampled_from(["a", "b", "  c", "", "d  ", "\te"]), min_size=1, max_size=8)


@given(LINES, LINES, st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_unique_line_is_replaced_and_all_else_stays_byte_for_byte(head: list[str], tail: list[str], end: str) -> None:
    content = end.join([*head, "unique = 1", *tail])
    assert replace_text(content, "unique = 1\n", "x\ny\n") == end.join([*head, "x", "y", *tail])


@given(st.text(alphabet="ab \n\r\t", max_size=12), st.text(alphabet="ab \n\t", min_size=1, max_size=6))
def test_any_text_is_replaced_or_refused_and_never_breaks(content: str, old: str) -> None:
    try:
        new_content = replace_text(content, old, "Z")
    except ToolError:
        return
    assert new_content != content
