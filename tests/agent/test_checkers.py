"""The project's own type checkers on real files: only what a change newly brings, and what becomes of a diagnostic."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.agent.checks import Checked, Checks
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.goal_findings import Fate, GoalFinding
from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.task import Problem
from tests.plain import PlainPool, PlainTrees

CALC = """import os


def add(a: int, b: int) -> int:
    return a - b


def label(count: int) -> str:
    return count


def first(rows: list[int]) -> str:
    return rows[0]
"""
CHANGED = CALC.replace("return count", "return str(count)").replace("import os", "import os\n\nlimit: int = 'ten'")
RECORDED = Path(__file__).parent / "pyright_recorded.json"
"""What pyright 1.1.414 printed for these two texts, with `{root}` for the folder."""


class OwnPython:
    """Finds a runner whose Python is the one that this runs on."""

    async def find(self, candidate: Candidate) -> Any:
        return self

    def program(self, candidate: Candidate) -> str | None:
        return sys.executable


async def checked(root: Path, *goals: GoalFinding, change: str = CHANGED) -> Checked:
    (root / "calc.py").write_text(CALC)
    trees = PlainTrees(root)
    checks = Checks(trees, PlainPool(trees), OwnPython())
    edit = FileEdit("calc.py", Entry(CALC.encode()), Entry(change.encode()))
    return await checks.begin((await trees.snapshot([])).tree, (edit,), goals)


def shown(line: int, message: str, source: str) -> GoalFinding:
    return GoalFinding(Problem("calc.py", line - 1, message, source))


async def test_of_mypy_only_new_findings_are_told_and_a_diagnostic_is_gone_or_stays(tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text("[mypy]\n")
    text = 'Incompatible return value type (got "int", expected "str")'
    found = await checked(tmp_path, shown(9, text, "mypy"), shown(13, text, "mypy"))
    (told,) = found.new.sentences()
    assert told.startswith("mypy finds one new problem: calc.py:3 Incompatible types in assignment ")
    assert [goal.fate for goal in found.goals] == [Fate.GONE, Fate.STAYS]


@pytest.mark.parametrize("configured", [True, False])
async def test_pyright_of_npm_is_asked_where_it_is_configured_or_the_run_began_with_it(
    tmp_path: Path, configured: bool
) -> None:
    if configured:
        (tmp_path / "pyrightconfig.json").write_text("{}")
    program = tmp_path / "node_modules" / ".bin" / "pyright"
    program.parent.mkdir(parents=True)
    for name, printed in json.loads(RECORDED.read_text()).items():
        (program.parent / f"{name}.json").write_text(json.dumps(printed))
    program.write_text(
        '#!/bin/sh\ntest "$1 $2" = "--outputjson calc.py" || exit 3\n'
        "grep -q limit calc.py && name=after || name=before\n"
        'sed "s,{root},$PWD,g" "node_modules/.bin/$name.json"\nexit 1\n'
    )
    program.chmod(0o755)
    message = 'Type "int" is not assignable to return type "str"\n  "int" is not assignable to "str"'
    found = await checked(tmp_path, shown(9, message, "Pylance"), shown(13, message, "Pyright"))
    assert [(row.path, row.line, row.text.partition('"')[0]) for row in found.new.rows] == (
        [("calc.py", 3, "Type ")] if configured else []
    )
    assert [goal.fate for goal in found.goals] == [Fate.GONE, Fate.STAYS]


async def test_without_a_checker_nothing_is_told_and_the_diagnostic_was_not_checked(tmp_path: Path) -> None:
    found = await checked(tmp_path, shown(9, "any", "Pyright"), shown(9, "any", "jdtls"))
    assert found.new.rows == ()
    assert [goal.fate for goal in found.goals] == [Fate.UNKNOWN, Fate.UNKNOWN]
