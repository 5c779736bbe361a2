"""The embedded engines on small projects: what they propose, what they refuse to, and what they leave behind."""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.agent.engines import PlanTask, ReflectionTask, StepOutcome
from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.domain.plan import Assessment, ReflectionDecision
from agent_lsp.domain.task import Goal
from agent_lsp.domain.verdict import Decision, Evidence, Verdict
from tests.agent.repair.bench import CLOCK, Bench, lay_out

GOAL = Goal("make the failing tests pass")
ADD = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return 2 * a\n"
TESTS = """from calc import add, double

def test_add(): assert add(1, 2) == 3
def test_zero(): assert add(4, 0) == 4
def test_double(): assert double(2) == 4
"""
WILD = "# Grüße 🎉\r\ndef add(a, b):\r\n\treturn a - b  # süß\r\n\r\ndef double(a):\r\n\treturn 2 * a"
HOPELESS = """def shout(text):
    return text
"""
HOPELESS_TESTS = """from calc import shout

def test_empty(): assert shout("") == ""
def test_shout(): assert shout("ab") == "AB!"
"""


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, StepOutcome]:
    """One repair of a file with line ends and characters of its own; one of its tests writes into the workspace."""
    writing = "\ndef test_writes(): open('left_behind.txt', 'w').write('x')\n"
    files = {"calc.py": WILD.replace("- b", "* b"), "test_calc.py": TESTS + writing}
    bench = Bench(lay_out(tmp_path_factory.mktemp("mended"), files))
    return bench, asyncio.run(bench.repair(GOAL))


def test_the_summary_says_what_was_found_where_how_and_by_whom(mended: tuple[Bench, StepOutcome]) -> None:
    bench, outcome = mended
    assert outcome.finished
    assert outcome.goal_tests == ("test_calc.py::test_add", "test_calc.py::test_zero")
    assert "calc.py, line 3: `return a * b # süß` became `return a + b # süß` (arithmetic operator)" in outcome.summary
    assert "not by a language model" in outcome.summary
    assert "test_calc.py::test_add, test_calc.py::test_zero pass" in outcome.summary
    assert f"{len(bench.tries)} edit" in outcome.summary
    assert "2 tests passed before" in outcome.summary
    assert "others may pass" not in outcome.summary


def test_every_try_is_journalled_and_told_with_its_share_of_the_work(mended: tuple[Bench, StepOutcome]) -> None:
    bench, _ = mended
    assert [row["try"] for row in bench.tries] == list(range(1, len(bench.tries) + 1))
    last = bench.tries[-1]
    assert (last["path"], last["line"], last["result"]) == ("calc.py", 3, "proven")
    assert (last["before"], last["after"]) == ("return a * b # süß", "return a + b # süß")
    shares = [share for message, share in bench.told if message.startswith("Try ")]
    assert 0 < len(shares) <= len(bench.tries)
    assert all(share is not None and 0 <= share < 100 for share in shares)


def test_line_ends_and_characters_of_the_file_survive_the_edit(mended: tuple[Bench, StepOutcome]) -> None:
    after = mended[0].changes[0].after
    assert after is not None
    assert after.content == WILD.replace("- b", "+ b").encode()


def test_what_the_tests_wrote_is_no_part_of_the_change(mended: tuple[Bench, StepOutcome]) -> None:
    assert [edit.path for edit in mended[0].changes] == ["calc.py"]


async def test_an_edit_that_mends_the_failing_test_and_breaks_another_is_passed_over(tmp_path: Path) -> None:
    source = "def grade(points):\n    return 1 if points == 50 else 0\n"
    tests = """from calc import grade

def test_low(): assert grade(10) == 0
def test_edge(): assert grade(50) == 1
def test_high(): assert grade(90) == 1
"""
    bench = Bench(lay_out(tmp_path, {"calc.py": source, "test_calc.py": tests}))
    outcome = await bench.repair(GOAL)
    assert outcome.finished, outcome.reason
    assert bench.tries[0]["after"] == "return 1 if points != 50 else 0"
    assert bench.tries[0]["result"] == "breaks other tests"
    assert bench.added_lines() == ["return 1 if points >= 50 else 0"]


