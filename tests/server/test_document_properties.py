"""Any text, any edits, all three encodings: the mirror against the model of tests/server/naive_text.py."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lsprotocol import types

from agent_lsp.server.documents import Document
from agent_lsp.server.edits import minimal_edits
from agent_lsp.server.positions import Encoding, content_of, index_of, units_of
from tests.server import naive_text
from tests.server.properties import examples

Json = dict[str, Any]

LINE_ENDS = ("\n", "\r\n", "\r")
NO_LINE_ENDS = ("\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029")
WIDE = ("é", "漢", "😀", "e\u0301", "👩\u200d💻", "\ufeff", "\x00")
LONE = ("\ud83d", "\ude00")
PIECES = ("a", "b", " ", "\t", *LINE_ENDS, *LINE_ENDS, *NO_LINE_ENDS, *WIDE, *LONE)

encodings = st.sampled_from(list(Encoding))


def texts(most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(PIECES), max_size=most).map("".join).map(naive_text.as_json_carries)


positions = st.fixed_dictionaries({"line": st.integers(0, 9), "character": st.integers(0, 9)})
ranges = st.fixed_dictionaries({"start": positions, "end": positions})
partial = st.fixed_dictionaries({"range": ranges, "text": texts(4)})
whole = st.fixed_dictionaries({"text": texts(12)})
changes = st.lists(partial | partial | partial | whole, min_size=1, max_size=20)


def document_of(text: str, encoding: Encoding) -> Document:
    return Document("file:///a.py", None, 1, text, encoding)


def edit(start: tuple[int, int], end: tuple[int, int], text: str) -> Json:
    return {
        "range": {
            "start": {"line": start[0], "character": start[1]},
            "end": {"line": end[0], "character": end[1]},
        },
        "text": text,
    }


@given(texts(30), changes, encodings)
@example("one\rtwo", [edit((1, 0), (1, 0), "\n")], Encoding.UTF16)
@example("one\n\ntwo", [edit((0, 3), (1, 0), "\r")], Encoding.UTF8)
@example("a\rb\nc", [edit((1, 0), (1, 1), "")], Encoding.UTF32)
@example("a\r\nb", [edit((0, 1), (1, 0), "")], Encoding.UTF16)
@example("\ud83d", [edit((0, 1), (0, 1), "\ude00"), edit((0, 1), (0, 1), "!")], Encoding.UTF16)
@examples(400)
def test_after_any_edits_the_mirror_is_the_text_that_the_editor_holds(
    text: str, edits: list[Json], encoding: Encoding
) -> None:
    document = document_of(text, encoding)
    for one in edits:
        before = list(document.lines)
        seen = document.apply(one)
        text = naive_text.change(text, one, encoding.value)
        assert document.text == text
        assert document.lines == naive_text.lines_of(text)
        assert document.lines[: seen.start] == before[: seen.start], "above the change something moved"
        assert document.lines[seen.end + seen.delta :] == before[seen.end :], "below the change something moved"
        assert 0 <= seen.start <= seen.end <= len(before)


@given(texts(30), texts(30), st.integers(0, 40), st.integers(0, 40), encodings)
@examples(400)
def test_minimal_edits_make_the_new_text_in_an_editor_that_is_not_ours(
    old: str, other: str, keep: int, skip: int, encoding: Encoding
) -> None:
    new = naive_text.as_json_carries(old[:keep] + other[: skip % 7] + old[keep + skip % 5 :]) if skip % 3 else other
    edits = minimal_edits(document_of(old, encoding), new)
    rows = [{"range": plain(edit.range), "newText": edit.new_text} for edit in edits]
    assert naive_text.apply_edits(old, rows, encoding.value) == new
    assert bool(rows) == (old != new)


def plain(value: types.Range) -> Json:
    return {
        "start": {"line": value.start.line, "character": value.start.character},
        "end": {"line": value.end.line, "character": value.end.character},
    }


@given(texts(16), st.sampled_from(["", *LINE_ENDS]), encodings)
@examples(200)
def test_columns_and_indices_lead_to_each_other(text: str, end: str, encoding: Encoding) -> None:
    content = text.replace("\r", "").replace("\n", "")
    line = content + end
    assert content_of(line) == content
    for index in range(len(content) + 1):
        units = units_of(content[:index], encoding)
        assert units == sum(naive_text.width(char, encoding.value) for char in content[:index])
        assert index_of(line, units, encoding) == index
    for column in range(-2, units_of(content, encoding) + 3):
        assert index_of(line, column, encoding) == naive_text.offset_of(line, 0, column, encoding.value)


@given(texts(30), st.integers(0, 12), st.integers(0, 12), encodings)
@examples(200)
def test_a_position_that_is_told_to_the_client_is_one_of_the_text(
    text: str, line: int, index: int, encoding: Encoding
) -> None:
    document = document_of(text, encoding)
    told = document.position(line, index)
    offset = naive_text.offset_of(text, told.line, told.character, encoding.value)
    before = naive_text.lines_of(text[:offset])
    assert told.line == len(before) - 1
    assert told.character == sum(naive_text.width(char, encoding.value) for char in before[-1])


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_column_inside_a_character_is_its_start(encoding: Encoding) -> None:
    document = document_of("a😀b", encoding)
    document.apply(edit((0, 2), (0, 2), "!"))
    assert document.text == ("a😀!b" if encoding is Encoding.UTF32 else "a!😀b")
