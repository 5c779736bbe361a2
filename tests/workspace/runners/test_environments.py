"""Where tox, nox and hatch are told to keep environments, and in which order those are asked."""

import base64
import hashlib
import sys
from pathlib import Path

import pytest

from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.environments import environments, prefixes
from agent_lsp.workspace.runners.hatch import hatch_pythons
from agent_lsp.workspace.runners.tox_and_nox import told
from tests.workspace.runners.conftest import MakeCandidate

SCRIPT = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
BOTH = ((".tox", "tox"), (".nox", "nox"))


@pytest.mark.parametrize(
    ("texts", "folders", "order"),
    [
        ({}, BOTH, ()),
        (
            {"tox.ini": "[tox]\nenvlist = lint, py{311, 312}-{a,b}\n"},
            BOTH,
            ["lint", "py311-a", "py311-b", "py312-a", "py312-b"],
        ),
        ({"setup.cfg": "[tox:tox]\nenvlist =\n    a\n    b\n"}, BOTH, ("a", "b")),
        ({"tox.toml": "env_list = ['a', {product = []}]\nwork_dir = 'out/tox'"}, (*BOTH, ("out/tox", "tox")), ("a",)),
        ({"tox.ini": "[tox]\ntoxworkdir = {toxinidir}/envs\n"}, (*BOTH, ("envs", "tox")), ()),
        ({"tox.ini": "[tox]\ntoxworkdir = {env:AWAY}/envs\n", "tox.toml": "work_dir = '../up'"}, BOTH, ()),
        ({"pyproject.toml": "[tool.tox]\nlegacy_tox_ini = '[tox]\\nenvlist = py311'"}, BOTH, ()),
        ({"pyproject.toml": '[tool.tox]\nlegacy_tox_ini = """\n[tox]\nenvlist = py311\n"""'}, BOTH, ("py311",)),
        ({"noxfile.py": "import nox\nnox.options.envdir = 'build/nox'\n"}, (*BOTH, ("build/nox", "nox")), ()),
        ({"tox.ini": "no section", "tox.toml": "= 1", "pyproject.toml": "[tool]\ntox = 3"}, BOTH, ()),
    ],
)
def test_tox_and_nox_say_where_and_in_which_order(
    texts: dict[str, str], folders: tuple[tuple[str, str], ...], order: tuple[str, ...]
) -> None:
    found = told(texts)
    assert (found.folders, found.order) == (folders, tuple(order))


async def test_environments_for_tests_are_asked_first_and_one_that_is_broken_is_told(
    candidate_of: MakeCandidate,
) -> None:
    names = ("out/pylint", "out/py311", ".hatch/types", ".hatch/test", ".nox/docs", ".nox/tests-3-12")
    candidate = candidate_of({f"{name}/bin/python": SCRIPT for name in names} | {"tox.toml": "work_dir = 'out'"})
    broken = Path(candidate.root, ".tox/py/bin/python")
    broken.parent.mkdir(parents=True)
    broken.symlink_to("/nowhere/python")
    found = [path.removesuffix("/bin/python") for path, _, _ in await environments(candidate, {})]
    assert found == [
        ".hatch/test",
        ".nox/tests-3-12",
        ".tox/py",
        "out/py311",
        ".hatch/types",
        ".nox/docs",
        "out/pylint",
    ]
    lying = {str(Path(prefix).relative_to(candidate.root)) for prefix in prefixes(Path(candidate.root), {})}
    assert {"out/py311", ".hatch/test", ".nox/docs"} <= lying


@pytest.mark.parametrize(
    ("configured", "folder"),
    [
        ("[dirs.env]\nvirtual = '{home}/envs'", "envs"),
        ("[dirs.env]\nvirtual = '$HOME/envs'", "envs"),
        ("[dirs]\ndata = '~/data'", "data/env/virtual"),
        ("[dirs.env]\nvirtual = 3", "share/hatch/env/virtual"),
        ("not toml", "share/hatch/env/virtual"),
    ],
)
def test_hatch_is_believed_where_it_is_told_to_keep_environments(tmp_path: Path, configured: str, folder: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "told.toml").write_text(configured.format(home=tmp_path))
    environ = {
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "share"),
        "HATCH_CONFIG": str(tmp_path / "config" / "told.toml"),
    }
    python = _of_hatch(tmp_path / folder, "/projects/shop", "tests")
    if sys.platform == "darwin" and folder.startswith("share"):
        pytest.skip("there is no XDG_DATA_HOME on this system")
    assert [row.path for row in hatch_pythons("/projects/shop", environ)] == [python]
    assert hatch_pythons("/projects/other", environ) == []


async def test_a_package_of_a_workspace_is_tested_in_the_environment_that_hatch_keeps_for_it(
    candidate_of: MakeCandidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HATCH_DATA_DIR", str(tmp_path / "hatch"))
    files = {"a/pyproject.toml": "[project]\nname = 'a'\n", "a/tests/test_a.py": "def test_a():\n    pass\n"}
    candidate = candidate_of(files)
    python = _of_hatch(tmp_path / "hatch" / "env" / "virtual", "/projects/shop/a", "hatch-test.py3.12")
    (row,) = await WorkspaceRunnerFinder(RunnerOptions(root="/projects/shop")).explain(candidate)
    assert f"{python} (the environment hatch-test.py3.12 of hatch)" in row.seen


def _of_hatch(folder: Path, root: str, name: str) -> Path:
    """Makes what hatch keeps for a project."""
    mark = base64.urlsafe_b64encode(hashlib.sha256(root.encode()).digest()).decode()[:8]
    python = folder / "shop" / mark / name / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(SCRIPT)
    python.chmod(0o755)
    return python
