"""Owns the trial of the gate on old and new pytest: `make old-pytest`, or `python -m tests.old_pytest [FOLDER]`.

Makes one small environment for each release in FOLDER (kept, so that the next time is quick) from the package index,
and asks of every one the same: outcomes, ids, lines, a repaired bug, a regression. Not among the quick tests, since
it needs the network and Pythons that the old releases run on.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from agent_lsp.domain.ports import SuiteRequest
from agent_lsp.domain.verdict import Decision
from agent_lsp.workspace.runners.interpreter import find_interpreter
from agent_lsp.workspace.runners.pytest_runner import PytestRunner
from tests.agent.suite_project import Project

RELEASES = {
    "3.10.1": "3.8",
    "4.6.11": "3.8",
    "5.4.3": "3.8",
    "6.0.2": "3.9",
    "6.2.5": "3.9",
    "7.0.1": "3.11",
    "7.4.4": "3.11",
    "8.3.5": "3.12",
    "9.0.2": "3.13",
}
"""Releases of pytest, each with a Python of its time; a Python that is not there is told and passed over."""

FILES = {
    "calc.py": "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a * 2\n",
    "tests/__init__.py": "",
    "tests/test_calc.py": """
        import unittest
        import pytest
        from calc import add, double

        @pytest.mark.parametrize("a, b", [(1, 2), (3, 4)], ids=["one two", "dr\\u00fcben"])
        def test_add(a, b):
            assert add(a, b) == a + b

        @pytest.mark.parametrize("text", ["x\\ny", "[", "a::b"])
        def test_odd_names(text):
            assert double(text) == text + text

        def test_double():
            assert double(4) == 8

        class TestOld(unittest.TestCase):
            def setUp(self):
                self.value = 2

            def test_unit(self):
                self.assertEqual(double(self.value), 4)

        @pytest.mark.xfail
        def test_known():
            assert False

        @pytest.mark.skipif(True, reason="never")
        def test_never():
            assert False
        """,
    "tests/test_broken.py": "import nowhere_to_be_found\n",
    "setup.cfg": "[tool:pytest]\naddopts = -x -p no:cacheprovider\nfilterwarnings = error\n",
}
GOAL = "tests/test_calc.py::test_add"


async def judge_release(interpreter: Path, root: Path) -> list[str]:
    """What was not as it should be."""
    wrong: list[str] = []
    project = Project(root, FILES, interpreter=str(interpreter))
    right = FILES["calc.py"].replace("a - b", "a + b")
    verdict = await project.check({"calc.py": right}, goal_tests=(GOAL,))
    if verdict.decision is not Decision.PROVEN or len(verdict.fixed) != 2:
        wrong.append(f"a right fix is {verdict.decision.value}: {verdict.reasons}")
    breaks = await project.check({"calc.py": right.replace("a * 2", "a * 3")}, goal_tests=(GOAL,))
    if breaks.decision is not Decision.REGRESSED or len(breaks.broken) != 5:
        wrong.append(f"a regression is {breaks.decision.value}, {breaks.broken}: {breaks.reasons}")
    idle = await project.check({"calc.py": FILES["calc.py"] + "\n# nothing\n"}, goal_tests=(GOAL,))
    if idle.decision is not Decision.FAILED:
        wrong.append(f"a change that does nothing is {idle.decision.value}: {idle.reasons}")
    wrong += await _outcomes(project)
    return wrong


async def _outcomes(project: Project) -> list[str]:
    candidate = await project.pool.open(await project.tree())
    try:
        found = (await find_interpreter(candidate, project.interpreter)).with_pytest
        assert found is not None
        report = await PytestRunner(found).run(candidate, SuiteRequest(watch=("calc.py",)))
    finally:
        await candidate.close()
    told = {case_id.partition("::")[2]: case.outcome.value for case_id, case in report.cases.items()}
    expected = {
        "test_add[one two]": "failed",
        "test_double": "passed",
        "TestOld::test_unit": "passed",
        "test_known": "xfailed",
        "test_never": "skipped",
    }
    wrong = [
        f"{name} is {told.get(name)}, not {outcome}" for name, outcome in expected.items() if told.get(name) != outcome
    ]
    if len(told) != 9:
        wrong.append(f"{len(told)} tests: {sorted(told)}")
    if list(report.collection_errors) != ["tests/test_broken.py"] or not report.finished:
        wrong.append(f"finished {report.finished} ({report.trouble}), collection errors {report.collection_errors}")
    return wrong


def environment(folder: Path, release: str, python: str) -> Path | None:
    """The interpreter of an environment with that release; made if it is not there."""
    interpreter = folder / release / "bin" / "python"
    if not interpreter.exists():
        base = shutil.which(f"python{python}")
        if base is None:
            return None
        subprocess.run([base, "-m", "venv", folder / release], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "-q", f"pytest=={release}"], check=True)
    return interpreter


def main() -> int:
    """The exit status: 0 when every release that could be tried did as it should."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".cache/old-pytest").resolve()
    failed = 0
    for release, python in RELEASES.items():
        interpreter = environment(folder, release, python)
        if interpreter is None:
            print(f"pytest {release:8} passed over: there is no python{python}")
            continue
        with tempfile.TemporaryDirectory() as root:
            wrong = asyncio.run(judge_release(interpreter, Path(root)))
        failed += bool(wrong)
        print(f"pytest {release:8} {'as it should be' if not wrong else '; '.join(wrong)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
