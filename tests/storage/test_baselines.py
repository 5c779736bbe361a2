"""What is kept of runs: parts of it answer for parts of a suite, and it stays within its space."""

from pathlib import Path

import pytest

from agent_lsp.domain.baseline import Baseline, BaselineKey
from agent_lsp.domain.ports import SuiteRequest
from agent_lsp.domain.verdict import CaseResult, Outcome, SuiteReport
from agent_lsp.storage.baselines import StoredBaselines
from agent_lsp.storage.suite_memory import StoredSuiteMemory

KEY = BaselineKey("tree", "environment")


def report(*names: str, outcome: Outcome = Outcome.PASSED, **more: object) -> SuiteReport:
    cases = {name: CaseResult(name, outcome, "said", name.partition("::")[0], 3, 0.25, called=False) for name in names}
    made = {"runner": "pytest", "cases": cases, "collected": len(cases), "duration_s": 1.0, **more}
    return SuiteReport(**made)  # type: ignore[arg-type]


async def test_a_whole_run_answers_for_every_part_of_it_after_a_restart(tmp_path: Path) -> None:
    whole = report("a.py::x", "a.py::y[1]", "b.py::z", collection_errors={"c.py": "No module"}, touched=frozenset("a"))
    await StoredBaselines(tmp_path, 1_000_000).keep(KEY, Baseline(whole))
    found = await StoredBaselines(tmp_path, 1_000_000).find(KEY)
    assert found is not None
    assert found.report == whole
    assert found.covers(()) and found.covers(["a.py::y", "c.py"])  # noqa: PT018
    part = found.part(["a.py::y", "c.py", "gone.py"])
    assert list(part.cases) == ["a.py::y[1]"]
    assert part.collection_errors == {"c.py": "No module"}
    assert part.not_found == ("gone.py",)


async def test_runs_of_parts_are_joined_and_cover_only_what_they_were_asked_for(tmp_path: Path) -> None:
    store = StoredBaselines(tmp_path, 1_000_000)
    await store.keep(KEY, Baseline(report("a.py::x", "a.py::y"), ("a.py",)))
    await store.keep(KEY, Baseline(report("b.py::z", outcome=Outcome.FAILED), ("b.py::z",)))
    found = await store.find(KEY)
    assert found is not None
    assert not found.covers(())
    assert not found.covers(["b.py"])
    assert found.covers(["a.py::y", "b.py::z"])
    assert found.part(["b.py::z"]).failing() == {"b.py::z"}


@pytest.mark.parametrize("damage", [b"", b"\x00\x01", None])
async def test_what_is_damaged_or_gone_is_as_if_it_had_never_been(tmp_path: Path, damage: bytes | None) -> None:
    store = StoredBaselines(tmp_path, 1_000_000)
    await store.keep(KEY, Baseline(report("a.py::x")))
    [file] = tmp_path.iterdir()
    file.unlink() if damage is None else file.write_bytes(damage)
    assert await StoredBaselines(tmp_path, 1_000_000).find(KEY) is None
    await store.keep(KEY, Baseline(report("a.py::x")))
    assert await store.find(KEY) is not None


async def test_the_oldest_kept_runs_go_when_there_is_no_more_room(tmp_path: Path) -> None:
    store = StoredBaselines(tmp_path, 2_000)
    for number in range(20):
        await store.keep(BaselineKey(f"tree{number}", "environment"), Baseline(report("a.py::x")))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2_000
    assert await store.find(BaselineKey("tree19", "environment")) is not None
    assert await store.find(BaselineKey("tree0", "environment")) is None


async def test_a_run_that_is_larger_than_the_room_is_not_kept_and_costs_nobody_theirs(tmp_path: Path) -> None:
    store = StoredBaselines(tmp_path, 600)
    await store.keep(KEY, Baseline(report("a.py::x")))
    await store.keep(BaselineKey("large", ""), Baseline(report(*(f"a.py::{hash(n)}{n}" for n in range(2000)))))
    assert await store.find(KEY) is not None


async def test_memory_of_the_suite_outlives_its_runtime_and_its_damage(tmp_path: Path) -> None:
    file = tmp_path / "suite.json.z"
    memory = StoredSuiteMemory(file)
    ran = report(
        "a.py::x", "b.py::z", executed={"calc.py": {1: frozenset({"a.py::x"})}}, touched=frozenset({"calc.py"})
    )
    await memory.learn(SuiteRequest(watch=("calc.py",)), ran)
    await memory.audit(["calc.py"], ["b.py::z"])
    facts = await StoredSuiteMemory(file).facts()
    assert facts.durations_s == {"a.py::x": 0.25, "b.py::z": 0.25}
    assert (facts.whole_s, facts.unended, facts.touched) == (1.0, False, frozenset({"calc.py"}))
    assert facts.ran_by == {"calc.py": frozenset({"a.py::x"})}
    assert facts.missed_by == {"calc.py": frozenset({"b.py::z"})}
    file.write_bytes(b"no")
    assert (await StoredSuiteMemory(file).facts()).durations_s == {}


async def test_a_run_that_did_not_end_tells_how_long_the_whole_takes_at_least(tmp_path: Path) -> None:
    memory = StoredSuiteMemory(tmp_path / "suite.json.z")
    cut = report("a.py::x", finished=False, timed_out=True, duration_s=600.0)
    await memory.learn(SuiteRequest(), cut)
    facts = await memory.facts()
    assert (facts.whole_s, facts.unended) == (600.0, True)
