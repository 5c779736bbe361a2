"""Which projects a workspace holds, why, which of them a change concerns, and under which Python they are tested."""

import base64
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ports import Candidate, SuiteRequest
from agent_lsp.storage.baselines import StoredBaselines
from agent_lsp.storage.suite_memory import StoredSuiteMemory
from agent_lsp.workspace.fingerprint import Fingerprints
from agent_lsp.workspace.runners.affected import affected, owners
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.environments import environments
from agent_lsp.workspace.runners.projects import Language, Project, find_projects
from agent_lsp.workspace.runners.remembered import Remembering, RememberingFinder
from agent_lsp.workspace.runners.several import SeveralRunners
from tests.node_tools import needs_node
from tests.workspace.runners.conftest import MakeCandidate

TEST = "def test_a(): pass\n"
MANIFEST = "[project]\nname = 'x'\n"
NODE_TEST = "import test from 'node:test';\n"
SCRIPT = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'


async def rows(candidate: Candidate) -> list[tuple[str, str]]:
    return [(project.folder, project.runner) for project in await find_projects(candidate)]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"calc.py": ""}, [(".", "python")]),
        ({"tests/test_a.py": TEST, "examples/app/pyproject.toml": MANIFEST}, [(".", "python")]),
        ({"tests/test_a.py": TEST, "sub/setup.py": "", "sub/tests/test_b.py": TEST}, [(".", "python")]),
        ({"test_a.py": TEST, "docs/package.json": '{"scripts": {"test": "jest"}}'}, [(".", "python")]),
        ({"a/setup.py": "", "a/tests/test_a.py": TEST}, [("a", "python")]),
        (
            {"test_a.py": TEST, "a/setup.py": "", "a/.venv/pyvenv.cfg": "", "a/test_b.py": TEST},
            [(".", "python"), ("a", "python")],
        ),
        (
            {
                "pyproject.toml": "[tool.uv.workspace]\nmembers = ['packages/*']\n",
                "test_a.py": TEST,
                "packages/a/pyproject.toml": MANIFEST,
                "packages/a/tests/test_b.py": TEST,
                "other/pyproject.toml": MANIFEST,
                "other/test_c.py": TEST,
            },
            [(".", "python"), ("packages/a", "python")],
        ),
        ({"package.json": '{"scripts": {"test": "node --import tsx --test src"}}'}, [(".", "node")]),
        ({"package.json": '{"scripts": {"test": "npm run unit", "unit": "vitest"}}'}, [(".", "vitest")]),
        (
            {"package.json": '{"scripts": {"test": "echo no test specified"}}', "vitest.config.ts": ""},
            [(".", "vitest")],
        ),
        ({"package.json": '{"scripts": {"test": "tsc && jest --ci"}}'}, [(".", "jest")]),
        ({"package.json": "no json", "test/a.mjs": NODE_TEST}, [(".", "node")]),
        (
            {
                "test_a.py": TEST,
                "package.json": '{"workspaces": ["web/*"], "scripts": {"test": "npm test --workspaces"}}',
                "web/a/package.json": '{"scripts": {"test": "node --test"}}',
                "web/b/package.json": '{"devDependencies": {"vitest": "^4"}}',
                "web/c/package.json": "{}",
            },
            [(".", "python"), ("web/a", "node"), ("web/b", "vitest")],
        ),
    ],
)
async def test_projects_are_found_by_their_own_files(
    candidate_of: MakeCandidate, files: Mapping[str, str], expected: list[tuple[str, str]]
) -> None:
    candidate = candidate_of({name: text for name, text in files.items() if ".venv" not in name})
    for name in files:
        Path(candidate.root, name).parent.mkdir(parents=True, exist_ok=True)
        Path(candidate.root, name).write_text(files[name])
    assert await rows(candidate) == expected


def project(folder: str, language: Language = Language.PYTHON, name: str = "", manifest: str = "") -> Project:
    return Project(folder, language, "python", "", name=name, manifest=manifest)


