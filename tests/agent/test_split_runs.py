"""Runs in parts at once, looks beside the first run, and the history of flaky tests: quicker, and the same verdict."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from agent_lsp.agent.stages import StagedGate, StageOptions, StagePorts
from agent_lsp.agent.suite_runs import Manner
from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.domain.sharding import Room
from agent_lsp.domain.staging import ONE_PIECE_FOLLOWS, cut_short
from agent_lsp.domain.verdict import Decision, Evidence, SuiteReport
from agent_lsp.storage.baselines import StoredBaselines
from agent_lsp.storage.suite_history import StoredSuiteHistory
from agent_lsp.storage.suite_memory import StoredSuiteMemory
from agent_lsp.workspace.fingerprint import Fingerprints
from agent_lsp.workspace.import_graph import StoredImports
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.remembered import Remembering, RememberingFinder
from tests.agent.suite_project import text
from tests.plain import PlainCandidate, PlainPool, PlainTrees

ROOMY = Room(2, 16 << 30)
CALC = "def add(a, b):\n    return a - b\n\ndef twice(a):\n    return a + a\n"
FIXED = CALC.replace("a - b", "a + b")
SLOW = "import time\nfrom calc import twice\ndef test_work():\n    time.sleep(0.9)\n    assert twice(2) == 4\n"
FILES = {
    "calc.py": CALC,
    "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['.']\n",
    "tests/conftest.py": "",
    "tests/test_calc.py": "from calc import add\ndef test_add():\n    assert add(1, 2) == 3\n",
    "tests/test_one.py": SLOW,
    "tests/test_two.py": SLOW,
    "tests/unit/test_three.py": SLOW,
}


class CountingPool(PlainPool):
    """Says that its candidates are isolated, and counts how many are open at once."""

    kind = SandboxKind.BUBBLEWRAP

    def __init__(self, trees: PlainTrees) -> None:
        super().__init__(trees)
        self.open_now = self.most = 0

    async def open(self, tree: str) -> PlainCandidate:
        self.open_now += 1
        self.most = max(self.most, self.open_now)
        candidate = await super().open(tree)
        close = candidate.close

        async def closed() -> None:
            self.open_now -= 1
            await close()

        candidate.close = closed  # type: ignore[method-assign]
        return candidate


class Bench:
    """A gate with all that it remembers, on a project of a few files."""

    def __init__(self, folder: Path, files: Mapping[str, str], *, room: Room = ROOMY, parallel: bool = True) -> None:
        self.root = folder / "project"
        for name, code in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text(code))
        self.trees = PlainTrees(self.root)
        self.pool = CountingPool(self.trees)
        self.history = StoredSuiteHistory(folder / "history.json")
        self.memory = StoredSuiteMemory(folder / "suite.json.z")
        world = Remembering(
            self.root,
            self.trees,
            StoredBaselines(folder / "baselines", 1 << 20),
            self.memory,
            Fingerprints(self.root, {}),
        )
        self.finder = RememberingFinder(WorkspaceRunnerFinder(RunnerOptions(interpreter=sys.executable)), world)
        options = GateOptions(60.0, parallel, room=lambda: room, history=self.history)
        self.gate = Gate(self.trees, self.pool, self.finder, options)
        self.told: list[str] = []

    async def check(self, change: Mapping[str, str], gate: "Gate | StagedGate | None" = None, **asked: Any) -> Evidence:
        base = (await self.trees.snapshot([])).tree
        edits = [FileEdit(path, await self.trees.read(base, path), Entry(text(code))) for path, code in change.items()]
        self.told.clear()

        def heard(said: str, _share: float | None) -> None:
            self.told.append(said)

        return await (gate or self.gate).validate(base, tuple(edits), on_progress=heard, **asked)

    def split(self) -> bool:
        """Whether the last verdict was had in parts."""
        return any("parts at once" in said for said in self.told)


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def same(one: SuiteReport | None, other: SuiteReport | None) -> bool:
    assert one is not None
    assert other is not None
    outcomes = [{name: case.outcome for name, case in report.cases.items()} for report in (one, other)]
    return (outcomes[0], [*outcomes[0]], one.executed, one.collected, {*one.loaded}) == (
        outcomes[1],
        [*outcomes[1]],
        other.executed,
        other.collected,
        {*other.loaded},
    )


async def test_a_second_verdict_is_had_in_parts_and_says_what_the_whole_says(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FILES)
    first = await bench.check({"calc.py": FIXED})
    assert not bench.split(), "nobody knows the times yet"
    second = await bench.check({"calc.py": FIXED})
    assert bench.split()
    assert not any("without the change" in said for said in bench.told), "the base was looked at twice before"
    assert first.verdict.decision is second.verdict.decision is Decision.PROVEN
    assert same(first.after, second.after)
    assert {first.verdict.fixed, second.verdict.fixed} == {("tests/test_calc.py::test_add",)}
    facts = await bench.memory.facts()
    assert facts.ran_by["calc.py"] >= {"tests/test_one.py::test_work", "tests/unit/test_three.py::test_work"}
    broken = await bench.check({"calc.py": FIXED.replace("a + a", "a")})
    assert bench.split()
    assert broken.verdict.decision is Decision.REGRESSED
    assert len(broken.verdict.broken) == 3
    assert await bench.history.flaky() == {}


async def test_new_test_files_and_those_that_cannot_be_collected_are_seen_in_parts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FILES)
    await bench.check({"calc.py": FIXED})
    new = {"calc.py": FIXED, "tests/test_new.py": "from calc import add\ndef test_zero():\n    assert add(0, 1) == 1\n"}
    added = await bench.check(new)
    assert bench.split()
    assert [(row.id, row.failed_without_change) for row in added.verdict.added] == [
        ("tests/test_new.py::test_zero", True)
    ]
    torn = await bench.check({"calc.py": FIXED, "tests/test_two.py": SLOW.replace("import time", "import nowhere")})
    assert torn.verdict.decision not in (Decision.PROVEN, Decision.PASSED)


async def test_a_suite_that_leans_on_its_order_is_run_in_one_piece_from_then_on(tmp_path: Path) -> None:
    leaning = {
        **FILES,
        "state.py": "ready = False\n",
        "tests/test_one.py": SLOW + "    import state\n    state.ready = True\n",
        "tests/test_two.py": SLOW.replace("0.9", "1.9") + "    import state\n    assert state.ready\n",
    }
    bench = Bench(tmp_path, leaning)
    assert (await bench.check({"calc.py": FIXED})).verdict.decision is Decision.PROVEN
    second = await bench.check({"calc.py": FIXED})
    assert second.verdict.decision is Decision.PROVEN, second.verdict.reasons
    assert second.verdict.broken == second.verdict.flaky == ()
    assert bench.split()
    third = await bench.check({"calc.py": FIXED})
    assert not bench.split()
    assert third.verdict.decision is Decision.PROVEN


async def test_what_only_one_piece_shows_withdraws_a_verdict_in_parts_and_is_remembered(tmp_path: Path) -> None:
    """The change leaves something behind that a test in another part trips over."""
    leaving = {
        **FILES,
        "calc.py": CALC + "\nseen = []\n",
        "tests/test_one.py": SLOW.replace("0.9", "2.0") + "    import calc\n    assert calc.seen == []\n",
        "tests/unit/test_three.py": SLOW.replace("0.9", "0.6"),
    }
    clean = {"calc.py": FIXED + "\nseen = []\n"}
    dirty = {"calc.py": FIXED.replace("return a + b", "seen.append(a)\n    return a + b") + "\nseen = []\n"}
    bench = Bench(tmp_path, leaving)
    ports = StagePorts(
        bench.trees,
        bench.pool,
        bench.finder,
        StoredImports(cast("Any", bench.trees), tmp_path / "imports"),
        bench.memory,
        lambda: StageOptions(findings="off"),
    )
    gate = StagedGate(bench.gate, ports)
    assert gate.follow(await bench.check(clean, gate)) is None, "it was one piece"

    parts = await bench.check(clean, gate)
    assert bench.split()
    assert ONE_PIECE_FOLLOWS in parts.verdict.reasons
    following = gate.follow(parts)
    assert following is not None
    settled = await following
    assert (settled.withdrawn, settled.evidence.verdict.decision) == (False, Decision.PROVEN)
    assert ONE_PIECE_FOLLOWS not in settled.evidence.verdict.reasons
    assert gate.follow(settled.evidence) is None

    parts = await bench.check(dirty, gate)
    assert (bench.split(), parts.verdict.decision) == (True, Decision.PROVEN)
    following = gate.follow(parts)
    assert following is not None
    settled = await following
    assert (settled.withdrawn, settled.evidence.verdict.decision) == (True, Decision.REGRESSED)
    assert settled.evidence.verdict.broken == ("tests/test_one.py::test_work",)
    withdrawal = "The earlier verdict `proven` is withdrawn, the suite in one piece makes it `regressed`."
    assert settled.evidence.verdict.reasons[0] == withdrawal

    await bench.check(clean, gate)
    assert not bench.split(), "parts made a difference here"
    await gate.close()


async def test_with_little_memory_one_run_follows_the_other(tmp_path: Path) -> None:
    small = {name: code for name, code in FILES.items() if "sleep" not in code}
    bench = Bench(tmp_path, small, room=Room(2, 256 << 20))
    assert (await bench.check({"calc.py": FIXED})).verdict.decision is Decision.PROVEN
    assert bench.pool.most == 1
    roomy = Bench(tmp_path / "roomy", small)
    assert (await roomy.check({"calc.py": FIXED})).verdict.decision is Decision.PROVEN
    assert roomy.pool.most == 2


FLAKY = """
from pathlib import Path
def test_other():
    seen = Path({seen!r})
    number = int(seen.read_text()) + 1
    seen.write_text(str(number))
    assert number not in (2, 3)
