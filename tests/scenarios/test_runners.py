"""The verdict on workspaces of other languages, of several projects, and of any command, in real candidates."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.domain.verdict import Decision, Evidence
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from tests.anthropic_server import ScriptedBrain, calls, edit, finish
from tests.bare_pytest import give_pytest
from tests.node_tools import give_vitest, needs_node
from tests.scenarios.conftest import Stage
from tests.workspace.scenes import Scene, scene

JS = "export const add = (a, b) => a - b;\nexport const double = (a) => a * 2;\n"
JS_TESTS = """import test from 'node:test';
import assert from 'node:assert';
import { add, double } from '../add.js';

test('adds', () => assert.strictEqual(add(1, 2), 3));
test('doubles', () => assert.strictEqual(double(2), 4));
test('sees no secret', () => assert.strictEqual(process.env.SOME_API_KEY, undefined));
"""
NODE: Mapping[str, str | bytes] = {
    ".gitignore": "node_modules/\n.venv/\n__pycache__/\n",
    "package.json": '{"name": "web", "type": "module", "scripts": {"test": "node --test"}}',
    "add.js": JS,
    "unused.js": "export const nothing = 1;\n",
    "test/add.test.js": JS_TESTS,
}
PY = "def add(a, b):\n    return a - b\n"
PY_TEST = "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
PYTHON: Mapping[str, str | bytes] = {
    "calc.py": PY,
    "tests/test_add.py": PY_TEST,
    "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\n',
}
ADDS, PY_ADDS = "test/add.test.js::adds", "tests/test_add.py::test_add"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that no test may see."""
    monkeypatch.setenv("SOME_API_KEY", "geheim")


async def judged(
    place: Scene, changes: Mapping[str, tuple[str, str]], goals: Sequence[str] = (), **options: str
) -> Evidence:
    """The evidence on a change of some files, each `(old, new)` text in it."""
    finder = WorkspaceRunnerFinder(RunnerOptions(**options))  # type: ignore[arg-type]
    gate = Gate(place.trees, place.pool, finder, GateOptions(timeout_s=60.0))
    tree = (await place.trees.snapshot(())).tree
    edits = []
    for path, (old, new) in changes.items():
        before = await place.trees.read(tree, path)
        assert before is not None
        assert old.encode() in before.content
        edits.append(FileEdit(path, before, Entry(before.content.replace(old.encode(), new.encode()), before.mode)))
    return await gate.validate(tree, tuple(edits), goal_tests=tuple(goals))


FIX_JS, FIX_PY = ("a - b", "a + b"), ("a - b", "a + b")


@needs_node
async def test_a_fix_of_javascript_is_passed_and_says_that_lines_are_not_measured(tmp_path: Path) -> None:
    async with scene(tmp_path, SandboxKind.OVERLAY, NODE) as place:
        evidence = await judged(place, {"add.js": FIX_JS}, [ADDS])
        verdict = evidence.verdict
        assert (verdict.decision, verdict.fixed) == (Decision.PASSED, (ADDS,)), verdict.reasons
        assert (verdict.changed_lines, verdict.changed_lines_run, verdict.unrun_lines) == (0, 0, ())
        assert "Which lines of add.js ran is not measured, so the change can be passed at best." in verdict.reasons
        assert {"add.js", "test/add.test.js"} <= evidence.witness.keys()

        broken = (await judged(place, {"add.js": ("a * 2", "a * 3")})).verdict
        assert (broken.decision, broken.broken) == (Decision.REGRESSED, ("test/add.test.js::doubles",))


@needs_node
async def test_javascript_that_no_test_opens_and_a_change_that_fixes_no_failing_test_are_undecided(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, SandboxKind.OVERLAY, {**NODE, "add.js": JS.replace("a - b", "a + b")}) as place:
        unused = (await judged(place, {"unused.js": ("= 1", "= 2")})).verdict
        assert unused.decision is Decision.UNDECIDED
        assert "unused.js was not loaded by any test" in unused.reasons[0]
        used = (await judged(place, {"add.js": ("a * 2", "2 * a")})).verdict
        assert used.decision is Decision.PASSED, used.reasons
    async with scene(tmp_path, SandboxKind.OVERLAY, NODE) as place:
        useless = (await judged(place, {"add.js": ("a * 2", "2 * a")})).verdict
        assert useless.decision is Decision.UNDECIDED
        assert f"{ADDS} fails before and after" in useless.reasons[0]


