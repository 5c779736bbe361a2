"""The pytest runner in real processes: ids, outcomes, lines, provenance, and reports that are not whole."""

import pytest

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ports import CaseLimits, SuiteRequest
from agent_lsp.domain.verdict import Outcome
from agent_lsp.workspace.runners.interpreter import Interpreter
from agent_lsp.workspace.runners.pytest_runner import PytestRunner
from tests.workspace.runners.conftest import THIS, MakeCandidate, Run

CALC = "LIMIT = 3\n\ndef add(a, b):\n    if a > LIMIT:\n        return 0\n    return a + b\n"
OUTCOMES = """
    import pytest

    def test_pass(): pass
    def test_fail(): assert 1 == 2, "told"
    @pytest.mark.skip(reason="later")
    def test_skip(): pass
    @pytest.mark.xfail
    def test_xfail(): assert 0
    @pytest.mark.xfail
    def test_xpass(): pass
    @pytest.mark.xfail(strict=True)
    def test_strict(): pass

    @pytest.fixture
    def broken(): raise OSError("no set-up")
    @pytest.fixture
    def untidy():
        yield
        raise OSError("no tear-down")
    def test_setup(broken): pass
    def test_teardown(untidy): pass
    def test_skips_itself(): pytest.skip("now")
"""


async def test_every_outcome_is_told_with_its_place(run_pytest: Run) -> None:
    report = await run_pytest({"test_a.py": OUTCOMES})
    outcomes = {name.removeprefix("test_a.py::test_"): case.outcome.value for name, case in report.cases.items()}
    assert outcomes == {
        "pass": "passed",
        "fail": "failed",
        "skip": "skipped",
        "xfail": "xfailed",
        "xpass": "xpassed",
        "strict": "failed",
        "setup": "error",
        "teardown": "error",
        "skips_itself": "skipped",
    }
    failed = report.cases["test_a.py::test_fail"]
    assert "told" in failed.message
    assert (failed.path, failed.line) == ("test_a.py", 4)
    assert [name for name, case in report.cases.items() if not case.called] == ["test_a.py::test_setup"]
    assert (report.collected, report.ran, report.finished, report.exit_status) == (9, 6, True, 1)


async def test_lines_are_told_by_test_and_import_lines_go_to_the_tests_of_that_file(run_pytest: Run) -> None:
    files = {
        "app/__init__.py": "",
        "app/calc.py": CALC,
        "app/const.py": "SIZE = (\n    1\n)\n",
        "tests/test_a.py": "from app.calc import add\n\ndef test_low(): assert add(1, 2) == 3\n"
        "def test_high(): assert add(4, 1) == 1\n",
        "tests/test_b.py": "from app import const\n\ndef test_const(): assert const.SIZE\n",
    }
    report = await run_pytest(files, watch=("app/calc.py", "app/const.py"))
    low, high = "tests/test_a.py::test_low", "tests/test_a.py::test_high"
    assert report.executed["app/calc.py"] == {line: frozenset({low}) for line in (1, 3, 4, 6)}
    assert report.executed_failing["app/calc.py"] == {line: frozenset({high}) for line in (1, 3, 4, 5)}
    assert report.executable["app/calc.py"] == {1, 3, 4, 5, 6}
    assert report.executed["app/const.py"] == dict.fromkeys((1, 2, 3), frozenset({"tests/test_b.py::test_const"}))
    assert {file.path for file in report.loaded} == {"app/calc.py", "app/const.py"}
    assert {"app/calc.py", "tests/test_a.py", "tests/test_b.py"} <= report.touched


async def test_chosen_ids_run_and_unknown_ones_are_told(run_pytest: Run) -> None:
    tests = "import pytest\n@pytest.mark.parametrize('x', [1, 2])\ndef test_x(x): pass\ndef test_y(): pass\n"
    chosen = ("a/test_x.py::test_x[2]", "a/test_x.py::test_no", "b", "no/such.py")
    report = await run_pytest({"a/test_x.py": tests, "b/test_b.py": "def test_b(): pass\n"}, tests=chosen)
    assert set(report.cases) == {"a/test_x.py::test_x[2]", "b/test_b.py::test_b"}
    assert report.not_found == ("a/test_x.py::test_no", "no/such.py")
    assert report.finished
    none = await run_pytest({"test_x.py": tests}, tests=("no.py::test_x",))
    assert (none.collected, none.not_found) == (0, ("no.py::test_x",))


