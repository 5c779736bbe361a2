"""Small faults in changed lines: what is made of which code, what is left alone, and that all else stays as it was."""

import ast
import random
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_lsp.domain.changes import Entry, FileEdit, FileMode
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.mutation import Mutant, mutants, mutants_of
from agent_lsp.domain.text import split_lines
from agent_lsp.domain.verdict import SuiteReport

PACKAGE = Path(__file__).parents[2] / "agent_lsp"


def made(source: str, *lines: int) -> list[str]:
    """What becomes of what, in order; of all lines unless some are named."""
    content = source.encode()
    return [mutant.text for mutant in mutants_of(content, lines or range(1, source.count("\n") + 2))]


def became(old: str, new: str) -> str:
    return f"`{old}` became `{new}`"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = a < b\n", [became("a < b", "a <= b")]),
        ("x = a >= b\n", [became("a >= b", "a > b")]),
        ("x = a == b\n", [became("a == b", "a != b")]),
        ("x = a is not b\n", [became("a is not b", "a is b")]),
        ("x = a  not  in b\n", [became("a not in b", "a in b")]),
        ("x = 0 < a < 9\n", [became("0 < a < 9", "0 <= a < 9"), became("0 < a < 9", "0 < a <= 9")]),
        ("x = a and b\n", [became("a and b", "a"), became("a and b", "b"), became("a and b", "a or b")]),
        ("x = (a or\n  b)\n", [became("a or b", "a"), became("a or b", "b"), became("a or b", "a and b")]),
        ("x = not a\n", [became("not a", "a")]),
        ("if a: f()\n", ["`f()` was removed", became("a", "True"), became("a", "False"), became("a", "not (a)")]),
        ("x = a - b\n", [became("a - b", "a + b"), became("x = a - b", "x = None")]),
        ("x = a + 1\n", [became("a + 1", "a + 2"), became("a + 1", "a - 1"), became("x = a + 1", "x = None")]),
        ("x = a + b\n", [became("a + b", "a"), became("x = a + b", "x = None")]),
        ("x = a // b\n", [became("a // b", "a / b"), became("x = a // b", "x = None")]),
        ("x = '%s' % b\n", [became("x = '%s' % b", "x = None")]),
        ("x = 3\n", [became("x = 3", "x = 4")]),
        ("x = True\n", [became("x = True", "x = False")]),
        ("x = a[0]\n", [became("a[0]", "a[1]")]),
        ("x = a[1:]\n", [became("a[1:]", "a[2:]"), became("a[1:]", "a[:]")]),
        ("x += 2\n", [became("x += 2", "x += 3"), "`x += 2` was removed", became("x += 2", "x -= 2")]),
        ("a.x = b\n", ["`a.x = b` was removed"]),
        ("a.add(b)\n", ["`a.add(b)` was removed"]),
        ("await_(a, b)\n", ["`await_(a, b)` was removed", became("await_(a, b)", "await_(b, a)")]),
        ("def f():\n    return a\n", [became("return a", "return None")]),
        ("def f():\n    raise E('no')\n", ["`raise E('no')` was removed"]),
        ("for a in b:\n    continue\n", [became("continue", "break")]),
        ("x = [a for a in b if a]\n", [became("a", "True"), became("x = [a for a in b if a]", "x = None")]),
        ("x = f(a, key=b)\n", [became("f(a, key=b)", "f(a)"), became("x = f(a, key=b)", "x = None")]),
        ("x = d.get(a, b)\n", [became("d.get(a, b)", "d.get(a)"), became("d.get(a, b)", "d.get(b, a)")]),
        ("x = any(a)\n", [became("any(a)", "all(a)"), became("x = any(a)", "x = None")]),
        ("x = a.strip()\n", [became("a.strip()", "a"), became("x = a.strip()", "x = None")]),
        ("x = sorted(a)\n", [became("sorted(a)", "(a)"), became("x = sorted(a)", "x = None")]),
        ("x = a.split(',')\n", [became("a.split(',')", 'a.split("")'), became("x = a.split(',')", "x = None")]),
        ("def f(a=1): return a\n", [became("1", "2"), became("return a", "return None")]),
    ],
)
def test_each_kind_of_fault(source: str, told: list[str]) -> None:
    found = made(source)
    assert [text for text in told if text not in found] == [], found
    assert found[0] == told[0]


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring of 3 words."""\n',
        "# x = a < b\n",
        "import a.b as c\n",
        "x: int\n",
        "x: Literal[3] = y\n",
        "def f(a: Annotated[int, 3]) -> Annotated[int, 4]: ...\n",
        "__all__ = ['a', 'b']\n",
        "__version__ = '1.2'\n",
        "T = TypeVar('T', bound=3)\n",
        "logger = logging.getLogger('a')\n",
        "logger.info('%d of %d', a + 1, b)\n",
        "warnings.warn(f'{a} is old', stacklevel=2)\n",
        "self.log.debug(a < b)\n",
        "assert a < b, 'a must be less'\n",
        "x = f'{a + 1}'\n",
        "time.sleep(3)\n",
        "@cache(maxsize=3)\ndef f(): ...\n",
        "class A(B, metaclass=C): ...\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    x = 3\n",
        "if sys.version_info >= (3, 8): import a\n",
        "if __name__ == '__main__': import a\n",
        "x = cast('A', y)\n",
        "pass\n",
        "x = y\n",
        "x = open(y, encoding='utf-8')\n",
        f"x = {10**400}\n",
    ],
)
def test_what_only_names_types_or_tells_is_left_alone(source: str) -> None:
    assert [text for text in made(source) if not text.endswith("= None`")] == []


def test_a_boundary_is_left_alone_where_two_that_are_equal_make_no_difference() -> None:
    assert made("if time.time() > b: pass\n")[:2] == [
        "`time.time() > b` became `True`",
        "`time.time() > b` became `False`",
    ]
    assert made("if a < b: a = b\n") == ["`a < b` became `True`", "`a < b` became `False`"]
    assert made("x = a if a < b else b\n")[:2] == ["`a < b` became `True`", "`a < b` became `False`"]


def test_the_message_of_an_error_is_left_alone_and_its_condition_is_not() -> None:
    found = made("def f(a):\n    if a < 0:\n        raise ValueError('less than 0: ' + str(a - 1))\n")
    assert found[:2] == ["`a < 0` became `a <= 0`", "`raise ValueError('less than 0: ' + str(a - 1))` was removed"]
    assert not any("a - 1" in text and "became" in text for text in found)


def test_what_may_not_end_comes_last() -> None:
    found = made("def f(n):\n    while n > 0:\n        n -= 1\n    g(n)\n")
    assert found[0] == "`g(n)` was removed"
    assert found.index("`n -= 1` was removed") > found.index("`g(n)` was removed")


def test_a_few_are_of_many_kinds_and_many_statements() -> None:
    source = "def f(a, b):\n" + "    a.add(b)\n" * 5 + "    x = a < b\n    y = a and b\n    return x + y\n"
    first = [mutant.line for mutant in list(mutants_of(source.encode(), range(1, 20)))[:3]]
    assert first == [1, 6, 7]


def test_only_the_named_lines_are_touched() -> None:
    source = "x = a < b\ny = a < b\nz = (a <\n     b)\n"
    assert [mutant.line for mutant in mutants_of(source.encode(), {2})] == [1]
    assert made(source, 3) == ["`a < b` became `a <= b`"]
    assert list(mutants_of(source.encode(), {4})) == []


def test_the_order_is_the_same_every_time() -> None:
    content = (PACKAGE / "domain" / "impact.py").read_bytes()
    lines = range(20, 60)
    assert list(mutants_of(content, lines)) == list(mutants_of(content, set(lines)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"def f(a):\r\n\tif a < 1:\r\n\t\treturn 1\r\n", b"def f(a):\r\n\tif a <= 1:\r\n\t\treturn 1\r\n"),
        (b"\xef\xbb\xbfx = a < 1", b"\xef\xbb\xbfx = a <= 1"),
        ("# coding: latin-1\nx = 'é' < a\n".encode("latin-1"), "# coding: latin-1\nx = 'é' <= a\n".encode("latin-1")),
        ("s = 'äö€😀'; x = a < 1\n".encode(), "s = 'äö€😀'; x = a <= 1\n".encode()),
        (b"x = 1\x0c\ny = a < 1\n", b"x = 1\x0c\ny = a <= 1\n"),
        (b"\x0cx = a < 1\n", b"\x0cx = a <= 1\n"),
        (b"x = 1\ry = a < 1\r", b"x = 1\ry = a <= 1\r"),
        (b"x = (a  # <\n  < 1)\n", b"x = (a  # <\n  <= 1)\n"),
        (b"x = (a) \\\n  < (1)\n", b"x = (a) \\\n  <= (1)\n"),
    ],
)
def test_every_other_byte_stays_as_it_was(content: bytes, expected: bytes) -> None:
    assert expected in [mutant.content for mutant in mutants_of(content, range(1, 9))]


@pytest.mark.parametrize("content", [b"x = (\n", b"\0", b"# coding: nowhere\nx = 1\n", b"\xff\xfex = 1\n", b""])
def test_what_is_no_python_has_none(content: bytes) -> None:
    assert list(mutants_of(content, range(1, 9))) == []


def test_only_changed_lines_that_ran_under_a_passing_test_are_tried() -> None:
    before = Entry(b"x = 1\n")
    after = Entry(b"x = 1\ny = a < 1\nz = a < 2\nw = a < 3\n")
    edits = [FileEdit("a.py", before, after), FileEdit("tests/test_a.py", before, after)]
    ran = {1: frozenset({CaseId("t")}), 2: frozenset({CaseId("t")}), 3: frozenset[CaseId]()}
    report = SuiteReport("pytest", executed={"a.py": ran, "tests/test_a.py": ran})
    found = list(mutants(edits, report))
    assert {(mutant.path, mutant.line) for mutant in found} == {("a.py", 1)}
    assert list(mutants([FileEdit("a.py", before, Entry(b"a.py", FileMode.SYMLINK))], report)) == []


def check(content: bytes, lines: set[int], found: list[Mutant]) -> None:
    old = split_lines(content.decode())
    tree = ast.dump(ast.parse(content))
    for mutant in found:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(mutant.content, "<mutant>", "exec")
            assert ast.dump(ast.parse(mutant.content)) != tree, mutant.text
        new = split_lines(mutant.content.decode())
        head = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        tail = next((n for n, (a, b) in enumerate(zip(old[::-1], new[::-1], strict=False)) if a != b), 0)
        changed = set(range(head + 1, len(old) - tail + 1))
        assert changed <= lines, (mutant.text, changed)
        assert mutant.line + 1 in lines
    assert len({mutant.content for mutant in found}) == len(found)


MODULES = sorted(path for folder in ("domain", "agent", "server") for path in (PACKAGE / folder).glob("*.py"))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(MODULES), st.integers(0, 2**32))
def test_of_any_lines_of_real_code_every_mutant_compiles_differs_and_touches_only_them(path: Path, seed: int) -> None:
    content = path.read_bytes()
    count = len(content.splitlines())
    dice = random.Random(seed)
    start = dice.randrange(max(1, count - 10))
    lines = {line for line in range(start, start + 12) if dice.random() < 0.8}
    check(content, lines, list(mutants_of(content, lines)))


NAMES = st.sampled_from(["a", "b.c", "d[0]", "1", "0", "2.5", "'x'", "None", "f(a, b=1)", "[a, b]", "é"])
OPERATORS = st.sampled_from(["+", "-", "*", "//", "%", "<", ">=", "==", "in", "not in", "is", "and", "or", "|", "<<"])
EXPRESSIONS = st.recursive(
    NAMES,
    lambda inner: st.one_of(
        st.tuples(inner, OPERATORS, inner).map(
            lambda t: f"({t[0]}) {t[1]} {t[2]}" if t[1] != "is" else f"({t[0]} is g)"
        ),
        inner.map(lambda e: f"not ({e})"),
        st.tuples(inner, inner, inner).map(lambda t: f"(({t[0]}) if ({t[1]}) else ({t[2]}))"),
        st.tuples(inner, inner).map(lambda t: f"h(({t[0]}), ({t[1]}), k=3)"),
        inner.map(lambda e: f"[i for i in (a,) if ({e})]"),
    ),
    max_leaves=6,
)
STATEMENTS = st.one_of(
    EXPRESSIONS.map(lambda e: f"x = {e}"),
    EXPRESSIONS.map(lambda e: f"return {e}"),
    EXPRESSIONS.map(lambda e: f"x.y += ({e})"),
    EXPRESSIONS.map(lambda e: f"if {e}: x = ({e})"),
    EXPRESSIONS.map(lambda e: f"g({e}); g()"),
    EXPRESSIONS.map(lambda e: f"while {e}: break"),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STATEMENTS, min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]), st.data())
def test_of_any_code_every_mutant_compiles_differs_and_touches_only_the_lines(
    body: list[str], end: str, data: st.DataObject
) -> None:
    text = end.join(["def e():", *(f"\t{line}" for line in body), ""])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<made>", "exec")
    except SyntaxError:
        return
    lines = data.draw(st.sets(st.integers(1, len(body) + 1), min_size=1))
    check(text.encode(), lines, list(mutants_of(text.encode(), lines)))
