"""A change that leaks from one test into another breaks it only where both run: in long suites too."""

from pathlib import Path

import pytest

from agent_lsp.agent import second_looks
from agent_lsp.domain.verdict import Decision
from tests.agent.suite_project import Project

FILES = {
    "calc.py": "seen = []\n\ndef add(a, b):\n    return a + b\n",
    "tests/test_calc.py": """
        import calc

        def test_add():
            assert calc.add(1, 2) == 3

        def test_nothing_is_kept():
            assert calc.seen == []
        """,
    "tests/test_other.py": "def test_other():\n    assert True\n",
    "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['.']\n",
}
LEAKS = "seen = []\n\ndef add(a, b):\n    seen.append(a)\n    return a + b\n"


@pytest.mark.parametrize("long_s", [0.0, second_looks._LONG_S])
async def test_a_test_that_a_change_breaks_only_after_another_one_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long_s: float
) -> None:
    monkeypatch.setattr(second_looks, "_LONG_S", long_s)
    verdict = await Project(tmp_path, FILES).check({"calc.py": LEAKS})
    assert verdict.decision is Decision.REGRESSED, verdict.reasons
    assert verdict.broken == ("tests/test_calc.py::test_nothing_is_kept",)
