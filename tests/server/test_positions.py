"""Columns in the units of the client, and what becomes of columns that no client should send."""

import time

import pytest

from agent_lsp.server.positions import Encoding, content_of, index_of, units_of

UTF8, UTF16, UTF32 = Encoding


@pytest.mark.parametrize(
    ("text", "utf8", "utf16", "utf32"),
    [
        ("", 0, 0, 0),
        ("abc\t", 4, 4, 4),
        ("é", 2, 1, 1),
        ("漢", 3, 1, 1),
        ("😀", 4, 2, 1),
        ("e\u0301", 3, 2, 2),
        ("\u2028", 3, 1, 1),
        ("\ud83d", 3, 1, 1),
    ],
)
def test_a_text_takes_the_units_of_its_encoding(text: str, utf8: int, utf16: int, utf32: int) -> None:
    assert [units_of(text, encoding) for encoding in (UTF8, UTF16, UTF32)] == [utf8, utf16, utf32]


@pytest.mark.parametrize(
    ("encoding", "indices"),
    [
        (UTF8, [0, 1, 1, 1, 1, 2, 3, 3]),
        (UTF16, [0, 1, 1, 2, 3, 3, 3, 3]),
        (UTF32, [0, 1, 2, 3, 3, 3, 3, 3]),
    ],
)
def test_every_column_has_an_index_and_one_inside_a_character_is_its_start(
    encoding: Encoding, indices: list[int]
) -> None:
    assert [index_of("a😀b", column, encoding) for column in range(8)] == indices


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_column_beyond_the_line_is_its_end_before_the_line_end(encoding: Encoding, end: str) -> None:
    assert index_of("aé" + end, 99, encoding) == 2
    assert index_of("ab" + end, 2**31 - 1, encoding) == 2
    assert index_of("aé" + end, -1, encoding) == 0
    assert content_of("aé" + end) == "aé"


@pytest.mark.parametrize("char", ["\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_what_other_tools_take_for_a_line_end_is_content(char: str) -> None:
    assert content_of(f"a{char}") == f"a{char}"
    assert index_of(f"a{char}b\n", 99, UTF16) == 3


def test_a_lone_surrogate_is_a_character_of_its_own_beside_a_whole_pair() -> None:
    line = "\ud83d😀\ude00"
    assert [index_of(line, column, UTF16) for column in range(6)] == [0, 1, 1, 2, 3, 3]
    assert [index_of(line, column, UTF8) for column in (0, 2, 3, 6, 7, 9, 10)] == [0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("encoding", list(Encoding))
def test_the_far_end_of_a_line_of_a_million_characters_is_found_in_milliseconds(encoding: Encoding) -> None:
    """Counting in Python takes 100 ms or more; this is generous for a loaded machine."""
    line = "é😀=1;" * 250_000
    column = units_of(line[:-3], encoding)
    taken_s = []
    for _ in range(5):
        began = time.perf_counter()
        assert index_of(line, column, encoding) == len(line) - 3
        taken_s.append(time.perf_counter() - began)
    assert min(taken_s) < 0.05
