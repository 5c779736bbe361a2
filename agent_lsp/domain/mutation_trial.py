"""Owns what runs of the tests on mutants show: which were noticed, and how a verdict says so."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.mutation import Mutant
from agent_lsp.domain.verdict import SuiteReport, Survivor, Verdict

_NAMED: Final = 5


class Notice(Enum):
    """Whether the tests noticed a mutant. UNCLEAR is told as neither."""

    NOTICED = auto()
    UNNOTICED = auto()
    UNCLEAR = auto()


@dataclass(frozen=True, slots=True)
class Tried:
    """A mutant with what its runs showed."""

    mutant: Mutant
    notice: Notice


def notice_of(mutant: Mutant, run: SuiteReport, passing: Collection[CaseId], usual: SuiteReport) -> Notice:
    """What one run on a mutant shows. `passing` are the tests that pass without it, as `usual` has seen.

    It went unnoticed only where all of them ran to the end and passed, on exactly these bytes, and ran the line.
    """
    if run.tampered:
        return Notice.UNCLEAR
    if any(case_id in run.cases and run.cases[case_id].outcome.bad for case_id in passing):
        return Notice.NOTICED  # also the test during which the time was over, or the process ended
    if set(run.collection_errors) - set(usual.collection_errors):
        return Notice.NOTICED
    whole = run.finished and all(case_id in run.cases and run.cases[case_id].outcome.good for case_id in passing)
    return Notice.UNNOTICED if whole and passing and _was_in_force(mutant, run) else Notice.UNCLEAR


def _was_in_force(mutant: Mutant, run: SuiteReport) -> bool:
    digest = hashlib.sha256(mutant.content).hexdigest()
    loaded = {file.sha256 for file in run.loaded if file.path == mutant.path}
    return loaded == {digest} and bool(run.executed.get(mutant.path, {}).get(mutant.line + 1))


def told_of(verdict: Verdict, tried: Sequence[Tried]) -> Verdict:
    """The verdict with its survivors and a sentence on them; the same where nothing is clear. It decides nothing."""
    clear = [row for row in tried if row.notice is not Notice.UNCLEAR]
    if not clear or verdict.survivors is not None:
        return verdict
    unnoticed = [row.mutant for row in clear if row.notice is Notice.UNNOTICED]
    survivors = tuple(Survivor(mutant.path, mutant.line, mutant.text) for mutant in unnoticed)
    return replace(verdict, survivors=survivors, reasons=(*verdict.reasons, _sentence(survivors, len(clear))))


def _sentence(survivors: Sequence[Survivor], count: int) -> str:
    named = ", ".join(f"{row.path}:{row.line + 1} ({row.text})" for row in survivors[:_NAMED])
    more = f" and {len(survivors) - _NAMED} more" if len(survivors) > _NAMED else ""
    if count == 1:
        what = "A small change to a changed line, made to try the tests,"
        return f"{what} was not noticed by any: {named}." if survivors else f"{what} was noticed."
    if not survivors:
        return f"Each of {count} small changes to the changed lines, made to try the tests, was noticed."
    verb = "was" if len(survivors) == 1 else "were"
    return (
        f"{len(survivors)} of {count} small changes to the changed lines {verb} not noticed by any test: {named}{more}."
    )
