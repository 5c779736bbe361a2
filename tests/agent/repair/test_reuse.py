"""What is missing in one file and stands in another: found, fitted to the names of its new place, and bounded."""

from pathlib import Path

import pytest

from agent_lsp.agent.repair.edits import distinct, edits_of, in_order
from agent_lsp.agent.repair.gathering import pieces_of
from agent_lsp.agent.repair.pieces import PieceKind, Place
from agent_lsp.agent.repair.source import parse
from agent_lsp.agent.repair.templates.registry import TEMPLATES
from agent_lsp.domain.task import Goal
from tests.agent.repair.bench import Bench, lay_out


def proposed(text: str, **others: str) -> list[str]:
    """The texts that the edits of a file give, likeliest first, where these other files are there."""
    source = parse("code.py", text)
    assert source is not None
    pieces = pieces_of({"code.py": text}, {f"{name}.py": other for name, other in others.items()})
    edits = in_order(edits_of(source, dict.fromkeys(range(1, 99), 1.0), TEMPLATES, pieces))
    return [edit.apply(text) for edit in distinct(edits, {"code.py": text}, set())]


def fitting(kind: PieceKind, own: tuple[str, ...], texts: dict[str, str], most: int = 9) -> list[str]:
    """What of the files fits a place at the beginning of `here/code.py`."""
    place = Place("here/code.py", 1, own, set(own))
    return [text for text, _ in pieces_of({}, texts).fitting(kind, place, most)]


async def test_the_statement_that_mends_may_stand_in_a_module_that_no_test_runs(tmp_path: Path) -> None:
    files = {
        "shelf.py": """class Shelf:
    def __init__(self, count):
        self.count, self.notes = count, []

    def note(self, word, count):
        self.notes.append((word, count))
""",
        "sales.py": "def sold(shelf, count):\n    shelf.count -= count\n    return shelf\n",
        "never_run.py": "def taken(shelf, count):\n    shelf.note('out', count)\n    shelf.count = 0\n",
        "test_sales.py": """from sales import sold
from shelf import Shelf

def test_count(): assert sold(Shelf(5), 2).count == 3
def test_noted(): assert sold(Shelf(5), 2).notes == [("out", 2)]
def test_twice(): assert sold(sold(Shelf(5), 2), 1).notes == [("out", 2), ("out", 1)]
""",
    }
    bench = Bench(lay_out(tmp_path, files))
    outcome = await bench.repair(Goal("make the failing tests pass"))
    assert outcome.finished, outcome.reason
    assert bench.added_lines() == ["shelf.note('out', count)"]
    assert "statement from elsewhere" in outcome.summary


@pytest.mark.parametrize(
    ("before", "other", "after"),
    [
        (
            "def f(a):\n  return min(a)\n",
            "def g(a):\n  if len(a) < 3:\n    return 7\n  return 1\n",
            "def f(a):\n  if len(a) < 3:\n      return 7\n  return min(a)\n",
        ),
        ("def f(a):\n  if a.b: return 1\n", "x = 1 if a.c > 5 else 2", "def f(a):\n  if a.b or a.c > 5: return 1\n"),
        ("from other import h\ndef f(a): g(a)\n", "def h(a): pass", "from other import h\ndef f(a): g(h(a))\n"),
        ("def f(a): return a.colour\n", "b.color = 3", "def f(a): return a.color\n"),
        ("def f(a): return a * 37\n", "LIMIT = 42", "def f(a): return a * 42\n"),
        ("def f(a): return a['heigth']\n", "def g(a): return a['height']", "def f(a): return a['height']\n"),
    ],
)
def test_what_another_file_holds_is_proposed(before: str, other: str, after: str) -> None:
    assert after in proposed(before, other=other)
    assert after not in proposed(before)


def test_a_function_that_is_not_imported_is_not_called() -> None:
    assert not any("h(" in text for text in proposed("def f(a): g(a)\n", other="def h(a): pass"))


def test_a_piece_fits_where_its_names_are_known_and_one_unknown_name_is_exchanged_for_a_near_one() -> None:
    texts = {"a.py": "def f(x, y, row):\n    send(row)\n    keep.add(x, y)\n    row.drop()\n"}
    assert fitting(PieceKind.STATEMENT, ("row",), texts) == ["row.drop()"]
    assert fitting(PieceKind.STATEMENT, ("line", "size"), texts) == ["line.drop()", "size.drop()"]


def test_the_nearest_files_and_the_pieces_with_the_most_known_names_come_first() -> None:
    texts = {"far/a.py": "print(row)", "here/b.py": "row.close()\nrow.join(size)", "here/code.py": "\nrow.flush()"}
    found = fitting(PieceKind.STATEMENT, ("row", "size"), texts)
    assert found == ["row.flush()", "row.close()", "row.join(size)", "print(row)"]


def test_no_more_pieces_are_kept_than_are_worth_a_look() -> None:
    texts = {f"m{number}.py": "".join(f"x.f{number}_{line}()\n" for line in range(50)) for number in range(40)}
    pieces = pieces_of({}, texts)
    assert len(pieces.of_kind[PieceKind.STATEMENT]) == 600
    assert len(fitting(PieceKind.STATEMENT, ("x",), texts, 4)) == 4