async def test_ids_start_at_the_workspace_even_where_pytest_has_its_root_below(run_pytest: Run) -> None:
    files = {"sub/pytest.ini": "[pytest]\n", "sub/tests/test_a.py": "def test_a(): pass\n"}
    report = await run_pytest(files, tests=("sub/tests",))
    assert set(report.cases) == {"sub/tests/test_a.py::test_a"}


async def test_options_of_the_project_that_hide_tests_do_not_hold(candidate_of: MakeCandidate) -> None:
    options = "[pytest]\naddopts = -x --maxfail=1 -q --strict-markers --tb=no --junitxml=out.xml --ff --stepwise\n"
    options += "filterwarnings = error\n"
    tests = "def test_a(): assert 0, 'why'\ndef test_b(): assert 0\ndef test_c(): pass\n"
    candidate = candidate_of({"pytest.ini": options, "test_a.py": tests})
    report = await PytestRunner(THIS).run(candidate, SuiteRequest())
    assert (report.collected, len(report.cases), report.finished) == (3, 3, True)
    assert "why" in report.cases["test_a.py::test_a"].message
    assert await candidate.harvest() == ()
    fast = await PytestRunner(THIS).run(candidate, SuiteRequest(fail_fast=True))
    assert (len(fast.cases), fast.finished) == (1, True)


async def test_a_file_that_cannot_be_collected_does_not_stop_the_others(run_pytest: Run) -> None:
    report = await run_pytest({"test_a.py": "import nope\n", "test_b.py": "def test_b(): pass\n"})
    assert "No module named 'nope'" in report.collection_errors["test_a.py"]
    assert report.cases["test_b.py::test_b"].outcome is Outcome.PASSED


STUBBORN = """import contextlib, time
    while True:
        with contextlib.suppress(BaseException): time.sleep(9)"""


@pytest.mark.parametrize(
    ("body", "trouble"),
    [
        ("import os; os._exit(0)", "ended by itself with status 0 during test_a.py::test_b"),
        ("import os; os.kill(os.getpid(), 11)", "was killed by SIGSEGV during test_a.py::test_b"),
        ("import pytest; pytest.exit('enough')", "only 1 of 3 tests ran"),
        (STUBBORN, "did not end within"),
    ],
)
async def test_a_run_that_ends_early_is_not_finished_and_says_how(run_pytest: Run, body: str, trouble: str) -> None:
    tests = f"def test_a(): pass\ndef test_b():\n    {body}\ndef test_c(): pass\n"
    report = await run_pytest({"test_a.py": tests}, timeout_s=4.0 if "while" in body else 60.0)
    assert not report.finished
    assert trouble in report.trouble
    assert report.cases["test_a.py::test_a"].outcome is Outcome.PASSED
    assert report.timed_out == ("while" in body)


async def test_a_test_that_hangs_is_stopped_and_the_others_run(run_pytest: Run) -> None:
    tests = "import time\ndef test_a(): time.sleep(60)\ndef test_b():\n    while True: pass\ndef test_c(): pass\n"
    report = await run_pytest({"test_a.py": tests}, test_limit_s=1.0)
    assert report.finished
    outcomes = [report.cases[f"test_a.py::test_{name}"].outcome for name in "abc"]
    assert outcomes == [Outcome.FAILED, Outcome.FAILED, Outcome.PASSED]
    assert "did not end within 1 s" in report.cases["test_a.py::test_b"].message


