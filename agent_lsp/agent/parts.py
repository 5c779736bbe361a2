"""Owns the words for a part of a proposal: which hunks it leaves out, and which test needs them."""

from collections.abc import Collection, Mapping

from agent_lsp.agent.proposals import Proposal, part_goals
from agent_lsp.domain.changes import FileEdit, FileHunks, Hunk, hunks_of, lines_after, select
from agent_lsp.domain.goal_findings import is_diagnostic
from agent_lsp.domain.ids import CaseId, HunkId
from agent_lsp.domain.verdict import Verdict

_TESTS_TOLD = 5


def missing_reason(proposal: Proposal, wanted: Collection[HunkId], verdict: Verdict) -> str:
    """Why a part of the proposal is not acceptable: the tests that need hunks which it leaves out."""
    count = f"{len(wanted)} of {len(proposal.hunk_ids)} hunks"
    fixed = set(verdict.fixed)
    goals = [goal for goal in part_goals(proposal) if not is_diagnostic(goal)]
    unfixed = [test for test in goals if test in verdict.still_failing or test not in fixed]
    tests = list(dict.fromkeys((*unfixed, *verdict.broken)))
    if not tests:
        said = " ".join(verdict.reasons) or "The tests could not tell."
        return f"{count} alone are {verdict.decision.value}, so nothing was applied. {said}"
    told = [_needs(test, proposal, wanted, broken=test in verdict.broken) for test in tests[:_TESTS_TOLD]]
    if len(tests) > _TESTS_TOLD:
        told.append(f"{len(tests) - _TESTS_TOLD} more tests fail.")
    return f"{count} are not enough, so nothing was applied. {' '.join(told)}"


def _needs(test: CaseId, proposal: Proposal, wanted: Collection[HunkId], *, broken: bool) -> str:
    left_out = [(file, hunk) for file in proposal.files for hunk in file.hunks if hunk.id not in wanted]
    run = [(file, hunk) for file, hunk in left_out if runs_hunk(test, file, hunk, proposal)]
    names = [place_of(file, hunk) for file, hunk in run or left_out]
    joined = ", ".join(names)
    what = "is broken" if broken else "still fails"
    which = "the hunk" if len(names) == 1 else "one or more of the hunks"
    return f"{test} {what} without {which} {joined}."


def runs_hunk(test: CaseId, file: FileHunks, hunk: Hunk, proposal: Proposal) -> bool:
    """Whether the test ran a line of the hunk when the whole proposal was tested."""
    after = proposal.evidence.after
    lines: Mapping[int, frozenset[CaseId]] = {} if after is None else after.executed.get(file.edit.path, {})
    return any(test in lines.get(number, ()) for number in lines_after(file.hunks, hunk))


def place_of(file: FileHunks, hunk: Hunk) -> str:
    """A hunk as a person finds it, by its lines in the base: `calc.py line 12`."""
    first, last = hunk.start_line + 1, max(hunk.end_line, hunk.start_line + 1)
    where = f"line {first}" if first == last else f"lines {first}-{last}"
    return f"{file.edit.path} {where}"


def selected(edits: tuple[FileEdit, ...], ids: set[HunkId]) -> tuple[FileEdit, ...]:
    """What is left of a change when only these hunks are; all of it if its hunks go by other names now."""
    known = {hunk.id for edit in edits for hunk in hunks_of(edit).hunks}
    if not known & ids:
        return edits
    chosen = (select(edit, ids) for edit in edits)
    return tuple(edit for edit in chosen if edit is not None)
