"""Owns the one transaction that changes the person's files: all of it or nothing, and never on text that moved."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent_lsp.agent.merging import merge_entries
from agent_lsp.agent.sight import Sight, look, text_like
from agent_lsp.domain.changes import ChangeKind, Entry, FileEdit, FileMode
from agent_lsp.domain.errors import AgentLspError, RefusedError, StaleError
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.keeping import Checkpoint, CheckpointFile, Checkpoints, CheckpointState
from agent_lsp.domain.ports import BufferChange, BufferOutcome, Clock, Editor, Files, Journal, Trees
from agent_lsp.domain.text import decode

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hands:
    """What a transaction works with."""

    trees: Trees
    files: Files
    editor: Editor
    checkpoints: Checkpoints
    journal: Journal
    clock: Clock


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be written and under which names it is recorded."""

    checkpoint_id: str
    run_id: str
    proposal_id: str
    label: str
    edits: tuple[FileEdit, ...]
    intent: EventKind = EventKind.APPLY_INTENT
    done: EventKind = EventKind.APPLY_DONE
    note: Mapping[str, Any] | None = None
    undoes: str = ""


@dataclass(frozen=True, slots=True)
class DeedOutcome:
    """Whether all of it was written. `left` are files that could not be taken back after a refusal."""

    applied: bool
    reason: str = ""
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DiskStep:
    """One file on disk."""

    path: str
    before: Entry | None
    after: Entry | None


@dataclass(frozen=True, slots=True)
class BufferStep:
    """One open document. `before` and `after` are the bytes that its texts stand for."""

    path: str
    before: Entry
    after: Entry
    change: BufferChange


Step = DiskStep | BufferStep


async def perform(hands: Hands, deed: Deed) -> DeedOutcome:
    """Writes all edits or none. Raises nothing for a refusal; re-raises what it cannot explain, after undoing.

    Files come first and open documents last: bytes on disk can be put back exactly and unseen, while an edit of
    a document is in the person's undo history and can only be taken back as long as they do not type.
    """
    try:
        steps = await plan_steps(deed, await look(hands.files, hands.editor))
        await _intend(hands, deed, steps)
    except (AgentLspError, OSError, TimeoutError) as error:
        return DeedOutcome(False, _refusal(error, ()))
    tried: list[Step] = []
    give_room: Callable[[], None] = lambda: None  # noqa: E731
    try:
        give_room = await hands.files.hold_room(_room_bytes(steps))
        await _do_all(hands, steps, tried)
        await _verify(hands, steps)
        await hands.checkpoints.mark(deed.checkpoint_id, CheckpointState.DONE)
    except (AgentLspError, OSError, TimeoutError) as error:
        give_room()
        left = await _take_back(hands, deed, tried, error)
        return DeedOutcome(False, _refusal(error, left), left)
    except BaseException as error:
        give_room()
        await _take_back(hands, deed, tried, error)
        raise
    give_room()
    _record(hands, deed, deed.done, {})
    try:
        await hands.journal.flush()
    except AgentLspError as error:
        logger.error("the change is written, but the journal could not say so: %s", error)
    return DeedOutcome(True)


async def plan_steps(deed: Deed, sight: Sight) -> tuple[Step, ...]:
    """What has to be done where. Raises StaleError or RefusedError; nothing is written yet."""
    disk: list[DiskStep] = []
    buffers: list[BufferStep] = []
    for edit in deed.edits:
        await _check_fresh(edit, sight)
        if edit.kind is not ChangeKind.MODIFY:
            disk += await _disk_steps(edit, sight)
            continue
        step = _buffer_step(edit, sight, deed.label)
        if step is None:
            disk += await _disk_steps(edit, sight)
            continue
        if step.change.old_text != step.change.new_text:
            buffers.append(step)
        disk += await _mode_steps(edit, sight)
    written = [step.path for step in disk if step.after is not None]
    return (*sorted(disk, key=lambda step: _rank(step, written)), *buffers)


async def _take_back(hands: Hands, deed: Deed, tried: Sequence[Step], error: BaseException) -> tuple[str, ...]:
    """Undoes the steps that had an effect, newest first; gives the paths where that was not possible."""
    refused = error.step if isinstance(error, _NotTakenError) else None
    left: list[str] = []
    stuck = False
    for step in reversed(tried):
        try:
            undone = await _undo(hands, step)
        except (AgentLspError, OSError, TimeoutError) as problem:
            logger.error("%s could not be taken back: %s", step.path, problem)
            undone, stuck = False, True
        if not undone and step is not refused:
            left.append(step.path)
    _record(hands, deed, EventKind.APPLY_UNDONE, {"left": left})
    try:
        if not stuck:
            await hands.checkpoints.mark(deed.checkpoint_id, CheckpointState.UNDONE)
        await hands.journal.flush()
    except AgentLspError as problem:
        logger.error("it is taken back, but the journal could not say so yet: %s", problem)
    return tuple(left)


