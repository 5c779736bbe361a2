"""Owns the verdict: PROTOCOL.md section 4, decision by decision, from the runs of a change. Computes, nothing else."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from agent_lsp.domain.comparison import Comparison, Status, Trial, compare, status
from agent_lsp.domain.coverage import LineEvidence, Provenance, is_source, line_evidence, provenance, unmeasured_sources
from agent_lsp.domain.doctests import rewritten_doctests
from agent_lsp.domain.findings import FindingKind
from agent_lsp.domain.first_cause import place_of_first
from agent_lsp.domain.goal_fates import Goals, goals_of
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.self_regard import asks_for_tests
from agent_lsp.domain.surroundings import quoted_cause, trouble_before
from agent_lsp.domain.verdict import Decision, Verdict
from agent_lsp.domain.weakenings import lost_strength, other_set_up, without_weakened

_NAMED = 5
"""Tests that a reason names before it counts the rest."""

_COMPILED = (".pyx", ".pxd", ".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".rs")
"""Sources of extension modules: a run of the tests does not build them again."""

_STOPPED = re.compile(r"did not end within \d+ s")


def judge(trial: Trial) -> Verdict:
    """The verdict of a change. Same trial, same verdict."""
    tests = without_weakened(trial, compare(trial))
    lines = line_evidence(trial.edits, trial.after, tests.flaky)
    case = _Case(trial, tests, lines, provenance(trial.edits, trial.after), goals_of(trial, tests))
    decision, reasons = _decide(case)
    return Verdict(
        decision=decision,
        reasons=tuple(dict.fromkeys([*reasons, *_remarks(case)])),
        fixed=tests.fixed,
        broken=tests.broken,
        still_failing=tests.still_failing,
        flaky=tests.flaky,
        added=tests.added,
        removed_or_weakened=(*lost_strength(trial, tests), *other_set_up(trial)),
        collected=trial.after.collected,
        ran=trial.after.ran,
        changed_lines=lines.changed,
        changed_lines_run=lines.run,
        unrun_lines=lines.unrun,
        selection=trial.selection,
        duration_s=trial.duration_s,
        candidate=trial.candidate,
    )


def name_tests(ids: Collection[CaseId]) -> str:
    """Tests as a list in a sentence, the first few by name."""
    chosen = sorted(ids)
    text = ", ".join(chosen[:_NAMED])
    return text if len(chosen) <= _NAMED else f"{text} and {len(chosen) - _NAMED} more"


@dataclass(frozen=True, slots=True)
class _Case:
    trial: Trial
    tests: Comparison
    lines: LineEvidence
    origin: Provenance
    goals: Goals


Ruling = tuple[Decision, list[str]]


def _decide(case: _Case) -> Ruling:
    """The first rule that applies; each says why."""
    for rule in _RULES:
        ruling = rule(case)
        if ruling is not None:
            return ruling
    return _good(case)


def _crashed(case: _Case) -> Ruling | None:
    before, after = case.trial.before, case.trial.after
    if before.tampered or after.tampered:
        sides = (("Without", before), ("With", after))
        return Decision.UNDECIDED, [f"{side} the change {run.trouble}." for side, run in sides if run.tampered]
    if after.finished:
        return None
    if not before.finished or after.vanished:
        return _partly(case)
    again = "; seen again on a second run" if case.trial.again_after is not None else ""
    told = [f"With the change {after.trouble}{again}; without it the run ends."]
    worse = [case_id for case_id in after.failing() if status(before, case_id) is Status.GOOD]
    return Decision.REGRESSED, [*told, *_hanging(case.trial, sorted(worse))]


def _partly(case: _Case) -> Ruling:
    """What the tests say that ended before both runs were cut short: enough to refuse, never to accept."""
    before, after = case.trial.before, case.trial.after
    ruling = _regressed(case)
    if ruling is not None:
        return ruling
    told = [f"Without the change {before.trouble}."] if not before.finished else []
    again = "; seen again on a second run" if after.vanished and case.trial.again_after is not None else ""
    told.append(f"With the change {after.trouble}{again}{'' if told else '; without it the run ends'}.")
    if case.goals.failing:
        verb = "still fails" if len(case.goals.failing) == 1 else "still fail"
        place = _place(case, case.goals.failing)
        return Decision.FAILED, [f"{name_tests(case.goals.failing)} {verb} with the change{place}.", *told]
    reasons = ["The test run did not come to its end on either side.", *told] if not before.finished else told
    ended = [case_id for case_id in after.cases if status(after, case_id) is not Status.UNREACHED]
    if ended:
        reasons.append(f"{len(ended)} of {after.collected} tests ended with the change, and it broke none of them.")
        if case.tests.fixed:
            reasons.append(f"Fixed among them: {name_tests(case.tests.fixed)}.")
        if not after.vanished:
            reasons.append("Name a smaller scope, or raise tests.timeout_s.")
    return Decision.UNDECIDED, reasons


def _regressed(case: _Case) -> Ruling | None:
    broken = case.tests.broken
    if not broken:
        return None
    verb = "passes" if len(broken) == 1 else "pass"
    reasons = [f"{name_tests(broken)} {verb} without the change and not with it, seen twice{_place(case, broken)}."]
    reasons += _hanging(case.trial, broken)
    if case.goals.failing:
        reasons.append(f"The goal test {name_tests(case.goals.failing)} still fails.")
    return Decision.REGRESSED, reasons


def _hanging(trial: Trial, broken: Sequence[CaseId]) -> list[str]:
    """Which of the broken tests were stopped since they did not end."""
    found: dict[str, list[CaseId]] = {}
    for case_id in broken:
        case = trial.after.cases.get(case_id)
        told = _STOPPED.search(case.message) if case is not None else None
        if told:
            found.setdefault(told[0], []).append(case_id)
    return [f"With the change {name_tests(ids)} {limit}." for limit, ids in found.items()]


def _environment(case: _Case) -> Ruling | None:
    before, after = case.trial.before, case.trial.after
    errors = [place for place in before.collection_errors if place in after.collection_errors]
    goals = case.trial.goal_tests
    trouble = trouble_before(case.trial, case.goals.failing, case.lines.failing)
    if trouble:
        return Decision.UNDECIDED, trouble
    if after.collected == 0 and not after.collection_errors:
        if before.collected:
            return None
        return Decision.UNDECIDED, [_nothing(case, "No test was collected, so nothing was tested")]
    if after.ran == 0 and errors and not goals:
        return Decision.UNDECIDED, [f"{name_tests(errors)} cannot be collected with or without the change."]
    if after.ran == before.ran == 0 and not after.collection_errors and not after.failing():
        return Decision.UNDECIDED, [_nothing(case, "No test ran: all that were collected are skipped")]
    return None


def _nothing(case: _Case, text: str) -> str:
    missing = case.trial.after.not_found
    return f"{text} (not found: {', '.join(missing)})." if missing else f"{text}."


def _elsewhere(case: _Case) -> Ruling | None:
    if not case.origin.elsewhere:
        return None
    told = [f"The tests did not test this change: {text}." for text in case.origin.elsewhere]
    if any("site-packages" in text for text in case.origin.elsewhere):
        told.append("Install the project in editable mode (`pip install -e .`), so that its tests load the workspace.")
    return Decision.UNDECIDED, told


def _goal_missed(case: _Case) -> Ruling | None:
    goals = case.goals
    reasons = []
    if goals.failing:
        verb = "still fails" if len(goals.failing) == 1 else "still fail"
        reasons.append(f"{name_tests(goals.failing)} {verb} with the change{_place(case, goals.failing)}.")
    if goals.tampered:
        reasons.append(f"The change weakens or removes what it should make pass: {name_tests(goals.tampered)}.")
    return (Decision.FAILED, reasons) if reasons else None


def _new_test_fails(case: _Case) -> Ruling | None:
    """Whoever adds a test that fails says two things at once: nobody asked for it, so it is no goal that was missed."""
    stray = _stray(case)
    new = [case_id for case_id in case.tests.new_failing if case_id not in stray]
    if not new:
        return None
    verb = "fails" if len(new) == 1 else "fail"
    told = f"{name_tests(new)} {verb} with the change and did not run without it"
    return Decision.UNDECIDED, [f"{told}{_place(case, new)}."]


def _stray(case: _Case) -> list[CaseId]:
    """Failing tests in scratch files: the change brings them to where the base has no tests, and its goals are met.

    Whoever names the goal says what is to pass; a script that was left behind is told, and does not outweigh it.
    """
    if not case.goals.proven:
        return []
    homes = {_folder(place) for place in (*case.trial.before.cases, *case.trial.before.collection_errors)}
    made = {edit.path for edit in case.trial.edits if edit.before is None}
    new = [case_id for case_id in case.tests.new_failing if case_id.partition("::")[0] in made]
    return [case_id for case_id in new if _folder(case_id) not in homes]


def _folder(case_id: CaseId) -> str:
    return case_id.partition("::")[0].rpartition("/")[0]


def _not_loaded(case: _Case) -> Ruling | None:
    compiled = [edit.path for edit in case.trial.edits if is_source(edit) and edit.path.endswith(_COMPILED)]
    if compiled and not case.tests.fixed and case.trial.after.runner.startswith(("pytest", "unittest")):
        told = f"{', '.join(compiled)} must be compiled, and nothing was built for these tests"
        return Decision.UNDECIDED, [f"{told}, so the change was not tested."]
    origin = case.origin
    if case.tests.fixed or case.goals.proven:
        return None  # what is fixed on both looks shows that the change was in force, be it in another process
    if origin.hidden:
        return Decision.UNDECIDED, [f"Whether this change was tested cannot be told: {text}." for text in origin.hidden]
    if not origin.missing or (origin.loaded and not origin.modules):
        return None
    if blind := case.trial.after.blind:
        return Decision.UNDECIDED, [f"Whether the tests loaded {', '.join(origin.missing)} could not be seen: {blind}."]
    missing = origin.modules if origin.loaded else origin.missing
    verb, what = "was" if len(missing) == 1 else "were", "this part of the change" if origin.loaded else "the change"
    return Decision.UNDECIDED, [f"{', '.join(missing)} {verb} not loaded by any test, so {what} was not tested."]


def _tampered(case: _Case) -> Ruling | None:
    found = lost_strength(case.trial, case.tests)
    if not found:
        return None
    return Decision.UNDECIDED, ["The change weakens or removes tests, which a person must look at.", *found]


def _uncertain(case: _Case) -> Ruling | None:
    tests, goals = case.tests, case.goals
    if goals.unseen:
        return Decision.UNDECIDED, [f"The goal test {name_tests(goals.unseen)} was not found, or did not run."]
    if goals.flaky or (tests.flaky and len(tests.flaky) >= case.trial.after.ran):
        return Decision.UNDECIDED, [f"The evidence is flaky: {name_tests(goals.flaky or tests.flaky)}."]
    if tests.unknown:
        return Decision.UNDECIDED, [
            f"{name_tests(tests.unknown)} fail with the change, and without it the run did not come to them."
        ]
    stuck = case.lines.failing & set(tests.still_failing)
    if stuck and not tests.fixed and not goals.proven:
        verb = "runs" if len(stuck) == 1 else "run"
        fail = "fails" if len(stuck) == 1 else "fail"
        told = f"{name_tests(stuck)} {verb} the changed lines and {fail} before and after"
        return Decision.UNDECIDED, [f"{told}{_place(case, stuck)}."]
    return _unseen(case)


def _nothing_passed(case: _Case) -> Ruling | None:
    """Where no test passes there is none that could have shown anything."""
    if case.trial.after.passing():
        return None
    told = "No test passes with the change, so nothing speaks for it."
    return Decision.UNDECIDED, [told, *filter(None, [quoted_cause(case.trial.after)])]


def _unseen(case: _Case) -> Ruling | None:
    """Where lines are not measured, a test that goes on failing may be about just the changed ones."""
    unmeasured = unmeasured_sources(case.trial.edits, case.trial.after)
    if not unmeasured or case.tests.fixed or case.goals.proven:
        return None
    python = any(edit.path.endswith(".py") for edit in unmeasured)
    doubtful = [name for name in case.tests.still_failing if python or not name.partition("::")[0].endswith(".py")]
    if not doubtful:
        return None
    verb, paths = "fails" if len(doubtful) == 1 else "fail", ", ".join(edit.path for edit in unmeasured)
    told = f"whether the changed lines of {paths} ran in it cannot be seen"
    return Decision.UNDECIDED, [f"{name_tests(doubtful)} {verb} before and after, and {told}."]


_RULES = (
    _crashed,
    _regressed,
    _environment,
    _elsewhere,
    _goal_missed,
    _new_test_fails,
    _not_loaded,
    _tampered,
    _uncertain,
    _nothing_passed,
)
"""In the order in which they are asked."""


def _good(case: _Case) -> Ruling:
    tests, lines, trial = case.tests, case.lines, case.trial
    proofs = sorted({*tests.fixed, *case.goals.proven})
    capped = [*(finding.text for finding in trial.integrity.of(FindingKind.CONFIG)), *asks_for_tests(trial.edits)]
    unmeasured = [edit.path for edit in unmeasured_sources(trial.edits, trial.after)]
    capped += [f"Which lines of {', '.join(unmeasured)} ran is not measured"] if unmeasured else []
    told = rewritten_doctests(trial.edits, trial.before.passing())
    capped += [f"The change rewrites examples that were passing tests: {name_tests(told)}"] if told else []
    stray = _stray(case)
    capped += [f"{name_tests(stray)}, which the change leaves where no tests are, does not pass"] if stray else []
    whole = lines.changed > 0 and lines.run == lines.changed
    if proofs and whole and not capped:
        verb = "fails" if len(proofs) == 1 else "fail"
        plural = "line" if lines.changed == 1 else f"{lines.changed} lines"
        return Decision.PROVEN, [
            f"{name_tests(proofs)} {verb} without the change and {'passes' if len(proofs) == 1 else 'pass'} with it.",
            f"Every changed {plural} ran under a passing test."
            if lines.changed == 1
            else f"All {plural} that the change touches ran under a passing test.",
        ]
    blind = [place for place in trial.before.collection_errors if place in trial.after.collection_errors]
    if blind and not proofs:
        return Decision.UNDECIDED, [f"{name_tests(blind)} cannot be collected with or without the change."]
    reasons = ["Nothing broke."]
    reasons += [f"{text}, so the change can be passed at best." for text in capped]
    if not proofs:
        reasons.append("No test that existed fails without the change and passes with it.")
    if lines.unrun:
        places = ", ".join(f"{row.path}:{row.line + 1}" for row in lines.unrun[:_NAMED])
        more = f" and {len(lines.unrun) - _NAMED} more" if len(lines.unrun) > _NAMED else ""
        reasons.append(
            f"{len(lines.unrun)} of {lines.changed} changed lines ran under no passing test: {places}{more}."
        )
    elif not lines.changed and not unmeasured:
        reasons.append("The change has no line of source that can be seen to run.")
    if case.origin.missing:
        verb = "was" if len(case.origin.missing) == 1 else "were"
        reasons.append(f"{', '.join(case.origin.missing)} {verb} not loaded by the tests' own process.")
    return Decision.PASSED, reasons


def _place(case: _Case, ids: Collection[CaseId]) -> str:
    """Where these tests fail with the change, or one of them, and with which words."""
    told = place_of_first(case.trial.after, tuple(ids))
    return f", {'one of them ' if len(ids) > 1 else ''}{told}" if told else ""


def _remarks(case: _Case) -> list[str]:
    """What a person should know besides the decision."""
    tests, trial = case.tests, case.trial
    found = []
    if tests.still_failing:
        found.append(f"{len(tests.still_failing)} failed before and fail as before.")
    if tests.flaky:
        found.append(f"Flaky, so not counted: {name_tests(tests.flaky)}.")
    found += _endless_before(trial, tests.fixed)
    if trial.by_order:
        found.append(f"Judged in their place, since by themselves they do otherwise: {name_tests(trial.by_order)}.")
    if case.goals.idle:
        verb = "passes" if len(case.goals.idle) == 1 else "pass"
        found.append(f"The goal test {name_tests(case.goals.idle)} {verb} without the change too.")
    idle = [row.id for row in tests.added if not row.failed_without_change and row.id not in tests.new_failing]
    if idle:
        found.append(f"Proves nothing, since it passes without the change too: {name_tests(idle)}.")
    if trial.after.not_found:
        found.append(f"Not found: {', '.join(trial.after.not_found)}.")
    if not trial.before.finished and trial.after.finished:
        found.append(f"Without the change {trial.before.trouble}.")
    return found


def _endless_before(trial: Trial, fixed: Sequence[CaseId]) -> list[str]:
    """Which of the fixed tests did not end without the change, and how long was waited."""
    cases = {name: trial.before.cases[name] for name in fixed if name in trial.before.cases}
    stopped = {name: case.stopped_s for name, case in cases.items() if case.stopped_s}
    if not stopped:
        return []
    least, most = f"{min(stopped.values()):.0f}", f"{max(stopped.values()):.0f}"
    waited, verb = most if least == most else f"{least} to {most}", "was" if len(stopped) == 1 else "were"
    return [f"Without the change {name_tests(stopped)} did not end, and {verb} stopped after {waited} s."]
