"""Open documents: what an edit costs and reports, odd versions, odd changes, one file held twice.

Any text and any edit are judged in test_document_properties.py. What stock pygls does to the same input is shown here,
so that the override can go when it is mended there.
"""

import logging
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.workspace import PositionCodec, TextDocument

from agent_lsp.server.board import Place
from agent_lsp.server.documents import Document, Documents, LineChange, MalformedChangeError
from agent_lsp.server.edits import minimal_edits
from agent_lsp.server.offers import goal_of
from agent_lsp.server.positions import Encoding

Json = dict[str, Any]


def edit(start: tuple[int, int], end: tuple[int, int], text: str) -> Json:
    places = ({"line": line, "character": character} for line, character in (start, end))
    return {"range": dict(zip(("start", "end"), places, strict=True)), "text": text}


def document_of(text: str, encoding: Encoding = Encoding.UTF16) -> Document:
    return Document("file:///a", None, 1, text, encoding)


def change(document: Document, start: tuple[int, int], end: tuple[int, int], text: str) -> LineChange:
    return document.apply(edit(start, end, text))


def told(uri: str, *changes: Any, **version: Any) -> Json:
    return {"textDocument": {"uri": uri, **version}, "contentChanges": list(changes)}


# --- what stock pygls does ------------------------------------------------------------------------------------------


def in_stock_pygls(text: str, start: tuple[int, int], end: tuple[int, int], new: str) -> str:
    stock = TextDocument("file:///a", text, 1, position_codec=PositionCodec(types.PositionEncodingKind.Utf16))
    range_ = types.Range(start=types.Position(*start), end=types.Position(*end))
    stock.apply_change(types.TextDocumentContentChangePartial(range=range_, text=new))
    return str(stock.source)


