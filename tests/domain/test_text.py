"""Bytes as text and back: every byte stays, whatever the encoding, and what cannot be held is known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_lsp.domain.text import decode, decode_like, encode_like, split_lines


@pytest.mark.parametrize(
    ("content", "encoding", "text"),
    [
        (b"", "utf-8", ""),
        (b"\xef\xbb\xbfa\r\n", "utf-8", "a\r\n"),
        ("é\r\n".encode(), "utf-8", "é\r\n"),
        (b"caf\xe9", "latin-1", "café"),
        (b"\x93caf\xe9\x94 \x80", "cp1252", "“café” €"),
        (b"\x93\x81\xe9", "latin-1", "\x93\x81é"),
        (b"\xff\xfea\0\r\0\n\0", "utf-16-le", "a\r\n"),
        (b"\xfe\xff\0a", "utf-16-be", "a"),
    ],
)
def test_a_file_is_read_in_its_encoding(content: bytes, encoding: str, text: str) -> None:
    decoded = decode(content)
    assert decoded is not None
    assert (decoded.encoding, decoded.text) == (encoding, text)


@given(st.binary(max_size=24) | st.text(max_size=12).map(lambda text: text.encode("utf-16", "surrogatepass")))
@settings(max_examples=300, derandomize=True, database=None, deadline=None)
def test_any_bytes_that_are_text_come_back_and_other_bytes_are_binary(content: bytes) -> None:
    decoded = decode(content)
    if decoded is None:
        assert b"\0" in content
        return
    assert decoded.encode(decoded.text) == content
    assert decoded.can_hold(decoded.text)
    assert encode_like(decoded.text, content) == content
    assert "".join(split_lines(decoded.text)) == decoded.text


def test_what_an_encoding_lacks_is_known_beforehand() -> None:
    latin, curly = decode(b"caf\xe9"), decode(b"\x93caf\xe9\x94")
    assert latin is not None
    assert curly is not None
    assert [latin.can_hold(text) for text in ("ü", "€", "漢")] == [True, False, False]
    assert [curly.can_hold(text) for text in ("ü", "€", "漢")] == [True, True, False]
    assert latin.encode("漢") == "漢".encode(), "an editor would save it so"


@pytest.mark.parametrize("base", [None, b"", b"\xef\xbb\xbfa", b"\xff\xfea\0", b"caf\xe9", b"\0\1"])
def test_a_lone_surrogate_is_saved_as_editors_save_it(base: bytes | None) -> None:
    for text in ("a\ud83d", "\ude00", "\ud83d\ude00"):
        saved = decode(encode_like(text, base))
        assert saved is not None
        assert saved.text in ("a\ufffd", "\ufffd", "😀")


def test_a_bom_that_an_editor_shows_as_text_is_not_doubled() -> None:
    assert encode_like("\ufeffab", b"\xef\xbb\xbfa") == b"\xef\xbb\xbfab"
    assert encode_like("ab", b"\xef\xbb\xbfa") == b"\xef\xbb\xbfab"
    assert encode_like("\ufeffab", b"a") == b"\xef\xbb\xbfab"
    assert encode_like("\ufeffab", b"\xef\xbb\xbf\xef\xbb\xbfa") == b"\xef\xbb\xbf\xef\xbb\xbfab"


def test_bytes_after_an_edit_are_read_in_the_encoding_of_the_bytes_before() -> None:
    before = decode(b"\x93\x81\xc3\xa9")
    assert before is not None
    after = decode_like(b"\xc3\xa9", before)
    assert after is not None
    assert (after.encoding, after.text) == ("latin-1", "Ã©"), "and not the UTF-8 that it looks like by now"
    other = decode_like("漢".encode(), before)
    assert other is not None
    assert other.text == "漢", "which Latin-1 has not, so it was saved in UTF-8"
    assert decode_like(b"\0", before) is None
    assert decode_like("漢".encode(), None) == decode("漢".encode())
