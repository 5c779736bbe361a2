"""Owns the random person of the soak test and the model that knows what every text must be."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent_lsp.domain.errors import RefusedError, UnknownIdError
from tests.soak.slots import EVERY_SLOT, FILES, Slot, Text, changed_slot, line_of
from tests.soak.world import CHECKPOINTS_KEPT, Json, SoakWorld

T = TypeVar("T")

PATHS = st.sampled_from(sorted(FILES))
SLOT = st.sampled_from(EVERY_SLOT)
VALUE = st.integers(-2, 9)
CHANGES = st.dictionaries(SLOT, VALUE, min_size=1, max_size=5)
CHOICE = st.integers(0, 1 << 16)
ENDED = ("applied", "discarded")

Changes = dict[Slot, tuple[int, int]]


@dataclass
class Document:
    """One file as it must be: on disk, in the editor if it is open there, and as it was before each thing typed."""

    disk: Text
    buffer: Text | None = None
    typed: list[Text] = field(default_factory=list)

    @property
    def now(self) -> Text:
        return self.disk if self.buffer is None else self.buffer

    def write(self, text: Text) -> None:
        """As the agent writes: into the open document, else to the disk."""
        if self.buffer is None:
            self.disk = text
        else:
            self.buffer = text
            self.typed.clear()


@dataclass
class Written:
    """What a checkpoint holds. `undone` once it was rolled back."""

    changes: Changes
    undone: bool = False


class Person(RuleBasedStateMachine):
    """Each rule does one thing to the real review and to the model; what they show must be the same after it."""

    world: ClassVar[SoakWorld]
    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.documents = {path: Document(Text(path)) for path in FILES}
        self.offers: list[str] = []
        self.written: dict[str, Written] = {}
        self.notes = 0

    def do(self, work: Awaitable[T]) -> T:
        """In the loop that lives as long as the world."""

        async def wait() -> T:
            return await work

        return self.runner.run(wait())

    # --- the model --------------------------------------------------------------------------------------------------

    def value(self, slot: Slot) -> int:
        return self.documents[slot[0]].now.values[slot[1]]

    def write(self, values: dict[Slot, int]) -> None:
        for path in {path for path, _ in values}:
            text = self.documents[path].now
            for (other, number), value in values.items():
                text = text.with_value(number, value) if other == path else text
            self.documents[path].write(text)

    def type(self, path: str, text: Text) -> None:
        """The person's own typing, or another program's writing where the file is not open."""
        document = self.documents[path]
        if document.buffer is None:
            document.disk = text
            (self.world.root / path).write_bytes(str(text).encode())
            return
        document.typed.append(document.buffer)
        document.buffer = text
        known = self.world.editor.documents[path]
        self.world.editor.open(path, str(text), known.version + 1)

    # --- the end of one person --------------------------------------------------------------------------------------

    @initialize()
    def as_it_was_at_first(self) -> None:
        for path, document in self.documents.items():
            (self.world.root / path).write_bytes(str(document.disk).encode())

    def teardown(self) -> None:
        self.do(self._leave())

    async def _leave(self) -> None:
        for proposal_id in await self.world.offers():
            await self.world.review.discard({"proposalId": proposal_id})
        self.world.editor.documents.clear()
        self.world.quick_gate.meanwhile = None

    @invariant()
    def every_text_is_what_it_must_be(self) -> None:
        for path, document in self.documents.items():
            assert (self.world.root / path).read_bytes().decode() == str(document.disk), f"{path} on disk"
            shown = self.world.editor.documents.get(path)
            assert (shown.text if shown else None) == (str(document.buffer) if document.buffer else None), path

    # --- what runs offer --------------------------------------------------------------------------------------------

    def _offer(self, changes: dict[Slot, int]) -> None:
        changes = {slot: value for slot, value in changes.items() if value != self.value(slot)}
        if not changes:
            return
        after = {path: self.documents[path].now for path, _ in changes}
        for (path, number), value in changes.items():
            after[path] = after[path].with_value(number, value)
        self.offers.append(self.do(self.world.offer({path: str(text).encode() for path, text in after.items()})))

    @rule(changes=CHANGES)
    def offer(self, changes: dict[Slot, int]) -> None:
        self._offer(changes)

    @rule(slot=SLOT, value=VALUE)
    def offer_one_line(self, slot: Slot, value: int) -> None:
        self._offer({slot: value})

    @rule(changes=st.dictionaries(SLOT, st.integers(0, 9), min_size=2, max_size=6))
    def offer_what_is_right(self, changes: dict[Slot, int]) -> None:
        self._offer(changes)

    # --- what the person types --------------------------------------------------------------------------------------

    @rule(path=PATHS)
    def open(self, path: str) -> None:
        document = self.documents[path]
        if document.buffer is None:
            document.buffer = document.disk
            self.world.editor.open(path, str(document.disk))

    @rule(path=PATHS)
    def save(self, path: str) -> None:
        document = self.documents[path]
        if document.buffer is not None:
            document.disk = document.buffer
            (self.world.root / path).write_bytes(str(document.disk).encode())

    @rule(path=PATHS)
    def close_without_saving(self, path: str) -> None:
        document = self.documents[path]
        document.buffer = None
        document.typed.clear()
        self.world.editor.documents.pop(path, None)

    @rule(slot=SLOT, value=VALUE)
    def type_over(self, slot: Slot, value: int) -> None:
        self.type(slot[0], self.documents[slot[0]].now.with_value(slot[1], value))

    @rule(slot=SLOT)
    def type_beside(self, slot: Slot) -> None:
        self.notes += 1
        self.type(slot[0], self.documents[slot[0]].now.with_note(slot[1], f"note {self.notes}"))

    @rule(path=PATHS)
    def undo(self, path: str) -> None:
        document = self.documents[path]
        if document.buffer is not None and document.typed:
            text = document.typed.pop()
            self.type(path, text)
            document.typed.pop()

    # --- what the person does with an offer -------------------------------------------------------------------------

    def _chosen(self, choice: int) -> str:
        return self.offers[choice % len(self.offers)]

    def _tested(self, proposal_id: str) -> Json:
        """The proposal as it is after its tests ran on the text as it is."""
        for _ in range(2):  # the first may join a test that was at its end when the text moved
            self.do(self.world.review.revalidate({"proposalId": proposal_id}))
        return self.do(self.world.proposal(proposal_id))

    @staticmethod
    def _hunks(data: Json) -> dict[str, tuple[Slot, int, int]]:
        """Each hunk of a proposal as it is shown: slot, old and new number."""
        return {
            hunk["id"]: changed_slot(hunk["oldText"], hunk["newText"])
            for file in data["files"]
            for hunk in file["hunks"]
        }

    def _wanted(self, data: Json, choice: int) -> list[str]:
        """All hunks, or by the bits of a number some of them."""
        ids = list(self._hunks(data))
        some = [name for bit, name in enumerate(ids) if choice >> bit & 1]
        return some if choice % 3 and some else ids

    def _accept(self, proposal_id: str, data: Json, wanted: list[str]) -> Json:
        """What is written is exactly what was shown, and nothing that breaks a test."""
        hunks = self._hunks(data)
        answer = dict(self.do(self.world.review.apply({"proposalId": proposal_id, "hunks": wanted})))
        assert not answer.get("pending"), answer
        whole = "whole" if len(wanted) == len(hunks) else "part"
        self.world.deeds[f"{whole} {'accepted' if answer['applied'] else 'refused'}"] += 1
        if answer["applied"]:
            assert answer["verdict"]["decision"] in ("proven", "passed"), answer
            changes = {slot: (old, new) for slot, old, new in (hunks[name] for name in wanted)}
            for slot, (old, new) in changes.items():
                assert self.value(slot) == old, f"{slot} was written over"
                assert old < 0 or new >= 0, f"{slot} was broken"
            self.write({slot: new for slot, (_, new) in changes.items()})
            self.written[answer["checkpointId"]] = Written(changes)
        else:
            assert answer["reason"], answer
        return answer

    @precondition(lambda self: self.offers)
    @rule(choice=CHOICE, part=CHOICE)
    def accept(self, choice: int, part: int) -> None:
        proposal_id = self._chosen(choice)
        data = self.do(self.world.proposal(proposal_id))
        if data["state"] in ENDED:
            answer = self.do(self.world.review.apply({"proposalId": proposal_id}))
            assert answer["applied"] is False
            self.offers.remove(proposal_id)
            return
        self._accept(proposal_id, data, self._wanted(data, part))

    @precondition(lambda self: self.offers)
    @rule(choice=CHOICE)
    def test_again_and_accept(self, choice: int) -> None:
        """What was just tested and is acceptable is not refused."""
        proposal_id = self._chosen(choice)
        data = self._tested(proposal_id)
        if data["state"] in ENDED:
            return
        conflicts = [row for row in self._hunks(data).values() if self.value(row[0]) not in row[1:]]
        assert bool(data["trouble"]) == bool(conflicts), data
        assert data["stale"] == bool(conflicts), data
        answer = self._accept(proposal_id, data, list(self._hunks(data)))
        assert answer["applied"] is (data["acceptable"] and not conflicts), (answer, data)

    @precondition(lambda self: self.offers)
    @rule(choice=CHOICE)
    def accept_what_still_fits(self, choice: int) -> None:
        """Where the person's text is in the way of some hunks, the others are offered, all of them."""
        proposal_id = self._chosen(choice)
        data = self._tested(proposal_id)
        if data["state"] in ENDED or not data["trouble"]:
            return
        fits = {name for name, (slot, old, new) in self._hunks(data).items() if self.value(slot) in (old, new)}
        assert set(data.get("suggestion", ())) == fits, data
        if open_ones := [name for name in fits if self.value(self._hunks(data)[name][0]) != self._hunks(data)[name][2]]:
            answer = self._accept(proposal_id, data, open_ones)
            self.world.deeds["in conflict, the rest accepted"] += answer["applied"]

    @precondition(lambda self: self.offers)
    @rule(choice=CHOICE, part=CHOICE, slot=SLOT, value=VALUE, beside=st.booleans())
    def type_while_a_part_is_tested(self, choice: int, part: int, slot: Slot, value: int, beside: bool) -> None:
        proposal_id = self._chosen(choice)
        self.do(self.world.at_rest())  # what is typed while the files are being written is another matter
        data = self.do(self.world.proposal(proposal_id))
        if data["state"] in ENDED:
            return
        self.world.quick_gate.meanwhile = lambda: self.type_beside(slot) if beside else self.type_over(slot, value)
        self._accept(proposal_id, data, self._wanted(data, part))
        self.world.deeds["typed over while it was tested"] += self.world.quick_gate.meanwhile is None
        self.world.quick_gate.meanwhile = None

    @precondition(lambda self: self.offers)
    @rule(choice=CHOICE, told=st.booleans())
    def the_editor_tells_that_text_moved(self, choice: int, told: bool) -> None:
        proposal_id = self._chosen(choice)
        paths = [file["path"] for file in self.do(self.world.proposal(proposal_id))["files"]]
        self.do(self.world.review.stale({"proposalId": proposal_id, "paths": paths if told else []}))

    @precondition(lambda self: self.offers)
    @rule(choice=CHOICE)
    def test_again(self, choice: int) -> None:
        self.do(self.world.review.revalidate({"proposalId": self._chosen(choice)}))

    @precondition(lambda self: self.offers)
    @rule(choice=CHOICE, part=CHOICE)
    def discard(self, choice: int, part: int) -> None:
        proposal_id = self._chosen(choice)
        data = self.do(self.world.proposal(proposal_id))
        if data["state"] in ENDED:
            return
        wanted = self._wanted(data, part)
        answer = self.do(self.world.review.discard({"proposalId": proposal_id, "hunks": wanted}))
        self.world.deeds["discarded"] += 1
        left = set(self._hunks(data)) - set(wanted)
        assert answer["state"] == ("validating" if left else "discarded")
        assert set(self._hunks(self.do(self.world.proposal(proposal_id)))) == (left or set(self._hunks(data)))

    @precondition(lambda self: self.offers)
    @rule(choice=CHOICE, value=VALUE)
    def edit_a_hunk(self, choice: int, value: int) -> None:
        proposal_id = self._chosen(choice)
        data = self.do(self.world.proposal(proposal_id))
        hunks = self._hunks(data)
        name = list(hunks)[choice % len(hunks)]
        slot, old, _ = hunks[name]
        mine = {"proposalId": proposal_id, "hunk": name, "text": line_of(slot, value)}
        if data["state"] in ENDED or (value == old and len(hunks) == 1):
            self._refused(self.world.review.amend(mine))
        else:
            self.do(self.world.review.amend(mine))
            self.world.deeds["edited"] += 1
            now = {slot: new for slot, _, new in self._hunks(self.do(self.world.proposal(proposal_id))).values()}
            assert now.get(slot, old) == value, (name, hunks, now)

    def _refused(self, work: Awaitable[Any]) -> None:
        try:
            self.do(work)
        except RefusedError:
            return
        raise AssertionError("it was not refused")

    # --- undoing ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.written)
    @rule(choice=CHOICE)
    def roll_back(self, choice: int) -> None:
        """Takes back what the agent wrote and nothing else; where the person wrote over it, nothing at all."""
        checkpoint_id = list(self.written)[-1 - choice % min(len(self.written), CHECKPOINTS_KEPT + 2)]
        written = self.written[checkpoint_id]
        try:
            answer = self.do(self.world.review.rollback({"checkpointId": checkpoint_id}))
        except UnknownIdError:
            assert list(self.written).index(checkpoint_id) < len(self.written) - CHECKPOINTS_KEPT
            return
        there = {slot: row for slot, row in written.changes.items() if self.value(slot) == row[1]}
        typed_over = [slot for slot, row in written.changes.items() if self.value(slot) not in row]
        possible = answer["applied"] if written.undone or not there else not typed_over
        assert answer["applied"] is possible, (answer, written)
        self.world.deeds["rolled back" if answer["applied"] else "not rolled back"] += 1
        if answer["applied"]:
            assert not typed_over, f"{typed_over} were written over"
            self.write({slot: old for slot, (old, _) in there.items()})
            written.undone = True
            self.written[answer["checkpointId"]] = Written({slot: (new, old) for slot, (old, new) in there.items()})

    @rule()
    def list_what_can_be_rolled_back(self) -> None:
        rows = self.do(self.world.review.history.checkpoints({}))["checkpoints"]
        assert len(rows) <= CHECKPOINTS_KEPT
        newest = list(self.written)[-1:]
        assert newest == [row["checkpointId"] for row in rows[:1]] or not newest

    # --- a new start ------------------------------------------------------------------------------------------------

    @rule()
    def start_anew(self) -> None:
        before = self.do(self.world.kept())
        self.do(self.world.restart())
        self.offers = [proposal_id for proposal_id in self.offers if proposal_id in before]
        offered = self.do(self.world.offers())
        assert offered <= before
        for proposal_id in before - offered:  # tested again at once: the text may hold it already
            hunks = self._hunks(self.do(self.world.proposal(proposal_id))).values()
            assert all(self.value(slot) == new for slot, _, new in hunks), proposal_id
