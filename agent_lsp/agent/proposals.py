"""Owns the proposal: a change that is offered, its hunks under ids that last, and its public shape."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from agent_lsp.domain.changes import FileEdit, FileHunks, Hunk, hunks_of, lines_after, select, unified_diff
from agent_lsp.domain.errors import UnknownIdError
from agent_lsp.domain.ids import CaseId, HunkId, ProposalId
from agent_lsp.domain.ports import Snapshot
from agent_lsp.domain.task import Goal, RunState, run_name
from agent_lsp.domain.verdict import NOT_RUN, Decision, Evidence, Verdict

UNTESTED = Evidence(NOT_RUN)
"""What a change has before its tests ran."""

TESTS_TOLD: Final = 20
"""Of the tests that ran a hunk so many are named."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that waits for a person. Every change of it is a new value under the same id.

    `names` gives hunks the id they were first shown under where the text alone would give another one (two equal
    hunks of which the first is gone). `goal_tests` is what a part of it must fix. `state` is what its run rests in:
    PROPOSED or FAILED while it is open, APPLIED or DISCARDED after. `trouble` says why it cannot be made current;
    `in_conflict`, that this is since the text was changed in the place of some of its hunks.
    `suggestion` is the smallest part found acceptable after a smaller one was refused, `fitting` what of it still fits
    the text while the rest does not.
    """

    id: ProposalId
    run_id: str
    goal: Goal
    summary: str
    base: Snapshot
    edits: tuple[FileEdit, ...]
    evidence: Evidence = UNTESTED
    stale_paths: frozenset[str] = frozenset()
    discarded: frozenset[HunkId] = frozenset()
    applied: frozenset[HunkId] = frozenset()
    names: Mapping[HunkId, HunkId] = field(default_factory=dict)
    goal_tests: tuple[CaseId, ...] = ()
    checkpoint_id: str | None = None
    state: RunState = RunState.PROPOSED
    trouble: str = ""
    in_conflict: bool = False
    suggestion: frozenset[HunkId] = frozenset()
    fitting: frozenset[HunkId] = frozenset()

    @property
    def name(self) -> str:
        """What a person knows its run by."""
        return run_name(self.run_id, self.goal.text, ())

    @property
    def stale(self) -> bool:
        """Whether the text moved under it since it was tested."""
        return bool(self.stale_paths)

    @property
    def is_open(self) -> bool:
        """Whether it can still be applied or discarded."""
        return self.state in (RunState.PROPOSED, RunState.FAILED)

    @property
    def verdict(self) -> Verdict:
        """What is shown: the evidence's verdict, led by the reason why it cannot be made current."""
        verdict = self.evidence.verdict
        return replace(verdict, reasons=(self.trouble, *verdict.reasons)) if self.trouble else verdict

    @property
    def witness(self) -> Mapping[str, str]:
        """sha256 of the base's bytes of every file that the verdict rests on; empty for a file that is not there."""
        touched = {edit.base_path: edit.before.sha256 if edit.before else "" for edit in self.edits}
        return {**self.evidence.witness, **{edit.path: "" for edit in self.edits if edit.old_path}, **touched}

    @property
    def files(self) -> tuple[FileHunks, ...]:
        """Every file with its hunks, under the ids that are shown."""
        return tuple(_renamed(_hunks_of(edit), self.names) for edit in self.edits)

    @property
    def hunk_ids(self) -> tuple[HunkId, ...]:
        """The ids that can be accepted or discarded, in order."""
        return tuple(hunk.id for file in self.files for hunk in file.hunks)


def resting_state(verdict: Verdict) -> RunState:
    """A run with an unacceptable change has failed; one whose tests could not tell is still proposed."""
    return RunState.FAILED if verdict.decision in (Decision.FAILED, Decision.REGRESSED) else RunState.PROPOSED


def event_data(proposal: Proposal, *, allow_unproven: bool = False) -> dict[str, object]:
    """The data of the `proposal` event, as link/messages.py has it.

    `acceptable` tells whether accepting it now would be refused for its verdict; `state` what its run rests in.
    """
    verdict = proposal.verdict
    data: dict[str, object] = {
        "proposalId": proposal.id,
        "runId": proposal.run_id,
        "summary": proposal.summary,
        "state": proposal.state.value,
        "stale": proposal.stale,
        "trouble": proposal.trouble,
        "inConflict": bool(proposal.trouble) and proposal.in_conflict,
        "stalePaths": sorted(proposal.stale_paths),
        "files": [_file_data(file, proposal) for file in proposal.files],
        "diff": _diff_of(proposal.edits),
        "verdict": verdict.to_json(),
        "acceptable": allow_unproven or verdict.decision.acceptable,
        "witness": dict(proposal.witness),
    }
    suggestion = proposal.fitting if data["inConflict"] else proposal.suggestion
    if suggestion and suggestion < set(proposal.hunk_ids):
        data["suggestion"] = [hunk for hunk in proposal.hunk_ids if hunk in suggestion]
    if proposal.checkpoint_id:
        data["checkpointId"] = proposal.checkpoint_id
    return data


def wanted_hunks(proposal: Proposal, asked: Iterable[str] | None) -> frozenset[HunkId]:
    """The hunks that a command means; all of them when it names none. Raises UnknownIdError."""
    known = set(proposal.hunk_ids)
    if asked is None:
        return frozenset(known)
    wanted = frozenset(HunkId(name) for name in asked)
    for name in sorted(wanted - known):
        gone = {**dict.fromkeys(proposal.discarded, "discarded"), **dict.fromkeys(proposal.applied, "applied")}
        if name in gone:
            raise UnknownIdError(f"hunk {name} of proposal {proposal.id} was already {gone[name]}")
        raise UnknownIdError(
            f"proposal {proposal.id} has no hunk {name}", hint="Ask for agent.proposal to see the hunks it now has."
        )
    if not wanted:
        raise UnknownIdError("no hunk was named", hint="Leave `hunks` out to mean all of them.")
    return wanted


