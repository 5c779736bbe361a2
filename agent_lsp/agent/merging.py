"""Owns three-way merging: a proposal carried over to newer text, and a change taken out from under newer text."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent_lsp.agent.proposals import UNTESTED, Proposal, names_after, part_of
from agent_lsp.domain.changes import Entry, FileEdit, FileMode, Hunk, hunks_of
from agent_lsp.domain.ids import HunkId
from agent_lsp.domain.ports import Snapshot, Trees
from agent_lsp.domain.text import Decoded, decode, split_lines


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why a change does not fit the text as it now is, as one sentence that names the file and its lines."""

    path: str
    reason: str


async def rebase(proposal: Proposal, trees: Trees, snapshot: Snapshot) -> Proposal | Conflict:
    """The proposal on newer text, untested; hunks that the text already holds are gone from it.

    A hunk whose own lines were changed makes a Conflict: nothing is forced.
    """
    edits: list[FileEdit] = []
    for edit in proposal.edits:
        outcome = await _rebase_edit(edit, trees, snapshot.tree)
        if isinstance(outcome, Conflict):
            return outcome
        if outcome is not None:
            edits.append(outcome)
    return replace(
        proposal,
        base=snapshot,
        edits=tuple(edits),
        evidence=UNTESTED,
        names=names_after(proposal.files, edits),
        trouble="",
    )


async def fitting(proposal: Proposal, trees: Trees, snapshot: Snapshot) -> frozenset[HunkId]:
    """The hunks of a proposal in conflict that newer text still has a place for, all of them together."""
    found = set()
    for hunk in proposal.hunk_ids:
        part = replace(proposal, edits=part_of(proposal, {hunk}))
        if not isinstance(await rebase(part, trees, snapshot), Conflict):
            found.add(hunk)
    together = replace(proposal, edits=part_of(proposal, found))
    fits = bool(found) and not isinstance(await rebase(together, trees, snapshot), Conflict)
    return frozenset(found) if fits else frozenset()


async def merge_entries(trees: Trees, base: Entry, ours: Entry, theirs: Entry) -> Entry | None:
    """`ours` with what leads from `base` to `theirs`; None where that conflicts. Modes are merged like content."""
    mode = theirs.mode if ours.mode is base.mode else ours.mode
    if base.content == ours.content or ours.content == theirs.content:
        return Entry(theirs.content, mode)
    if base.content == theirs.content:
        return Entry(ours.content, mode)
    decoded = _texts(base, ours, theirs)
    if decoded is None:
        return None
    texts = [text.text.encode("utf-8", "surrogatepass") for text in decoded]
    merged = await trees.merge_text(*texts)
    if merged is None:
        return None
    return Entry(_codec(decoded).encode(merged.decode("utf-8", "surrogatepass")), mode)


async def _rebase_edit(edit: FileEdit, trees: Trees, tree: str) -> FileEdit | Conflict | None:
    current = await trees.read(tree, edit.base_path)
    there = await trees.read(tree, edit.path) if edit.old_path is not None else None
    if there is not None:
        moved_already = current is None and there == edit.after
        taken = Conflict(edit.path, f"{edit.path} exists now; the proposal moves {edit.old_path} there.")
        return None if moved_already else taken
    if current == edit.before:
        return edit
    if edit.before is None:
        return _rebase_created(edit, current)
    if edit.after is None:
        if current is None:
            return None
        return Conflict(edit.path, f"{edit.path} was changed; the proposal deletes it.")
    if current is None:
        return Conflict(edit.base_path, f"{edit.base_path} was deleted; the proposal changes it.")
    merged = await merge_entries(trees, edit.before, current, edit.after)
    if merged is None:
        merged_or_conflict = _hunk_by_hunk(edit, current)
        if isinstance(merged_or_conflict, Conflict):
            return merged_or_conflict
        merged = merged_or_conflict
    if merged == current and edit.old_path is None:
        return None
    return FileEdit(edit.path, current, merged, edit.old_path)


def _rebase_created(edit: FileEdit, current: Entry | None) -> FileEdit | Conflict | None:
    assert edit.after is not None
    if current == edit.after:
        return None
    if current is not None and not current.content:
        return FileEdit(edit.path, current, edit.after)
    return Conflict(edit.path, f"{edit.path} was created meanwhile with other content.")


def _hunk_by_hunk(edit: FileEdit, current: Entry) -> Entry | Conflict:
    """Places each hunk where its own lines still stand unchanged, whatever happened right beside them."""
    assert edit.before is not None
    assert edit.after is not None
    before, now = _text(edit.before), _text(current)
    if before is None or now is None or _text(edit.after) is None:
        return Conflict(edit.path, f"{edit.path} is not text and was changed meanwhile.")
    old, new = split_lines(before.text), split_lines(now.text)
    blocks = _equal_blocks(old, new)
    placed: list[Hunk] = []
    lost: list[str] = []
    for hunk in hunks_of(edit).hunks:
        start = _place(hunk, blocks)
        if start is None:
            lost.append(_lines(hunk))
        else:
            placed.append(replace(hunk, start_line=start, end_line=start + hunk.end_line - hunk.start_line))
    if lost:
        where = ", ".join(lost)
        return Conflict(edit.path, f"{edit.base_path}, {where}: the same lines were changed meanwhile.")
    for hunk in reversed(placed):
        new[hunk.start_line : hunk.end_line] = split_lines(hunk.new_text)
    mode = edit.after.mode if current.mode is edit.before.mode else current.mode
    return Entry(now.encode("".join(new)), mode)


def _lines(hunk: Hunk) -> str:
    first, last = hunk.start_line + 1, max(hunk.end_line, hunk.start_line + 1)
    return f"line {first}" if first == last else f"lines {first}-{last}"


def _equal_blocks(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int, int]]:
    """Runs of equal lines as (start in old, start in new, length), the common head and tail first cut off."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle = difflib.SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False)
    blocks = [(0, 0, head), *((head + a, head + b, size) for a, b, size in middle.get_matching_blocks())]
    return [block for block in (*blocks, (len(old) - tail, len(new) - tail, tail)) if block[2]]


def _place(hunk: Hunk, blocks: Sequence[tuple[int, int, int]]) -> int | None:
    """Where the hunk's lines are now. An insertion goes after its upper neighbour, else before its lower one."""
    if hunk.start_line < hunk.end_line:
        for old, new, size in blocks:
            if old <= hunk.start_line and hunk.end_line <= old + size:
                return new + hunk.start_line - old
        return None
    for old, new, size in blocks:
        if old < hunk.start_line <= old + size:
            return new + hunk.start_line - old
    for old, new, size in blocks:
        if old <= hunk.start_line < old + size:
            return new + hunk.start_line - old
    return None


def _text(entry: Entry) -> Decoded | None:
    return None if entry.mode is FileMode.SYMLINK else decode(entry.content)


def _texts(base: Entry, ours: Entry, theirs: Entry) -> tuple[Decoded, Decoded, Decoded] | None:
    first, second, third = _text(base), _text(ours), _text(theirs)
    return None if first is None or second is None or third is None else (first, second, third)


def _codec(texts: tuple[Decoded, Decoded, Decoded]) -> Decoded:
    """The encoding to write in: that of `ours`, or of the first version that shows one where `ours` is plain ASCII."""
    base, ours, theirs = texts
    if ours.bom or not ours.text.isascii():
        return ours
    return next((text for text in (base, theirs) if not text.text.isascii()), ours)
