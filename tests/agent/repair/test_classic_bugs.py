"""Holds the embedded engine to classic slips in small functions."""

from pathlib import Path

import pytest

from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.domain.task import Goal
from tests.agent.repair.bench import Bench, lay_out
from tests.agent.repair.bugs import BUGS, Bug


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
async def test_a_classic_slip_is_mended_where_it_is(bug: Bug, tmp_path: Path) -> None:
    bench = Bench(lay_out(tmp_path, bug.files()), RepairOptions(tries=200, wall_clock_s=90.0))
    outcome = await bench.repair(Goal("make the failing tests pass"))
    print(f"{bug.name}: {len(bench.tries)} tries, {bench.seconds:.1f} s: {bench.added_lines()}")
    assert outcome.finished, outcome.reason
    assert len(bench.added_lines()) == 1
    assert bench.added_lines()[0] in bug.mended
    assert outcome.goal_tests
