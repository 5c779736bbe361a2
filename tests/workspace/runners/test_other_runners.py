"""unittest, any command, the choice between them, and the search for an interpreter."""

import sys
from pathlib import Path

import pytest

from agent_lsp.domain.errors import ConfigError, RunnerUnavailableError
from agent_lsp.domain.ports import SuiteRequest
from agent_lsp.domain.verdict import Outcome
from agent_lsp.workspace.runners.command_runner import CommandRunner
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.interpreter import find_interpreter
from tests.workspace.runners.conftest import MakeCandidate, Run

UNITTEST = """
import unittest
from calc import add

class TestAdd(unittest.TestCase):
    def test_good(self):
        self.assertEqual(add(1, 2), 3)

    def test_bad(self):
        self.assertEqual(add(1, 2), 4)

    def test_error(self):
        raise OSError("no")

    @unittest.skip("later")
    def test_skip(self):
        pass

    @unittest.expectedFailure
    def test_expected(self):
        self.fail()

    def test_parts(self):
        for n in range(2):
            with self.subTest(n=n):
                self.assertEqual(n, 0)

class TestSetUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise OSError("no class")

    def test_never(self):
        pass
"""
CALC = "def add(a, b):\n    return a + b\n"
JUNIT = """
import sys
xml = '<testsuites><testsuite name="s"><testcase classname="m.T" name="a" file="m.py" line="3"/>'
xml += '<testcase classname="m.T" name="b"><failure message="why">text</failure></testcase>'
xml += '<testcase classname="m.T" name="b"/><testcase classname="m.T" name="c"><skipped/></testcase>'
open(sys.argv[1], "w").write(xml + '</testsuite></testsuites>')
sys.exit(1)
"""


async def test_unittest_outcomes_lines_and_ids_are_told(run_unittest: Run) -> None:
    files = {"calc.py": CALC, "tests/test_calc.py": UNITTEST, "tests/test_broken.py": "import nope\n"}
    report = await run_unittest(files, watch=("calc.py",))
    prefix = "tests/test_calc.py::"
    assert {name.removeprefix(prefix): case.outcome.value for name, case in report.cases.items()} == {
        "TestAdd::test_good": "passed",
        "TestAdd::test_bad": "failed",
        "TestAdd::test_error": "error",
        "TestAdd::test_skip": "skipped",
        "TestAdd::test_expected": "xfailed",
        "TestAdd::test_parts": "failed",
        "TestSetUp::test_never": "error",
    }
    assert report.finished, report.trouble
    assert "nope" in report.collection_errors["tests/test_broken.py"]
    assert report.executed["calc.py"][2] == {prefix + "TestAdd::test_good"}
    assert "no class" in report.cases[prefix + "TestSetUp::test_never"].message
    assert report.cases[prefix + "TestAdd::test_bad"].line == 9


async def test_unittest_runs_the_chosen_tests_alone(run_unittest: Run) -> None:
    files = {"calc.py": CALC, "tests/__init__.py": "", "tests/test_calc.py": UNITTEST}
    report = await run_unittest(files, tests=("tests/test_calc.py::TestAdd::test_good", "tests/no.py"))
    assert list(report.cases) == ["tests/test_calc.py::TestAdd::test_good"]
    assert report.not_found == ("tests/no.py",)


async def test_a_unittest_test_that_hangs_is_stopped_alone(run_unittest: Run) -> None:
    hangs = """
        import threading, unittest
        class TestIt(unittest.TestCase):
            def test_a_hangs(self):
                threading.Event().wait()
            def test_b_goes_on(self):
                pass
    """
    report = await run_unittest({"tests/test_it.py": hangs}, test_limit_s=1.0, timeout_s=60.0)
    assert report.finished, report.trouble
    assert [case.outcome for case in report.cases.values()] == [Outcome.ERROR, Outcome.PASSED]
    assert "did not end within 1 s" in report.cases["tests/test_it.py::TestIt::test_a_hangs"].message


async def test_unittest_begins_no_further_test_once_the_time_is_over_and_what_matters_most_goes_first(
    run_unittest: Run,
) -> None:
    slow = """
        import time, unittest
        class TestIt(unittest.TestCase):
            def test_one(self):
                time.sleep(0.4)
            def test_two(self):
                time.sleep(0.4)
    """
    files = {"tests/test_a.py": slow, "tests/test_b.py": slow}
    report = await run_unittest(files, enough_s=0.2, first=("tests/test_b.py",))
    assert list(report.cases) == ["tests/test_b.py::TestIt::test_one"]
    assert (report.finished, report.cut_short, report.collected) == (True, True, 4)


