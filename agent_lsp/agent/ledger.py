"""Owns what a run has done already: kept as it happens, and told again where the run is resumed.

A resumed run goes its way from the start once more, with the same loop and the same engines. What it has paid for,
done or been told (its *deeds*) is taken from here in the order it happened; where they end, the run goes on for real.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.errors import AgentLspError, OperatorError, ResumeError
from agent_lsp.domain.keeping import KeptDeed, RunKeeper
from agent_lsp.domain.task import Usage
from agent_lsp.domain.turn_data import usage_of

logger = logging.getLogger(__name__)

VERSION: Final = 1
"""Raised when deeds of an earlier version cannot be followed any more; runs kept by it are closed with the reason."""

MOST_BYTES: Final = 128 * 1024 * 1024
"""A run that says and changes more than this is not kept: it ends with its process, as it would without a ledger."""


class DeedKind(StrEnum):
    """What is kept. Everything else of a run follows from it."""

    OPENED = "opened"
    FEEDBACK = "feedback"
    TURN = "turn"
    TOOL = "tool"
    SAID = "said"
    PLAN = "plan"
    DECISION = "decision"
    EDITED = "edited"
    EVIDENCE = "evidence"
    REFLECTION = "reflection"
    STOPPED = "stopped"


_INNER: Final = frozenset({DeedKind.TURN, DeedKind.TOOL, DeedKind.SAID, DeedKind.EDITED})
"""What leads to a plan or a judgement, and is not looked at any more once that is there."""


class PartEndedError(AgentLspError):
    """The run had stopped here for want of a budget or a model, before a person's words set it to work again."""


