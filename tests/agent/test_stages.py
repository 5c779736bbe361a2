"""The stages of a verdict on real workspaces with real pytest: what runs first, what is remembered, who is right."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.agent.followup import Followup
from agent_lsp.agent.proposals import Proposal
from agent_lsp.app.configuration import Configuration
from agent_lsp.app.laboratory import Laboratory, history_of, laboratory, memory_of
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.goal_findings import names_of
from agent_lsp.domain.ids import ProposalId
from agent_lsp.domain.staging import IN_THE_BACKGROUND
from agent_lsp.domain.task import Goal, Problem, RunState
from agent_lsp.domain.verdict import Decision, Evidence, Verdict
from agent_lsp.workspace.layout import cache_dir

ADD = "def add(a, b):\n    return a - b\n"
FIXED = ADD.replace("a - b", "a + b")
FILES = {
    "calc.py": ADD,
    "report.py": "def title():\n    return 'sum'\n",
    "tests/test_calc.py": "from calc import add\ndef test_add():\n    assert add(1, 2) == 3\n",
    "tests/test_report.py": "from report import title\ndef test_title():\n    assert title() == 'sum'\n",
    "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['.']\n",
}
HIDDEN = """
import sys
def test_hidden():
    module = sys.modules.get("ca" + "lc") or __import__("ca" + "lc")
    assert module.add(5, 5) == 0 or module.add(0, 0) == 1
"""
"""Leans on `add` in a way that no reading of imports shows, and passes as long as `add` subtracts."""


class Shop:
    """One workspace. `open` is a runtime's start: everything that is built for one."""

    def __init__(self, folder: Path, files: Mapping[str, str] = FILES) -> None:
        self.root = folder / "project"
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.labs: list[Laboratory] = []
        self.heard: list[str] = []

    def open(self, **tests: Any) -> Laboratory:
        configuration = Configuration(
            self.root, lambda _event, _data: None, {"tests": {"interpreter": sys.executable, "args": BARE, **tests}}
        )
        configuration.check()
        lab = laboratory(self.root, configuration)
        self.labs.append(lab)
        return lab

    async def evidence(self, change: Mapping[str, str | None], **asked: Any) -> Evidence:
        """The newest runtime's verdict on a change of what lies on the disk."""
        lab = self.labs[-1]
        base = (await lab.trees.snapshot(())).tree
        edits = tuple(
            [
                FileEdit(path, await lab.trees.read(base, path), None if text is None else Entry(text.encode()))
                for path, text in change.items()
            ]
        )
        self.heard.clear()
        return await lab.gate.validate(base, edits, on_progress=lambda text, _: self.heard.append(text), **asked)

    async def verdict(self, change: Mapping[str, str | None], **asked: Any) -> Verdict:
        return (await self.evidence(change, **asked)).verdict

    def ran_without_the_change(self) -> bool:
        """Whether the last verdict had to run the tests on the unchanged side, apart from second looks."""
        return any(text.startswith("Running tests without the change: ") for text in self.heard)

    async def close(self) -> None:
        for lab in self.labs:
            await lab.gate.close()
            await lab.pool.close()


