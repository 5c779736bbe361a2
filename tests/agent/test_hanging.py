"""The gate where failing tests hang: how long they are waited for, and that a slow test is never taken for one."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent_lsp.agent import validation_pace
from agent_lsp.agent.validation_pace import beside, hasty, hurried, once_more, paced, put_right
from agent_lsp.domain.ports import CaseLimits, SuiteRequest
from agent_lsp.domain.verdict import CaseResult, Decision, Outcome, SuiteReport
from tests.agent.suite_project import Project

ENDLESS = """
import time


def half(n):
    while True:
        pass


def answer():
    time.sleep(3)
    return 42
"""
QUICK = ENDLESS.replace("    while True:\n        pass", "    return n // 2").replace("    time.sleep(3)\n", "")
TESTS = """
from calc import answer, half


def test_one():
    assert half(2) == 1


def test_two():
    assert half(4) == 2


def test_answer():
    assert answer() == 42
"""
ONE, TWO, ANSWER = (f"test_calc.py::test_{name}" for name in ("one", "two", "answer"))


def run(**cases: float | str) -> SuiteReport:
    """Seconds of passing tests by name, or with a leading `!` the time after which one was stopped."""
    found = {}
    for name, told in cases.items():
        stopped_s = float(told[1:]) if isinstance(told, str) else 0.0
        outcome = Outcome.FAILED if stopped_s else Outcome.PASSED
        found[name] = CaseResult(name, outcome, duration_s=stopped_s or float(told), stopped_s=stopped_s)
    return SuiteReport("pytest", found, duration_s=sum(case.duration_s for case in found.values()))


async def test_hanging_tests_are_waited_for_once_and_slow_ones_get_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation_pace, "_FIRST_HANG_S", 4.0)  # else the test takes a minute longer
    project = Project(tmp_path, {"calc.py": ENDLESS, "test_calc.py": TESTS})

    evidence = await project.evidence({"calc.py": QUICK}, goal_tests=(ONE, TWO))

    assert evidence.verdict.decision is Decision.PROVEN, evidence.verdict.reasons
    assert {ONE, TWO} <= set(evidence.verdict.fixed)
    assert evidence.before is not None
    assert evidence.before.finished
    stopped = [evidence.before.cases[name].stopped_s for name in (ONE, TWO)]
    assert stopped == [4.0, 2.0], "the first gets the whole time, then little will do"
    assert any("did not end, and were stopped after 2 to 4 s" in reason for reason in evidence.verdict.reasons)

    # The slow test was stopped too, since with that change it is quick; that says nothing for other changes.
    verdict = await project.check({"calc.py": QUICK.replace("42", "41")}, goal_tests=(ONE, TWO))

    assert verdict.decision is Decision.REGRESSED, verdict.reasons
    assert verdict.broken == (ANSWER,)


@pytest.mark.parametrize(("runner", "runs"), [("pytest 9", 2), ("vitest 3", 1)])
async def test_a_side_that_is_still_begins_anew_where_its_runner_can_stop_single_tests(
    runner: str, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation_pace, "_STILL_S", 0.05)
    known: list[SuiteReport | None] = []
    changed, unchanged = replace(run(a=0.01), runner=runner), run(a="!30")

    async def base(other: SuiteReport | None, _beat: Callable[[], None]) -> SuiteReport:
        known.append(other)
        await asyncio.sleep(0.5 if other is None else 0.0)
        return unchanged

    async def with_change() -> SuiteReport:
        return changed

    assert await beside(base, with_change(), 600.0) == (unchanged, changed)
    assert known == [None, changed][:runs]


def test_a_test_that_hung_tells_no_time_and_gets_on_the_other_side_what_it_got() -> None:
    request = paced((), (), run(a="!100", b="!50", c=0.1), 600.0)
    assert request.test_limit_s == 10.0
    assert request.case_limits == CaseLimits({"a": 100.0, "b": 50.0})
    assert 150.0 < request.timeout_s <= 600.0
    assert paced((), (), run(c=2.0), 600.0).case_limits is None


def test_a_second_look_is_short_at_what_hung_and_ends_with_the_change() -> None:
    before, after = run(a="!30", b="!2", c="!10", d=0.1), run(a=0.01, b=0.5, c="!10", d=0.1)
    base, changed = once_more(("a", "b"), before, after, 600.0)
    assert base.case_limits == CaseLimits({"a": 2.0, "b": 5.0, "c": 10.0, "d": 10.0})
    assert changed == paced(("a", "b"), (), before, 600.0)


def test_where_only_short_waits_say_that_it_hangs_the_first_test_gets_the_long_one() -> None:
    base, _ = once_more(("b",), run(a="!30", b="!2"), run(a="!30", b=0.01), 600.0)
    assert base.case_limits is not None
    assert base.case_limits.once_hung
    assert base.test_limit_s == 30.0


def test_a_hurried_run_waits_long_for_the_first_and_by_the_other_side_for_the_others() -> None:
    request = hurried(SuiteRequest(), run(a=0.01, b=0.4, c="!10"), 600.0)
    assert request.test_limit_s == 30.0
    assert request.case_limits == CaseLimits({"a": 2.0, "b": 4.0}, once_hung=True)


def test_a_kept_run_that_waited_too_little_for_this_change_is_known_and_put_right() -> None:
    before = run(a="!30", b="!2", c="!2", d="!2", e=0.1)
    assert hasty(before, run(a=0.1, b=0.1, c=3.0, d="!10", e=0.1), 600.0) == ("c", "d")
    assert hasty(before, replace(run(a=0.1), cut_short=True), 600.0) == (), "what it did not come to says nothing"
    mended = put_right(before, ("c", "d"), run(c=3.0, d="!10"))
    assert mended.passing() == {"c", "e"}
    assert mended.cases["d"].stopped_s == 10.0
    unknown = put_right(before, ("c", "d"), run(c=3.0))
    assert "d" not in unknown.cases
    assert unknown.cut_short, "it is not known, and neither absent nor failing"
