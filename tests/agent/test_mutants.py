"""Small faults in proven changes, tried with the real gate and real pytest: what is noticed, and what is not said."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.agent.mutant_runs import MutantOptions, MutantRuns
from agent_lsp.domain.mutation_trial import Notice, Tried, told_of
from agent_lsp.domain.verdict import Decision, Evidence, Survivor, Verdict
from tests.agent.suite_project import Project

CODE = "def price(cents, percent=0):\n    return cents - cents * percent\n"
FIXED = """
def price(cents, percent=0):
    if cents < 100:
        return cents
    return cents - cents * percent // 100
"""
LAX = """
from prices import price


def test_a_discount_is_taken_off():
    assert price(1000, 10) == 900


def test_small_change_stays():
    assert price(50, 10) == 50
"""
STRICT = LAX + "\n\ndef test_edges():\n    assert price(100, 10) == 90\n    assert price(1005, 10) == 905\n"
FAILS = "import prices\n\n\ndef test_that_always_fails():\n    assert prices.price(50, 10) == 1\n"
CONFIG = "[tool.pytest.ini_options]\npythonpath = ['.']\n"
FILES: Mapping[str, str] = {"prices.py": CODE, "tests/test_prices.py": LAX, "pyproject.toml": CONFIG}
CHANGE = {"prices.py": FIXED}

BOUNDARY = "`cents < 100` became `cents <= 100`"
DIVISION = "`cents * percent // 100` became `cents * percent / 100`"
RETURN = "`return cents` became `return None`"
PATIENT = {"budget_s": 600.0, "at_once_s": 600.0, "whole_s": 600.0, "least_s": 60.0, "longest_s": 200.0}
"""However busy the machine is."""

STAGED: Mapping[str, Any] = {"at_once_s": 0.0}
"""Counts every suite as one that takes too long to be run whole at once."""


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins of this project's own environment take longer to load than the small suites to run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


class Shop(Project):
    """A project whose proven changes are tried as well."""

    def runs(self, **options: Any) -> MutantRuns:
        return MutantRuns(self.pool, self.finder, lambda: MutantOptions(**(PATIENT | options)))

    async def proven(self, change: Mapping[str, str | None]) -> Evidence:
        """As the gate would have it of the one run with the change, which is what is looked at: the rest takes time."""
        edits = await self.edits(change)
        tree = await self.trees.write(await self.tree(), edits)
        candidate = await self.pool.open(tree)
        try:
            after = await self.gate.run_once(candidate, watch=[edit.path for edit in edits])
        finally:
            await candidate.close()
        return Evidence(Verdict(Decision.PROVEN, candidate=tree), None, after)

    async def tried(
        self, change: Mapping[str, str | None], evidence: Evidence | None = None, **options: Any
    ) -> tuple[Tried, ...]:
        evidence = evidence or await self.proven(change)
        return await self.runs(**options).examine(await self.edits(change), evidence)


def seen(tried: tuple[Tried, ...]) -> dict[str, Notice]:
    return {row.mutant.text: row.notice for row in tried}


async def test_what_no_test_notices_is_listed_with_its_line_and_the_decision_stays(tmp_path: Path) -> None:
    shop = Shop(tmp_path, FILES)
    evidence = await shop.evidence(CHANGE)
    assert evidence.verdict.decision is Decision.PROVEN, evidence.verdict.reasons
    runs = shop.runs()
    assert runs.concerns(evidence)
    assert not shop.runs(most=0).concerns(evidence)

    tried = await runs.examine(await shop.edits(CHANGE), evidence)
    verdict = told_of(evidence.verdict, tried)

    assert seen(tried) == {BOUNDARY: Notice.UNNOTICED, DIVISION: Notice.UNNOTICED, RETURN: Notice.NOTICED}
    assert verdict.decision is Decision.PROVEN
    assert verdict.survivors == (Survivor("prices.py", 1, BOUNDARY), Survivor("prices.py", 3, DIVISION))
    named = f"prices.py:2 ({BOUNDARY}), prices.py:4 ({DIVISION})"
    said = f"2 of 3 small changes to the changed lines were not noticed by any test: {named}."
    assert verdict.reasons == (*evidence.verdict.reasons, said)
    assert not runs.concerns(Evidence(verdict, evidence.before, evidence.after)), "once is enough"


async def test_where_all_are_noticed_it_is_said_and_a_test_that_always_fails_notices_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, {**FILES, "tests/test_prices.py": STRICT, "tests/test_a.py": FAILS})
    evidence = await shop.proven(CHANGE)
    verdict = told_of(evidence.verdict, await shop.tried(CHANGE, evidence, **STAGED))
    assert verdict.survivors == ()
    assert verdict.reasons[-1] == ("Each of 3 small changes to the changed lines, made to try the tests, was noticed.")
    lax = Shop(tmp_path / "lax", {**FILES, "tests/test_a.py": FAILS})
    assert seen(await lax.tried(CHANGE, most=1)) == {BOUNDARY: Notice.UNNOTICED}


async def test_a_test_that_looks_from_another_process_notices_too(tmp_path: Path) -> None:
    child = """
    import subprocess, sys

    def test_the_edge():
        code = "import prices; print(prices.price(100, 10))"
        out = subprocess.run([sys.executable, "-c", code], stdout=-1, check=True)
        assert out.stdout.split() == [b"90"]
    """
    shop = Shop(tmp_path, {**FILES, "tests/test_child.py": child})
    evidence = await shop.proven(CHANGE)
    assert evidence.after is not None
    assert "tests/test_child.py::test_the_edge" not in evidence.after.executed["prices.py"][2], "nobody sees it there"
    assert seen(await shop.tried(CHANGE, evidence, most=1, **STAGED)) == {BOUNDARY: Notice.NOTICED}
    without_all = seen(await shop.tried(CHANGE, evidence, most=1, whole_s=0.0, **STAGED))
    assert without_all == {BOUNDARY: Notice.UNCLEAR, DIVISION: Notice.UNCLEAR, RETURN: Notice.NOTICED}


async def test_a_test_that_fails_by_itself_notices_nothing_by_itself(tmp_path: Path) -> None:
    leaning = """
    from prices import price

    state = []

    def test_first():
        state.append(price(1000, 10))
        assert state == [900]

    def test_second():
        assert state
        assert price(50, 10) == 50
    """
    shop = Shop(tmp_path, {**FILES, "tests/test_prices.py": leaning})
    found = seen(await shop.tried(CHANGE, most=1, whole_s=0.0, **STAGED))
    assert found[RETURN] is Notice.UNCLEAR, "only test_second runs that line, and alone it fails anyway"


async def test_a_fault_that_lets_a_test_run_for_ever_is_noticed_in_bounded_time(tmp_path: Path) -> None:
    code = "def last(n):\n    while n > 1:\n        n -= 3\n    return n\n"
    tests = "from count import last\n\n\ndef test_last():\n    assert last(9) == 1\n"
    shop = Shop(tmp_path, {"count.py": code, "tests/test_count.py": tests, "pyproject.toml": CONFIG})
    tried = await shop.tried({"count.py": code.replace("3", "2")}, most=2, least_s=2.0)
    assert seen(tried) == {"`n -= 2` became `n -= 3`": Notice.NOTICED, "`n -= 2` was removed": Notice.NOTICED}


async def test_no_time_is_no_claim(tmp_path: Path) -> None:
    shop = Shop(tmp_path, FILES)
    evidence = await shop.proven(CHANGE)
    tried = await shop.tried(CHANGE, evidence, budget_s=0.5)
    assert set(seen(tried).values()) <= {Notice.UNCLEAR}
    assert told_of(evidence.verdict, tried) is evidence.verdict
