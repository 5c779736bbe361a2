"""Owns what a change did to the tests: which it took away or loosened, the set-up that it changed, the rows of both."""

from collections.abc import Sequence
from dataclasses import replace

from agent_lsp.domain.comparison import Comparison, Trial, weakened
from agent_lsp.domain.doctests import rewritten_doctests
from agent_lsp.domain.findings import FindingKind
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import SuiteReport


def without_weakened(trial: Trial, tests: Comparison) -> Comparison:
    """A test that the change weakened never counts as fixed, nor does a doctest that has other examples now."""
    spoiled = set(weakened(trial, tests.fixed))
    fixed = tuple(case_id for case_id in tests.fixed if case_id not in spoiled)
    rewritten = set(rewritten_doctests(trial.edits, fixed))
    fixed = tuple(case_id for case_id in fixed if case_id not in rewritten)
    return replace(tests, fixed=fixed, green_only=(*tests.green_only, *sorted(rewritten)))


def lost_strength(trial: Trial, tests: Comparison) -> tuple[str, ...]:
    """What makes a verdict undecided: a row for each test that was removed or weakened, each with its place."""
    findings = trial.integrity.of(FindingKind.REMOVED, FindingKind.WEAKENED)
    told: list[str] = [finding.placed for finding in findings]

    def rest(ids: Sequence[CaseId]) -> list[CaseId]:
        return [case_id for case_id in ids if not any(finding.concerns(case_id) for finding in findings)]

    before, after = trial.before, trial.after
    told += [f"{name} is not among the tests any more{_place(before, name, ' before')}" for name in rest(tests.removed)]
    told += [f"{name} ran before and is skipped now{_place(after, name)}" for name in rest(tests.skipped)]
    told += [
        f"{name} passes only because tests or their configuration changed{_place(after, name)}"
        for name in rest(tests.green_only)
    ]
    return tuple(dict.fromkeys(told))


def other_set_up(trial: Trial) -> tuple[str, ...]:
    """What makes a verdict `passed` at best: a row for each fixture, configuration and file of data that changed."""
    return tuple(dict.fromkeys(finding.placed for finding in trial.integrity.of(FindingKind.CONFIG)))


def _place(run: SuiteReport, name: CaseId, when: str = "") -> str:
    """Where a test stands, if the runner told its line; where it failed in another file is not that."""
    case = run.cases.get(name)
    if case is None or case.line is None or not case.path or not name.startswith(case.path):
        return ""
    return f" ({case.path}:{case.line + 1}{when})"
