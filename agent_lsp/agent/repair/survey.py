"""Owns the first look of a repair: one run of the tests that says what fails and which lines it ran."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from agent_lsp.agent.repair.goals import is_named, named_tests
from agent_lsp.agent.repair.localise import Suspicion, by_text, groups, ochiai, weighed
from agent_lsp.agent.repair.source import parse
from agent_lsp.domain.changes import HunkClass, classify
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import Candidate, SuiteRequest, SuiteRunner
from agent_lsp.domain.task import Goal
from agent_lsp.domain.text import decode
from agent_lsp.domain.verdict import CaseResult, SuiteReport

_MOST_WATCHED_FILES = 2000
_MOST_AROUND, _MOST_AROUND_CHARACTERS = 120, 1_500_000
_SHOWN_TESTS = 5
_START_UP_S = 1.0
_HANG_S = 10.0
_LIMIT_S = 3.0
"""A test that takes longer is stopped; whether it hangs or only takes its time is then looked at."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first run showed. `trouble` is a sentence when there is nothing to search for, else empty.

    `selection` is what the runner was asked for; `targets` are failing tests, and files that could not be collected.
    `texts` are the source files that may hold the bug, `around` some others that may hold what is missing there,
    `tests` the files of the targets.
    """

    selection: tuple[str, ...]
    report: SuiteReport
    targets: tuple[CaseId, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    around: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""

    def timeout_s(self, tests: Sequence[CaseId]) -> float:
        """How long a try may take: two seconds, twice the start of the runner, and five times these tests."""
        cases = self.report.cases
        start_up = max(0.0, self.report.duration_s - sum(case.duration_s for case in cases.values()))
        start_up = _START_UP_S if self.report.timed_out else start_up
        return 2.0 + 2.0 * start_up + 5.0 * sum(cases[test].duration_s for test in tests if test in cases)

    def hangs(self, test: CaseId) -> bool:
        """Whether a test was stopped because it took too long."""
        case = self.report.cases.get(test)
        return case is not None and case.outcome.bad and (_stopped(case) or case.message in self.report.trouble)

    def suspicion(self, tests: Sequence[CaseId], texts: Mapping[str, str]) -> Suspicion:
        """What these failing tests accuse: by the lines they ran, else by what their failures say. Takes a while."""
        found = ochiai(self.report, tests)
        if found:
            read = (parse(path, texts[path]) for path in found if path in texts)
            return weighed(found, [source for source in read if source is not None])
        said = [self.report.cases[test].message for test in tests if test in self.report.cases]
        said += [text for path, text in self.report.collection_errors.items() if path in tests]
        parsed = [source for source in (parse(path, text) for path, text in texts.items()) if source is not None]
        return by_text(parsed, "\n".join([*said, self.report.output]), self.tests.values())

    def groups(self) -> list[tuple[CaseId, ...]]:
        """The targets, parted by what they seem to have in common; files that could not be collected come last."""
        ran = self.report.executed_failing
        sources = [source for source in (parse(path, self.texts[path]) for path in self.texts if path in ran) if source]
        files = tuple(target for target in self.targets if target not in self.report.cases)
        cases = [target for target in self.targets if target in self.report.cases]
        return groups(self.report, cases, sources) + ([files] if files else [])


async def survey(
    goal: Goal, candidate: Candidate, runner: SuiteRunner, timeout_s: float, on_case: Callable[[CaseId, int], None]
) -> Survey:
    """Runs the goal's tests, their neighbours included, with every source file watched.

    Raises RunnerUnavailableError.
    """
    named = goal.tests or named_tests(goal.text)
    selection = _selection(goal, named)
    paths = await candidate.paths()
    watch = tuple(path for path in paths if path.endswith(".py") and classify(path) is HunkClass.SOURCE)
    if len(watch) > _MOST_WATCHED_FILES:
        seen = await runner.run(candidate, SuiteRequest(selection, (), timeout_s), on_case)
        watch = tuple(path for path in watch if path in seen.touched)
    report = await runner.run(candidate, SuiteRequest(selection, watch, timeout_s, test_limit_s=_LIMIT_S), on_case)
    if await _only_slow(candidate, runner, report):
        report = await runner.run(candidate, SuiteRequest(selection, watch, timeout_s), on_case)
    targets = _targets(report, named)
    innocent = await _slow_only(candidate, runner, report, targets)
    targets = tuple(target for target in targets if target not in innocent)
    trouble = _trouble(report, named, targets, timeout_s)
    if trouble:
        return Survey(selection, report, trouble=trouble)
    told = () if report.collection_errors else report.executed_failing
    texts = await _texts(candidate, told or watch)
    tests = await _texts(candidate, dict.fromkeys(target.partition("::")[0] for target in targets))
    if not texts:
        trouble = f"{shown_tests(targets)} fails, but the workspace has no Python source besides its tests to search in"
    around = await _around(candidate, texts, paths)
    return Survey(selection, report, targets, texts, around, tests, trouble)


def shown_tests(tests: Sequence[CaseId]) -> str:
    """Names of tests for a sentence; the first few of many."""
    more = len(tests) - _SHOWN_TESTS
    return ", ".join(tests[:_SHOWN_TESTS]) + (f" and {more} more" if more > 0 else "")


def _selection(goal: Goal, named: tuple[str, ...]) -> tuple[str, ...]:
    """Whole files where tests are named by id, so that the tests beside them tell suspicious lines from others."""
    if goal.scope:
        return goal.scope
    if not named or any(".py" not in name for name in named):
        return ()
    return tuple(dict.fromkeys(name.partition("::")[0] for name in named))


def _targets(report: SuiteReport, named: tuple[str, ...]) -> tuple[CaseId, ...]:
    files = {name.partition("::")[0] for name in named}
    failing = [case for case in report.cases if report.cases[case].outcome.bad]
    failing = [case for case in failing if not named or is_named(case, named)]
    broken = [path for path in sorted(report.collection_errors) if not named or path in files]
    return (*failing, *(path for path in broken if path not in failing))


def _trouble(report: SuiteReport, named: tuple[str, ...], targets: tuple[CaseId, ...], timeout_s: float) -> str:
    if targets:
        return ""
    if report.timed_out:
        return (
            f"the tests did not end within {timeout_s:.0f} s, so it is not known which of them fail; "
            "name the failing test in the goal to have only its file run"
        )
    if not report.finished:
        return f"the test run broke off before its end: {report.trouble or 'no reason was given'}"
    if not report.cases:
        return "no tests were found, so there is nothing to make pass"
    if named:
        known = [case for case in report.cases if is_named(case, named)]
        if not known:
            return f"no such test was found: {shown_tests(named)}"
        return f"already passing without a change: {shown_tests(known)}"
    return f"no test fails: all {report.ran} tests that ran passed"


async def _slow_only(
    candidate: Candidate, runner: SuiteRunner, report: SuiteReport, targets: Sequence[CaseId]
) -> frozenset[CaseId]:
    """Of the tests that the end of the time cut off, those that do not hang: alone they pass."""
    cut = [target for target in targets if target in report.cases and report.cases[target].message in report.trouble]
    if not report.timed_out or not cut:
        return frozenset()
    again = await runner.run(candidate, SuiteRequest(tuple(cut), (), _HANG_S))
    return again.passing()


async def _only_slow(candidate: Candidate, runner: SuiteRunner, report: SuiteReport) -> bool:
    """Whether a test that was stopped ends where it has more time, passing or not."""
    stopped = [case.id for case in report.cases.values() if case.outcome.bad and _stopped(case)]
    if not stopped:
        return False
    request = SuiteRequest((stopped[0],), (), _HANG_S, test_limit_s=_HANG_S * 0.7)
    again = await runner.run(candidate, request)
    case = again.cases.get(stopped[0])
    return case is not None and not again.timed_out and not _stopped(case)


def _stopped(case: CaseResult) -> bool:
    return "and was stopped" in case.message


async def _around(candidate: Candidate, texts: Mapping[str, str], paths: Iterable[str]) -> dict[str, str]:
    """Sources that no failing test ran, those of the same folders first, up to a number and a size."""
    folders = {PurePosixPath(path).parent for path in texts}
    others = [path for path in paths if path.endswith(".py") and path not in texts]
    others = [path for path in others if classify(path) is HunkClass.SOURCE]
    others.sort(key=lambda path: (PurePosixPath(path).parent not in folders, path))
    found: dict[str, str] = {}
    left = _MOST_AROUND_CHARACTERS
    for path in others[:_MOST_AROUND]:
        found |= await _texts(candidate, (path,))
        left -= len(found.get(path, ""))
        if left <= 0:
            break
    return found


async def _texts(candidate: Candidate, paths: Iterable[str]) -> dict[str, str]:
    found = {}
    for path in paths:
        entry = await candidate.read(path)
        decoded = decode(entry.content) if entry else None
        if decoded is not None:
            found[path] = decoded.text
    return found
