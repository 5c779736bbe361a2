"""`node --test` and vitest in real processes: ids, outcomes, what was opened, and reports that are not whole."""

import asyncio
from pathlib import Path

import pytest

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ports import SuiteRequest
from agent_lsp.domain.verdict import Outcome
from agent_lsp.workspace.runners.node_runner import NodeRunner
from agent_lsp.workspace.runners.vitest_runner import VitestRunner
from tests.node_tools import give_vitest, needs_node
from tests.workspace.runners.conftest import MakeCandidate

pytestmark = needs_node

ADD = "export const add = (a, b) => a + b;\n"
CASES = """import test, { describe, it, before } from 'node:test';
import assert from 'node:assert';
import { add } from '../src/add.js';

test('adds', () => assert.strictEqual(add(1, 2), 3));
test('fails', () => assert.strictEqual(add(1, 2), 4));
test('same', () => {});
test('same', () => {});
describe('group', () => {
  it('inner', () => {});
  it('skipped', { skip: 'later' }, () => {});
  it('todo', { todo: true }, () => { throw new Error('not yet'); });
});
test('parent', async (t) => { await t.test('child', () => {}); });
describe('hooks', () => {
  before(() => { throw new Error('no hook'); });
  it('never', () => {});
});
"""
PACKAGE = '{"name": "app", "type": "module"}'
FILES = {
    "package.json": PACKAGE,
    "src/add.js": ADD,
    "src/other.js": "export default 1;\n",
    "test/add.test.js": CASES,
    "test/broken.test.js": "import './nope.js';\n",
    "test/plain.test.js": "import assert from 'node:assert'; assert.ok(true);\n",
}


async def test_node_tells_every_outcome_with_its_place_and_which_files_were_opened(
    candidate_of: MakeCandidate,
) -> None:
    heard: list[str] = []
    request = SuiteRequest(changed=("src/add.js", "src/other.js", "tool.py"))
    report = await NodeRunner().run(candidate_of(FILES), request, lambda name, _: heard.append(name))
    prefix = "test/add.test.js::"
    outcomes = {name.removeprefix(prefix): case.outcome.value for name, case in report.cases.items()}
    assert outcomes == {
        "adds": "passed",
        "fails": "failed",
        "same": "passed",
        "same#2": "passed",
        "group::inner": "passed",
        "group::skipped": "skipped",
        "group::todo": "xfailed",
        "parent::child": "passed",
        "parent": "passed",
        "hooks::never": "failed",
        "hooks": "error",
        "test/plain.test.js": "passed",
    }
    failed = report.cases[prefix + "fails"]
    assert "3 !== 4" in failed.message
    assert (failed.path, failed.line) == ("test/add.test.js", 5)
    assert "nope.js" in report.collection_errors["test/broken.test.js"]
    assert report.finished, report.trouble
    assert report.exit_status == 1
    assert set(heard) == set(report.cases)
    assert {file.path for file in report.loaded} == {"src/add.js"}
    assert report.unmeasured == {"src/add.js", "src/other.js"}
    assert report.executed == {}
    assert {"src/add.js", "test/plain.test.js"} <= report.touched


async def test_chosen_node_tests_are_picked_from_their_files_and_unknown_ones_are_told(
    candidate_of: MakeCandidate,
) -> None:
    chosen = ("test/add.test.js::group", "test/add.test.js::no", "gone.test.js::x")
    report = await NodeRunner().run(candidate_of(FILES), SuiteRequest(tests=chosen))
    assert [name.partition("::")[2] for name in report.cases] == ["group::inner", "group::skipped", "group::todo"]
    assert report.not_found == ("test/add.test.js::no", "gone.test.js::x")
    none = await NodeRunner().run(candidate_of(FILES), SuiteRequest(tests=("gone.test.js",)))
    assert (none.collected, none.not_found) == (0, ("gone.test.js",))


