"""Owns where proposals on offer get in each other's way: the same lines, or one file that both create or move."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent_lsp.agent.proposals import Proposal
from agent_lsp.domain.changes import ChangeKind, FileHunks, Hunk
from agent_lsp.domain.task import run_name

_TOLD = 3


@dataclass(frozen=True, slots=True)
class Overlap:
    """Another proposal on the same text, `name` as a person knows its run.

    `places` are paths, with lines of the base where both agree on these.
    """

    proposal_id: str
    run_id: str
    name: str
    places: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The element of the proposal's `overlaps`."""
        return {"proposalId": self.proposal_id, "runId": self.run_id, "places": list(self.places)}

    @property
    def sentence(self) -> str:
        """What a person is told among the reasons."""
        more = f" and {len(self.places) - _TOLD} more places" if len(self.places) > _TOLD else ""
        where = ", ".join(self.places[:_TOLD])
        return (
            f"{self.name} proposes a change of the same text ({where}{more}). Accept one; the other is then "
            "carried over to it and tested again, or told not to fit."
        )


def overlaps(proposal: Proposal, others: Iterable[Proposal]) -> tuple[Overlap, ...]:
    """Those of the others that touch the same text, in their order."""
    mine = {path: file for file in proposal.files for path in (file.edit.path, file.edit.base_path)}
    found = []
    for other in others:
        if other.id == proposal.id:
            continue
        places = [place for file in other.files for place in _places(file, mine.get(file.edit.base_path))]
        places += [file.edit.path for file in other.files if file.edit.old_path is not None and file.edit.path in mine]
        if places:
            name = run_name(other.run_id, other.goal.text, [proposal.goal.text])
            found.append(Overlap(other.id, other.run_id, name, tuple(dict.fromkeys(places))))
    return tuple(found)


def _places(theirs: FileHunks, mine: FileHunks | None) -> Sequence[str]:
    """Where two changes of one file meet; the file itself where only a merge could tell."""
    if mine is None:
        return ()
    plain = mine.edit.kind is ChangeKind.MODIFY and theirs.edit.kind is ChangeKind.MODIFY
    if not plain or mine.edit.before != theirs.edit.before:
        return (theirs.edit.base_path,)
    return [
        f"{theirs.edit.path} {_lines(hunk)}" for hunk in theirs.hunks if any(_meet(hunk, own) for own in mine.hunks)
    ]


def _meet(one: Hunk, other: Hunk) -> bool:
    """Whether two hunks change a line in common or insert at the same place; what only touches is merged."""
    if one.start_line == one.end_line or other.start_line == other.end_line:
        return one.start_line <= other.end_line and other.start_line <= one.end_line
    return one.start_line < other.end_line and other.start_line < one.end_line


def _lines(hunk: Hunk) -> str:
    first, last = hunk.start_line + 1, max(hunk.end_line, hunk.start_line + 1)
    return f"line {first}" if first == last else f"lines {first}-{last}"