WORLD = [
    project("."),
    project("packages/a", name="lib-a"),
    project("packages/b", name="lib-b", manifest="dependencies = ['lib-a>=1']"),
    project("packages/c", manifest="dependencies = ['lib-a-more', 'lib-b']"),
    project("web", Language.JAVASCRIPT),
    project("web/app", Language.JAVASCRIPT, manifest='{"dependencies": {"lib-c": "1"}}'),
]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ((), dict.fromkeys(range(6), False)),
        (("packages/a/src/x.py",), {1: True, 2: False, 3: False}),
        (("packages/b/x.py",), {2: True, 3: False}),
        (("packages/c/x.py", "packages/b/x.py"), {2: True, 3: True}),
        (("conftest.py",), {0: True, 1: False, 2: False, 3: False}),
        (("web/app/a.ts",), {5: True}),
        (("web/a.js",), {4: True}),
        (("tool.js",), {4: True, 5: True}),
        (("packages/a/data.json",), {1: False, 2: False, 3: False}),
        (("README.md",), dict.fromkeys(range(6), False)),
        (("web/tool.py",), {0: True, 1: False, 2: False, 3: False}),
    ],
)
def test_a_change_asks_its_project_and_those_that_use_it_and_the_root_asks_all(
    changed: tuple[str, ...], expected: dict[int, bool]
) -> None:
    assert affected(WORLD, changed) == expected


def test_tests_belong_to_the_innermost_project_of_their_language() -> None:
    assert owners(WORLD, "packages/a/tests/test_a.py") == [1]
    assert owners(WORLD, "tests/test_a.py") == [0]
    assert owners(WORLD, "web/app/a.test.ts") == [5]
    assert owners(WORLD, "packages") == [0, 1, 2, 3]
    assert owners(WORLD, ".") == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["pytest.toml", ".pytest.toml", "pytest.ini"])
async def test_a_file_that_only_configures_pytest_is_what_says_so(candidate_of: MakeCandidate, name: str) -> None:
    (project,) = await find_projects(candidate_of({name: "", "tests/test_a.py": TEST}))
    assert project.why == f"{name} and tests such as tests/test_a.py"


async def test_what_was_found_is_explained_with_the_file_that_said_so_and_settings_override(
    candidate_of: MakeCandidate,
) -> None:
    files = {
        "tests/test_a.py": "import pytest\n",
        "tests/conftest.py": "",
        "docs/test_b.py": "",
        "web/package.json": '{"scripts": {"test": "jest"}}',
        "ui/package.json": '{"scripts": {"test": "node --test"}}',
    }
    candidate = candidate_of(files)
    finder = WorkspaceRunnerFinder(RunnerOptions(interpreter=sys.executable))
    python, ui, web = await finder.explain(candidate)
    assert (python.folder, python.works) == (".", True)
    assert "because of tests/conftest.py and tests such as tests/test_a.py" in python.seen
    assert (ui.folder, "ui/package.json: scripts.test is `node --test`" in ui.seen) == ("ui", True)
    assert (web.folder, web.works) == ("web", False)
    assert "no runner for jest" in web.seen
    assert "tests.command" in web.advice
    several = await finder.find(candidate)
    assert isinstance(several, SeveralRunners)
    with pytest.raises(RunnerUnavailableError, match="no runner for jest"):
        await several.run(candidate, SuiteRequest(changed=("web/a.js",)))

    async def named(**settings: str) -> str:
        return (await WorkspaceRunnerFinder(RunnerOptions(**settings)).find(candidate)).name  # type: ignore[arg-type]

    assert await named(command="make test") == "command make test"
    assert await named(runner="vitest") == "vitest in ui and vitest in web"
    assert (await named(runner="unittest", interpreter=sys.executable)).startswith("unittest")