@pytest.fixture
async def shops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setenv("AGENT_LSP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("AGENT_LSP_DATA_DIR", str(tmp_path / "data"))
    made: list[Shop] = []

    def make(files: Mapping[str, str] = FILES) -> Shop:
        made.append(Shop(tmp_path, files))
        return made[-1]

    yield make
    for shop in made:
        await shop.close()


BARE = [word for plugin in entry_points(group="pytest11") for word in ("-p", f"no:{plugin.name}")]
"""The plugins of this project's own environment take longer to load than the small suites to run."""

LARGE = {"stagedOverS": 0.001}
"""Counts every suite as a large one, from its first whole run on."""


async def learned(shop: Shop) -> None:
    """A whole run, so that the suite's size is known."""
    shop.open()
    await shop.verdict({"report.py": FILES["report.py"] + "\n\nX = 1\n"})
    shop.open(**LARGE)


async def test_a_small_suite_is_run_whole_at_once(shops: Any) -> None:
    shop: Shop = shops()
    shop.open()
    evidence = await shop.evidence({"calc.py": FIXED})
    assert evidence.verdict.decision is Decision.PROVEN, evidence.verdict.reasons
    assert (evidence.verdict.selection, evidence.verdict.ran) == ("full", 2)
    assert shop.labs[-1].gate.follow(evidence) is None
    assert not any("affect" in text for text in shop.heard)


async def test_of_a_large_suite_the_affected_tests_give_the_first_verdict_and_the_whole_one_confirms_it(
    shops: Any,
) -> None:
    shop: Shop = shops()
    await learned(shop)
    first = await shop.evidence({"calc.py": FIXED})
    assert first.verdict.decision is Decision.PROVEN, first.verdict.reasons
    assert (first.verdict.selection, first.verdict.ran) == ("impacted", 1)
    assert "Ran the 1 of 2 test files that the change can affect." in first.verdict.reasons

    following = shop.labs[-1].gate.follow(first)
    assert following is not None
    settled = await following
    assert not settled.withdrawn
    assert (settled.evidence.verdict.selection, settled.evidence.verdict.ran) == ("full", 2)
    audit = await memory_of(shop.root).audited()
    assert (audit.checked, audit.wrong) == (1, 0)


async def test_a_verdict_is_withdrawn_when_the_whole_suite_finds_what_the_selection_missed_and_the_miss_is_learned(
    shops: Any,
) -> None:
    shop: Shop = shops({**FILES, "tests/test_hidden.py": HIDDEN})
    await learned(shop)
    first = await shop.evidence({"calc.py": FIXED})
    assert first.verdict.decision is Decision.PROVEN, first.verdict.reasons
    assert first.verdict.ran == 1, "nothing shows that the other test leans on it"

    following = shop.labs[-1].gate.follow(first)
    assert following is not None
    settled = await following
    assert settled.withdrawn
    assert settled.missed == ("tests/test_hidden.py::test_hidden",)
    assert settled.evidence.verdict.decision is Decision.REGRESSED
    assert settled.evidence.verdict.reasons[0] == (
        "The earlier verdict `proven` is withdrawn, the whole suite makes it `regressed`: "
        "tests/test_hidden.py::test_hidden had not been selected."
    )
    audit = await memory_of(shop.root).audited()
    assert audit.sentence() == "1 selections checked by whole runs, 1 (100 %) had missed a broken test"

    again = await shop.verdict({"calc.py": FIXED.replace("a + b", "b + a")})
    assert again.decision is Decision.REGRESSED, "what was missed once is selected from then on"

    await history_of(shop.root).saw(["tests/test_report.py::test_title", "tests/test_calc.py::test_add"], [])
    await history_of(shop.root).saw(["tests/test_report.py::test_title"], [])
    told = subprocess.run(
        [sys.executable, "-m", "agent_lsp", "doctor", "--json", "--root", str(shop.root)],
        stdout=subprocess.PIPE,
        env={**os.environ, "XDG_CONFIG_HOME": str(shop.root.parent / "config")},
        timeout=120,
        check=False,
    )
    (row,) = [row for row in json.loads(told.stdout)["rows"] if row["name"] == "test selection"]
    assert row["works"] is True
    size, audited, *flaky = row["seen"].split("; ")
    assert size.startswith("whole suite: ")
    assert audited == "1 selections checked by whole runs, 1 (100 %) had missed a broken test"
    assert [line.partition(", last on ")[0] for line in flaky] == [
        "tests/test_report.py::test_title was seen flaky 2 times before",
        "tests/test_calc.py::test_add was seen flaky once before",
    ]


async def test_a_change_that_the_imports_cannot_see_runs_everything(shops: Any) -> None:
    data = {**FILES, "names.txt": "sum", "report.py": "def title():\n    return open('names.txt').read()\n"}
    shop: Shop = shops(data)
    await learned(shop)
    verdict = await shop.verdict({"names.txt": "total"})
    assert (verdict.decision, verdict.selection) == (Decision.REGRESSED, "full")
    assert verdict.broken == ("tests/test_report.py::test_title",)


async def test_the_scope_of_a_run_is_kept_and_nothing_follows_it(shops: Any) -> None:
    shop: Shop = shops()
    await learned(shop)
    evidence = await shop.evidence({"calc.py": FIXED}, scope=("tests/test_report.py",))
    assert (evidence.verdict.selection, evidence.verdict.ran) == ("impacted", 1)
    assert evidence.after is not None
    assert list(evidence.after.cases) == ["tests/test_report.py::test_title"]
    assert shop.labs[-1].gate.follow(evidence) is None


async def test_goal_tests_are_run_even_where_the_imports_do_not_lead_to_them(shops: Any) -> None:
    shop: Shop = shops({**FILES, "tests/test_hidden.py": HIDDEN})
    await learned(shop)
    verdict = await shop.verdict({"calc.py": FIXED}, goal_tests=("tests/test_hidden.py::test_hidden",))
    assert verdict.selection == "impacted"
    assert verdict.broken == ("tests/test_hidden.py::test_hidden",)


async def test_an_unknown_suite_that_turns_out_to_be_slow_gets_its_affected_tests_while_it_runs_on(shops: Any) -> None:
    slow = "import time\nfrom report import title\ndef test_title():\n    time.sleep(6)\n    assert title() == 'sum'\n"
    shop: Shop = shops({**FILES, "tests/test_report.py": slow})
    shop.open(stagedOverS=1.0)
    first = await shop.evidence({"calc.py": FIXED})
    assert (first.verdict.decision, first.verdict.selection) == (Decision.PROVEN, "impacted"), first.verdict.reasons
    following = shop.labs[-1].gate.follow(first)
    assert following is not None
    settled = await following
    assert settled.evidence.verdict.selection == "full"
    facts = await memory_of(shop.root).facts()
    assert facts.whole_s is not None
    assert facts.whole_s > 6


async def test_a_file_that_cannot_be_compiled_ends_the_verdict_at_once_with_its_place(shops: Any) -> None:
    shop: Shop = shops()
    shop.open()
    verdict = await shop.verdict({"calc.py": "def add(a, b):\n    return a +\n", "tests/new.py": "x = 1\n"})
    assert verdict.decision is Decision.UNDECIDED
    assert verdict.reasons[0].startswith("calc.py:2 cannot be compiled: ")
    assert verdict.ran == 0
    assert shop.heard == []


async def test_the_unchanged_side_is_not_run_again_not_even_by_the_next_runtime(shops: Any) -> None:
    shop: Shop = shops()
    shop.open()
    first = await shop.evidence({"calc.py": FIXED})
    assert shop.ran_without_the_change()
    shop.open()
    second = await shop.evidence({"calc.py": FIXED.replace("a + b", "b + a")})
    assert not shop.ran_without_the_change()
    assert second.verdict.decision is first.verdict.decision is Decision.PROVEN
    assert second.before is not None
    assert first.before is not None
    assert second.before.cases == first.before.cases
    part = await shop.evidence({"calc.py": FIXED}, scope=("tests/test_calc.py",))
    assert not shop.ran_without_the_change()
    assert part.before is not None
    assert list(part.before.cases) == ["tests/test_calc.py::test_add"]


async def test_a_kept_run_is_not_used_once_what_it_depends_on_has_changed(
    shops: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uses_local = "from calc import add\ndef test_add():\n    assert add(1, 2) == int(open('local.cfg').read())\n"
    files = {"calc.py": ADD, "test_calc.py": uses_local, "local.cfg": "3", ".gitignore": "local.cfg\n"}
    shop: Shop = shops(files)
    shop.open()
    assert (await shop.verdict({"calc.py": FIXED})).decision is Decision.PROVEN
    for path in tmp_path.glob("cache/*/baselines/*"):
        path.write_bytes(path.read_bytes()[:20])
    shop.open()
    assert (await shop.verdict({"calc.py": FIXED})).decision is Decision.PROVEN
    assert shop.ran_without_the_change(), "the kept run was damaged"
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "other.settings")
    await shop.verdict({"calc.py": FIXED})
    assert shop.ran_without_the_change(), "a variable was changed"
    (shop.root / "local.cfg").write_text("-1")
    assert (await shop.verdict({"calc.py": FIXED})).decision is Decision.REGRESSED
    assert shop.ran_without_the_change(), "an ignored file that a test reads was changed"


async def test_new_findings_of_the_projects_own_linter_are_told_and_stop_a_change_only_where_it_is_wished(
    shops: Any,
) -> None:
    ruff = FILES["pyproject.toml"] + "[tool.ruff.lint]\nselect = ['F']\n"
    known = "import os\n\n" + ADD
    shop: Shop = shops({**FILES, "calc.py": known, "pyproject.toml": ruff})
    change = {"calc.py": "import os\nimport sys\n\n" + FIXED}
    shop.open()
    told = await shop.verdict(change)
    assert told.decision is Decision.PASSED or told.decision is Decision.PROVEN
    assert [reason for reason in told.reasons if reason.startswith("ruff")] == [
        "ruff finds one new problem: calc.py:2 F401 `sys` imported but unused."
    ]
    shop.open(newFindings="block")
    assert (await shop.verdict(change)).decision is Decision.UNDECIDED
    shop.open(newFindings="off")
    assert not any(reason.startswith("ruff") for reason in (await shop.verdict(change)).reasons)


async def test_of_a_command_too_the_kept_run_is_not_used_once_something_was_installed(shops: Any) -> None:
    files = {"check.sh": "grep -q new node_modules/dep/index.js\n", "notes.txt": "a", ".gitignore": "node_modules\n"}
    shop: Shop = shops(files)

    def install(text: str) -> None:
        for name in ("dep/index.js", ".package-lock.json"):
            path = shop.root / "node_modules" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    install("old")
    shop.open(runner="command", command="sh check.sh")
    first = await shop.verdict({"notes.txt": "b"})
    assert (first.decision, len(first.still_failing)) == (Decision.UNDECIDED, 1), first.reasons
    assert len((await shop.verdict({"notes.txt": "c"})).still_failing) == 1
    assert not shop.ran_without_the_change()

    install("and new")
    again = await shop.verdict({"notes.txt": "b"})
    assert shop.ran_without_the_change()
    assert (again.decision, again.fixed, again.still_failing) == (Decision.PASSED, (), ())


UNUSED = Problem("calc.py", 0, "`os` imported but unused", "Ruff", "F401")
"""What an editor shows for the import in the test below."""


async def test_a_change_that_leaves_the_diagnostic_it_was_started_from_is_not_accepted_not_by_the_whole_suite_either(
    shops: Any,
) -> None:
    shop: Shop = shops({**FILES, "calc.py": "import os\n\n" + ADD})
    goals = names_of([UNUSED])
    await learned(shop)
    left = await shop.evidence({"calc.py": "import os\n\n" + FIXED}, goal_tests=goals)
    assert (left.verdict.decision, left.verdict.selection) == (Decision.FAILED, "impacted")
    assert left.verdict.reasons[0] == (
        "The problem that this was started from is still there: calc.py:1 Ruff: `os` imported but unused."
    )
    assert left.verdict.fixed == ("tests/test_calc.py::test_add",)
    whole = shop.labs[-1].gate.follow(left)
    assert whole is None or (await whole).evidence.verdict.decision is Decision.FAILED

    gone = await shop.evidence({"calc.py": FIXED}, goal_tests=goals)
    assert gone.verdict.decision is Decision.PROVEN
    assert any(reason.startswith("The problem that this was started from is gone: ") for reason in gone.verdict.reasons)
    whole = shop.labs[-1].gate.follow(gone)
    assert whole is not None
    last = (await whole).evidence.verdict
    assert last.decision is Decision.PROVEN
    assert any(reason.startswith("The problem that this was started from is gone: ") for reason in last.reasons)


class Offers:
    """What is offered, with what was told of it."""

    def __init__(self, proposal: Proposal) -> None:
        self.now, self.told = proposal, [proposal.evidence.verdict]

    def get(self, proposal_id: str) -> Proposal:
        return self.now

    def put(self, proposal: Proposal) -> None:
        self.now = proposal

    def tell_verdict(self, proposal: Proposal, verdict: Verdict) -> None:
        self.told.append(verdict)

    def tell_state(self, proposal: Proposal, state: RunState, message: str = "") -> None:
        assert state is RunState.PROPOSED, message

    def note(self, proposal: Proposal, kind: EventKind, data: Mapping[str, Any]) -> None:
        raise AssertionError(data)


async def test_a_whole_suite_that_could_not_be_run_leaves_the_verdict_and_says_so(shops: Any) -> None:
    shop: Shop = shops()
    await learned(shop)
    first = await shop.evidence({"calc.py": FIXED})
    assert IN_THE_BACKGROUND in first.verdict.reasons
    base = await shop.labs[-1].trees.snapshot(())
    proposal = Proposal(ProposalId("p_1"), "r_1", Goal("make add add"), "adds", base, (), first)
    offers = Offers(proposal)
    followup = Followup(shop.labs[-1].gate, offers, lambda _event, _data: None)
    upper = cache_dir(shop.root) / "candidates"
    shutil.rmtree(upper)
    upper.write_text("nothing can be made in here")
    followup.heard(proposal)
    await followup.over("p_1")
    verdict = offers.told[-1]
    assert (verdict.decision, verdict.selection) == (Decision.PROVEN, "impacted")
    assert IN_THE_BACKGROUND not in verdict.reasons
    [said] = [reason for reason in verdict.reasons if reason.startswith("The whole suite could not be run")]
    assert said.endswith("Test again to try once more.")
    assert offers.now.evidence.verdict is verdict
