"""Which sources come first on the path: an installed copy of the project must not be tested in its place."""

import site
import subprocess
import sys
from pathlib import Path

import pytest

from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.verdict import Decision
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.source_roots import source_roots
from tests.workspace.scenes import KINDS, scene

BUGGY = "def area(width, height):\n    return width + height\n"
RIGHT = BUGGY.replace("+", "*")
FILES: dict[str, str | bytes] = {
    ".gitignore": ".venv/\n__pycache__/\n",
    "src/shapes/__init__.py": "from shapes.area import area\n",
    "src/shapes/area.py": BUGGY,
    "tests/test_area.py": "from shapes import area\n\n\ndef test_area():\n    assert area(3, 4) == 12\n",
}
GOAL = "tests/test_area.py::test_area"


def environment(root: Path, installed: dict[str, str]) -> None:
    """A `.venv` that sees this Python's own packages, with copies of some files installed in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / ".venv"], check=True)
    packages = next((root / ".venv" / "lib").iterdir()) / "site-packages"
    (packages / "tests.pth").write_text(f"{site.getsitepackages()[0]}\n")
    for path, text in installed.items():
        (packages / path).parent.mkdir(parents=True, exist_ok=True)
        (packages / path).write_text(text)


async def test_the_workspace_is_tested_and_not_the_copy_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    async with scene(tmp_path, KINDS[0], FILES) as place:
        environment(place.root, {"shapes/__init__.py": "from shapes.area import area\n", "shapes/area.py": RIGHT})
        gate = Gate(place.trees, place.pool, WorkspaceRunnerFinder(RunnerOptions()), GateOptions(timeout_s=60.0))
        tree = (await place.trees.snapshot(())).tree

        async def decision(text: str) -> Decision:
            edit = FileEdit("src/shapes/area.py", Entry(BUGGY.encode()), Entry(text.encode()))
            return (await gate.validate(tree, (edit,), goal_tests=(GOAL,))).verdict.decision

        assert await decision(RIGHT) is Decision.PROVEN
        assert await decision(BUGGY + "# as installed\n") is Decision.FAILED


@pytest.mark.parametrize(
    ("sources", "installed", "expected"),
    [
        ({"src/shapes/__init__.py": ""}, {}, ("src",)),
        ({"src/shapes.py": ""}, {"shapes.py": ""}, ("src",)),
        ({"src/shapes.py": ""}, {}, ()),
        ({"src/shapes/__init__.py": "", "src/types.py": ""}, {}, ()),
        ({"src/shapes/__init__.py": ""}, {"shapes/__init__.py": "", "shapes/_fast.so": ""}, ()),
        ({"src/shapes/__init__.py": ""}, {"shapes/__init__.py": "", "shapes/_version.py": ""}, ()),
        ({"src/__init__.py": "", "src/shapes/__init__.py": ""}, {}, ()),
        ({"shapes/__init__.py": ""}, {"shapes/__init__.py": ""}, ()),
        ({"src/firm/shapes/__init__.py": ""}, {"firm/shapes/__init__.py": ""}, ("src",)),
        ({"src/firm/shapes/__init__.py": ""}, {"firm/shapes/__init__.py": "", "firm/shapes/_fast.so": ""}, ()),
        ({"src/firm/shapes/__init__.py": ""}, {"firm/other/__init__.py": ""}, ()),
    ],
)
async def test_src_comes_first_where_its_packages_would_come_from_elsewhere(
    tmp_path: Path, sources: dict[str, str | bytes], installed: dict[str, str], expected: tuple[str, ...]
) -> None:
    async with scene(tmp_path, KINDS[0], {".gitignore": ".venv/\n", **sources}) as place:
        environment(place.root, installed)
        candidate = await place.pool.open((await place.trees.snapshot(())).tree)
        try:
            assert await source_roots(candidate, f"{candidate.root}/.venv/bin/python") == expected
            assert await source_roots(candidate, "/nowhere/python") == ()
        finally:
            await candidate.close()