async def test_where_every_mending_edit_breaks_another_test_none_is_proposed(tmp_path: Path) -> None:
    tests = """from calc import plain

def test_zero(): assert not plain(0)
def test_contrary(): assert plain(0)
"""
    bench = Bench(lay_out(tmp_path, {"calc.py": "def plain(number):\n    return number\n", "test_calc.py": tests}))
    outcome = await bench.repair(GOAL)
    assert not outcome.finished
    assert bench.changes == ()
    assert {row["result"] for row in bench.tries} == {"breaks other tests", "still fails"}
    assert "broke others" in outcome.reason
    assert "no other edit is left to try" in outcome.reason


async def test_edits_that_make_the_tests_hang_are_survived(tmp_path: Path) -> None:
    source = """def countdown(number):
    steps = 0
    while number > 0:
        number -= 1
        steps -= 1
    return steps
"""
    tests = """from calc import countdown

def test_none(): assert countdown(0) == 0
def test_three(): assert countdown(3) == 3
"""
    bench = Bench(lay_out(tmp_path, {"calc.py": source, "test_calc.py": tests}))
    outcome = await bench.repair(GOAL)
    assert outcome.finished, outcome.reason
    results = {row["after"]: row["result"] for row in bench.tries}
    assert results["number += 1"] == "timed out"
    assert results["steps += 1"] == "proven"
    assert bench.added_lines() == ["steps += 1"]


async def test_the_same_project_is_searched_in_the_same_order_twice(tmp_path: Path) -> None:
    files = {"calc.py": ADD.replace("a - b", "min(a, b) if a else b + 1"), "test_calc.py": TESTS}
    rows = []
    for _ in range(2):
        bench = Bench(lay_out(tmp_path, files), RepairOptions(tries=3))
        await bench.repair(GOAL)
        rows.append([(row["path"], row["before"], row["after"], row["result"]) for row in bench.tries])
    assert len(rows[0]) == 3
    assert rows[0] == rows[1]


async def test_the_search_ends_at_its_number_of_tries_and_leaves_nothing(tmp_path: Path) -> None:
    source = HOPELESS.replace("return text", "return text[0:len(text)]")
    files = {"calc.py": source, "test_calc.py": HOPELESS_TESTS}
    bench = Bench(lay_out(tmp_path, files), RepairOptions(tries=4))
    outcome = await bench.repair(GOAL)
    assert not outcome.finished
    assert len(bench.tries) == 4
    assert bench.changes == ()
    assert "the limit of 4 tries was reached" in outcome.reason
    assert "test_calc.py::test_shout" in outcome.reason


async def test_the_search_ends_when_its_time_is_over(tmp_path: Path) -> None:
    source = HOPELESS.replace("return text", "return text[0:len(text)]")
    files = {"calc.py": source, "test_calc.py": HOPELESS_TESTS}
    ticks = itertools.count(0.0, 10.0)
    clock = replace(CLOCK, monotonic=lambda: next(ticks))
    bench = Bench(lay_out(tmp_path, files), RepairOptions(tries=500, wall_clock_s=60.0), clock)
    outcome = await bench.repair(GOAL)
    assert not outcome.finished
    assert 1 <= len(bench.tries) <= 5
    assert bench.changes == ()
    assert "the limit of 60 s was reached" in outcome.reason