@needs_node
async def test_with_python_and_javascript_each_change_asks_its_own_and_both_are_judged_together(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, SandboxKind.OVERLAY, {**NODE, **PYTHON}) as place:
        give_pytest(place.root)
        web = await judged(place, {"add.js": FIX_JS})
        assert web.after is not None
        assert {name.partition("::")[0] for name in web.after.cases} == {"test/add.test.js"}
        assert web.verdict.decision is Decision.PASSED

        python = (await judged(place, {"calc.py": FIX_PY})).verdict
        assert (python.decision, python.fixed) == (Decision.PROVEN, (PY_ADDS,)), python.reasons

        both = (await judged(place, {"add.js": FIX_JS, "calc.py": FIX_PY}, [ADDS, PY_ADDS])).verdict
        assert (both.decision, set(both.fixed)) == (Decision.PASSED, {ADDS, PY_ADDS}), both.reasons
        assert (both.changed_lines, both.changed_lines_run, both.collected) == (1, 1, 4)

        half = (await judged(place, {"add.js": ("a * 2", "a * 3"), "calc.py": FIX_PY})).verdict
        assert (half.decision, half.broken) == (Decision.REGRESSED, ("test/add.test.js::doubles",))


@needs_node
async def test_a_missing_tool_is_undecided_with_what_to_do_and_does_not_concern_other_languages(
    tmp_path: Path,
) -> None:
    package = '{"name": "web", "type": "module", "scripts": {"test": "vitest run"}}'
    async with scene(tmp_path, SandboxKind.OVERLAY, {**NODE, **PYTHON, "package.json": package}) as place:
        give_pytest(place.root)
        verdict = (await judged(place, {"add.js": FIX_JS})).verdict
        assert verdict.decision is Decision.UNDECIDED
        assert "vitest could not be started" in verdict.reasons[0]
        assert "npm install" in verdict.reasons[1]
        assert (await judged(place, {"calc.py": FIX_PY})).verdict.decision is Decision.PROVEN
        data = (await judged(place, {".gitignore": ("__pycache__", "*.pyc")})).verdict
        assert data.reasons[0] == "No test passes with the change, so nothing speaks for it."


async def test_a_fix_is_found_by_vitest(tmp_path: Path) -> None:
    tests = JS_TESTS.replace("import test from 'node:test'", "import { test } from 'vitest'")
    package = '{"name": "web", "type": "module", "devDependencies": {"vitest": "*"}}'
    async with scene(
        tmp_path, SandboxKind.OVERLAY, {**NODE, "test/add.test.js": tests, "package.json": package}
    ) as place:
        give_vitest(place.root)
        verdict = (await judged(place, {"add.js": FIX_JS}, [ADDS])).verdict
        assert (verdict.decision, verdict.fixed) == (Decision.PASSED, (ADDS,)), verdict.reasons


MEMBER = "[project]\nname = '{name}'\nversion = '1'\n{more}[tool.pytest.ini_options]\npythonpath = ['src']\n"


async def test_in_a_monorepo_the_changed_package_and_those_that_use_it_are_asked_from_their_own_folders(
    tmp_path: Path,
) -> None:
    data = "from pathlib import Path\n\n\ndef test_here():\n    assert Path('data.txt').read_text() == '{name}'\n"
    files: dict[str, str] = {".gitignore": ".venv/\n"}
    for name, more in (("one", ""), ("two", "dependencies = ['one']\n"), ("three", "")):
        files |= {
            f"packages/{name}/pyproject.toml": MEMBER.format(name=name, more=more),
            f"packages/{name}/src/{name}.py": PY,
            f"packages/{name}/data.txt": name,
            f"packages/{name}/tests/test_it.py": PY_TEST.replace("calc", name) + "\n\n" + data.format(name=name),
        }
    async with scene(tmp_path, SandboxKind.OVERLAY, files) as place:
        give_pytest(place.root)
        goal = "packages/one/tests/test_it.py::test_add"
        evidence = await judged(place, {"packages/one/src/one.py": FIX_PY}, [goal])
        assert evidence.verdict.decision is Decision.PROVEN, evidence.verdict.reasons
        assert evidence.verdict.fixed == (goal,)
        assert evidence.after is not None
        assert {name.split("/")[1] for name in evidence.after.cases} == {"one", "two"}
        assert "packages/two/tests/test_it.py::test_here" in evidence.after.passing()


