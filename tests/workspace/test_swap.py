"""A file that somebody writes in the very moment in which it is replaced is still there afterwards."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry
from agent_lsp.domain.errors import StaleError
from agent_lsp.workspace import swap
from agent_lsp.workspace.files import DiskFiles


@pytest.fixture(params=["exchange", "plain rename"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file `target` and a `draft` for it, on a system with and without renameat2."""
    if request.param == "plain rename":
        monkeypatch.setattr(swap, "_renameat2", lambda: None)
    (tmp_path / "target").write_text("old")
    (tmp_path / "draft").write_text("ours")
    return tmp_path


def write(path: Path, text: str) -> None:
    """As editors do it: a new file takes the name."""
    other = path.with_name("of an editor")
    other.write_text(text)
    other.rename(path)


def holds(text: str, then: Callable[[], object] = lambda: None) -> swap.IsExpected:
    """Whether a file has this text; what happens meanwhile happens once it was looked at."""

    def expected(path: Path) -> bool:
        found = path.read_text() == text
        then()
        return found

    return expected


def test_what_was_expected_is_replaced_and_nothing_is_left_beside(folder: Path) -> None:
    assert swap.replace_expected(folder / "draft", folder / "target", holds("old"))
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"target": "ours"}


def test_what_somebody_wrote_since_stays(folder: Path) -> None:
    write(folder / "target", "theirs")
    assert not swap.replace_expected(folder / "draft", folder / "target", holds("old"))
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"target": "theirs"}


def test_who_writes_again_while_theirs_goes_back_comes_last(tmp_path: Path) -> None:
    draft, target = tmp_path / "draft", tmp_path / "target"
    draft.write_text("ours")
    target.write_text("theirs")
    again = holds("old", lambda: write(target, "theirs again"))
    assert not swap.replace_expected(draft, target, again)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"target": "theirs again"}


def test_a_file_that_goes_while_it_is_replaced_stays_gone(folder: Path) -> None:
    (folder / "target").unlink()
    with_look = holds("old")
    assert not swap.replace_expected(
        folder / "draft", folder / "target", lambda path: path.exists() and with_look(path)
    )
    assert list(folder.iterdir()) == []


def test_a_new_file_takes_a_name_only_while_it_is_free(folder: Path) -> None:
    assert not swap.create_absent(folder / "draft", folder / "target")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"target": "old"}
    (folder / "draft").write_text("ours")
    (folder / "target").unlink()
    assert swap.create_absent(folder / "draft", folder / "target")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"target": "ours"}


def test_only_what_was_expected_is_deleted(folder: Path) -> None:
    (folder / "draft").unlink()
    assert not swap.delete_expected(folder / "target", holds("older"), ".draft-")
    assert (folder / "target").read_text() == "old"
    assert not swap.delete_expected(
        folder / "target", holds("older", lambda: write(folder / "target", "new")), ".draft-"
    )
    assert (folder / "target").read_text() == "new"
    assert swap.delete_expected(folder / "target", holds("new"), ".draft-")
    assert not swap.delete_expected(folder / "target", holds("new"), ".draft-")
    assert list(folder.iterdir()) == []


async def test_a_program_that_writes_all_the_time_loses_nothing(tmp_path: Path) -> None:
    """What it finds instead of its own text is ours only where ours took the place of just that text."""
    files, target = DiskFiles(tmp_path), tmp_path / "a.txt"
    write(target, "theirs0")
    found: list[tuple[str, str]] = []
    stop = threading.Event()

    def program() -> None:
        last = "theirs0"
        while not stop.is_set():
            found.append((last, target.read_text()))
            last = f"theirs{len(found)}"
            write(target, last)
            stop.wait(0.001 * (len(found) % 3))

    thread = threading.Thread(target=program)
    thread.start()
    replaced: dict[str, str] = {}
    refused = 0
    try:
        for number in itertools.count():
            if (len(replaced) >= 50 and refused >= 5) or number > 20_000:
                break
            was = await files.read("a.txt")
            assert was is not None
            try:
                await files.replace("a.txt", Entry(f"ours{number}".encode()), was)
                replaced[f"ours{number}"] = was.content.decode()
            except StaleError:
                refused += 1
    finally:
        stop.set()
        thread.join()
    assert len(replaced) >= 50
    assert refused >= 5
    for last, seen in [*found, (f"theirs{len(found)}", target.read_text())]:
        below = seen
        while below in replaced:
            below = replaced[below]
        assert seen not in replaced or below == last
    assert below == last, "no text that was on its way back stays in the place of a newer one"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


async def test_the_wanted_state_of_a_file_holds_for_every_way_to_write_it(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    old, new = Entry(b"old"), Entry(b"new")
    await files.replace("a.txt", old, None)
    for was, entry in ((None, new), (new, old), (None, None), (new, None)):
        with pytest.raises(StaleError, match=r"a\.txt changed just now"):
            await files.replace("a.txt", entry, was)
        assert await files.read("a.txt") == old
    await files.replace("a.txt", new, old)
    await files.replace("a.txt", None, new)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StaleError):
        await files.replace("a.txt", None, new)
    await files.replace("a.txt", None, None)