async def test_the_bug_is_found_in_another_file_of_a_src_layout_and_told_with_its_path(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["src"]\ntestpaths = ["tests"]\n',
        "src/shop/__init__.py": "from shop.cart import total\n",
        "src/shop/cart.py": "from shop.tax import taxed\n\n\ndef total(prices):\n    return taxed(sum(prices))\n",
        "src/shop/tax.py": "RATE = 10\n\n\ndef taxed(amount):\n    return amount - amount * RATE // 100\n",
        "src/shop/unused.py": "def never(a, b):\n    return a - b\n",
        "tests/test_cart.py": """from shop import total

def test_empty(): assert total([]) == 0
def test_two(): assert total([50, 50]) == 110
""",
    }
    bench = Bench(lay_out(tmp_path, files))
    outcome = await bench.repair(GOAL)
    assert outcome.finished, outcome.reason
    assert bench.added_lines() == ["return amount + amount * RATE // 100"]
    assert "src/shop/tax.py, line 5" in outcome.summary
    assert {row["path"] for row in bench.tries} <= {"src/shop/tax.py", "src/shop/cart.py", "src/shop/__init__.py"}


async def test_two_unrelated_bugs_are_both_mended(tmp_path: Path) -> None:
    files = {"calc.py": ADD.replace("2 * a", "3 * a"), "test_calc.py": TESTS}
    bench = Bench(lay_out(tmp_path, files))
    outcome = await bench.repair(GOAL)
    assert outcome.finished, outcome.reason
    assert sorted(bench.added_lines()) == ["return 2 * a", "return a + b"]
    assert set(outcome.goal_tests) == {"test_calc.py::test_add", "test_calc.py::test_double"}


async def test_only_the_named_test_is_worked_for(tmp_path: Path) -> None:
    files = {"calc.py": ADD.replace("2 * a", "a"), "test_calc.py": TESTS}
    bench = Bench(lay_out(tmp_path, files))
    outcome = await bench.repair(Goal("make test_calc.py::test_add pass"))
    assert outcome.finished, outcome.reason
    assert bench.added_lines() == ["return a + b"]
    assert outcome.goal_tests == ("test_calc.py::test_add",)


async def test_a_mend_of_some_of_the_failing_tests_says_which_still_fail(tmp_path: Path) -> None:
    files = {
        "calc.py": ADD + "\n\n" + HOPELESS,
        "test_calc.py": TESTS + HOPELESS_TESTS,
    }
    bench = Bench(lay_out(tmp_path, files), RepairOptions(tries=8))
    outcome = await bench.repair(GOAL)
    assert outcome.finished, outcome.reason
    assert bench.added_lines() == ["return a + b"]
    assert "Still failing" in outcome.summary
    assert "test_calc.py::test_shout" in outcome.summary


async def test_a_module_that_fails_on_import_is_mended(tmp_path: Path) -> None:
    source = "def limits(low, high):\n    return [low, high][2]\n\n\nTOP = limits(1, 9)\n"
    tests = "from calc import TOP\n\ndef test_top(): assert TOP == 9\n"
    bench = Bench(lay_out(tmp_path, {"calc.py": source, "test_calc.py": tests}), RepairOptions(tries=5))
    outcome = await bench.repair(GOAL)
    assert outcome.finished, outcome.reason
    assert bench.added_lines() == ["return [low, high][1]"]
    assert "Not proven" in outcome.summary
    assert "others may pass the same tests" in outcome.summary


@pytest.mark.parametrize(
    ("files", "goal", "said"),
    [
        ({"calc.py": ADD.replace("-", "+"), "test_calc.py": TESTS}, GOAL, "no test fails: all 3 tests"),
        ({"calc.py": ADD}, GOAL, "no tests were found"),
        ({"calc.py": ADD, "test_calc.py": TESTS}, Goal("fix test_calc.py::test_double"), "already passing"),
        ({"calc.py": ADD, "test_calc.py": TESTS}, Goal("fix test_nowhere"), "no such test was found: test_nowhere"),
        ({"test_calc.py": "def test_it(): assert 1 == 2\n"}, GOAL, "no Python source besides its tests"),
    ],
)
async def test_where_there_is_nothing_to_search_the_reason_says_so(
    tmp_path: Path, files: Mapping[str, str], goal: Goal, said: str
) -> None:
    bench = Bench(lay_out(tmp_path, files))
    outcome = await bench.repair(goal)
    assert not outcome.finished
    assert said in outcome.reason
    assert bench.tries == []