class Ledger:
    """One run's deeds. Without a keeper nothing is kept, and nothing is told again."""

    def __init__(self, run_id: str, keeper: RunKeeper | None = None, deeds: Sequence[KeptDeed] = ()) -> None:
        self._id, self._keeper = run_id, keeper
        self._deeds = tuple(deeds)
        self._done: list[KeptDeed] = []
        self._at = 0
        self._position = 0
        self._size_bytes = 0
        self.live = not deeds
        """Whether the run goes on for real."""
        self.keeps = keeper is not None
        """Whether the next start would find the run."""
        self.told_s = max((float(deed.data.get("workedS", 0.0)) for deed in deeds), default=0.0)
        """Seconds that the run had worked at its last deed."""
        self.spent = _spent(self._deeds)
        """What the turns among the deeds have used."""
        self.edits: tuple[FileEdit, ...] = ()
        self.on_live: Callable[[], Awaitable[None]] = _nothing
        self.on_skipped: Callable[[KeptDeed], None] = lambda _: None
        self.on_edited: Callable[[Mapping[str, Any]], None] = lambda _: None
        self.worked_s: Callable[[], float] = lambda: 0.0

    # --- telling again -----------------------------------------------------------------------------------------------

    @property
    def next_kind(self) -> str:
        """The kind of the next deed that is still to be told again; empty where there is none."""
        return self._deeds[self._at].kind if self._at < len(self._deeds) else ""

    def again(self, kind: DeedKind, key: str = "") -> Mapping[str, Any] | None:
        """The next deed, which must be this one; None where there are no more. Raises ResumeError."""
        if not self.next_kind:
            return None
        deed = self._deeds[self._at]
        if deed.kind == DeedKind.STOPPED and kind is not DeedKind.STOPPED:
            raise PartEndedError("the run was stopped here")
        if deed.kind != kind or str(deed.data.get("key", "")) != key:
            raise ResumeError(
                f"what was kept of the run does not fit together: {deed.kind} in the place of {kind}",
                hint="Start the goal again.",
            )
        self._pass()
        return deed.data

    def past(self, kind: DeedKind) -> Mapping[str, Any] | None:
        """The next deed of this kind, past what led to it; None where it did not come to that."""
        rest = range(self._at, len(self._deeds))
        end = next((at for at in rest if self._deeds[at].kind not in _INNER), None)
        if end is None or self._deeds[end].kind != kind:
            return None
        while self._at < end:
            self.on_skipped(self._deeds[self._at])
            self._pass()
        self._pass()
        return self._deeds[end].data

    def pass_to(self, kind: DeedKind) -> bool:
        """Goes to the next deed of this kind, wherever it is; False where there is none."""
        if all(deed.kind != kind for deed in self._deeds[self._at :]):
            return False
        while self.next_kind != kind:
            self.on_skipped(self._deeds[self._at])
            self._pass()
        return True

    async def caught_up(self) -> None:
        """Goes on for real where all deeds have been told again. Raises ResumeError where that cannot be."""
        if not self.live and not self.next_kind:
            self.live = True
            await self.on_live()

    async def finish(self) -> None:
        """Goes on for real with what all deeds together left, whatever was still to be told."""
        while self.next_kind:
            self.on_skipped(self._deeds[self._at])
            self._pass()
        await self.caught_up()

    # --- keeping -----------------------------------------------------------------------------------------------------

    def begin(self, data: Mapping[str, Any]) -> None:
        """The run starts. One that had come to its end goes on: what it did before is kept once more."""
        self._deeds, self._at, self._position = (), 0, 0
        self.live, self.keeps = True, self._keeper is not None
        if not self._done:
            self._size_bytes, self.edits = 0, ()
        if self._keeper is None:
            return
        self._keeper.begin(self._id, {"version": VERSION, **data})
        for deed in self._done:
            self._keeper.add(self._id, self._position, deed)
            self._position += 1

    def keep(self, kind: DeedKind, data: Mapping[str, Any], edits: tuple[FileEdit, ...] | None = None) -> None:
        """A deed is whole. `edits` is what the candidate now holds, where that is another than before."""
        if edits is not None:
            now, edits = edits, None if edits == self.edits else edits
            self.edits = now
        if self._keeper is None or not self.keeps:
            return
        self._size_bytes += _weight(data, edits)
        if self._size_bytes > MOST_BYTES:
            logger.warning("run %s has grown too large to be kept; it ends with its process", self._id)
            self.close()
            self._done.clear()
            return
        deed = KeptDeed(kind.value, {**data, "workedS": round(self.worked_s(), 2)}, edits)
        self._keeper.add(self._id, self._position, deed)
        self._done.append(deed)
        self._position += 1

    def note(self, **data: Any) -> None:
        """Something about the run that is not in order with its deeds."""
        if self._keeper is not None and self.keeps:
            self._keeper.note(self._id, data)

    def rest(self) -> None:
        """The run waits for its person, or is left in order."""
        if self._keeper is not None and self.keeps:
            self._keeper.rest(self._id)

    async def settled(self) -> bool:
        """Returns once all is on disk; whether it is. What a disk refuses is no reason to stop working."""
        if self._keeper is None:
            return False
        try:
            await self._keeper.flush()
        except OperatorError as error:
            logger.warning("what run %s has done could not be kept: %s", self._id, error.message)
            return False
        return True

    def close(self) -> None:
        """The run came to its end; nothing of it is kept any more."""
        if self._keeper is not None and self.keeps:
            self._keeper.drop(self._id)
        self.live, self.keeps = True, False
        self._deeds = ()

    def _pass(self) -> None:
        deed = self._step()
        if deed.edits is not None:
            self.edits = deed.edits
        while self.next_kind and self._deeds[self._at].kind == DeedKind.EDITED:
            self.on_edited(self._step().data)

    def _step(self) -> KeptDeed:
        deed = self._deeds[self._at]
        self._done.append(deed)
        self._size_bytes += _weight(deed.data, deed.edits)
        self._at += 1
        self._position += 1
        return deed


def resumable(deeds: Sequence[KeptDeed], *, listens: bool) -> tuple[KeptDeed, ...]:
    """The deeds that a resumed run is told again.

    A verdict that was the last word is asked for again, since the workspace may have moved, as is a model that was the
    reason to stop. An engine that thinks
    without turns has none to be told of, so it carries out its plan from the start.
    """
    kept = list(deeds)
    if not listens:
        words = [at for at, deed in enumerate(kept) if deed.kind == DeedKind.FEEDBACK]
        kept = kept[words[-1] :] if words else kept
        first = (DeedKind.OPENED, DeedKind.PLAN, DeedKind.DECISION, DeedKind.FEEDBACK)
        end = next((at for at, deed in enumerate(kept) if deed.kind not in first), len(kept))
        kept = kept[:end]
    while kept and kept[-1].kind in (DeedKind.EVIDENCE, DeedKind.STOPPED):
        kept.pop()
    return tuple(kept)


def _spent(deeds: Sequence[KeptDeed]) -> Usage:
    turns = [usage_of(deed.data["usage"]) for deed in deeds if deed.kind == DeedKind.TURN]
    return replace(sum(turns, Usage()), turns=len(turns))


async def _nothing() -> None:
    """A run that was not resumed has nothing to do before it goes on."""


def _weight(data: Mapping[str, Any], edits: Sequence[FileEdit] | None) -> int:
    return len(str(data)) + sum(_size(edit) for edit in edits or ())


def _size(edit: FileEdit) -> int:
    return sum(len(side.content) for side in (edit.before, edit.after) if side is not None)
