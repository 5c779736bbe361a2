"""What the templates propose, and that their edits touch nothing but what they are about."""

import ast

import pytest

from agent_lsp.agent.repair.edits import distinct, edits_of, in_order
from agent_lsp.agent.repair.gathering import pieces_of
from agent_lsp.agent.repair.source import parse
from agent_lsp.agent.repair.templates.registry import TEMPLATES
from tests.agent.repair.cases import CASES


def outcomes(text: str, line: int = 0) -> list[str]:
    """The texts that the edits of one line (0: of all) give, likeliest first."""
    source = parse("code.py", text)
    assert source is not None
    lines = {line: 1.0} if line else dict.fromkeys(range(1, text.count("\n") + 2), 1.0)
    edits = in_order(edits_of(source, lines, TEMPLATES, pieces_of({"code.py": text}, {})))
    return [edit.apply(text) for edit in distinct(edits, {"code.py": text}, set())]


@pytest.mark.parametrize(("before", "after"), CASES)
def test_a_slip_is_proposed_back(before: str, after: str) -> None:
    assert after in outcomes(before)


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_kind_of_edit_mends_one_of_the_cases(template: str) -> None:
    def mends(before: str, after: str) -> bool:
        source = parse("code.py", before)
        assert source is not None
        lines = dict.fromkeys(range(1, before.count("\n") + 2), 1.0)
        pieces = pieces_of({"code.py": before}, {})
        found = edits_of(source, lines, {template: TEMPLATES[template]}, pieces)
        return any(edit.apply(before) == after for edit in found)

    assert any(mends(before, after) for before, after in CASES)


def test_a_wrong_variable_becomes_one_that_is_bound_before() -> None:
    text = "def f(low, high):\n    middle = low\n    later = 1\n    return later\n"
    found = outcomes(text, 2)
    assert text.replace("middle = low", "middle = high") in found
    assert not any("middle = later" in other or "middle = middle" in other for other in found)


def test_every_variable_of_the_function_is_offered_before_those_of_the_module_and_the_nearest_first() -> None:
    names = [f"part{number}" for number in range(9)]
    text = "__all__ = ['f']\nitems_of = 2\ndef f(seq):\n" + "".join(f"    {name} = seq\n" for name in names)
    text += "    item = 1\n    val = 2\n    add(item)\n"
    found = [other for other in outcomes(text, text.count("\n")) if other.count("\n") == text.count("\n")]
    added = [other.splitlines()[-1].strip() for other in found]
    tried = [line for line in added if line.startswith("add(") and line[4:-1].isidentifier()]
    assert tried[0] == "add(val)"
    assert set(tried) == {f"add({name})" for name in [*names, "val", "seq", "items_of"]}
    assert tried[-1] == "add(items_of)"


def test_a_constant_of_the_module_becomes_its_neighbour_before_anything_else() -> None:
    text = "NEXT, PREV = 0, 1\nONE = 1\ndef f(a, b, c, d, e, g):\n    return a[NEXT]\n"
    variables = [other for other in outcomes(text, 4) if "a[" in other and other.rstrip()[-2].isalpha()]
    assert variables[0] == text.replace("a[NEXT]", "a[PREV]")


def test_what_a_loop_goes_through_is_a_late_guess_for_what_it_tests_against() -> None:
    text = "def f(seq, other):\n    seen = {1}\n    for item in seq:\n        if item in seen:\n            return 1\n"
    found = outcomes(text, 4)
    idle, plain = text.replace("in seen:", "in seq:"), text.replace("in seen:", "in other:")
    assert found.index(plain) < found.index(idle)
    assert found.index(idle) > 4 * found.index(plain)


def test_an_attribute_becomes_another_one_of_the_file() -> None:
    text = "class A:\n    start: int\n    end: int\n\ndef f(a):\n    return a.start\n"
    assert text.replace("a.start", "a.end") in outcomes(text, 6)


def test_a_lonely_value_is_returned() -> None:
    text = "def f(a):\n    a + 1\n"
    assert text.replace("a + 1", "return a + 1") in outcomes(text)


def test_formatting_comments_and_line_ends_stay_as_they_were() -> None:
    text = "def f( a,b ):\r\n\treturn (a   # <= is not an operator here\r\n\t\t<  b)  # äöü 🎉\r\n"
    found = outcomes(text)
    assert text.replace("\t<  b", "\t<=  b") in found
    assert all(other.endswith("# äöü 🎉\r\n") and other.count("\n") == other.count("\r\n") for other in found)
    assert not any("# <=" in other and "# <= is not an operator here\r\n" not in other for other in found)


def test_columns_are_right_behind_characters_of_several_bytes() -> None:
    text = 'x = "äöü🎉" if é < b else c\n'
    assert text.replace("é < b", "é <= b") in outcomes(text)


def test_text_in_quotes_and_annotations_are_left_alone() -> None:
    text = 'def f(a: "int < 3", b: list[int] = None) -> dict[1, 2]:\n    """a < b"""\n    return f"{a < b}"\n'
    head = text.partition("None")[0]
    assert all(other.startswith(head) and '"""a < b"""' in other for other in outcomes(text))
    assert not any("dict[2" in other or "{a >" in other or "{a <=" in other for other in outcomes(text))


def test_every_edit_parses_differs_and_is_given_once() -> None:
    text = "def f(a, b, n):\n    for i in range(1, n + 1):\n        if a[i] < b and not n:\n            return a[i:]\n"
    trees = [ast.dump(ast.parse(other)) for other in outcomes(text)]
    assert len(trees) > 30
    assert len(trees) == len(set(trees))
    assert ast.dump(ast.parse(text)) not in trees


def test_the_order_is_the_same_every_time_and_follows_suspicion_first() -> None:
    text = "def f(a, b):\n    c = a < b\n    return a - b\n"
    source = parse("code.py", text)
    assert source is not None
    first, second = (in_order(edits_of(source, {2: 0.3, 3: 1.0}, TEMPLATES)) for _ in range(2))
    assert first == second
    assert first[0].line == 3
    assert (scores := [round(edit.score, 9) for edit in first]) == sorted(scores, reverse=True)


def test_what_this_python_cannot_read_is_not_searched() -> None:
    assert parse("code.py", "def f(:\n") is None
    assert parse("code.py", "x = 1\0") is None