async def test_cancelling_in_the_middle_of_a_try_restores_the_file(tmp_path: Path) -> None:
    source = HOPELESS.replace("return text", "return text[0:len(text)]")
    bench = Bench(lay_out(tmp_path, {"calc.py": source, "test_calc.py": HOPELESS_TESTS}))
    task, engines = await bench.open(GOAL)
    reached = asyncio.Event()

    def second_try(row: Mapping[str, Any]) -> None:
        if row["try"] == 2:
            asyncio.get_running_loop().call_later(0.2, reached.set)

    bench.on_try = second_try
    try:
        work = asyncio.create_task(engines.execution.execute(task))
        await reached.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert await task.candidate.harvest() == ()
    finally:
        await task.candidate.close()


async def test_the_plan_is_one_step_that_names_the_failing_tests(tmp_path: Path) -> None:
    bench = Bench(lay_out(tmp_path, {"calc.py": ADD, "test_calc.py": TESTS}))
    task, engines = await bench.open(GOAL)
    try:
        plan = await engines.planning.plan(
            PlanTask(GOAL, task.candidate, task.base_tree, lambda _message, _share: None, lambda _kind, _data: None)
        )
    finally:
        await task.candidate.close()
    assert plan.assessment is Assessment.SIMPLE
    assert [step.title for step in plan.steps] == ["Make test_calc.py::test_add pass"]
    assert "without a language model" in plan.steps[0].detail


async def test_after_a_refusal_the_search_goes_on_with_what_it_has_not_tried(tmp_path: Path) -> None:
    source = "def double(a):\n    return a - 2\n"
    tests = "from calc import double\n\ndef test_double(): assert double(2) == 4\n"
    bench = Bench(lay_out(tmp_path, {"calc.py": source, "test_calc.py": tests}))
    task, engines = await bench.open(GOAL)
    refused = Evidence(Verdict(Decision.REGRESSED, ("it broke test_other",)))
    try:
        first = await engines.execution.execute(task)
        assert first.finished
        asked = ReflectionTask(
            GOAL, task.plan, 0, task.candidate, task.base_tree, first, refused, "", 2, task.tell, task.journal
        )
        reflection = await engines.reflection.reflect(asked)
        assert reflection.decision is ReflectionDecision.RETRY
        assert "it broke test_other" in reflection.reason
        second = await engines.execution.execute(replace(task, feedback=reflection.reason))
        left = await task.candidate.read("calc.py")
        none_left = await engines.reflection.reflect(replace(asked, tries_left=0))
    finally:
        await task.candidate.close()
    assert second.finished, second.reason
    assert left is not None
    assert left.content.decode() == source.replace("a - 2", "a * 2")
    tried = [row["after"] for row in bench.tries]
    assert len(tried) == len(set(tried))
    assert none_left.decision is ReflectionDecision.ABORT


async def test_a_search_without_a_find_is_given_up_with_its_reason(tmp_path: Path) -> None:
    bench = Bench(lay_out(tmp_path, {"calc.py": HOPELESS, "test_calc.py": HOPELESS_TESTS}), RepairOptions(tries=2))
    task, engines = await bench.open(GOAL)
    try:
        outcome = await engines.execution.execute(task)
        asked = ReflectionTask(
            GOAL, task.plan, 0, task.candidate, task.base_tree, outcome, None, "", 2, task.tell, task.journal
        )
        reflection = await engines.reflection.reflect(asked)
    finally:
        await task.candidate.close()
    assert reflection.decision is ReflectionDecision.ABORT
    assert reflection.reason == outcome.reason