async def test_limits_of_single_tests_hold_once_another_has_hung(run_pytest: Run) -> None:
    slow = "import time\ndef test_{}(): time.sleep(1.2)\n"
    endless = "def test_{}():\n    while True: pass\n"
    tests = slow.format("a") + endless.format("b") + slow.format("c") + endless.format("d") + slow.format("e")
    own = {f"test_a.py::test_{name}": 0.5 for name in "abcd"}
    report = await run_pytest({"test_a.py": tests}, test_limit_s=3.0, case_limits=CaseLimits(own, once_hung=True))
    assert report.finished
    assert [case.stopped_s for case in report.cases.values()] == [0.0, 3.0, 0.5, 0.5, 0.0]
    assert {name[-1] for name in report.passing()} == {"a", "e"}, "before one hung, and with no limit of its own"

    report = await run_pytest({"test_a.py": tests}, test_limit_s=3.0, case_limits=CaseLimits(own))
    assert [case.stopped_s for case in report.cases.values()] == [0.5, 0.5, 0.5, 0.5, 0.0]


async def test_a_report_that_the_tests_changed_is_not_believed(run_pytest: Run) -> None:
    forger = """
    import sys, pathlib

    def test_a():
        folder = pathlib.Path(sys.modules["agent_lsp_report"].__file__).parent
        with (folder / "report.jsonl").open("a") as stream:
            stream.write('{"kind": "end", "id": "test_a.py::test_b", "outcome": "passed", "message": "", "path": "",'
                         ' "line": null, "seconds": 0, "hits": []}\\n')

    def test_b():
        assert 0
    """
    report = await run_pytest({"test_a.py": forger})
    assert not report.finished
    assert "the report was changed" in report.trouble


async def test_a_broken_conftest_or_option_is_told_in_its_own_words(run_pytest: Run) -> None:
    report = await run_pytest({"conftest.py": "import nope\n", "test_a.py": "def test_a(): pass\n"})
    assert not report.finished
    assert "No module named 'nope'" in report.trouble
    missing = await run_pytest({"pytest.ini": "[pytest]\naddopts = --cov=app\n", "test_a.py": "def test_a(): pass\n"})
    assert not missing.finished
    assert "--cov" in missing.trouble


async def test_the_processes_that_tests_start_see_nothing_of_the_plugin(run_pytest: Run) -> None:
    tests = """
    import os, subprocess, sys

    def test_a():
        code = "import sys; sys.exit(any('agent_lsp' in name for name in [*sys.modules, *sys.path]))"
        assert subprocess.run([sys.executable, "-S", "-c", code]).returncode == 0
        assert not any("agent_lsp" in path for path in sys.path)
        assert "agent_lsp" not in os.environ.get("PYTHONPATH", "")
        assert __name__ in sys.modules and sys.modules["__main__"].__spec__.name == "pytest.__main__"
    """
    report = await run_pytest({"test_a.py": tests})
    assert report.cases["test_a.py::test_a"].outcome is Outcome.PASSED, report.cases


async def test_source_edited_twice_within_a_second_at_the_same_size_never_runs_stale(
    candidate_of: MakeCandidate,
) -> None:
    candidate = candidate_of({"calc.py": "X = 1\n", "test_a.py": "import calc\ndef test_a(): assert calc.X == 2\n"})
    runner, request = PytestRunner(THIS), SuiteRequest(watch=("calc.py",))
    assert (await runner.run(candidate, request)).failing()
    entry = await candidate.read("calc.py")
    assert entry is not None
    await candidate.write("calc.py", type(entry)(b"X = 2\n", entry.mode))
    assert (await runner.run(candidate, request)).passing()


async def test_progress_is_heard_while_the_tests_run(candidate_of: MakeCandidate) -> None:
    heard: list[tuple[str, int]] = []
    candidate = candidate_of({"test_a.py": "def test_a(): pass\ndef test_b(): pass\n"})
    await PytestRunner(THIS).run(candidate, SuiteRequest(), lambda name, collected: heard.append((name, collected)))
    assert heard == [("test_a.py::test_a", 2), ("test_a.py::test_b", 2)]


async def test_a_python_that_cannot_run_is_unavailable(candidate_of: MakeCandidate) -> None:
    gone = Interpreter("/bin/false", "a test", python="3", pytest="9")
    with pytest.raises(RunnerUnavailableError, match="/bin/false could not run the tests"):
        await PytestRunner(gone).run(candidate_of({"test_a.py": ""}), SuiteRequest())
