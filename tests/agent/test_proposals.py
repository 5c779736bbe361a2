"""Holds proposals to: hunks that last, and a rebase that keeps what fits and never forces what does not."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from agent_lsp.agent.merging import Conflict, merge_entries, rebase
from agent_lsp.agent.proposals import Proposal, part_of
from agent_lsp.domain.changes import Entry, FileEdit, FileMode
from agent_lsp.domain.ids import ProposalId
from agent_lsp.domain.ports import Snapshot
from agent_lsp.domain.task import Goal
from tests.plain import PlainTrees

BASE = b"one\ntwo\nthree\nfour\nfive\nsix\nseven\n"


def entry(content: bytes | None, mode: FileMode = FileMode.FILE) -> Entry | None:
    return None if content is None else Entry(content, mode)


async def rebased(root: Path, edit: FileEdit, now: Mapping[str, Entry | None]) -> Proposal | Conflict:
    """The proposal of one edit carried over to a tree of these files."""
    trees = PlainTrees(root)
    snapshot = Snapshot(trees.keep({path: found for path, found in now.items() if found is not None}))
    proposal = Proposal(ProposalId("p_1"), "r_1", Goal("x"), "x", Snapshot("base"), (edit,))
    return await rebase(proposal, trees, snapshot)


@pytest.mark.parametrize(
    ("before", "after", "now", "wanted"),
    [
        (
            BASE,
            BASE.replace(b"two", b"2"),
            BASE.replace(b"six", b"6"),
            BASE.replace(b"two", b"2").replace(b"six", b"6"),
        ),
        (BASE, BASE.replace(b"two", b"2"), BASE.replace(b"three", b"3"), BASE.replace(b"two\nthree", b"2\n3")),
        (
            BASE,
            BASE.replace(b"two\n", b"two\nnew\n"),
            b"zero\n" + BASE,
            b"zero\n" + BASE.replace(b"two\n", b"two\nnew\n"),
        ),
        (
            BASE,
            BASE.replace(b"one\n", b"new\none\n"),
            BASE.replace(b"two", b"2"),
            b"new\n" + BASE.replace(b"two", b"2"),
        ),
        (BASE, BASE + b"new", BASE.replace(b"seven", b"7"), None),
        (BASE, BASE.replace(b"two", b"2"), BASE.replace(b"two", b"TWO"), None),
        (BASE, None, BASE, b""),
        (BASE, None, BASE + b"more\n", None),
        (BASE, BASE.replace(b"two", b"2"), None, None),
        (None, b"new\n", b"other\n", None),
        (None, b"new\n", b"", b"new\n"),
        (b"\0a", b"\0b", b"\0a", b"\0b"),
        (b"\0a", b"\0b", b"\0c", None),
    ],
)
async def test_a_change_is_carried_over_or_refused(
    tmp_path: Path, before: bytes | None, after: bytes | None, now: bytes | None, wanted: bytes | None
) -> None:
    edit = FileEdit("src/a.py", entry(before), entry(after))
    outcome = await rebased(tmp_path, edit, {"src/a.py": entry(now)})
    if wanted is None:
        assert isinstance(outcome, Conflict)
        assert outcome.path == "src/a.py"
        assert "src/a.py" in outcome.reason
        return
    assert isinstance(outcome, Proposal)
    (carried,) = outcome.edits
    assert carried.before == entry(now)
    assert (carried.after.content if carried.after else b"") == wanted


@pytest.mark.parametrize(
    ("before", "after"), [(BASE, BASE.replace(b"two", b"2")), (None, b"new\n"), (BASE, None), (b"\0a", b"\0b")]
)
async def test_text_that_already_holds_the_change_leaves_nothing(
    tmp_path: Path, before: bytes | None, after: bytes | None
) -> None:
    outcome = await rebased(tmp_path, FileEdit("a.py", entry(before), entry(after)), {"a.py": entry(after)})
    assert isinstance(outcome, Proposal)
    assert outcome.edits == ()


async def test_a_moved_file_takes_the_persons_edits_along(tmp_path: Path) -> None:
    edit = FileEdit("new.py", entry(BASE), entry(BASE.replace(b"two", b"2")), "old.py")
    outcome = await rebased(tmp_path, edit, {"old.py": entry(BASE.replace(b"six", b"6"))})
    assert isinstance(outcome, Proposal)
    assert outcome.edits[0].old_path == "old.py"
    assert outcome.edits[0].after == entry(BASE.replace(b"two", b"2").replace(b"six", b"6"))
    taken = await rebased(tmp_path, edit, {"old.py": entry(BASE), "new.py": entry(b"mine\n")})
    assert isinstance(taken, Conflict)
    assert "new.py exists now" in taken.reason


async def test_hunks_keep_their_ids_over_a_rebase_and_a_conflict_names_its_lines(tmp_path: Path) -> None:
    after = BASE.replace(b"one", b"1").replace(b"three\nfour", b"3\n4").replace(b"seven", b"7")
    edit = FileEdit("a.py", entry(BASE), entry(after))
    before = Proposal(ProposalId("p_1"), "r_1", Goal("x"), "x", Snapshot("base"), (edit,))
    outcome = await rebased(tmp_path, edit, {"a.py": entry(b"zero\n" + BASE.replace(b"five", b"5"))})
    assert isinstance(outcome, Proposal)
    assert outcome.hunk_ids == before.hunk_ids
    lost = await rebased(tmp_path, edit, {"a.py": entry(BASE.replace(b"four", b"mine").replace(b"seven", b"too"))})
    assert lost == Conflict("a.py", "a.py, lines 3-4, line 7: the same lines were changed meanwhile.")


async def test_modes_are_merged_like_content(tmp_path: Path) -> None:
    base, ours = Entry(BASE), Entry(BASE.replace(b"six", b"6"))
    theirs = Entry(BASE.replace(b"two", b"2"), FileMode.EXECUTABLE)
    merged = await merge_entries(PlainTrees(tmp_path), base, ours, theirs)
    assert merged == Entry(BASE.replace(b"two", b"2").replace(b"six", b"6"), FileMode.EXECUTABLE)


@pytest.mark.parametrize(
    ("bom", "encoding", "end"), [("", "latin-1", "\r\n"), ("\ufeff", "utf-16-le", "\n"), ("\ufeff", "utf-8", "\r\n")]
)
async def test_a_merge_keeps_encoding_and_line_ends(tmp_path: Path, bom: str, encoding: str, end: str) -> None:
    def encoded(*lines: str) -> Entry:
        return Entry((bom + "".join(line + end for line in lines)).encode(encoding))

    base = encoded("é", "b", "c", "d", "e")
    ours, theirs = encoded("é", "b", "c", "d", "ours ü"), encoded("é theirs", "b", "c", "d", "e")
    merged = await merge_entries(PlainTrees(tmp_path), base, ours, theirs)
    assert merged == encoded("é theirs", "b", "c", "d", "ours ü")
    plain = encoded("plain", "b", "c", "d", "e")
    merged = await merge_entries(PlainTrees(tmp_path), base, plain, encoded("é", "b", "c", "d", "é"))
    assert merged == encoded("plain", "b", "c", "d", "é")


async def test_any_part_of_a_proposal_is_exactly_its_hunks() -> None:
    after = BASE.replace(b"one", b"1").replace(b"three", b"3").replace(b"five", b"5")
    edit = FileEdit("a.py", entry(BASE), entry(after))
    proposal = Proposal(ProposalId("p_1"), "r_1", Goal("x"), "x", Snapshot("base"), (edit,))
    first, second, third = proposal.hunk_ids
    assert part_of(proposal, {first, second, third}) == (edit,)
    (part,) = part_of(proposal, {first, third})
    assert part.after == entry(BASE.replace(b"one", b"1").replace(b"five", b"5"))
    assert part_of(proposal, set()) == ()
