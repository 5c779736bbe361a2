"""Owns the tests of reports that are cut or replaced and of processes that are gone: `undecided`, and the reason."""

from pathlib import Path

import pytest

from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.ports import Candidate, Command, CommandResult
from agent_lsp.domain.verdict import Decision
from tests.agent.suite_project import Project

WRONG = "def add(a, b):\n    return a - b\n"
TEST = "import calc\n\ndef test_a():\n    assert calc.add(0, 0) == 0\n\ndef test_b():\n    assert calc.add(1, 2) == 3\n"
FIND = "import glob, os, sys\n\nFOLDER = os.path.dirname(sys.modules['agent_lsp_report'].__file__)\n"
REPORT = "REPORT = os.path.join(FOLDER, 'report.jsonl')\n"
TRICKS = {
    "plugin": FIND + "open(os.path.join(FOLDER, 'agent_lsp_report.py'), 'a').write('#')\n",
    "replaced": FIND + REPORT + "open(REPORT + '.new', 'w').write('{}')\nos.replace(REPORT + '.new', REPORT)\n",
    "removed": FIND + REPORT + "os.remove(REPORT)\n",
    "truncated": FIND + REPORT + "os.truncate(REPORT, 0)\n",
    "truncated last": FIND + REPORT + "import atexit\natexit.register(os.truncate, REPORT, 0)\n",
    "counts": (
        FIND
        + REPORT
        + 'LINE = \'{"kind": "end", "id": "test_calc.py::test_b", "outcome": "passed", "message": "", "path": "", \'\n'
        + 'LINE += \'"line": null, "seconds": 0, "hits": []}\\n\'\nopen(REPORT, "a").write(LINE)\n'
    ),
    "exit": "import os\n",
    "killed": "import os\n",
}
LEAVES = {"exit": "os._exit(0)", "killed": "os.kill(os.getpid(), 9)"}
REASONS = {
    "plugin": "what reports on the tests was changed on the disk (agent_lsp_report.py)",
    "replaced": "the report of the tests was replaced by another file",
    "removed": "the report of the tests was removed",
    "truncated": "the report of the tests was truncated",
    "truncated last": "the report of the tests was truncated",
    "counts": "the report was changed: it holds 3 results and its end marker says 2",
    "exit": "the test process ended by itself with status 0 during test_calc.py::test_a before its report was complete",
    "killed": "the test process was killed by SIGKILL during test_calc.py::test_a before its report was complete",
}


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins of this project's own environment take longer to load than the small suites to run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.mark.parametrize("trick", TRICKS)
async def test_a_report_that_is_not_what_the_plugin_wrote_is_undecided_with_the_true_reason(
    tmp_path: Path, trick: str
) -> None:
    project = Project(tmp_path, {"calc.py": WRONG, "test_calc.py": TEST})
    source = TRICKS[trick] + WRONG.replace("return a - b", LEAVES.get(trick, "return a - b"))
    verdict = await project.check({"calc.py": source}, goal_tests=("test_calc.py::test_b",))
    assert verdict.decision is Decision.UNDECIDED, verdict.reasons
    assert any(REASONS[trick] in reason for reason in verdict.reasons), verdict.reasons


async def test_a_test_that_broke_before_the_process_left_is_a_regression(tmp_path: Path) -> None:
    project = Project(tmp_path, {"calc.py": WRONG, "test_calc.py": TEST + "\n\ndef test_c():\n    calc.add(5, 5)\n"})
    source = "import os\n" + WRONG.replace("return a", "os._exit(0) if a == 5 else None\n    return 1 + a")
    verdict = await project.check({"calc.py": source})
    assert verdict.decision is Decision.REGRESSED, verdict.reasons
    assert verdict.broken == ("test_calc.py::test_a",)


async def test_a_copy_that_is_lost_while_the_tests_run_is_undecided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path, {"calc.py": WRONG, "test_calc.py": TEST})
    opened = project.pool.open

    async def lost(command: Command) -> CommandResult:
        raise CandidateError("the candidate's holder process ended")

    async def open_and_lose(tree: str) -> Candidate:
        candidate = await opened(tree)
        monkeypatch.setattr(candidate, "run", lost)
        return candidate

    await project.check({"calc.py": WRONG})
    monkeypatch.setattr(project.pool, "open", open_and_lose)
    verdict = await project.check({"calc.py": WRONG + "\n\nX = 1\n"})
    assert verdict.decision is Decision.UNDECIDED
    assert "lost while the tests ran in it with the change: the candidate's holder process ended" in verdict.reasons[0]