@pytest.mark.parametrize("char", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_stock_pygls_takes_for_a_line_end_what_is_none(char: str) -> None:
    text = f"a{char}b\nc\n"
    document = document_of(text)
    change(document, (1, 0), (1, 0), "!")
    assert document.text == f"a{char}b\n!c\n"
    assert in_stock_pygls(text, (1, 0), (1, 0), "!") == f"a{char}!b\nc\n"


def test_stock_pygls_is_one_character_off_beyond_a_last_line_without_newline() -> None:
    document = document_of("one\ntwo")
    change(document, (1, 99), (1, 99), "!")
    assert document.text == "one\ntwo!"
    assert in_stock_pygls("one\ntwo", (1, 99), (1, 99), "!") == "one\ntw!o"


def test_stock_pygls_types_between_when_a_range_ends_before_it_starts() -> None:
    document = document_of("one\ntwo")
    change(document, (0, 2), (0, 1), "!")
    assert document.text == "o!e\ntwo"
    assert in_stock_pygls("one\ntwo", (0, 2), (0, 1), "!") == "on!ne\ntwo"


# --- edits -----------------------------------------------------------------------------------------------------------


def test_positions_beyond_a_line_or_the_file_mean_its_end() -> None:
    document = document_of("one\r\ntwo")
    change(document, (0, 99), (0, 99), "!")
    change(document, (9, 0), (9, 9), "?")
    assert document.text == "one!\r\ntwo?"


@pytest.mark.parametrize(
    ("before", "start", "end", "text", "after"),
    [
        ("one\rtwo", (1, 0), (1, 0), "\n", ["one\r\n", "two"]),
        ("one\ntwo", (0, 3), (0, 3), "\r", ["one\r\n", "two"]),
        ("one\n\ntwo", (0, 3), (1, 0), "\r", ["one\r\n", "two"]),
        ("one\r\ntwo", (0, 3), (0, 3), "\r", ["one\r", "\r\n", "two"]),
        ("one\rx\ntwo", (1, 0), (1, 1), "", ["one\r\n", "two"]),
        ("one\r\ntwo", (0, 9), (1, 0), "", ["onetwo"]),
        ("\r\r", (1, 0), (1, 0), "\n", ["\r\n", "\r", ""]),
        ("a", (0, 1), (0, 1), "\r", ["a\r", ""]),
    ],
)
def test_halves_of_a_line_end_meet_and_part_at_either_side_of_an_edit(
    before: str, start: tuple[int, int], end: tuple[int, int], text: str, after: list[str]
) -> None:
    document = document_of(before)
    change(document, start, end, text)
    assert document.lines == after


def test_halves_of_a_surrogate_pair_that_meet_are_one_character() -> None:
    document = document_of("a\ud83d")
    change(document, (0, 2), (0, 2), "\ude00b")
    assert document.text == "a😀b"


def test_a_change_without_a_range_replaces_the_text() -> None:
    document = document_of("one\ntwo\nthree\n")
    assert document.apply({"text": "one\n2\nthree\n"}) == LineChange(1, 2, 1)
    assert document.text == "one\n2\nthree\n"


def test_an_edit_touches_no_line_but_its_own() -> None:
    """What a keystroke costs does not grow with the file: every other line stays the very same object, unread."""
    document = document_of("".join(f"line {number}\n" for number in range(5000)))
    before = list(document.lines)
    assert change(document, (2500, 4), (2500, 4), "x") == LineChange(2500, 2501, 1)
    same = [new is old for new, old in zip(document.lines, before, strict=True)]
    assert same.count(False) == 1


def test_a_place_follows_edits_elsewhere_and_remembers_one_inside() -> None:
    document = document_of("a\nb\nc\nd\n")
    place = Place("a", 2, 3)
    place.follow(change(document, (0, 0), (0, 0), "new\nnew\n"))
    assert (place.start, place.end, place.touched) == (4, 5, False)
    place.follow(change(document, (5, 0), (5, 0), "below\n"))
    assert (place.start, place.end, place.touched) == (4, 5, False)
    place.follow(change(document, (4, 1), (4, 1), "!\n!"))
    assert (place.start, place.end, place.touched) == (4, 6, True)


def test_a_small_change_is_a_small_edit() -> None:
    (small,) = minimal_edits(document_of("one\ntwo = 1 - 2\nthree\n"), "one\ntwo = 1 + 2\nthree\n")
    assert small.new_text == "+"
    assert (small.range.start.line, small.range.start.character) == (1, 8)
    assert (small.range.end.line, small.range.end.character) == (1, 9)


# --- versions and changes that no client should send --------------------------------------------------------------


@pytest.fixture
def documents() -> Documents:
    """One document, `ab`, at version 5."""
    found = Documents(Encoding.UTF16)
    found.open("file:///tmp/a.py", 5, "ab")
    return found


A = "file:///tmp/a.py"
TYPED = edit((0, 1), (0, 1), "x")


@pytest.mark.parametrize(
    ("version", "counted", "said"),
    [
        ({"version": 6}, 6, ""),
        ({"version": 9}, 9, "gaps"),
        ({"version": 5}, 5, "repeated"),
        ({"version": -3}, -3, "went back"),
        ({"version": None}, 6, "without a version"),
        ({}, 6, "without a version"),
        ({"version": "7"}, 6, "without a version"),
        ({"version": True}, 6, "without a version"),
    ],
)
def test_the_text_is_followed_whatever_the_version_and_what_is_odd_is_said_once(
    documents: Documents, caplog: pytest.LogCaptureFixture, version: Json, counted: int, said: str
) -> None:
    caplog.set_level(logging.INFO)
    document = documents.get(A)
    assert document is not None
    first = document.revision
    documents.change(told(A, TYPED, **version))
    assert (document.text, document.version, document.in_step) == ("axb", counted, True)
    assert document.revision > first, "no two texts share a revision, whatever their versions"
    assert said in caplog.text
    documents.change(told(A, TYPED, **version))
    documents.change(told(A, TYPED, **version))
    assert document.text == "axxxb"
    assert len([row for row in caplog.records if said and said in row.message]) == (1 if said else 0)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        7,
        {},
        {"text": 7},
        {"text": None, "range": None},
        {"range": {}, "text": ""},
        {"range": 3, "text": ""},
        {"range": {"start": {"line": 0, "character": 0}}, "text": ""},
        edit((-1, 0), (0, 0), ""),
        {"range": {"start": {"line": "0", "character": 0}, "end": {"line": 0, "character": 0}}, "text": ""},
        {"range": {"start": {"line": True, "character": 0}, "end": {"line": 0, "character": 0}}, "text": ""},
    ],
)
def test_a_change_that_says_nothing_leaves_the_document_out_of_step_until_it_comes_whole(
    documents: Documents, wrong: Any
) -> None:
    found = documents.change(told(A, TYPED, wrong, version=6))
    assert found is not None
    document, changes = found
    assert (document.text, document.in_step, len(changes)) == ("axb", False, 1)
    documents.change(told(A, TYPED, version=7))
    assert document.in_step is False
    documents.change(told(A, {"text": "new"}, version=8))
    assert (document.text, document.in_step) == ("new", True)
    with pytest.raises(MalformedChangeError):
        document.apply(wrong)


