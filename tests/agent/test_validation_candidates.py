"""The gate in real candidates of every kind, with an editable install of a `src/` layout: no false green."""

import site
import subprocess
import sys
from pathlib import Path

import pytest

from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.domain.verdict import Decision
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from tests.workspace.scenes import KINDS, scene

BUGGY = b"def add(a, b):\n    return a - b\n"
FILES: dict[str, str | bytes] = {
    ".gitignore": ".venv/\n__pycache__/\n",
    "src/pkg/__init__.py": "",
    "src/pkg/calc.py": BUGGY,
    "tests/test_calc.py": "from pkg.calc import add\n\ndef test_add():\n    assert add(1, 2) == 3\n",
}


def install_editable(root: Path) -> None:
    """What `pip install -e .` leaves: an environment whose path file names the workspace's own `src`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / ".venv"], check=True)
    folder = next((root / ".venv" / "lib").iterdir()) / "site-packages"
    (folder / "editable.pth").write_text(f"{root / 'src'}\n{site.getsitepackages()[0]}\n")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_editable_install_is_never_a_false_green(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    async with scene(tmp_path, kind, FILES) as place:
        install_editable(place.root)
        finder = WorkspaceRunnerFinder(RunnerOptions())
        gate = Gate(place.trees, place.pool, finder, GateOptions(timeout_s=60.0))
        tree = (await place.trees.snapshot(())).tree
        edit = FileEdit("src/pkg/calc.py", Entry(BUGGY), Entry(BUGGY.replace(b"a - b", b"a + b")))
        evidence = await gate.validate(tree, (edit,), goal_tests=("tests/test_calc.py::test_add",))
        verdict = evidence.verdict
        assert verdict.decision is Decision.PROVEN, (verdict.reasons, evidence.after)
        assert evidence.witness["src/pkg/calc.py"] == Entry(BUGGY).sha256
        assert (place.root / "src/pkg/calc.py").read_bytes() == BUGGY
        assert not (place.root / ".pytest_cache").exists()