# --- planning ------------------------------------------------------------------------------------------------------


async def _check_fresh(edit: FileEdit, sight: Sight) -> None:
    if await sight.entry(edit.base_path) != edit.before:
        raise StaleError(f"{edit.base_path} changed since this was tested")
    if edit.old_path is not None and await sight.entry(edit.path) is not None:
        raise StaleError(f"{edit.path} exists now, so {edit.old_path} is not moved there")


def _buffer_step(edit: FileEdit, sight: Sight, label: str) -> BufferStep | None:
    """The edit of an open document, or None where it is closed or the change cannot be said as text."""
    buffer = sight.buffer(edit.path)
    if buffer is None or edit.before is None or edit.after is None or edit.before.mode is FileMode.SYMLINK:
        return None
    base, text = decode(edit.before.content), text_like(edit.after, edit.before)
    if base is None or text is None or base.encode(text) != edit.after.content:
        return None
    change = BufferChange(edit.path, buffer.version, buffer.text, text, label)
    return BufferStep(edit.path, edit.before, edit.after, change)


async def _disk_steps(edit: FileEdit, sight: Sight) -> list[DiskStep]:
    """The edit of files on disk; one that is open must be saved, since its text would be lost or come back."""
    for path in {edit.base_path, edit.path}:
        if sight.buffer(path) is not None and await sight.entry(path) != await sight.disk(path):
            what = {ChangeKind.DELETE: "deletes", ChangeKind.RENAME: "moves"}.get(edit.kind, "rewrites")
            raise RefusedError(f"{path} has unsaved changes and this {what} it; save it, then accept again")
    if edit.old_path is None:
        return [DiskStep(edit.path, edit.before, edit.after)]
    return [DiskStep(edit.path, None, edit.after), DiskStep(edit.old_path, edit.before, None)]


async def _mode_steps(edit: FileEdit, sight: Sight) -> list[DiskStep]:
    """An open document's executable bit lies on disk, where its text may be older."""
    disk = await sight.disk(edit.path)
    if disk is None or edit.before is None or edit.after is None or edit.before.mode is edit.after.mode:
        return []
    return [DiskStep(edit.path, disk, replace(disk, mode=edit.after.mode))]


def _rank(step: DiskStep, written: Sequence[str]) -> int:
    """Deletions come last, but for a file that stands where a written one needs a folder, or the reverse."""
    if step.after is not None:
        return 1
    in_the_way = any(path.startswith(step.path + "/") or step.path.startswith(path + "/") for path in written)
    return 0 if in_the_way else 2


# --- doing -----------------------------------------------------------------------------------------------------------


async def _intend(hands: Hands, deed: Deed, steps: Sequence[Step]) -> None:
    files = tuple(CheckpointFile(step.path, step.before, step.after, isinstance(step, BufferStep)) for step in steps)
    await hands.checkpoints.save(
        Checkpoint(
            deed.checkpoint_id,
            deed.run_id,
            deed.proposal_id,
            deed.label,
            CheckpointState.INTENDED,
            files,
            hands.clock.now(),
            deed.undoes,
        )
    )
    rows = [{"path": file.path, "inEditor": file.in_editor} for file in files]
    _record(hands, deed, deed.intent, {"files": rows, **(deed.note or {})})
    await hands.journal.flush()


async def put(files: Files, path: str, current: Entry | None, entry: Entry | None) -> None:
    """Replaces a file that now is `current`; raises StaleError, and leaves it, where it is that no more.

    A link makes way first, or what it points to would be written.
    """
    if current is not None and current.mode is FileMode.SYMLINK and entry is not None:
        await files.replace(path, None, current)
        current = None
    await files.replace(path, entry, current)


def _is_link_swap(step: DiskStep) -> bool:
    """Whether the file is gone for a moment while a link makes way for it."""
    return step.before is not None and step.before.mode is FileMode.SYMLINK and step.after is not None


class _NotTakenError(RefusedError):
    """The editor said no; what it holds now is the person's."""

    def __init__(self, message: str, step: BufferStep) -> None:
        super().__init__(message)
        self.step = step