@pytest.mark.parametrize("params", [None, 3, [], {}, {"textDocument": 3}, {"textDocument": {"uri": 3}}, told("x")])
def test_a_change_of_nothing_that_is_open_is_ignored_and_said_once(
    documents: Documents, caplog: pytest.LogCaptureFixture, params: Any
) -> None:
    assert documents.change(params) is None
    assert documents.change(params) is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize("rows", [None, {}, "x"])
def test_changes_that_are_no_list_leave_the_document_out_of_step(documents: Documents, rows: Any) -> None:
    found = documents.change({"textDocument": {"uri": A, "version": 6}, "contentChanges": rows})
    assert found is not None
    assert (found[0].in_step, found[0].text) == (False, "ab")


def test_a_document_that_is_opened_twice_is_what_came_last(
    documents: Documents, caplog: pytest.LogCaptureFixture
) -> None:
    first = documents.get(A)
    second = documents.open("file:///tmp/%61.py", 1, "anew")
    assert "a second time" in caplog.text
    assert first is not None
    assert second.revision > first.revision
    assert documents.get(A) is documents.at(Path("/tmp/a.py")) is second
    assert documents.close(A) is second
    assert documents.close(A) is None
    assert list(documents) == []


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_document_is_found_in_every_spelling_of_its_uri_and_keeps_the_clients_own() -> None:
    documents = Documents(Encoding.UTF16)
    opened = documents.open("file:///tmp/a%20b%40c.py", 1, "")
    assert documents.get("file:///tmp/a b@c.py") is opened
    assert documents.get("file:///tmp/x/../a%20b@c.py") is opened
    assert opened.uri == "file:///tmp/a%20b%40c.py"


def test_documents_that_are_no_files_are_held_and_belong_to_no_path() -> None:
    documents = Documents(Encoding.UTF16)
    for uri in ("untitled:Untitled-1", "vscode-notebook-cell:/tmp/a.ipynb#W0", "", "%", "file://server/a"):
        opened = documents.open(uri, 1, "ab")
        assert opened.path is None
        documents.change(told(uri, TYPED, version=2))
        assert opened.text == "axb"
    assert list(documents) == []
    assert documents.close("untitled:Untitled-1") is not None


def test_one_file_that_is_held_twice_is_two_texts_and_the_last_touched_counts(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    documents = Documents(Encoding.UTF16, lambda path: path.resolve())
    through = documents.open((link / "a.py").as_uri(), 1, "ab")
    direct = documents.open((real / "a.py").as_uri(), 1, "ab")
    assert documents.at(real / "a.py") is direct
    documents.change(told(through.uri, TYPED, version=2))
    assert (through.text, direct.text) == ("axb", "ab"), "a change belongs to the document that it names"
    assert documents.at(real / "a.py") is through
    assert list(documents) == [through]
    documents.close(through.uri)
    assert documents.at(real / "a.py") is direct


def test_a_document_that_was_open_before_its_folder_came_belongs_to_it_afterwards(tmp_path: Path) -> None:
    homes: dict[Path, Path] = {}
    documents = Documents(Encoding.UTF16, lambda path: homes.get(path, path))
    opened = documents.open((tmp_path / "a.py").as_uri(), 1, "")
    homes[tmp_path / "a.py"] = tmp_path / "home" / "a.py"
    documents.find_homes()
    assert opened.path == tmp_path / "home" / "a.py"
    assert documents.at(tmp_path / "home" / "a.py") is opened
    assert documents.at(tmp_path / "a.py") is None


def test_a_minified_line_is_not_searched_for_a_goal() -> None:
    """Searching this one would take the square of its length: minutes, on a move of the cursor."""
    assert goal_of("# agent: fix it\n") == "fix it"
    assert goal_of("# agent: a" + " " * 100_000 + "b") is None