"""
"""Passes in the first run, fails in the next two, and passes from then on: a flaky test that looks broken."""


def flaky_files(tmp_path: Path) -> dict[str, str]:
    seen = tmp_path / "seen"
    seen.write_text("0")
    small = {name: code for name, code in FILES.items() if "sleep" not in code}
    return {**small, "tests/test_flaky.py": FLAKY.format(seen=str(seen))}


async def test_a_test_known_to_be_flaky_is_looked_at_more_often_before_it_counts_as_broken(tmp_path: Path) -> None:
    name = "tests/test_flaky.py::test_other"
    unknown = Bench(tmp_path, flaky_files(tmp_path), parallel=False)
    assert (await unknown.check({"calc.py": FIXED})).verdict.broken == (name,), "two looks are not enough for it"

    known = Bench(tmp_path / "known", flaky_files(tmp_path), parallel=False)
    await known.history.saw((name,), ())
    verdict = (await known.check({"calc.py": FIXED})).verdict
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert verdict.flaky == (name,)
    assert any(reason.startswith(f"{name} was seen flaky once before, last on 20") for reason in verdict.reasons)
    assert (await known.history.flaky())[name].times == 2


async def test_a_test_known_to_be_flaky_that_is_steady_now_counts_and_the_reasons_tell(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {name: code for name, code in FILES.items() if "sleep" not in code})
    await bench.history.saw(("tests/test_calc.py::test_add",), ())
    verdict = (await bench.check({"calc.py": FIXED})).verdict
    assert verdict.decision is Decision.PROVEN
    assert any("did the same in every look" in reason for reason in verdict.reasons)
    assert (await bench.history.flaky())["tests/test_calc.py::test_add"].steady == 1


async def test_what_ended_within_the_time_is_judged_and_the_rest_is_neither_gone_nor_remembered(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FILES)
    scope = ("tests/test_calc.py", "tests/test_one.py", "tests/test_two.py", "tests/unit/test_three.py")
    first = await bench.check({"calc.py": FIXED}, scope=scope, manner=Manner(enough_s=0.5))
    assert first.verdict.decision is Decision.PROVEN, first.verdict.reasons
    assert (first.verdict.ran, first.verdict.removed_or_weakened) == (2, ())
    assert cut_short(first) == ("The time for a first verdict was over when 2 of these 4 tests had run.",)
    again = await bench.check({"calc.py": FIXED}, scope=scope)
    assert any("without the change" in said for said in bench.told), "half a run is no baseline"
    assert again.verdict.ran == 4


async def test_what_ran_with_a_change_is_the_base_of_the_next_once_the_change_is_applied(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {name: code for name, code in FILES.items() if "sleep" not in code})
    await bench.check({"calc.py": FIXED})
    (bench.root / "calc.py").write_bytes(text(FIXED))
    verdict = (await bench.check({"calc.py": FIXED.replace("a + b", "a * b")})).verdict
    assert verdict.decision is Decision.REGRESSED
    assert not any(said.startswith("Running tests without the change: ") for said in bench.told)
