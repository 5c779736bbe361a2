"""Owns the tests of environments that were broken before a change: `undecided` with cause and hint, and no blame."""

from pathlib import Path

import pytest

from agent_lsp.domain.verdict import Decision
from tests.agent.suite_project import Project

pytestmark = pytest.mark.usefixtures("no_plugins")

WRONG = "def add(a, b):\n    return a - b\n"
RIGHT = WRONG.replace("-", "+")
REFUSED = """
import socket

import pytest


@pytest.fixture
def database():
    return socket.create_connection(("127.0.0.1", 1), timeout=5)
"""
TEST = "from calc import add\n\n\ndef test_add(database):\n    assert add(1, 2) == 3\n"
GOAL = "tests/test_calc.py::test_add"


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins of this project's own environment take longer to load than the small suites to run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def down(tmp_path: Path) -> Project:
    return Project(tmp_path, {"calc.py": WRONG, "tests/conftest.py": REFUSED, "tests/test_calc.py": TEST})


@pytest.mark.parametrize("goals", [(), (GOAL,)], ids=["no goal", "goal"])
async def test_a_database_that_is_down_on_both_sides_is_undecided_with_its_cause_and_a_hint(
    down: Project, goals: tuple[str, ...]
) -> None:
    verdict = await down.check({"calc.py": RIGHT}, goal_tests=goals)

    assert verdict.decision is Decision.UNDECIDED, verdict.reasons
    assert (verdict.collected, verdict.ran) == (1, 0)
    assert "broken before the change" in verdict.reasons[0]
    assert "ConnectionRefusedError: [Errno 111] Connection refused" in verdict.reasons[0]
    assert "`sandbox.network_hosts`" in verdict.reasons[1]


async def test_a_goal_test_that_fails_beside_one_that_cannot_be_set_up_is_failed(down: Project, tmp_path: Path) -> None:
    more = "\n\ndef test_zero():\n    from calc import add\n    assert add(0, 1) == 1\n"
    project = Project(tmp_path, {"tests/test_calc.py": TEST + more})
    verdict = await project.check({"calc.py": WRONG.replace("-", "*")}, goal_tests=("tests/test_calc.py",))
    assert verdict.decision is Decision.FAILED, verdict.reasons


async def test_set_up_that_runs_the_changed_lines_and_fails_as_before_is_a_goal_that_was_missed(tmp_path: Path) -> None:
    fixture = "import calc, pytest\n\n\n@pytest.fixture\ndef database():\n    return calc.add(1, None)\n"
    files = {"calc.py": WRONG, "tests/conftest.py": fixture, "tests/test_calc.py": TEST}
    verdict = await Project(tmp_path, files).check({"calc.py": RIGHT}, goal_tests=(GOAL,))
    assert verdict.decision is Decision.FAILED, verdict.reasons
    assert "at calc.py:2: TypeError: unsupported operand" in verdict.reasons[0]


async def test_a_set_up_of_unittest_that_finds_no_service_is_undecided_too(tmp_path: Path) -> None:
    test = """
    import socket, unittest
    import calc

    class TestAdd(unittest.TestCase):
        def setUp(self):
            socket.create_connection(("127.0.0.1", 1), timeout=5)

        def test_add(self):
            self.assertEqual(calc.add(1, 2), 3)
    """
    for number, runner in enumerate(("pytest", "unittest")):
        root = tmp_path / str(number)
        project = Project(root, {"calc.py": WRONG, "test_calc.py": test}, runner=runner)
        verdict = await project.check({"calc.py": RIGHT}, goal_tests=("test_calc.py::TestAdd::test_add",))
        assert verdict.decision is Decision.UNDECIDED, verdict.reasons
        assert "ConnectionRefusedError" in verdict.reasons[0]


@pytest.mark.parametrize("goals", [(), (GOAL,)], ids=["no goal", "goal"])
@pytest.mark.parametrize(
    ("line", "cause", "hint"),
    [
        ("from collections import Mapping", "cannot import name 'Mapping' from 'collections'", "`agent-lsp doctor`"),
        ("import ctypes; ctypes.CDLL('libGL-no.so.1')", "libGL-no.so.1: cannot open shared object", "of the system"),
        ("open('/nowhere/settings')", "No such file or directory: '/nowhere/settings'", "a setting"),
    ],
    ids=["name", "library", "file"],
)
async def test_a_collection_error_of_any_wording_outside_of_the_change_is_undecided_with_its_last_line(
    tmp_path: Path, line: str, cause: str, hint: str, goals: tuple[str, ...]
) -> None:
    test = f"{line}\nfrom calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
    verdict = await Project(tmp_path, {"calc.py": WRONG, "tests/test_calc.py": test}).check(
        {"calc.py": RIGHT}, goal_tests=goals
    )
    assert verdict.decision is Decision.UNDECIDED, verdict.reasons
    assert "tests/test_calc.py cannot be collected with or without the change" in verdict.reasons[0]
    assert cause in verdict.reasons[0]
    assert hint in verdict.reasons[1]


async def test_a_collection_error_in_the_changed_file_or_of_a_name_that_it_lacks_is_a_goal_that_was_missed(
    tmp_path: Path,
) -> None:
    files = {"calc.py": "TABLE = dict([1])\n" + WRONG, "tests/test_calc.py": TEST.replace("database", "")}
    inside = await Project(tmp_path, files).check({"calc.py": files["calc.py"] + "\nX = 1\n"}, goal_tests=(GOAL,))
    assert inside.decision is Decision.FAILED, inside.reasons
    files = {
        "calc.py": WRONG,
        "tests/test_calc.py": "import calc\n\nCASES = calc.CASES\n\n\ndef test_add():\n    pass\n",
    }
    lacking = await Project(tmp_path, files).check({"calc.py": RIGHT}, goal_tests=(GOAL,))
    assert lacking.decision is Decision.FAILED, lacking.reasons
    assert "at tests/test_calc.py:3: AttributeError: module 'calc' has no attribute 'CASES'" in lacking.reasons[0]


async def test_a_name_that_an_installed_module_lacks_is_the_changes_concern_only_where_changed_files_ask_for_it(
    tmp_path: Path,
) -> None:
    old = "from collections import Mapping\n"
    test = "from shop.calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
    files = {"shop/__init__.py": "import shop.old\n", "shop/old.py": old, "shop/calc.py": WRONG, "test_calc.py": test}
    project, goal = Project(tmp_path, files), ("test_calc.py::test_add",)
    other = await project.check(
        {"shop/__init__.py": "import shop.old\nX = 1\n", "shop/calc.py": RIGHT}, goal_tests=goal
    )
    assert other.decision is Decision.UNDECIDED, other.reasons
    asking = await project.check({"shop/old.py": old + "X = 1\n"}, goal_tests=goal)
    assert asking.decision is Decision.FAILED, asking.reasons


async def test_many_tests_that_cannot_be_set_up_do_not_hide_a_proof(down: Project, tmp_path: Path) -> None:
    plain = "from calc import add\n\n\ndef test_plain():\n    assert add(1, 2) == 3\n"
    project = Project(tmp_path, {"tests/test_plain.py": plain, "tests/test_missing.py": "import nowhere_to_be_found\n"})
    verdict = await project.check({"calc.py": RIGHT})
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert set(verdict.still_failing) == {GOAL, "tests/test_missing.py"}
    assert "2 failed before and fail as before." in verdict.reasons
