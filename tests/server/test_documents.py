"""The mirror of a document against a model of it, in every encoding, with every line end there is and is not."""

import random

import pytest
from lsprotocol import types

from agent_lsp.server.board import Place
from agent_lsp.server.documents import Document, Documents, LineChange, lines_of
from agent_lsp.server.edits import minimal_edits
from agent_lsp.server.positions import Encoding, index_of, units_of
from tests.server.raw_client import Buffer

ALPHABET = ["a", "b", " ", "é", "漢", "😀", "\u2028", "\x0c", "\x85", "\x0b", "\n", "\r\n", "\r"]


def text_of(generator: random.Random, length: int) -> str:
    return "".join(generator.choice(ALPHABET) for _ in range(length))


def position(place: dict[str, int]) -> types.Position:
    return types.Position(line=place["line"], character=place["character"])


def splits_line_end(text: str, offset: int) -> bool:
    return 0 < offset < len(text) and text[offset - 1 : offset + 1] == "\r\n"


@pytest.mark.parametrize("encoding", list(Encoding))
def test_random_edits_keep_the_mirror_equal_to_the_editor(encoding: Encoding) -> None:
    generator = random.Random(7)
    for _ in range(60):
        buffer = Buffer("file:///a.py", 1, text_of(generator, 30), encoding.value)
        document = Document(buffer.uri, None, 1, buffer.text, encoding)
        for _ in range(12):
            start, end = sorted(generator.randrange(len(buffer.text) + 1) for _ in range(2))
            if splits_line_end(buffer.text, start) or splits_line_end(buffer.text, end):
                continue
            new = text_of(generator, generator.randrange(4))
            range_ = types.Range(start=position(buffer.position(start)), end=position(buffer.position(end)))
            document.apply(types.TextDocumentContentChangePartial(range=range_, text=new))
            buffer.text = buffer.text[:start] + new + buffer.text[end:]
            assert document.text == buffer.text
            assert document.lines == lines_of(buffer.text)


def change(document: Document, start: tuple[int, int], end: tuple[int, int], text: str) -> LineChange:
    range_ = types.Range(start=types.Position(*start), end=types.Position(*end))
    return document.apply(types.TextDocumentContentChangePartial(range=range_, text=text))


def test_positions_beyond_a_line_or_the_file_mean_its_end() -> None:
    document = Document("file:///a", None, 1, "one\ntwo", Encoding.UTF16)
    change(document, (0, 99), (0, 99), "!")
    change(document, (9, 0), (9, 9), "?")
    assert document.text == "one!\ntwo?"


def test_a_line_feed_after_a_carriage_return_makes_one_line_end() -> None:
    document = Document("file:///a", None, 1, "one\rtwo", Encoding.UTF16)
    change(document, (1, 0), (1, 0), "\n")
    assert document.lines == ["one\r\n", "two"]


def test_a_change_without_a_range_replaces_the_text() -> None:
    document = Document("file:///a", None, 1, "one\ntwo\nthree\n", Encoding.UTF16)
    seen = document.apply(types.TextDocumentContentChangeWholeDocument(text="one\n2\nthree\n"))
    assert document.text == "one\n2\nthree\n"
    assert seen == LineChange(1, 2, 1)


def test_a_place_follows_edits_elsewhere_and_remembers_one_inside() -> None:
    document = Document("file:///a", None, 1, "a\nb\nc\nd\n", Encoding.UTF16)
    place = Place("a", 2, 3)
    place.follow(change(document, (0, 0), (0, 0), "new\nnew\n"))
    assert (place.start, place.end, place.touched) == (4, 5, False)
    place.follow(change(document, (5, 0), (5, 0), "below\n"))
    assert (place.start, place.end, place.touched) == (4, 5, False)
    place.follow(change(document, (4, 1), (4, 1), "!\n!"))
    assert (place.start, place.end, place.touched) == (4, 6, True)


@pytest.mark.parametrize(("encoding", "units"), [(Encoding.UTF8, 5), (Encoding.UTF16, 3), (Encoding.UTF32, 2)])
def test_columns_count_in_the_units_of_the_client(encoding: Encoding, units: int) -> None:
    assert units_of("a😀", encoding) == units
    assert index_of("a😀b\n", units, encoding) == 2
    assert index_of("a😀b\n", 99, encoding) == 3


@pytest.mark.parametrize("encoding", list(Encoding))
def test_minimal_edits_make_the_new_text_and_nothing_else(encoding: Encoding) -> None:
    generator = random.Random(11)
    for _ in range(150):
        old, new = text_of(generator, 25), text_of(generator, 25)
        if generator.random() < 0.7:
            new = old[:10] + new[:3] + old[12:]
        buffer = Buffer("file:///a", 1, old, encoding.value)
        edits = minimal_edits(Document("file:///a", None, 1, old, encoding), new)
        buffer.apply([{"range": plain(edit.range), "newText": edit.new_text} for edit in edits])
        assert buffer.text == new


def plain(value: types.Range) -> dict[str, dict[str, int]]:
    return {
        "start": {"line": value.start.line, "character": value.start.character},
        "end": {"line": value.end.line, "character": value.end.character},
    }


def test_a_small_change_is_a_small_edit() -> None:
    document = Document("file:///a", None, 1, "one\ntwo = 1 - 2\nthree\n", Encoding.UTF16)
    (edit,) = minimal_edits(document, "one\ntwo = 1 + 2\nthree\n")
    assert edit.new_text == "+"
    assert plain(edit.range) == {"start": {"line": 1, "character": 8}, "end": {"line": 1, "character": 9}}


def test_a_document_is_found_in_every_spelling_of_its_uri() -> None:
    documents = Documents(Encoding.UTF16)
    opened = documents.open("file:///tmp/a%20b%40c.py", 1, "")
    assert documents.get("file:///tmp/a b@c.py") is opened
    assert documents.get("file:///tmp/x/../a%20b@c.py") is opened
