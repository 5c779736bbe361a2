"""Quick looks at many edits in one process: what they tell, what they survive, and what they leave behind."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path

import pytest

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ports import Candidate, SandboxKind
from agent_lsp.domain.suite_ports import Screened, Screening
from agent_lsp.workspace.runners.folder_runner import FolderRunner
from agent_lsp.workspace.runners.interpreter import Interpreter
from agent_lsp.workspace.runners.projects import Language, Project
from agent_lsp.workspace.runners.pytest_runner import PytestRunner
from agent_lsp.workspace.runners.several import Part, SeveralRunners
from tests.agent.repair.test_in_sandbox import FEW_PLUGINS
from tests.workspace.scenes import opened, sh

CONFIG = f'[tool.pytest.ini_options]\naddopts = "{FEW_PLUGINS}"\n'
SOURCE = "def add(a, b):\n    return a - b\n"
TESTS = """from calc import add

def test_add(): assert add(1, 2) == 3
def test_more(): assert add(5, 1) == 6
def test_zero(): assert add(4, 0) == 4
"""
FILES = {"pyproject.toml": CONFIG, "calc.py": SOURCE, "test_calc.py": TESTS}
SPAWNING = """import subprocess, sys
CODE = "import calc; print(calc.add(1, 2))"
def test_add(): assert subprocess.check_output([sys.executable, "-c", CODE]).strip() == b"3"
"""
ADD, MORE, ZERO = (f"test_calc.py::test_{name}" for name in ("add", "more", "zero"))
RUNNER = PytestRunner(Interpreter(sys.executable, "the test", pytest="here"))


def asked(*texts: str, cpu_s: float = 0.5) -> Screening:
    """Edits that put these in the place of `a - b`."""
    start = SOURCE.index("a - b")
    edits = [("calc.py", start, start + len("a - b"), text) for text in texts]
    return Screening((ADD, MORE), (ZERO,), {"calc.py": SOURCE}, edits, cpu_s)


async def looks(candidate: Candidate, request: Screening) -> Mapping[int, Screened]:
    async with aclosing(RUNNER.screen(candidate, request)) as rows:
        return {row.number: row async for row in rows}


@pytest.fixture(params=[SandboxKind.OVERLAY, None], ids=["sandbox", "plain"])
def kind(request: pytest.FixtureRequest) -> SandboxKind | None:
    found: SandboxKind | None = request.param
    return found


async def test_each_edit_is_told_with_the_tests_that_pass_and_those_that_it_breaks(
    tmp_path: Path, kind: SandboxKind | None
) -> None:
    async with opened(tmp_path, kind, FILES) as candidate:
        found = await looks(candidate, asked("a + b", "a * b", "3 if b else 4", "3 if b else 5", "(", "while"))
        assert await candidate.harvest() == ()
    assert sorted(found) == [0, 1, 2, 3, 4, 5]
    assert found[0].passed == {ADD, MORE, ZERO}
    assert not found[1].passed
    assert found[2].passed == {ADD, ZERO}
    assert found[2].broken == {MORE}
    assert found[3].passed == {ADD}
    assert found[3].broken == {MORE, ZERO}
    assert not found[4].passed
    assert not any(look.late for look in found.values())


async def test_an_edit_with_a_half_in_another_file_is_looked_at_as_one(
    tmp_path: Path, kind: SandboxKind | None
) -> None:
    code = "from sign import SIGN\n" + SOURCE.replace("- b", "- SIGN * b + 1")
    files = {**FILES, "calc.py": code, "sign.py": "SIGN = 1\n"}
    start = code.index(" + 1")
    whole, half = ("calc.py", start, start + 4, ""), ("sign.py", 7, 8, "-1")
    texts = {"calc.py": code, "sign.py": files["sign.py"]}
    request = Screening((ADD, MORE), (ZERO,), texts, [whole, half, whole], 0.5, also={2: half})
    async with opened(tmp_path, kind, files) as candidate:
        found = await looks(candidate, request)
    assert not found[0].passed
    assert not found[1].passed
    assert found[2].passed == {ADD, MORE, ZERO}


async def test_a_project_in_a_folder_is_looked_at_by_the_names_of_the_workspace(
    tmp_path: Path, kind: SandboxKind | None
) -> None:
    files = {f"back/{path}": text for path, text in FILES.items()} | {"lib/other.py": "def two(): return 3\n"}
    files["back/test_calc.py"] += (
        "def test_two():\n    sys.path.append('../lib')\n    from other import two\n    assert two() == 2\n"
    )
    files["back/test_calc.py"] = "import sys\n" + files["back/test_calc.py"]
    tests, two = tuple(f"back/{name}" for name in (ADD, MORE)), "back/test_calc.py::test_two"
    start, there = SOURCE.index("a - b"), "lib/other.py"
    edits = [("back/calc.py", start, start + 5, "a + b"), (there, 18, 19, "2")]
    texts = {"back/calc.py": SOURCE, there: files[there]}
    request = Screening((*tests, two), (f"back/{ZERO}",), texts, edits, 0.5)
    async with opened(tmp_path, kind, files) as candidate, aclosing(screened(candidate, request)) as rows:
        found = {row.number: row async for row in rows}
    assert found[0].passed >= set(tests)
    assert two not in found[0].passed
    assert two in found[1].passed, "a file beside the folder can be edited too"


async def test_failing_tests_of_two_projects_are_not_looked_at_at_once(tmp_path: Path) -> None:
    files = {f"{folder}/{path}": text for folder in ("back", "side") for path, text in FILES.items()}
    request = Screening((f"back/{ADD}", f"side/{ADD}"), (), {"back/calc.py": SOURCE}, ())
    async with opened(tmp_path, None, files) as candidate, aclosing(screened(candidate, request)) as rows:
        with pytest.raises(RunnerUnavailableError, match="cannot look at many edits"):
            await anext(rows)


def screened(candidate: Candidate, request: Screening) -> AsyncGenerator[Screened, None]:
    """By the runner of a workspace with two projects in folders of it."""
    projects = [Project(folder, Language.PYTHON, "python", "pyproject.toml") for folder in ("back", "side")]
    parts = [Part(project, FolderRunner(project.folder, RUNNER)) for project in projects]
    return SeveralRunners(parts).screen(candidate, request)


async def test_an_edit_that_never_ends_or_eats_memory_is_stopped_and_the_others_are_looked_at(tmp_path: Path) -> None:
    endless = "[0 for _ in iter(int, 1)]"
    async with opened(tmp_path, SandboxKind.OVERLAY, FILES) as candidate:
        found = await looks(candidate, asked(endless, "a + b", "len(b'0' * (1 << 40))", "a + b + 0", cpu_s=0.3))
    assert found[0].late
    assert found[1].passed == found[3].passed == {ADD, MORE, ZERO}
    assert not found[2].passed


async def test_a_source_that_the_conftest_loads_is_looked_at_too(tmp_path: Path) -> None:
    files = {**FILES, "conftest.py": "import calc\n\nREADY = calc.add(1, 0)\n"}
    async with opened(tmp_path, SandboxKind.OVERLAY, files) as candidate:
        found = await looks(candidate, asked("a * b", "a + b"))
    assert not found[0].passed
    assert found[1].passed == {ADD, MORE, ZERO}


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        (
            SPAWNING,
            "cannot be looked into",
        ),
        ("from calc import add\ndef test_add(): assert add(1, 0) == 1\n", "passes when it runs alone"),
        ("from calc import nothing\n", "cannot be looked into"),
    ],
)
async def test_where_looks_tell_nothing_it_is_said(tmp_path: Path, tests: str, said: str) -> None:
    async with opened(tmp_path, SandboxKind.OVERLAY, {**FILES, "test_calc.py": tests}) as candidate:
        with pytest.raises(RunnerUnavailableError, match=said):
            await looks(candidate, asked("a + b"))


async def test_ending_it_early_leaves_no_process(tmp_path: Path) -> None:
    endless = "[0 for _ in iter(int, 1)]"
    async with opened(tmp_path, SandboxKind.OVERLAY, FILES) as candidate:
        rows = RUNNER.screen(candidate, asked("a + b", *[endless] * 20, cpu_s=8.0))
        first = await anext(rows)
        assert first.number == 0
        began_s = asyncio.get_running_loop().time()
        await rows.aclose()
        assert asyncio.get_running_loop().time() - began_s < 5.0
        left = await sh(candidate, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[a]gent_lsp_screen' || true")
    assert left.output.strip() == "0"
