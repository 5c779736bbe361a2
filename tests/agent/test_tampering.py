"""Owns the tests of code under test that changes, from inside, what reports on it."""

from pathlib import Path

import pytest

from agent_lsp.domain.verdict import Decision
from tests.agent.suite_project import Project

WRONG = "def add(a, b):\n    return a - b\n"
TEST = "from calc import add\n\ndef test_add():\n    assert add(1, 2) == 3\n"
TRICKS = {
    "outcome": "import sys\nsys.modules['agent_lsp_report']._outcome = lambda phases: 'passed'\n",
    "code": (
        "import sys\nf = sys.modules['agent_lsp_report']._outcome\nf.__code__ = (lambda phases: 'passed').__code__\n"
    ),
    "from_call": (
        "from _pytest.runner import CallInfo\nreal = CallInfo.from_call.__func__\n\n"
        "def quiet(cls, *a, **k):\n    call = real(cls, *a, **k)\n    call.excinfo = None\n    return call\n\n"
        "CallInfo.from_call = classmethod(quiet)\n"
    ),
}
NAMED = {
    "outcome": "the plugin's _outcome",
    "code": "the plugin's _outcome",
    "from_call": "pytest's CallInfo.from_call",
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_code_that_changes_its_own_report_is_found_out(tmp_path: Path, trick: str) -> None:
    project = Project(tmp_path, {"calc.py": WRONG, "test_calc.py": TEST})
    verdict = await project.check({"calc.py": TRICKS[trick] + WRONG})
    assert verdict.decision is Decision.UNDECIDED, verdict.reasons
    assert any(NAMED[trick] in reason for reason in verdict.reasons), verdict.reasons


async def test_a_conftest_or_a_test_that_patches_pytest_in_the_open_is_not_accused(tmp_path: Path) -> None:
    patched = TRICKS["from_call"].replace("    call.excinfo = None\n", "")
    borrowed = (
        "import _pytest.runner\n\ndef test_patch(monkeypatch):\n"
        "    monkeypatch.setattr(_pytest.runner.CallInfo, 'from_call', classmethod(lambda cls, *a, **k: None))\n"
        "    monkeypatch.undo()\n"
    )
    inner = (
        "def test_inner(pytester):\n    pytester.makepyfile('def test_x(): pass')\n"
        "    pytester.inline_run().assertoutcome(passed=1)\n"
    )
    conftest = "pytest_plugins = ['pytester']\n" + patched
    files = {"conftest.py": conftest, "calc.py": WRONG, "test_calc.py": TEST, "test_own.py": borrowed + "\n\n" + inner}
    verdict = await Project(tmp_path, files).check({"calc.py": WRONG.replace("-", "+")})
    assert verdict.decision is Decision.PROVEN, verdict.reasons
