"""Owns a person's own edit of what is proposed: the change with other text, before it is tested again."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent_lsp.agent.proposals import UNTESTED, Proposal, names_after, part_goals
from agent_lsp.domain.changes import FileEdit, FileHunks, Hunk, apply_hunks, hunks_of
from agent_lsp.domain.errors import RefusedError, UnknownIdError
from agent_lsp.domain.ids import HunkId
from agent_lsp.domain.ports import Trees
from agent_lsp.domain.text import Decoded, decode_like
from agent_lsp.domain.text import decode as decode_text


def amended_hunk(proposal: Proposal, hunk_id: str, new_text: str) -> Proposal:
    """The proposal with one hunk's new text replaced. Raises UnknownIdError, RefusedError."""
    for file in proposal.files:
        for hunk in file.hunks:
            if hunk.id == hunk_id:
                _check_text(file.edit, hunk)
                hunks = [replace(other, new_text=new_text) if other is hunk else other for other in file.hunks]
                return _with_text(proposal, file, apply_hunks(_base_text(file.edit), hunks))
    raise UnknownIdError(
        f"proposal {proposal.id} has no hunk {hunk_id}", hint="Ask for agent.proposal to see the hunks it now has."
    )


def amended_file(proposal: Proposal, path: str, text: str) -> Proposal:
    """The proposal with one file's whole proposed text replaced. Raises UnknownIdError, RefusedError."""
    for file in proposal.files:
        if file.edit.path == path:
            _check_text(file.edit, file.hunks[0])
            return _with_text(proposal, file, text)
    raise UnknownIdError(f"proposal {proposal.id} does not change {path}")


async def laid_over(trees: Trees, proposal: Proposal, path: str, drawn: str | None, text: str) -> str:
    """A person's text as it belongs on the file that is proposed now; `drawn` is what they began with.

    Raises RefusedError where the proposal has changed in the same lines meanwhile.
    """
    edit = next((file.edit for file in proposal.files if file.edit.path == path), None)
    if drawn is None or edit is None or edit.after is None:
        return text
    now = decode_like(edit.after.content, None if edit.before is None else decode_text(edit.before.content))
    if now is None or now.text == drawn:
        return text
    texts = (side.encode("utf-8", "surrogatepass") for side in (drawn, now.text, text))
    merged = await trees.merge_text(*texts)
    if merged is None:
        hint = "Edit the change again to begin with what is proposed now; your text stays in the draft until then."
        raise RefusedError(f"the proposed text of {path} changed in the lines that you edited", hint=hint)
    return merged.decode("utf-8", "surrogatepass")


def _check_text(edit: FileEdit, hunk: Hunk) -> None:
    if edit.after is None:
        raise RefusedError(f"{edit.base_path} is to be deleted: there is no text to edit", hint="Discard it instead.")
    if _decoded(edit) is None or not (hunk.old_text or hunk.new_text or edit.before is None):
        raise RefusedError(f"the change of {edit.path} is not one of text", hint="Accept or discard it as it is.")


def _with_text(proposal: Proposal, file: FileHunks, text: str) -> Proposal:
    edit, decoded = file.edit, _decoded(file.edit)
    assert edit.after is not None
    assert decoded is not None
    fresh = replace(edit, after=replace(edit.after, content=decoded.encode(text)))
    unchanged = fresh.before is not None and fresh.old_path is None and fresh.before == fresh.after
    edits = tuple(fresh if other == edit else other for other in proposal.edits)
    edits = tuple(other for other in edits if not (unchanged and other is fresh))
    if not edits:
        raise RefusedError("nothing would be left of the proposal", hint="Discard it instead.")
    return replace(
        proposal,
        edits=edits,
        evidence=UNTESTED,
        goal_tests=part_goals(proposal),
        names={**names_after(proposal.files, edits), **_names_by_place(file, () if unchanged else [fresh])},
        suggestion=frozenset(),
        trouble="",
    )


def _names_by_place(before: FileHunks, edits: Iterable[FileEdit]) -> Mapping[HunkId, HunkId]:
    """Hunks that still replace the same lines keep the ids they were shown under."""
    shown = {(hunk.start_line, hunk.end_line): hunk.id for hunk in before.hunks}
    names = {}
    for edit in edits:
        for hunk in hunks_of(edit).hunks:
            known = shown.get((hunk.start_line, hunk.end_line))
            if known is not None and known != hunk.id:
                names[hunk.id] = known
    return names


def _base_text(edit: FileEdit) -> str:
    decoded = None if edit.before is None else decode_text(edit.before.content)
    return "" if decoded is None else decoded.text


def _decoded(edit: FileEdit) -> Decoded | None:
    """The encoding to write in: that of the file as it is, else of the proposed one."""
    base = None if edit.before is None else decode_text(edit.before.content)
    if base is not None or edit.after is None:
        return base
    return decode_like(edit.after.content, None)
