"""Holds the map of a repository to showing first what matters to a goal, in several languages and within its budget."""

import pytest

from agent_lsp.domain.repository_map import RepositoryGraph, Wish, drawn, words_of
from agent_lsp.domain.symbols import FileSymbols, is_source, read_symbols

PROJECT = {
    "shop/invoice.py": "from shop.money import round_amount\n\n\nclass Invoice:\n    def total(self):\n"
    "        return round_amount(sum(self.rows))\n",
    "shop/money.py": "def round_amount(value):\n    return value\n\n\ndef parse_amount(text):\n    return text\n",
    "shop/mail.py": "def send_mail(address):\n    return address\n",
    "shop/page.py": "from shop.mail import send_mail\n\n\ndef show_page():\n    send_mail(1)\n",
    "tests/test_invoice.py": "from shop.invoice import Invoice\n\n\ndef test_invoice_total():\n    Invoice().total()\n",
}
SOURCES = [
    ("py", "class A(B):\n    async def go(self, x):\n        pass\n", ["A 0", "go 1"]),
    (
        "ts",
        "export interface Shape {\n}\nexport const area = (s: Shape) => 1;\nasync function go() {\n}\n",
        ["Shape 0", "area 2", "go 3"],
    ),
    ("go", "type Shape struct {\n}\nfunc (s *Shape) Area() float64 {\n}\n", ["Shape 0", "Area 2"]),
    ("rs", "pub struct Shape;\nimpl Shape {\n    pub fn area(&self) -> f64 {\n", ["Shape 0", "area 2"]),
    ("java", "public final class Shape {\n}\npublic interface Area {\n}\n", ["Shape 0", "Area 2"]),
    ("c", "struct shape {\n};\nstatic int area(struct shape *s)\n{\n", ["shape 0", "area 2"]),
    ("rb", "module Shapes\n  def self.area\n  end\n", ["Shapes 0", "area 1"]),
    ("php", "class Shape {\n  public function area() {\n", ["Shape 0", "area 1"]),
]


def graph(files: dict[str, str] = PROJECT) -> RepositoryGraph:
    return RepositoryGraph({path: read_symbols(path.rpartition(".")[2], text) for path, text in files.items()})


def order(text: str) -> list[str]:
    """The files of a map."""
    return [row for row in text.split("\n") if not row.startswith(" ")]


@pytest.mark.parametrize(("suffix", "text", "wanted"), SOURCES)
def test_definitions_are_read_with_their_lines(suffix: str, text: str, wanted: list[str]) -> None:
    assert is_source(f"a.{suffix}")
    assert [f"{one.name} {one.line}" for one in read_symbols(suffix, text).definitions] == wanted


def test_what_is_no_source_says_nothing() -> None:
    assert not is_source("data.json")
    assert read_symbols("json", '{"a": 1}') == FileSymbols()
    assert drawn(RepositoryGraph({}), Wish("anything"), 1000) == ""


def test_the_goals_words_come_first_and_what_they_lean_on_follows() -> None:
    files = order(drawn(graph(), Wish("the invoice total is not rounded"), 10_000))
    assert files[0] == "shop/invoice.py"
    assert files.index("shop/money.py") < files.index("shop/mail.py")
    assert set(files) == set(PROJECT)


def test_a_file_that_is_known_to_be_meant_draws_the_map_to_it() -> None:
    files = order(drawn(graph(), Wish("make it work", ("shop/page.py",)), 10_000))
    assert set(files[:2]) == {"shop/page.py", "shop/mail.py"}


def test_files_that_are_open_come_before_others_and_after_those_that_are_meant() -> None:
    text = "make it work"
    assert order(drawn(graph(), Wish(text, (), ("shop/page.py",)), 10_000))[0] == "shop/page.py"
    meant = order(drawn(graph(), Wish(text, ("shop/page.py",), ("shop/invoice.py",)), 10_000))
    assert meant.index("shop/page.py") < meant.index("shop/invoice.py")


def test_a_name_that_the_goal_spells_is_found_where_it_is_defined() -> None:
    assert order(drawn(graph(), Wish("`parse_amount` fails"), 10_000))[0] == "shop/money.py"


@pytest.mark.parametrize("most", [0, 10, 40, 100, 200, 400])
def test_a_map_stays_within_its_budget_and_shows_whole_lines(most: int) -> None:
    text = drawn(graph(), Wish("invoice"), most)
    assert len(text) <= most
    whole = drawn(graph(), Wish("invoice"), 10_000).split("\n")
    assert set(text.split("\n")) <= {*whole, ""}


def test_the_same_state_gives_the_same_map() -> None:
    assert drawn(graph(), Wish("mail"), 500) == drawn(graph(dict(reversed(PROJECT.items()))), Wish("mail"), 500)


def test_words_are_those_of_names_too() -> None:
    assert words_of("parseHTTPRequests my_invoice the") == {"parse", "http", "request", "invoice"}