async def test_a_packages_own_environment_comes_before_that_of_the_workspace(
    candidate_of: MakeCandidate,
) -> None:
    files = {
        "a/pyproject.toml": MANIFEST,
        "a/tests/test_a.py": "def test_cwd():\n    import os, sys\n    assert os.path.basename(os.getcwd()) == 'a'\n",
        "b/pyproject.toml": MANIFEST,
        "b/tests/test_a.py": "def test_cwd():\n    import os\n    assert os.path.basename(os.getcwd()) == 'b'\n",
        ".venv/pyvenv.cfg": "",
        ".venv/bin/python": SCRIPT,
        "a/.venv/pyvenv.cfg": "",
        "a/.venv/bin/python": SCRIPT,
    }
    candidate = candidate_of(files)
    for name in (".venv", "a/.venv"):
        Path(candidate.root, name, "bin/python").chmod(0o755)
    finder = WorkspaceRunnerFinder(RunnerOptions(args=("-p", "no:cacheprovider")))
    own, shared = await finder.explain(candidate)
    assert " .venv/bin/python (the workspace's .venv)" in own.seen
    assert "../.venv/bin/python" in shared.seen
    report = await (await finder.find(candidate)).run(candidate, SuiteRequest())
    assert report.passing() == {"a/tests/test_a.py::test_cwd", "b/tests/test_a.py::test_cwd"}, report
    one = await (await finder.find(candidate)).run(candidate, SuiteRequest(tests=("b/tests/test_a.py::test_cwd", "c")))
    assert (set(one.cases), one.not_found) == ({"b/tests/test_a.py::test_cwd"}, ("c",))


async def test_environments_of_tox_nox_hatch_and_conda_are_found_with_who_made_them(
    candidate_of: MakeCandidate, tmp_path: Path
) -> None:
    files = {f"{place}/bin/python": SCRIPT for place in (".tox/lint", ".tox/py311", ".tox/py312", ".nox/tests")}
    candidate = candidate_of(files | {"tox.ini": "[tox]\nenvlist = py312, lint\n"})
    for name in files:
        Path(candidate.root, name).chmod(0o755)
    mark = base64.urlsafe_b64encode(hashlib.sha256(candidate.root.encode()).digest()).decode()[:8]
    hatch = tmp_path / "hatch" / "env" / "virtual" / "app" / mark / "app" / "bin" / "python"
    hatch.parent.mkdir(parents=True)
    hatch.write_text(SCRIPT)
    environ = {"HATCH_DATA_DIR": str(tmp_path / "hatch"), "CONDA_PREFIX": "/opt/conda"}
    found = await environments(candidate, environ)
    assert [(os.path.relpath(path, tmp_path) if path == str(hatch) else path, who) for path, who, _ in found] == [
        (".tox/py312/bin/python", "the environment py312 of tox"),
        (".nox/tests/bin/python", "the environment tests of nox"),
        (".tox/py311/bin/python", "the environment py311 of tox"),
        (".tox/lint/bin/python", "the environment lint of tox"),
        (os.path.relpath(hatch, tmp_path), "the environment app of hatch"),
        ("/opt/conda/bin/python", "CONDA_PREFIX"),
    ]


@needs_node
async def test_runs_of_an_unchanged_tree_are_remembered_for_each_project_and_learned_from_together(
    candidate_of: MakeCandidate, tmp_path: Path
) -> None:
    files = {
        "tests/test_a.py": TEST,
        "ui/package.json": '{"scripts": {"test": "node --test"}}',
        "ui/test/a.test.js": NODE_TEST + "test('a', () => {});\n",
    }
    candidate = candidate_of(files)
    memory = StoredSuiteMemory(tmp_path / "suite")
    trees, prints = candidate._trees, Fingerprints(Path(candidate.root), os.environ)
    kept = StoredBaselines(tmp_path / "baselines", 1_000_000)
    finder = WorkspaceRunnerFinder(RunnerOptions(interpreter=sys.executable))
    remembering = RememberingFinder(finder, Remembering(Path(candidate.root), trees, kept, memory, prints))
    runner = await remembering.find(candidate)

    first = await runner.run(candidate, SuiteRequest(recall=True, changed=("ui/a.js",)))
    facts = await memory.facts()
    both = await runner.run(candidate, SuiteRequest(recall=True))
    again = await runner.run(candidate, SuiteRequest(recall=True))

    assert set(first.cases) == {"ui/test/a.test.js::a"}
    assert (set(facts.durations_s), facts.whole_s) == (set(first.cases), None), "a part is not the whole suite"
    assert set(both.cases) == {"ui/test/a.test.js::a", "tests/test_a.py::test_a"}
    assert both.cases["ui/test/a.test.js::a"] is first.cases["ui/test/a.test.js::a"]
    assert again.duration_s == both.duration_s
    assert (await memory.facts()).whole_s == both.duration_s
