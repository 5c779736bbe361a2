"""Two edits that only together make the tests pass: in one function, far apart, and in two files."""

from collections.abc import Mapping
from pathlib import Path

from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.domain.task import Goal
from tests.agent.repair.bench import Bench, lay_out

GOAL = Goal("make the failing tests pass")
ONE_FUNCTION = {
    "area.py": "def area(width, height):\n    sides = width + height\n    return sides - 1\n",
    "test_area.py": """from area import area

def test_some(): assert [area(2, 3), area(3, 3), area(9, 2)] == [6, 9, 18]
def test_more(): assert [area(4, 5), area(6, 8)] == [20, 48]
def test_flat(): assert [area(0, 5), area(7, 0)] == [0, 0]
""",
}
TWO_FILES = {
    "rates.py": "def rate(count):\n    return 3 if count <= 10 else 5\n",
    "bill.py": "from rates import rate\n\n\ndef bill(count):\n    return count + rate(count)\n",
    "test_bill.py": """from bill import bill

def test_edge(): assert bill(10) == 30
def test_few(): assert [bill(9), bill(4), bill(1)] == [45, 20, 5]
def test_none(): assert bill(0) == 0
def test_many(): assert [bill(20), bill(11)] == [60, 33]
""",
}


async def repaired(root: Path, files: Mapping[str, str]) -> tuple[Bench, str]:
    """What came of the project, and the summary."""
    bench = Bench(lay_out(root, files), RepairOptions(wall_clock_s=200.0))
    outcome = await bench.repair(GOAL)
    assert outcome.finished, outcome.reason
    return bench, outcome.summary


async def test_two_slips_in_one_function_are_mended_together(tmp_path: Path) -> None:
    bench, _ = await repaired(tmp_path, ONE_FUNCTION)
    assert bench.added_lines() == ["sides = width * height", "return sides"]


async def test_two_slips_in_two_files_are_mended_together_and_both_are_told(tmp_path: Path) -> None:
    bench, summary = await repaired(tmp_path, TWO_FILES)
    assert [edit.path for edit in bench.changes] == ["bill.py", "rates.py"]
    assert "return count * rate(count)" in bench.added_lines()
    assert "bill.py, line 5: `return count + rate(count)` became `return count * rate(count)`" in summary
    assert "rates.py, line 2: `return 3 if count <= 10 else 5` became `return 3 if count >= 10 else 5`" in summary
    assert bench.tries[-1]["also"]
