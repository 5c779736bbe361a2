"""URIs as editors spell them, and as nobody should."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_lsp.domain.errors import BadArgumentError
from agent_lsp.server.desk import Desk
from agent_lsp.server.folders import Folders
from agent_lsp.server.uris import name_of, path_of, refusal_of, uri_of, windows_path
from tests.server.properties import examples


@pytest.mark.parametrize(
    "uri",
    [
        "file:///tmp/a%20b%40c%3A.py",
        "file:///tmp/a b@c:.py",
        "file:///tmp/a%20b%40c%3a.py",
        "FILE:///tmp/%61%20b@c:.py",
        "file://localhost/tmp/a%20b@c:.py",
        "file://LOCALHOST/tmp/a%20b@c:.py",
        "file:/tmp/a%20b@c:.py",
        "file:////tmp//a%20b@c:.py",
        "file:///tmp/x/../a%20b@c:.py",
        "file:///tmp/./a%20b@c:.py",
    ],
)
def test_every_spelling_of_a_uri_names_one_path(uri: str) -> None:
    assert path_of(uri) == Path("/tmp/a b@c:.py")
    assert name_of(uri) == "/tmp/a b@c:.py"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "file:",
        "file://",
        "file:relative.py",
        "file://server/share/a.py",
        "file://c:/x",
        "file:///a%00b",
        "file:///\ud800",
        "http://host/a.py",
        "untitled:Untitled-1",
        "vscode-notebook-cell:/tmp/a.ipynb#W0sZmlsZQ%3D%3D",
        "vscode-notebook-cell-output:/tmp/a.ipynb",
        "agent-lsp:/plan/r_1.md",
        "/tmp/a.py",
        "C:\\x",
        "file://[::1",
        "://",
        "%",
        "\n",
    ],
)
def test_what_is_no_file_of_this_machine_has_no_path_and_a_reason(uri: str) -> None:
    assert path_of(uri) is None
    message, hint = refusal_of(uri)
    assert message.endswith(".")
    assert hint
    name_of(uri)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("", "An empty text is no URI."),
        ("untitled:Untitled-1", "is not a file yet"),
        ("vscode-notebook-cell:/a.ipynb#W0", "is a cell of a notebook"),
        ("file://server/share/a.py", "no file of this machine"),
        ("git:/a.py?ref", "is not a file"),
    ],
)
def test_a_refusal_says_what_it_is_and_what_to_do(uri: str, told: str) -> None:
    folders = Folders()
    folders.add(Desk(Path("/")))
    with pytest.raises(BadArgumentError) as error:
        folders.locate(uri)
    assert told in error.value.message
    assert error.value.hint
    assert folders.try_locate(uri) is None


@pytest.mark.parametrize("path", ["/c:/x/y", "/C:/x/y", "/c|/x/y"])
def test_a_drive_letter_in_any_case_is_one_drive_on_windows(path: str) -> None:
    assert windows_path(path) == "C:/x/y"


@pytest.mark.parametrize("path", ["/tmp/c:/x", "/cc:/x", "/c:x", "/", "/c"])
def test_what_looks_like_a_drive_and_is_none_stays_as_it_is(path: str) -> None:
    assert windows_path(path) == path


def test_a_bare_drive_is_its_root() -> None:
    assert windows_path("/d:") == "D:/"


@pytest.mark.skipif(os.name == "nt", reason="drives are drives there")
def test_posix_keeps_what_would_be_drives_apart() -> None:
    assert path_of("file:///c%3A/x") == path_of("file:///c:/x") == Path("/c:/x")
    assert path_of("file:///C:/x") == Path("/C:/x")


def test_composed_and_decomposed_names_are_left_as_they_are() -> None:
    composed, decomposed = path_of("file:///tmp/%C3%A9"), path_of("file:///tmp/e%CC%81")
    assert (composed, decomposed) == (Path("/tmp/\u00e9"), Path("/tmp/e\u0301"))


def test_a_name_that_is_no_utf8_keeps_its_bytes() -> None:
    path = path_of("file:///tmp/caf%E9")
    assert path is not None
    assert os.fsencode(path) == b"/tmp/caf\xe9"
    assert uri_of(path) == "file:///tmp/caf%E9"


names = st.binary(min_size=1, max_size=12).map(lambda raw: raw.replace(b"\0", b"_").replace(b"/", b"_"))
paths = st.lists(names.filter(lambda name: name not in (b".", b"..")), max_size=4).map(
    lambda parts: Path(os.fsdecode(b"/" + b"/".join(parts)))
)


@given(paths, st.randoms(use_true_random=False))
@examples(150)
def test_any_path_comes_back_from_its_uri_however_that_is_spelled(path: Path, generator: object) -> None:
    uri = uri_of(path)
    assert uri.isascii()
    assert path_of(uri) == path
    assert path_of("file://" + quote(os.fsencode(path), safe="/")) == path
    respelled = "".join(_respell(char, generator) for char in _units(uri))
    assert path_of(respelled) == path
    assert name_of(respelled) == name_of(uri)


def _units(uri: str) -> list[str]:
    found, at = [], 0
    while at < len(uri):
        size = 3 if uri[at] == "%" else 1
        found.append(uri[at : at + size])
        at += size
    return found


def _respell(unit: str, generator: object) -> str:
    choice = generator.choice  # type: ignore[attr-defined]
    if unit.startswith("%"):
        return str(choice([unit.lower(), unit.upper()]))
    if unit in "/:file":
        return unit
    return str(choice([unit, f"%{ord(unit):02x}", f"%{ord(unit):02X}"]))


@given(st.text(max_size=30) | st.text(alphabet="file:/%0c|.~\\#?[]@", max_size=20).map("file:".__add__))
@examples(150)
def test_no_text_whatever_makes_a_uri_fail(uri: str) -> None:
    path = path_of(uri)
    assert path is None or path.is_absolute()
    name_of(uri)
    refusal_of(uri)
    folders = Folders()
    folders.add(Desk(Path("/nowhere/at/all")))
    folders.try_locate(uri)


def test_a_folder_is_found_through_a_symlink_on_either_side(tmp_path: Path) -> None:
    real, link, circle = tmp_path / "real", tmp_path / "link", tmp_path / "circle"
    real.mkdir()
    link.symlink_to(real)
    circle.symlink_to(circle)
    through, direct = Folders(), Folders()
    through.add(Desk(link))
    direct.add(Desk(real))
    assert through.locate(uri_of(real / "a.py"))[1] == "a.py"
    assert through.home(real / "a.py") == link / "a.py"
    assert direct.locate(uri_of(link / "x" / ".." / "a.py"))[1] == "a.py"
    assert direct.home(link / "a.py") == real / "a.py"
    assert direct.home(circle / "a.py") == circle / "a.py"
    assert direct.try_locate(uri_of(circle / "a.py")) is None