def _room_bytes(steps: Sequence[Step]) -> int:
    """What putting the files on disk back can take at most."""
    return sum(len(step.before.content) for step in steps if isinstance(step, DiskStep) and step.before is not None)


async def _do_all(hands: Hands, steps: Sequence[Step], tried: list[Step]) -> None:
    """Everything in its order; several documents in one request where the editor makes one undo of that."""
    buffers = [step for step in steps if isinstance(step, BufferStep)]
    for step in steps:
        if isinstance(step, DiskStep):
            await _do(hands, step, tried)
    if len(buffers) > 1:
        tried += buffers
        outcomes = await hands.editor.edit_together([step.change for step in buffers])
        if outcomes is not None:
            for step, outcome in zip(buffers, outcomes, strict=True):
                _believe(step, outcome)
            return
        del tried[-len(buffers) :]
    for step in buffers:
        await _do(hands, step, tried)


def _believe(step: BufferStep, outcome: BufferOutcome) -> None:
    """Raises _NotTakenError unless the document holds the wanted text."""
    if outcome.text != step.change.new_text:
        why = outcome.reason or "its text is not the wanted one afterwards"
        raise _NotTakenError(f"the editor did not change {step.path}: {why}", step)


async def _do(hands: Hands, step: Step, tried: list[Step]) -> None:
    """One effect; it is noted in `tried` just before, so that it is taken back even when it half happened."""
    if isinstance(step, DiskStep):
        if await hands.files.read(step.path) != step.before:
            raise StaleError(f"{step.path} changed just now")
        tried.append(step)
        try:
            await put(hands.files, step.path, step.before, step.after)
        except StaleError:
            if not _is_link_swap(step):
                tried.pop()  # somebody wrote it in the last moment, and it was left alone
            raise
        return
    tried.append(step)
    _believe(step, await hands.editor.edit(step.change))


async def _verify(hands: Hands, steps: Sequence[Step]) -> None:
    """Reads back what is there now; an editor that still holds the old text did not tell the truth."""
    sight = await look(hands.files, hands.editor)
    for step in steps:
        if isinstance(step, DiskStep):
            if await sight.disk(step.path) != step.after:
                raise RefusedError(f"{step.path} does not hold on disk what was written")
            continue
        buffer = sight.buffer(step.path)
        if buffer is not None and buffer.text == step.change.old_text:
            raise RefusedError(f"the editor said that it changed {step.path}, but did not")


async def _undo(hands: Hands, step: Step) -> bool:
    if isinstance(step, DiskStep):
        current = await hands.files.read(step.path)
        if current != step.before and (current == step.after or (current is None and _is_link_swap(step))):
            with contextlib.suppress(StaleError):
                await put(hands.files, step.path, current, step.before)
            current = await hands.files.read(step.path)
        return current == step.before
    for _ in range(2):
        buffer = next((b for b in await hands.editor.buffers() if b.path == step.path), None)
        if buffer is None or buffer.text == step.change.old_text:
            return True
        wanted = await without_edit(hands.trees, step.change.old_text, step.change.new_text, buffer.text)
        if wanted is None or wanted == buffer.text:
            return wanted is not None
        change = BufferChange(step.path, buffer.version, buffer.text, wanted, f"Take back: {step.change.label}")
        if (await hands.editor.edit(change)).text == wanted:
            return True
    return False


async def without_edit(trees: Trees, before: str, after: str, now: str) -> str | None:
    """A document without the edit that led from `before` to `after`, and with what was typed since.

    None where the two cannot be told apart.
    """
    if now == after:
        return before
    base, ours, theirs = (Entry(part.encode("utf-8", "surrogatepass")) for part in (after, now, before))
    merged = await merge_entries(trees, base, ours, theirs)
    return None if merged is None else merged.content.decode("utf-8", "surrogatepass")


def _record(hands: Hands, deed: Deed, kind: EventKind, data: Mapping[str, Any]) -> None:
    known = {"checkpointId": deed.checkpoint_id, "proposalId": deed.proposal_id, "label": deed.label}
    hands.journal.append(Event(deed.run_id, kind, {**known, **data}, hands.clock.now()))


def _refusal(error: BaseException, left: Sequence[str]) -> str:
    reason = error.message if isinstance(error, AgentLspError) else str(error) or type(error).__name__
    if left:
        return f"{reason}. What was already done could not be taken back in: {', '.join(sorted(set(left)))}"
    return f"{reason}. Nothing was changed."