async def test_a_command_is_known_by_its_junit_xml(candidate_of: MakeCandidate) -> None:
    runner = CommandRunner("python3 write.py {junit}")
    report = await runner.run(candidate_of({"write.py": JUNIT}), SuiteRequest())
    outcomes = {name: case.outcome for name, case in report.cases.items()}
    assert outcomes == {
        "m.py::m.T::a": Outcome.PASSED,
        "m.T::b": Outcome.FAILED,
        "m.T::b#2": Outcome.PASSED,
        "m.T::c": Outcome.SKIPPED,
    }
    assert report.cases["m.T::b"].message == "why\ntext"
    assert report.cases["m.py::m.T::a"].line == 2
    assert report.finished


@pytest.mark.parametrize(
    ("command", "finished", "outcomes"),
    [
        ("true", True, [Outcome.PASSED]),
        ("echo broken; false", True, [Outcome.FAILED]),
        ("true {junit}", False, []),
        ("echo '<x' > {junit}", False, []),
        (
            "echo '<testsuite><testcase name=\"a\"/></testsuite>' > {junit}; false",
            True,
            [Outcome.PASSED, Outcome.FAILED],
        ),
    ],
)
async def test_a_command_without_readable_xml_is_known_by_its_status(
    candidate_of: MakeCandidate, command: str, finished: bool, outcomes: list[Outcome]
) -> None:
    report = await CommandRunner(command).run(candidate_of({"a": ""}), SuiteRequest())
    assert (report.finished, [case.outcome for case in report.cases.values()]) == (finished, outcomes)
    assert bool(report.trouble) == (not finished)


async def test_a_command_that_is_not_there_is_unavailable(candidate_of: MakeCandidate) -> None:
    with pytest.raises(RunnerUnavailableError, match="no-such-program"):
        await CommandRunner("no-such-program").run(candidate_of({"a": ""}), SuiteRequest())


async def test_the_runner_follows_the_tests_and_the_settings(candidate_of: MakeCandidate) -> None:
    candidate = candidate_of({"calc.py": CALC, "test_calc.py": UNITTEST})

    async def found(**settings: str) -> str:
        return (await WorkspaceRunnerFinder(RunnerOptions(**settings)).find(candidate)).name  # type: ignore[arg-type]

    assert (await found(interpreter=sys.executable)).startswith("pytest")
    assert (await found(runner="unittest", interpreter=sys.executable)).startswith("unittest")
    assert await found(command="make test") == "command make test"
    with pytest.raises(RunnerUnavailableError):
        await found(runner="command")
    with pytest.raises(ConfigError, match="/nowhere/python"):
        await found(interpreter="/nowhere/python")


async def test_without_pytest_unittest_serves_tests_that_need_no_more(
    candidate_of: MakeCandidate, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    python = bare / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    finder = WorkspaceRunnerFinder(RunnerOptions(interpreter=str(python)))
    plain = candidate_of({"calc.py": CALC, "test_calc.py": UNITTEST})
    assert (await finder.find(plain)).name.startswith("unittest")
    needs = candidate_of({"test_a.py": "import pytest\n"})
    with pytest.raises(RunnerUnavailableError) as caught:
        await finder.find(needs)
    assert "has no pytest" in caught.value.message
    assert f"{python} -m pip install pytest" in caught.value.hint
    assert "has no pytest" in await finder.describe(needs)


async def test_the_environment_in_the_workspace_comes_first_and_others_are_explained(
    candidate_of: MakeCandidate,
) -> None:
    script = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    files = {
        ".venv/pyvenv.cfg": "",
        "pyproject.toml": "[tool.hatch.envs.default]\npath = 'env'\n",
        "env/bin/python": "",
    }
    candidate = candidate_of(files | {".venv/bin/python": script})
    Path(candidate.root, ".venv/bin/python").chmod(0o755)
    found = (await find_interpreter(candidate)).with_pytest
    assert found is not None
    assert (found.shown, found.inside, found.pytest) == (".venv/bin/python", True, pytest.__version__)
    assert found.program(candidate) == f"{candidate.root}/.venv/bin/python"
    assert "the workspace's .venv" in found.describe()
    broken = candidate_of(files | {".venv/bin/python": "no program"})
    other = await find_interpreter(broken)
    assert any(".venv/bin/python" in note for note in other.notes)
    assert any("env/bin/python" in note for note in other.notes)
