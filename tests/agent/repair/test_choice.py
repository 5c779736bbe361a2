"""Which of several edits that pass is taken, what is said of the others, and that known programs are still mended."""

import re
from pathlib import Path

import pytest

from agent_lsp.agent.repair.edits import SmallEdit
from agent_lsp.agent.repair.hunt import ranked_looks
from agent_lsp.agent.repair.sieve import Look
from agent_lsp.domain.task import Goal
from tests.agent.repair.bench import Bench, lay_out
from tests.bench.repair import SHORT, attempt
from tests.repair_bugs.classic_numbers import NUMBERS
from tests.repair_bugs.everyday import EVERYDAY
from tests.repair_bugs.slip import Slip
from tests.repair_bugs.unseen import UNSEEN

TEXTS = {"a.py": "def f(a, b):\n    return a < b\n"}
GUARD = (
    next(slip for slip in NUMBERS if slip.name == "sieve of primes"),
    next(slip for slip in EVERYDAY if slip.name == "no stripping"),
    next(slip for slip in UNSEEN if slip.name == "money that is split"),
)
"""One of each set, quick ones: all of them are measured by the bench."""


def look(start: int, end: int, text: str, score: float = 0.5, seconds: float = 0.01) -> Look:
    edit = SmallEdit("a.py", start, end, text, 2, "a kind", score)
    return Look(edit, frozenset(), frozenset(), False, seconds)


def test_of_two_edits_as_likely_the_smaller_is_taken_whatever_stretch_it_is_written_over() -> None:
    operator, long = look(26, 27, "<="), look(17, 29, "return a < b or a == b")
    whole = look(17, 29, "return a <= b")
    assert ranked_looks([long, operator], TEXTS) == [operator, long]
    assert ranked_looks([long, whole], TEXTS) == [whole, long]


def test_a_likelier_kind_of_slip_outweighs_some_characters_and_a_slow_edit_comes_last() -> None:
    likely, unlikely, slow = look(26, 27, "is not", 0.9), look(26, 27, "=", 0.3), look(26, 27, "<=", 0.9, 3.0)
    assert ranked_looks([slow, unlikely, likely], TEXTS) == [likely, unlikely, slow]


async def test_the_small_edit_that_says_what_is_meant_wins_and_the_others_are_counted(tmp_path: Path) -> None:
    files = {
        "ages.py": "def adult(age, limit=18):\n    return age > limit\n",
        "test_ages.py": """from ages import adult

def test_edge(): assert adult(18)
def test_over(): assert adult(30)
def test_under(): assert not adult(17)
def test_other(): assert adult(21, 21) and not adult(20, 21)
""",
    }
    bench = Bench(lay_out(tmp_path, files))
    outcome = await bench.repair(Goal("make the failing tests pass"))
    assert outcome.finished, outcome.reason
    assert bench.added_lines() == ["return age >= limit"]
    told = re.search(r"(\d+) other edits passed the same tests and were thought less likely", outcome.summary)
    assert told is not None
    assert int(told[1]) > 1
    assert "ages.py:2: `" in outcome.summary


@pytest.mark.parametrize("slip", GUARD, ids=lambda slip: slip.name)
async def test_a_program_that_was_mended_once_is_mended_still(slip: Slip, tmp_path: Path) -> None:
    tried = await attempt(tmp_path, slip, SHORT)
    assert tried.solved, tried.summary
    assert tried.right, tried.change
