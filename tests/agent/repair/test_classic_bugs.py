"""Holds the embedded engine to classic slips in small functions: all by their place in the order, some end to end."""

from pathlib import Path

import pytest

from agent_lsp.agent.repair.edits import distinct, edits_of, in_order
from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.agent.repair.source import functions, parse
from agent_lsp.agent.repair.templates.registry import TEMPLATES
from agent_lsp.domain.task import Goal
from tests.agent.repair.bench import Bench, lay_out
from tests.agent.repair.bugs import BUGS, Bug

END_TO_END = (
    "swapped arguments",
    "wrong comparison",
    "wrong variable",
    "wrong attribute",
    "endless loop",
    "forgotten return",
)
FIRST_TRIES = 25


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.name in END_TO_END], ids=lambda bug: bug.name)
async def test_a_classic_slip_is_mended_where_it_is(bug: Bug, tmp_path: Path) -> None:
    bench = Bench(lay_out(tmp_path, bug.files()), RepairOptions(tries=200, wall_clock_s=90.0))
    outcome = await bench.repair(Goal("make the failing tests pass"))
    print(f"{bug.name}: {len(bench.tries)} tries, {bench.seconds:.1f} s: {bench.added_lines()}")
    assert outcome.finished, outcome.reason
    assert len(bench.added_lines()) == 1
    assert bench.added_lines()[0] in bug.mended
    assert outcome.goal_tests


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_what_mends_a_classic_slip_is_among_the_first_edits_of_its_function(bug: Bug) -> None:
    text = bug.files()["code_here.py"]
    source = parse("code_here.py", text)
    assert source is not None
    wrong = text.splitlines().index(next(line for line in text.splitlines() if line.strip() == bug.wrong)) + 1
    first, last = next((first, last) for _, first, last in functions(source) if first <= wrong <= last)
    edits = in_order(edits_of(source, dict.fromkeys(range(first, last + 1), 1.0), TEMPLATES))
    shown = [edit.shown(text)[1] for edit in distinct(edits, {source.path: text}, set())]
    place = min((shown.index(line) + 1 for line in bug.mended if line in shown), default=0)
    print(f"{bug.name}: edit {place} of {len(shown)}")
    assert 1 <= place <= FIRST_TRIES
