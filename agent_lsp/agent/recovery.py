"""Owns the first minute after a crash: what was half applied is taken back, what was running is closed."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from agent_lsp.agent.apply import Hands, put, without_edit
from agent_lsp.agent.merging import merge_entries
from agent_lsp.agent.sight import Sight, look, text_like
from agent_lsp.domain.changes import Entry, FileMode
from agent_lsp.domain.errors import AgentLspError, StaleError, ToolError
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.keeping import Checkpoint, CheckpointFile, CheckpointState
from agent_lsp.domain.policy import inside_root
from agent_lsp.domain.ports import BufferChange
from agent_lsp.domain.task import RunState

logger = logging.getLogger(__name__)

CRASHED = "the runtime ended unexpectedly"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found and done. `left` are files with neither the old nor the new bytes, or not to be written."""

    undone: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    closed_runs: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What a person is told; empty when nothing was half done."""
        if not self.undone and not self.left:
            return ""
        text = "An apply was interrupted and has been taken back."
        if self.left:
            text += f" These files were left as they are, look at them: {', '.join(self.left)}."
        return text


async def recover(hands: Hands, open_runs: Callable[[], Awaitable[Sequence[str]]] | None = None) -> Recovered:
    """Mends what a crash left; safe to repeat. `open_runs` gives runs that nobody works on any more."""
    runs = await (_open_runs(hands) if open_runs is None else open_runs())  # before our own events look like work
    found = await take_back(hands)
    await hands.files.tidy(())
    await _say_what_was_done(hands, runs)
    return replace(found, closed_runs=tuple(runs))


async def close_runs(hands: Hands, runs: Sequence[str]) -> None:
    """Runs that were at work when their process died end as failed."""
    for run_id in runs:
        reason = await _close_reason(hands, run_id)
        data = {"state": RunState.FAILED.value, "reason": reason}
        hands.journal.append(Event(run_id, EventKind.RUN_ENDED, data, hands.clock.now()))
    await hands.journal.flush()


async def take_back(hands: Hands) -> Recovered:
    """Undoes transactions that their process did not end. Only for who may write alone in the workspace now."""
    undone: list[str] = []
    restored: list[str] = []
    left: list[str] = []
    for checkpoint in await hands.checkpoints.unfinished():
        left_here: list[str] = []
        stuck = await _undo(hands, checkpoint, restored, left_here)
        left += left_here
        await _tidy(hands, checkpoint)
        if not stuck:
            await hands.checkpoints.mark(checkpoint.id, CheckpointState.UNDONE)
            undone.append(checkpoint.id)
        data = {"checkpointId": checkpoint.id, "proposalId": checkpoint.proposal_id, "left": left_here, "why": CRASHED}
        hands.journal.append(Event(checkpoint.run_id, EventKind.APPLY_UNDONE, data, hands.clock.now()))
    if undone or left:
        await hands.journal.flush()
    return Recovered(tuple(undone), tuple(restored), tuple(left))


async def _tidy(hands: Hands, checkpoint: Checkpoint) -> None:
    """Drafts of files, and folders that were made for files that are not there after all."""
    inside = [file for file in checkpoint.files if _is_inside(file.path)]
    created = [file.path for file in inside if file.before is None]
    await hands.files.tidy([file.path for file in inside], created)


async def _say_what_was_done(hands: Hands, runs: Sequence[str]) -> None:
    """A transaction that was completed, and whose process died before the journal could say so."""
    wanted = set(runs)
    for row in await hands.checkpoints.rows() if wanted else ():
        if row.state is not CheckpointState.DONE or row.run_id not in wanted:
            continue
        events = await hands.journal.read(row.run_id)
        kinds = (EventKind.APPLY_DONE, EventKind.ROLLBACK_DONE)
        if not any(event.kind in kinds and event.data.get("checkpointId") == row.id for event in events):
            kind = EventKind.ROLLBACK_DONE if row.undoes else EventKind.APPLY_DONE
            data = {"checkpointId": row.id, "proposalId": row.proposal_id, "label": row.label, "why": CRASHED}
            hands.journal.append(Event(row.run_id, kind, data, hands.clock.now()))


def _is_inside(path: str) -> bool:
    try:
        inside_root(path)
    except ToolError:
        return False
    return True


async def _undo(hands: Hands, checkpoint: Checkpoint, restored: list[str], left: list[str]) -> bool:
    """Newest first. True when a file could not be written now, so that the next start tries again."""
    stuck = False
    sight = await _look(hands)
    for file in reversed(checkpoint.files):
        try:
            inside_root(file.path)
            done = await _undo_file(hands, file, sight)
        except ToolError as error:
            logger.error("a checkpoint names a file that is not ours to write: %s", error)
            done = None
        except (AgentLspError, OSError, TimeoutError) as error:
            logger.error("%s could not be put back: %s", file.path, error)
            done, stuck = None, True
        if done is None:
            left.append(file.path)
        elif done:
            restored.append(file.path)
    return stuck


async def _look(hands: Hands) -> Sight:
    """Files alone where no editor answers."""
    try:
        return await look(hands.files, hands.editor)
    except (AgentLspError, TimeoutError) as error:
        logger.warning("the editor's documents could not be read for the recovery: %s", error)
        return Sight(hands.files, ())


async def _undo_file(hands: Hands, file: CheckpointFile, sight: Sight) -> bool | None:
    """True: put back. False: nothing to do. None: what was done since cannot be told from it; it is left alone."""
    buffer = sight.buffer(file.path)
    if file.in_editor and buffer is not None and file.before is not None and file.after is not None:
        old, new = text_like(file.before, None), text_like(file.after, file.before)
        if buffer.text == old:
            return False
        if old is None or new is None:
            return None
        wanted = await without_edit(hands.trees, old, new, buffer.text)
        if wanted is None or wanted == buffer.text:
            return None if wanted is None else False
        change = BufferChange(file.path, buffer.version, buffer.text, wanted, "Take back an interrupted change")
        outcome = await hands.editor.edit(change)
        return True if outcome.text == wanted else None
    current = await sight.disk(file.path)
    if current == file.before:
        return False
    between = current is None and file.before is not None and file.before.mode is FileMode.SYMLINK
    if current == file.after or between:
        return await _put_back(hands, file.path, current, file.before)
    return await _undo_around(hands, file, current)


async def _undo_around(hands: Hands, file: CheckpointFile, current: Entry | None) -> bool | None:
    """Takes our part out of a file that somebody changed since."""
    if current is None or file.before is None or file.after is None:
        return False if file.in_editor else None
    merged = await merge_entries(hands.trees, file.after, current, file.before)
    if merged is None or merged == current:
        return False if file.in_editor or merged == current else None
    return await _put_back(hands, file.path, current, merged)


async def _put_back(hands: Hands, path: str, current: Entry | None, wanted: Entry | None) -> bool | None:
    try:
        await put(hands.files, path, current, wanted)
    except StaleError:
        return None
    return True


async def _open_runs(hands: Hands) -> Sequence[str]:
    runs: dict[str, None] = {}
    for event in await hands.journal.read():
        if event.kind is EventKind.RUN_STARTED:
            runs[event.run_id] = None
        elif event.kind is EventKind.RUN_ENDED:
            runs.pop(event.run_id, None)
    return tuple(runs)


async def _close_reason(hands: Hands, run_id: str) -> str:
    applied = [
        str(event.data.get("checkpointId", ""))
        for event in await hands.journal.read(run_id)
        if event.kind is EventKind.APPLY_DONE
    ]
    return f"{CRASHED}; what was accepted before stays applied ({', '.join(applied)})" if applied else CRASHED
