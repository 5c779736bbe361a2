"""The gate in environments that tox, nox and hatch really made: found, told, and showing what was changed."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent_lsp.app.configuration import Configuration
from agent_lsp.app.laboratory import Laboratory, laboratory
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.verdict import Decision, Verdict
from tests.workspace.scenes import put

TOOLS = ("tox==4.67.15", "nox==2026.10.20", "hatch==1.18.2")
_WITHIN_S = 240.0

SUM = "import uritemplate\n\n\ndef area(width, height):\n    assert uritemplate.expand\n    return width + height\n"
RIGHT, WRONG = SUM.replace("+ height", "* height"), SUM.replace("+ height", "- height")
TEST = "from {} import area\n\n\ndef test_area():\n    assert area(3, 4) == 12\n"
GOAL = "tests/test_area.py::test_area"
MANIFEST = """
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"
[project]
name = "{name}"
version = "1.0"
description = "{name}"
dependencies = [{dependencies}]
"""
NEEDS = '"uritemplate"'


@dataclass(frozen=True)
class Made:
    """A project with what makes its environment. `source` is the file that is changed; `told` is what doctor says."""

    command: tuple[str, ...]
    files: Mapping[str, str]
    told: str
    source: str = "src/shapes/area.py"
    before: Mapping[str, str] = field(default_factory=dict)


def _shapes(manifest: str = "", **more: str) -> dict[str, str]:
    return {
        "src/shapes/__init__.py": "from shapes.area import area\n",
        "src/shapes/area.py": SUM,
        "tests/test_area.py": TEST.format("shapes"),
        "pyproject.toml": MANIFEST.format(name="shapes", dependencies=NEEDS) + manifest,
    } | {name.replace("__", "."): text for name, text in more.items()}


BESIDE = {
    "pyproject.toml": MANIFEST.format(name="beside", dependencies=""),
    "src/beside.py": "SIDES = 4\n",
}
TOX = (
    '[tool.tox]\nenv_list = ["py"]\n[tool.tox.env_run_base]\npackage = "wheel"\ndeps = ["pytest", "-e../tox-beside"]\n'
)
NOX = "import nox\n\n\n@nox.session\ndef tests(session):\n    session.install('pytest', '.')\n"

PROJECTS = {
    "tox": Made(
        ("tox", "run", "-e", "py", "--notest"),
        _shapes(TOX) | {"tests/test_beside.py": "import beside\n\n\ndef test_sides():\n    assert beside.SIDES == 4\n"},
        ".tox/py/bin/python (the environment py of tox); src first on its path",
    ),
    "nox": Made(
        ("nox", "-s", "tests"),
        {
            "src/company/shapes/__init__.py": "from company.shapes.area import area\n",
            "src/company/shapes/area.py": SUM,
            "tests/test_area.py": TEST.format("company.shapes"),
            "pyproject.toml": MANIFEST.format(name="company-shapes", dependencies=NEEDS)
            + '[tool.flit.module]\nname = "company.shapes"\n',
            "noxfile.py": NOX,
        },
        ".nox/tests/bin/python (the environment tests of nox); src first on its path",
        source="src/company/shapes/area.py",
    ),
    "hatch": Made(("hatch", "test", "--collect-only"), _shapes(), "(the environment hatch-test.py"),
    "hatch-inside": Made(
        ("hatch", "run", "checks:python", "-c", "import pytest, shapes"),
        _shapes("[tool.hatch.envs.checks]\ninstaller = 'uv'\ndependencies = ['pytest']\n"),
        "environments/checks/bin/python (the environment checks of hatch)",
        before={"HATCH_CONFIG": "inside.toml"},
    ),
}


@pytest.fixture(scope="module")
def made() -> Path:
    """The folder of the projects, whose environments were made by the tools themselves, once for many runs."""
    texts = [json.dumps(PROJECTS[name].files) + str(PROJECTS[name].command) for name in sorted(PROJECTS)]
    mark = hashlib.sha256("\0".join([*texts, *TOOLS, *BESIDE.values(), sys.version, sys.prefix]).encode()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agent-lsp-tests"
    place = cache.resolve() / f"environments-{mark[:12]}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            _make(place)
            (place / "complete").touch()
    return place


def _make(place: Path) -> None:
    _run(place, sys.executable, "-m", "venv", "--clear", "tools")
    _run(place, "tools/bin/python", "-m", "pip", "install", "--quiet", "--no-compile", "--retries", "1", "uv")
    _run(place, "tools/bin/uv", "pip", "install", "--quiet", "--python", "tools/bin/python", *TOOLS)
    (place / "default.toml").write_text("[dirs]\n")
    (place / "inside.toml").write_text('[dirs.env]\nvirtual = "environments"\n')
    put(place / "projects" / "tox-beside", BESIDE)
    for name, project in PROJECTS.items():
        root = put(place / "projects" / name, project.files)
        tool, *arguments = project.command
        _run(root, str(place / "tools" / "bin" / tool), *arguments, **_environ(place, project))
    shutil.rmtree(place / "tools")


def _run(folder: Path, *command: str, **more: str) -> None:
    """Skips the tests, saying so, where a tool or what it installs is not to be had."""
    unwanted = ("VIRTUAL_ENV", "PYTEST_", "COVERAGE", "PYTHONPATH", "HATCH_", "TOX", "NOX")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(unwanted)} | more
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"`{' '.join(command)}` did not end within {_WITHIN_S:.0f} s")
    if done.returncode != 0:
        pytest.skip(f"`{' '.join(command)}` made no environment: {(done.stdout + done.stderr).strip()[-600:]}")


def _environ(place: Path, project: Made) -> dict[str, str]:
    """Hatch's folders, which are not to be the person's own."""
    own = {"XDG_DATA_HOME": str(place / "data"), "HATCH_CONFIG": str(place / "default.toml")}
    return own | {name: str(place / file) for name, file in project.before.items()}


@dataclass
class Bench:
    """One project of those, and the laboratory on it."""

    root: Path
    project: Made
    configuration: Configuration
    lab: Laboratory

    async def told(self) -> str:
        """What runs the tests, as doctor tells it."""
        candidate = await self.lab.pool.open((await self.lab.trees.snapshot(())).tree)
        try:
            runner = await self.configuration.finder.find(candidate)
            return str(runner.describe())  # type: ignore[attr-defined]
        finally:
            await candidate.close()

    async def verdict(self, text: str) -> Verdict:
        tree = (await self.lab.trees.snapshot(())).tree
        edit = FileEdit(self.project.source, Entry(SUM.encode()), Entry(text.encode()))
        return (await self.lab.gate.validate(tree, (edit,), goal_tests=(GOAL,))).verdict


@pytest.fixture
async def bench(
    made: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    name, kind = request.param
    project, root = PROJECTS[name], made / "projects" / name
    for variable, text in _environ(made, project).items():
        monkeypatch.setenv(variable, text)
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AGENT_LSP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("AGENT_LSP_DATA_DIR", str(tmp_path / "data"))
    configuration = Configuration(root, lambda _event, _data: None, {"sandbox": {"kind": kind}})
    configuration.check()
    lab = laboratory(root, configuration)
    yield Bench(root, project, configuration, lab)
    await lab.gate.close()
    await lab.pool.close()


@pytest.mark.parametrize(
    "bench",
    [(name, "auto") for name in PROJECTS] + [("hatch", "clone")],
    indirect=True,
    ids=[*PROJECTS, "hatch-in-a-plain-copy"],
)
async def test_the_tools_own_environment_tests_the_change_and_not_the_copy_installed_in_it(bench: Bench) -> None:
    assert bench.project.told in await bench.told()
    right, wrong = await bench.verdict(RIGHT), await bench.verdict(WRONG)
    assert right.decision is Decision.PROVEN, right.reasons
    assert not any("as before" in reason for reason in right.reasons), right.reasons
    assert wrong.decision is Decision.FAILED, wrong.reasons


def test_doctor_names_the_environment_and_its_maker(made: Path, tmp_path: Path) -> None:
    environ = {name: text for name, text in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
    environ |= _environ(made, PROJECTS["hatch"]) | {"AGENT_LSP_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "agent_lsp", "doctor", "--json", "--root", str(made / "projects" / "hatch")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    (row,) = [row for row in json.loads(done.stdout)["rows"] if row["name"] == "test runner"]
    assert row["works"], row
    assert f"{made}/data/hatch/env/virtual/shapes/" in row["seen"]
    assert "(the environment hatch-test.py" in row["seen"]
