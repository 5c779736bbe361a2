"""Owns undoing an apply: only what the agent wrote goes, what the person did since stays."""

from collections.abc import Sequence
from typing import Any

from agent_lsp.agent.merging import merge_entries
from agent_lsp.agent.sight import Sight
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.errors import RefusedError
from agent_lsp.domain.keeping import Checkpoint, CheckpointFile, CheckpointRow, CheckpointState
from agent_lsp.domain.ports import Trees


async def undoing(checkpoint: Checkpoint, sight: Sight, trees: Trees) -> tuple[FileEdit, ...]:
    """The edits that take a checkpoint's change out of the text as it is now.

    Raises RefusedError where it cannot be told apart from what came after, and where nothing is left to undo.
    """
    if checkpoint.state is not CheckpointState.DONE:
        raise RefusedError(f"checkpoint {checkpoint.id} was never completed, so there is nothing to undo")
    edits: list[FileEdit] = []
    for file in _one_per_path(checkpoint):
        current = await sight.entry(file.path)
        wanted = await _undone(file, current, trees)
        if wanted != current:
            edits.append(FileEdit(file.path, current, wanted))
    if not edits:
        raise RefusedError("nothing of this change is left to undo")
    return tuple(edits)


def written(checkpoint: Checkpoint) -> tuple[FileEdit, ...]:
    """What a checkpoint's change wrote, whatever came after."""
    return tuple(FileEdit(file.path, file.before, file.after) for file in _one_per_path(checkpoint))


def listed(rows: Sequence[CheckpointRow]) -> list[dict[str, Any]]:
    """Rows, newest first, as they are told: a later one that undoes one may itself have been undone."""
    undone: set[str] = set()
    told = []
    for row in rows:
        state = {CheckpointState.INTENDED: "unfinished", CheckpointState.UNDONE: "taken_back"}.get(row.state)
        if state is None:
            state = "rolled_back" if row.id in undone else "applied"
            if row.undoes and state == "applied":
                undone.add(row.undoes)
        told.append(
            {
                "checkpointId": row.id,
                "runId": row.run_id,
                "proposalId": row.proposal_id,
                "summary": row.label,
                "files": list(row.paths),
                "timeS": row.time_s,
                "sizeBytes": row.size_bytes,
                "state": state,
                **({"undoes": row.undoes} if row.undoes else {}),
            }
        )
    return told


def _one_per_path(checkpoint: Checkpoint) -> list[CheckpointFile]:
    """A document's row stands for its file too: it holds the whole edit, mode included."""
    rows: dict[str, CheckpointFile] = {}
    for file in checkpoint.files:
        if file.path not in rows or file.in_editor:
            rows[file.path] = file
    return list(rows.values())


async def _undone(file: CheckpointFile, current: Entry | None, trees: Trees) -> Entry | None:
    if current in (file.before, file.after):
        return file.before
    if current is None:
        raise RefusedError(f"{file.path} was deleted since, so the change to it cannot be undone")
    if file.after is None:
        raise RefusedError(f"{file.path} was created again since, so it is not put back")
    if file.before is None:
        raise RefusedError(f"{file.path} was created by this change and edited since; delete it by hand if it may go")
    merged = await merge_entries(trees, file.after, current, file.before)
    if merged is None:
        raise RefusedError(f"{file.path} was changed since in the same lines; undo those edits first")
    return merged
