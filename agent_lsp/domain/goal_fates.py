"""Owns what became of the goal tests: proven, failing, weakened, flaky, not seen, or passing on both sides."""

from dataclasses import dataclass

from agent_lsp.domain.comparison import Comparison, Status, Trial, respelled, status, weakened, within
from agent_lsp.domain.goal_names import cut_off
from agent_lsp.domain.ids import CaseId


@dataclass(frozen=True, slots=True)
class Goals:
    """The goal tests by what became of them; `proven` fail without the change and pass with it, `idle` pass on both."""

    failing: tuple[CaseId, ...] = ()
    tampered: tuple[CaseId, ...] = ()
    flaky: tuple[CaseId, ...] = ()
    unseen: tuple[CaseId, ...] = ()
    proven: tuple[CaseId, ...] = ()
    idle: tuple[CaseId, ...] = ()


def goals_of(trial: Trial, tests: Comparison) -> Goals:
    """Every test that a goal test is, or that lies in it, by what the runs show of it."""
    known = list(dict.fromkeys([*trial.before.cases, *trial.after.cases]))
    sorts: dict[str, list[CaseId]] = {name: [] for name in Goals.__dataclass_fields__}
    moved = {trial.integrity.renamed.get(goal, goal) for goal in trial.goal_tests} - set(trial.goal_tests)
    for goal in trial.goal_tests:
        members = [case_id for case_id in known if within(case_id, goal)]
        if not members and cut_off(goal):
            members = [case_id for case_id in known if case_id.startswith(goal)]
        if not members and not any(within(goal, place) for place in trial.after.collection_errors):
            sorts["unseen"].append(goal)
        for case_id in members or ([goal] if goal not in sorts["unseen"] else []):
            kind = _kind(trial, tests, case_id)
            if kind and not (moved and kind == "tampered"):
                sorts[kind].append(case_id)
    return Goals(**{name: tuple(found) for name, found in sorts.items()})


def _kind(trial: Trial, tests: Comparison, case_id: CaseId) -> str:
    if case_id in tests.flaky:
        return "flaky"
    if case_id in (*tests.green_only, *tests.skipped, *tests.removed) or weakened(trial, [case_id]):
        return "tampered"
    now = status(trial.after, case_id)
    if now is Status.BAD:
        return "failing"
    if now is not Status.GOOD and not respelled(trial, case_id):
        return "unseen"
    fresh = any(row.id == case_id and row.failed_without_change for row in tests.added)
    if fresh or case_id in tests.fixed:
        return "proven"
    return "idle" if status(trial.before, case_id) is Status.GOOD else ""