def part_of(proposal: Proposal, wanted: Collection[HunkId]) -> tuple[FileEdit, ...]:
    """The edits with only the wanted hunks."""
    natural = {
        proposal.names.get(hunk.id, hunk.id): hunk.id for edit in proposal.edits for hunk in _hunks_of(edit).hunks
    }
    chosen = {natural[name] for name in wanted if name in natural}
    parts = (select(edit, chosen) for edit in proposal.edits)
    return tuple(part for part in parts if part is not None)


def without(proposal: Proposal, dropped: Collection[HunkId]) -> Proposal:
    """The proposal after some hunks were discarded: to be tested again, with what the whole one fixed as its goal."""
    edits = part_of(proposal, set(proposal.hunk_ids) - set(dropped))
    return replace(
        proposal,
        edits=edits,
        evidence=UNTESTED,
        discarded=proposal.discarded | frozenset(dropped),
        goal_tests=part_goals(proposal),
        names=names_after(proposal.files, edits, dropped),
        trouble="",
    )


def rest_of(proposal: Proposal, done: Collection[HunkId], part: Evidence, base: Snapshot) -> Proposal:
    """What is left after some hunks were applied; `base` is the text as it is now. No edits: nothing is left."""
    taken = {edit.path: edit for edit in part_of(proposal, done)}
    edits = tuple(edit for edit in (_left(edit, taken.get(edit.path)) for edit in proposal.edits) if edit is not None)
    return replace(
        proposal,
        base=base,
        edits=edits,
        evidence=UNTESTED,
        stale_paths=frozenset(),
        applied=proposal.applied | frozenset(done),
        goal_tests=tuple(test for test in part_goals(proposal) if test not in part.verdict.fixed),
        names=names_after(proposal.files, edits, done),
        trouble="",
    )


def part_goals(proposal: Proposal) -> tuple[CaseId, ...]:
    """The tests that a part of the proposal must fix: what the whole of it fixed, and what it was asked to."""
    return tuple(dict.fromkeys((*proposal.goal_tests, *proposal.evidence.verdict.fixed)))


def names_after(
    before: Sequence[FileHunks], edits: Iterable[FileEdit], gone: Collection[HunkId] = ()
) -> dict[HunkId, HunkId]:
    """The `names` that let hunks with unchanged text keep the ids they were shown under, in order."""
    shown: dict[tuple[str, str, str], list[HunkId]] = {}
    for file in before:
        for hunk in file.hunks:
            if hunk.id not in gone:
                shown.setdefault((file.edit.path, hunk.old_text, hunk.new_text), []).append(hunk.id)
    names: dict[HunkId, HunkId] = {}
    for edit in edits:
        for hunk in _hunks_of(edit).hunks:
            ids = shown.get((edit.path, hunk.old_text, hunk.new_text), [])
            if ids and (name := ids.pop(0)) != hunk.id:
                names[hunk.id] = name
    return names


@lru_cache(maxsize=256)
def _hunks_of(edit: FileEdit) -> FileHunks:
    """Cut once: a proposal is shown, selected from and compared many times."""
    return hunks_of(edit)


@lru_cache(maxsize=32)
def _diff_of(edits: tuple[FileEdit, ...]) -> str:
    return unified_diff(edits)


def _renamed(file: FileHunks, names: Mapping[HunkId, HunkId]) -> FileHunks:
    if not names:
        return file
    return FileHunks(file.edit, tuple(replace(hunk, id=names.get(hunk.id, hunk.id)) for hunk in file.hunks))


def _left(edit: FileEdit, taken: FileEdit | None) -> FileEdit | None:
    if taken is None:
        return edit
    if taken.after == edit.after:
        return None
    return FileEdit(edit.path, taken.after, edit.after)


def _file_data(file: FileHunks, proposal: Proposal) -> dict[str, object]:
    edit = file.edit
    return {
        "path": edit.path,
        "oldPath": edit.old_path,
        "kind": edit.kind.value,
        "baseVersion": proposal.base.buffers.get(edit.base_path),
        "baseSha256": edit.before.sha256 if edit.before else None,
        "hunks": [
            {
                "id": hunk.id,
                "startLine": hunk.start_line,
                "endLine": hunk.end_line,
                "oldText": hunk.old_text,
                "newText": hunk.new_text,
                "class": hunk.hunk_class.value,
                **_ran(file, hunk, proposal.evidence),
            }
            for hunk in file.hunks
        ],
    }


def _ran(file: FileHunks, hunk: Hunk, evidence: Evidence) -> dict[str, object]:
    """The passing tests that ran a hunk's lines, and which of these none ran (zero-based, in the changed file)."""
    if evidence.after is None:
        return {}
    lines = lines_after(file.hunks, hunk)
    rows = evidence.after.executed.get(file.edit.path, {})
    tests = sorted({test for line in lines for test in rows.get(line, ())})
    unrun = [row.line for row in evidence.verdict.unrun_lines if row.path == file.edit.path and row.line + 1 in lines]
    return {"tests": tests[:TESTS_TOLD], "testCount": len(tests), "unrun": unrun}
