"""Owns the tests of import hooks, compiled copies and modules that nobody loads: which bytes ran is proved, or told."""

import importlib.util
import py_compile
from pathlib import Path

import pytest

from agent_lsp.domain.verdict import Decision
from tests.agent.suite_project import Project

pytestmark = pytest.mark.usefixtures("no_plugins")

WRONG = "def add(a, b):\n    return a - b\n"
RIGHT = WRONG.replace("-", "+")
TEST = "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
IDLE = "from calc import add\n\n\ndef test_add():\n    assert add(0, 0) == 0\n"
HOOK = """
import importlib.machinery, importlib.util, sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "calc":
            return None
        file = __file__.replace("conftest.py", "calc.py")
        return importlib.util.spec_from_file_location(name, file, loader=Loader(name, file))

sys.meta_path.insert(0, Finder)

class Loader(importlib.machinery.SourceFileLoader):
"""
CHECKING = (
    HOOK
    + """
    def source_to_code(self, data, path, *, _optimization=-1):
        checked = data.replace(b"return", b"assert isinstance(a, int), 'checked'; return")
        return super().source_to_code(checked, path)
"""
)
CACHED = (
    HOOK
    + """
    def get_code(self, fullname):
        return compile("def add(a, b):\\n    return a + b\\n", self.path, "exec")
"""
)


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins of this project's own environment take longer to load than the small suites to run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


async def test_a_hook_that_adds_checks_when_it_compiles_adds_them_on_the_changed_side_too(tmp_path: Path) -> None:
    project = Project(tmp_path, {"conftest.py": CHECKING, "calc.py": WRONG, "test_calc.py": IDLE})
    breaks = await project.check({"calc.py": "def add(a, b):\n    a = float(a)\n    return a + b\n"})
    assert breaks.decision is Decision.REGRESSED, breaks.reasons
    assert "checked" in breaks.reasons[0]


async def test_a_right_change_under_such_a_hook_is_passed_and_its_lines_are_not_measured(tmp_path: Path) -> None:
    project = Project(tmp_path, {"conftest.py": CHECKING, "calc.py": WRONG, "test_calc.py": TEST})
    right = await project.check({"calc.py": RIGHT}, goal_tests=("test_calc.py::test_add",))
    assert (right.decision, right.fixed) == (Decision.PASSED, ("test_calc.py::test_add",)), right.reasons
    assert "Which lines of calc.py ran is not measured, so the change can be passed at best." in right.reasons


async def test_a_hook_that_runs_other_bytes_under_the_files_name_is_no_evidence(tmp_path: Path) -> None:
    project = Project(tmp_path, {"conftest.py": CACHED, "calc.py": RIGHT, "test_calc.py": TEST})
    verdict = await project.check({"calc.py": WRONG})
    assert verdict.decision is Decision.UNDECIDED, verdict.reasons
    assert "calc.py was loaded by conftest.Loader, which does not show whether it ran this text" in verdict.reasons[0]


async def test_what_pytest_itself_rewrites_is_known_by_its_bytes(tmp_path: Path) -> None:
    """As in repositories of pytest plugins, whose own modules get their assertions rewritten."""
    conftest = "import pytest\n\npytest.register_assert_rewrite('calc')\n"
    project = Project(tmp_path, {"conftest.py": conftest, "calc.py": RIGHT, "test_calc.py": TEST})
    verdict = await project.check({"calc.py": RIGHT.replace("a + b", "b + a")})
    assert verdict.decision is Decision.PASSED, verdict.reasons


PACKAGE = {
    "shop/__init__.py": "",
    "shop/calc.py": WRONG,
    "shop/windows.py": "def beep():\n    return 1\n",
    "setup.py": "NAME = 'shop'\n",
    "test_calc.py": TEST.replace("calc", "shop.calc"),
}
BEEP = PACKAGE["shop/windows.py"].replace("1", "2")


async def test_of_two_changed_modules_the_one_that_no_test_loads_was_not_tested(tmp_path: Path) -> None:
    files = {**PACKAGE, "test_calc.py": IDLE.replace("calc", "shop.calc")}
    verdict = await Project(tmp_path, files).check({"shop/calc.py": RIGHT, "shop/windows.py": BEEP})
    assert verdict.decision is Decision.UNDECIDED, verdict.reasons
    assert (
        verdict.reasons[0] == "shop/windows.py was not loaded by any test, so this part of the change was not tested."
    )


async def test_with_a_fix_that_is_seen_or_in_a_script_what_nobody_loads_is_told_and_no_more(tmp_path: Path) -> None:
    project = Project(tmp_path, PACKAGE)
    fixed = await project.check({"shop/calc.py": RIGHT, "shop/windows.py": BEEP})
    assert fixed.decision is Decision.PASSED, fixed.reasons
    assert "shop/windows.py was not loaded by the tests' own process." in fixed.reasons
    harmless = {"shop/calc.py": WRONG.replace("a - b", "a + -b"), "setup.py": "NAME = 'shops'\n"}
    project = Project(tmp_path, {"test_calc.py": IDLE.replace("calc", "shop.calc")})
    script = await project.check(harmless)
    assert script.decision is Decision.PASSED, script.reasons
    assert "setup.py was not loaded by the tests' own process." in script.reasons


async def test_a_compiled_extension_in_the_place_of_a_changed_module_is_named(tmp_path: Path) -> None:
    """As in websockets' own repository, once somebody has built it: the extension is found first."""
    spec = importlib.util.find_spec("websockets.speedups")
    assert spec is not None
    assert spec.origin is not None
    built = Path(spec.origin)
    test = "from shop.speedups import apply_mask\n\n\ndef test_it():\n    assert apply_mask(b'abcd', b'0000')\n"
    source = "def apply_mask(data, mask):\n    return data\n"
    project = Project(tmp_path, {"shop/__init__.py": "", "shop/speedups.py": source, "test_it.py": test})
    (tmp_path / "shop" / built.name).write_bytes(built.read_bytes())
    verdict = await project.check({"shop/speedups.py": source.replace("return data", "return None")})
    assert verdict.decision is Decision.UNDECIDED, verdict.reasons
    assert f"/shop/{built.name}" in verdict.reasons[0]


async def test_old_compiled_code_in_the_place_of_a_changed_module_is_named(tmp_path: Path) -> None:
    test = f"import sys\n\nsys.path.insert(0, 'old')\n{TEST}"
    project = Project(tmp_path, {"calc.py": RIGHT, "test_calc.py": test, "old/calc.py": RIGHT})
    py_compile.compile(str(tmp_path / "old" / "calc.py"), str(tmp_path / "old" / "calc.pyc"), doraise=True)
    (tmp_path / "old" / "calc.py").unlink()
    verdict = await project.check({"calc.py": WRONG})
    assert verdict.decision is Decision.UNDECIDED, verdict.reasons
    assert "calc.py was not loaded: calc came from" in verdict.reasons[0]
    assert "old/calc.pyc" in verdict.reasons[0]