@pytest.mark.parametrize(
    ("command", "decision"),
    [
        (".venv/bin/python -m pytest -q --junitxml={junit}", Decision.PASSED),
        (".venv/bin/python -c 'import calc; assert calc.add(1, 2) == 3'", Decision.PASSED),
        ("echo 1..1; echo ok 1 - nothing", Decision.UNDECIDED),
    ],
    ids=["junit", "status", "tap that opens nothing"],
)
async def test_a_command_can_pass_a_change_that_it_opened_and_never_prove_it(
    tmp_path: Path, command: str, decision: Decision
) -> None:
    async with scene(tmp_path, SandboxKind.OVERLAY, {**PYTHON, ".gitignore": ".venv/\n"}) as place:
        give_pytest(place.root)
        verdict = (await judged(place, {"calc.py": FIX_PY}, command=command)).verdict
        assert verdict.decision is decision, verdict.reasons
        assert verdict.unrun_lines == ()
        if decision is Decision.PASSED:
            assert len(verdict.fixed) == 1
            assert any("calc.py ran is not measured" in reason for reason in verdict.reasons)
        else:
            assert "calc.py was not loaded by any test" in verdict.reasons[0]


@needs_node
async def test_in_an_editor_a_loosened_javascript_test_is_named_and_no_goal_is_reached_by_it(stage: Stage) -> None:
    loosened = edit("test/add.test.js", "strictEqual(add(1, 2), 3)", "ok(add(1, 2))")
    renamed = edit("test/add.test.js", "'doubles'", "'twice'")
    screen = await stage(NODE, ScriptedBrain(execution=[calls(loosened, renamed), calls(finish("adds now"))]))

    run_id = await screen.run("make add add", tests=[ADDS])
    await screen.until(run_id, "failed")
    verdict = (await screen.proposal(run_id))["verdict"]

    assert verdict["decision"] == "failed", verdict
    became = "`assert.strictEqual(add(1, 2), 3)` became `assert.ok(add(1, 2))`"
    (row,) = verdict["removedOrWeakened"]
    assert row.startswith(f"{ADDS}: an assertion was loosened: {became} (test/add.test.js:"), (
        "a renamed test is the same"
    )


@needs_node
async def test_in_an_editor_a_javascript_fix_beside_python_is_proposed_and_applied(
    stage: Stage,
) -> None:
    change = edit("add.js", "a - b", "a + b")
    both = {**NODE, **PYTHON, "calc.py": PY.replace("a - b", "a + b")}
    screen = await stage(both, ScriptedBrain(execution=[calls(change), calls(finish("adds now"))]))

    run_id = await screen.run("make add add", tests=[ADDS])
    row = await screen.until(run_id, "proposed")
    verdict = (await screen.proposal(run_id))["verdict"]

    assert (verdict["decision"], verdict["fixed"], verdict["unrunLines"]) == ("passed", [ADDS], [])
    assert verdict["collected"] == verdict["ran"] == 3, "the tests of Python were not asked"
    answer = await screen.apply(row["proposalId"])
    assert answer.get("applied") or answer.get("pending"), answer
    await screen.until(run_id, "applied")
    assert "a + b" in (screen.root / "add.js").read_text()


def test_doctor_tells_of_each_project_what_runs_its_tests_and_which_file_said_so(tmp_path: Path) -> None:
    files = {"tests/test_a.py": "def test_a(): pass\n", "web/package.json": '{"scripts": {"test": "vitest run"}}'}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    give_pytest(tmp_path)
    command = [sys.executable, "-m", "agent_lsp", "doctor", "--json", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert "because of tests such as tests/test_a.py" in rows["test runner"]["seen"]
    assert "the workspace's .venv" in rows["test runner"]["seen"]
    missing = rows["test runner web"]
    assert (missing["works"], "web/package.json: scripts.test is `vitest run`" in missing["seen"]) == (False, True)
    assert "npm install" in missing["advice"]