@pytest.mark.parametrize(
    ("script", "finished", "trouble"),
    [
        ("echo built > built.txt && NODE_ENV=test node --test test/plain.test.js", True, ""),
        ("false && node --test", False, "ended with status 1 before its report was complete"),
    ],
)
async def test_what_the_projects_script_does_before_node_is_done_too(
    candidate_of: MakeCandidate, script: str, finished: bool, trouble: str
) -> None:
    candidate = candidate_of(FILES)
    report = await NodeRunner(script).run(candidate, SuiteRequest())
    assert (report.finished, list(report.cases)) == (finished, ["test/plain.test.js"] if finished else [])
    assert trouble in report.trouble
    assert Path(candidate.root, "built.txt").exists() == finished


async def test_node_tests_that_hang_are_stopped_and_cancelling_leaves_nothing_behind(
    candidate_of: MakeCandidate,
) -> None:
    hang = "import test from 'node:test';\ntest('hangs', () => new Promise(() => setInterval(() => {}, 1000)));\n"
    files = {"package.json": PACKAGE, "test/hang.test.js": hang}
    report = await NodeRunner(timeout_s=2.0).run(candidate_of(files), SuiteRequest())
    assert (report.finished, report.timed_out) == (False, True)
    assert "did not end within 2 s" in report.trouble
    candidate = candidate_of(files)
    task = asyncio.create_task(NodeRunner().run(candidate, SuiteRequest()))
    while not _running(candidate.root):
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20.0):
        while _running(candidate.root):
            await asyncio.sleep(0.02)


def _running(root: str) -> list[str]:
    """The test processes whose working folder lies in a candidate."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                str((process / "cwd").readlink()).startswith(root)
                and b"hang.test" in (process / "cmdline").read_bytes()
            ):
                found.append(process.name)
        except OSError:
            continue
    return found


async def test_a_missing_node_or_vitest_is_said_with_what_to_do(
    candidate_of: MakeCandidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("sh", "test"):
        (bare / tool).symlink_to(f"/usr/bin/{tool}")
    monkeypatch.setenv("PATH", str(bare))
    candidate = candidate_of(FILES)
    with pytest.raises(RunnerUnavailableError, match="could not be started") as node:
        await NodeRunner().run(candidate, SuiteRequest())
    assert "Node.js" in node.value.hint
    with pytest.raises(RunnerUnavailableError, match="vitest could not be started") as vitest:
        await VitestRunner().run(candidate, SuiteRequest())
    assert "npm install" in vitest.value.hint


VITEST_CASES = """import { describe, it, test, expect } from 'vitest'
import { add } from './add'

test('adds', () => { expect(add(1, 2)).toBe(3) })
test('fails', () => { expect(add(1, 2)).toBe(4) })
describe('group', () => { it('inner', () => {}); it.skip('skipped', () => {}); it.todo('todo') })
"""


async def test_vitest_tells_its_tests_and_which_files_were_opened(candidate_of: MakeCandidate) -> None:
    files = {
        "package.json": '{"type": "module", "scripts": {"test": "vitest --reporter verbose --coverage"}}',
        "src/add.ts": "export const add = (a: number, b: number): number => a + b\n",
        "src/other.ts": "export default 1\n",
        "src/add.test.ts": VITEST_CASES,
        "src/broken.test.ts": "import './nope'\n",
    }
    candidate = candidate_of(files)
    give_vitest(Path(candidate.root))
    runner = VitestRunner("vitest --reporter verbose --coverage")
    request = SuiteRequest(changed=("src/add.ts", "src/other.ts"))
    report = await runner.run(candidate, request)
    outcomes = {name.removeprefix("src/add.test.ts::"): case.outcome for name, case in report.cases.items()}
    assert outcomes == {
        "adds": Outcome.PASSED,
        "fails": Outcome.FAILED,
        "group::inner": Outcome.PASSED,
        "group::skipped": Outcome.SKIPPED,
        "group::todo": Outcome.SKIPPED,
    }
    assert "expected 3 to be 4" in report.cases["src/add.test.ts::fails"].message
    assert "nope" in report.collection_errors["src/broken.test.ts"]
    assert report.finished, report.trouble
    assert {file.path for file in report.loaded} == {"src/add.ts"}
    assert report.unmeasured == {"src/add.ts", "src/other.ts"}
    one = await runner.run(candidate, SuiteRequest(tests=("src/add.test.ts::adds", "src/gone.test.ts")))
    assert (list(one.cases), one.not_found) == (["src/add.test.ts::adds"], ("src/gone.test.ts",))
