"""The soak test's quick gate says what the real one says: the same changes, each judged by both."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.verdict import Decision, Verdict
from tests.soak.slots import Slot, Text, case_of
from tests.soak.world import SoakWorld

PATH = "alpha.py"
BASE = Text(PATH, (-1, 1, 1, -1))
"""Two tests fail and two pass before anything is changed."""


def slot(number: int) -> Slot:
    return PATH, number


def ids(*numbers: int) -> tuple[str, ...]:
    return tuple(case_of(slot(number)) for number in numbers)


CASES: Mapping[str, tuple[dict[int, int], tuple[int, ...], Decision, tuple[int, ...], tuple[int, ...]]] = {
    "fixes one": ({0: 2}, (), Decision.PROVEN, (0,), ()),
    "fixes what was asked": ({0: 2, 3: 2}, (0, 3), Decision.PROVEN, (0, 3), ()),
    "fixes a part of what was asked": ({0: 2}, (0, 3), Decision.FAILED, (0,), ()),
    "breaks one": ({1: -2}, (), Decision.REGRESSED, (), (1,)),
    "fixes one and breaks one": ({0: 2, 1: -2}, (), Decision.REGRESSED, (0,), (1,)),
    "fixes what was asked and breaks one": ({0: 2, 1: -2}, (0,), Decision.REGRESSED, (0,), (1,)),
    "breaks one and leaves what was asked": ({1: -2}, (0,), Decision.REGRESSED, (), (1,)),
    "changes nothing that is tested": ({1: 5}, (), Decision.PASSED, (), ()),
    "changes what no passing test runs": ({0: -5}, (), Decision.UNDECIDED, (), ()),
    "changes that besides": ({0: -5, 1: 5}, (), Decision.UNDECIDED, (), ()),
    "changes that and fixes one": ({0: 2, 3: -7}, (), Decision.PASSED, (0,), ()),
    "changes that and breaks one": ({0: -5, 1: -7}, (), Decision.REGRESSED, (), (1,)),
    "changes that and leaves what was asked": ({0: -5}, (0,), Decision.FAILED, (), ()),
}


@pytest.mark.parametrize("real", [False, True], ids=["quick", "real"])
async def test_both_gates_say_the_same(real: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_LSP_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "workspace").mkdir()
    world = SoakWorld(tmp_path / "workspace", real_gate=real)
    await world.begin()
    (world.root / PATH).write_text(str(BASE))
    for name, (values, goals, decision, fixed, broken) in CASES.items():
        verdict = await judged(world, values, ids(*goals))
        assert verdict.decision is decision, (name, verdict)
        assert set(verdict.fixed) == set(ids(*fixed)), name
        assert set(verdict.broken) == set(ids(*broken)), name
        assert set(verdict.still_failing) == set(ids(0, 3)) - set(ids(*fixed)), name
        assert verdict.collected == verdict.ran == 12, name
    await world.end()


async def judged(world: SoakWorld, values: Mapping[int, int], goals: tuple[str, ...]) -> Verdict:
    """The verdict of a change of these slots."""
    base = await world.laboratory.trees.snapshot(())
    text = BASE
    for number, value in values.items():
        text = text.with_value(number, value)
    edit = FileEdit(PATH, Entry(str(BASE).encode()), Entry(str(text).encode()))
    return (await world.gate.validate(base.tree, (edit,), goal_tests=goals)).verdict
