"""Owns what a kept run of an unchanged tree can answer for: whether it covers a question, and the part it gives."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent_lsp.domain.comparison import within
from agent_lsp.domain.verdict import SuiteReport


@dataclass(frozen=True, slots=True)
class BaselineKey:
    """What a run depends on: the tree, and the fingerprint of everything else (see workspace/fingerprint.py)."""

    tree: str
    environment: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """Finished runs of one key. `asked` are the ids and paths that were run; empty: the whole suite.

    `ignored` are the files outside of the tree that the runs read, with a mark of their state.
    """

    report: SuiteReport
    asked: tuple[str, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()

    def covers(self, tests: Sequence[str]) -> bool:
        """Whether every asked test was run, if it is there."""
        if not self.asked:
            return True
        return bool(tests) and all(any(within(test, place) for place in self.asked) for test in tests)

    def part(self, tests: Sequence[str]) -> SuiteReport:
        """The report as a run of these tests alone would have written it."""
        if not tests:
            return self.report
        whole = self.report
        cases = {name: case for name, case in whole.cases.items() if any(within(name, test) for test in tests)}
        files = {test.partition("::")[0] for test in tests}
        errors = {
            place: text
            for place, text in whole.collection_errors.items()
            if any(within(place, file) or within(file, place) for file in files)
        }
        places = [*cases, *errors]
        missing = [test for test in tests if not any(within(place, test) or within(test, place) for place in places)]
        return replace(
            whole,
            cases=cases,
            collected=len(cases),
            collection_errors=errors,
            duration_s=sum(case.duration_s for case in cases.values()),
            not_found=tuple(missing),
            trouble=f"not found: {', '.join(missing)}" if missing else "",
        )


def joined(old: Baseline | None, new: Baseline) -> Baseline:
    """Both runs as one; of a test that both ran, the newer result. A whole run stands for itself."""
    if old is None or not new.asked:
        return new
    report = replace(
        old.report,
        cases={**old.report.cases, **new.report.cases},
        collection_errors={**old.report.collection_errors, **new.report.collection_errors},
        touched=old.report.touched | new.report.touched,
        duration_s=max(old.report.duration_s, new.report.duration_s),
    )
    asked = tuple(dict.fromkeys([*old.asked, *new.asked])) if old.asked else ()
    report = replace(report, collected=len(report.cases))
    return Baseline(report, asked, tuple(dict([*old.ignored, *new.ignored]).items()))
