"""Identity files: where they are looked for, and that none can hold up a run, break it or show what it should not."""

import os
from pathlib import Path

import pytest

from agent_lsp.domain.identity import MOST_CHARACTERS, About, identity_text
from agent_lsp.settings.identity import Identity, read_identity


class Place:
    """A person's configuration folder and a workspace."""

    def __init__(self, home: Path) -> None:
        self.own, self.state = home / "config" / "agent-lsp", home / "work" / ".agent-lsp"
        self.own.mkdir(parents=True)
        self.state.mkdir(parents=True)
        self.environ = {"AGENT_LSP_CONFIG": str(self.own / "config.toml")}
        self.private = ""

    def read(self) -> Identity:
        return read_identity(self.state, self.environ, lambda path: path == self.private)

    def texts(self) -> dict[About, str]:
        return {file.about: file.text for file in self.read().files}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_without_any_there_is_nothing_to_tell(place: Place) -> None:
    assert place.read() == Identity((), ())
    assert identity_text(()) == ""


def test_the_persons_own_lie_beside_their_configuration_and_the_workspaces_in_its_folder_of_state(place: Place) -> None:
    (place.own / "USER.md").write_text("I am Ada.\n")
    (place.state / "IDENTITY.md").write_text("Be formal here.\n")
    (place.own / "IDENTITY.md").write_bytes(b"\xef\xbb\xbfBe brief.\n")
    (place.state / "USER.md").write_text("Who the person is, no workspace says.\n")
    found = place.read()
    assert found.troubles == ()
    told = identity_text(found.files)
    own, here, person = (told.index(text) for text in ("\n\nBe brief.\n", "\n\nBe formal here.\n", "\n\nI am Ada."))
    assert own < here < person
    assert "## How you are to be in this workspace (.agent-lsp/IDENTITY.md)" in told
    assert "no workspace says" not in told
    assert str(place.own) not in told, "a model is not told where the person's files lie"


def test_the_default_place_is_the_persons_configuration_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "agent-lsp").mkdir()
    (tmp_path / "agent-lsp" / "IDENTITY.md").write_text("Be brief.")
    [file] = read_identity(tmp_path / ".agent-lsp", {}, lambda _: False).files
    assert file.text == "Be brief."


def test_an_empty_file_says_nothing(place: Place) -> None:
    (place.own / "IDENTITY.md").write_text(" \n")
    assert place.read() == Identity((), ())


def test_of_a_long_file_the_beginning_is_given(place: Place) -> None:
    (place.own / "IDENTITY.md").write_text("é" * MOST_CHARACTERS)
    assert place.read().troubles == ()
    for character in "é𝄞":
        (place.own / "IDENTITY.md").write_text("begin" + character * 2 * MOST_CHARACTERS)
        found = place.read()
        assert f"only its first {MOST_CHARACTERS:,} characters" in found.troubles[0]
        assert found.files[0].text.startswith("begin" + character)
        assert len(found.files[0].text) < MOST_CHARACTERS + 50


def test_a_huge_file_of_blanks_is_not_read_whole(place: Place) -> None:
    with (place.own / "USER.md").open("wb") as file:
        file.truncate(1 << 40)
    found = place.read()
    assert found.files == ()
    assert "USER.md is left out: it is not UTF-8 text" in found.troubles[0]


@pytest.mark.parametrize("content", [b"caf\xe9", b"\xff\xfeh\0i\0", b"nul\0"])
def test_what_is_no_utf_8_text_is_left_out_and_the_others_are_given(place: Place, content: bytes) -> None:
    (place.own / "IDENTITY.md").write_bytes(content)
    (place.own / "USER.md").write_text("I am Ada.")
    assert place.texts() == {About.PERSON: "I am Ada."}
    assert place.read().troubles == (f"{place.own / 'IDENTITY.md'} is left out: it is not UTF-8 text",)


def test_a_folder_or_a_pipe_is_left_out_and_not_waited_for(place: Place) -> None:
    (place.own / "IDENTITY.md").mkdir()
    os.mkfifo(place.own / "USER.md")
    found = place.read()
    assert found.files == ()
    assert [trouble.rpartition(": ")[2] for trouble in found.troubles] == ["it is no regular file"] * 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_left_out(place: Place) -> None:
    (place.own / "IDENTITY.md").write_text("Be brief.")
    (place.own / "IDENTITY.md").chmod(0)
    assert "Permission denied" in place.read().troubles[0]


def test_the_persons_file_may_be_a_link_and_the_workspaces_may_not(place: Place, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere.md"
    secret.write_text("From elsewhere.")
    (place.own / "IDENTITY.md").symlink_to(secret)
    assert place.texts() == {About.AGENT: "From elsewhere."}
    (place.own / "IDENTITY.md").unlink()
    (place.state / "IDENTITY.md").symlink_to(secret)
    assert place.read().files == ()
    assert "may not be a link" in place.read().troubles[0]


def test_a_workspace_whose_folder_of_state_is_a_link_shows_nothing_else(place: Place, tmp_path: Path) -> None:
    place.state.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "IDENTITY.md").write_text("From elsewhere.")
    place.state.symlink_to(elsewhere)
    assert place.read().files == ()


def test_what_is_private_is_not_given(place: Place) -> None:
    (place.state / "IDENTITY.md").write_text("Be formal here.")
    place.private = ".agent-lsp/IDENTITY.md"
    assert place.read() == Identity((), ())
