"""Owns the tests of what is said and done where only a plain copy can be had, and of paths that settings show."""

from pathlib import Path

import pytest

from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.app.configuration import Configuration, CurrentFinder
from agent_lsp.app.laboratory import laboratory
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.ports import Command, SandboxKind
from agent_lsp.domain.verdict import Decision, Verdict
from agent_lsp.workspace.isolation import note_of_copies
from tests.workspace.scenes import KINDS, put, scene

BUGGY = b"def add(a, b):\n    return a - b\n"
FILES = {
    "calc.py": BUGGY.decode(),
    "test_calc.py": "import calc\n\ndef test_add():\n    open('ran', 'w').close()\n    assert calc.add(1, 2) == 3\n",
}
EDIT = FileEdit("calc.py", Entry(BUGGY), Entry(BUGGY.replace(b"-", b"+")))


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


async def verdict_of(tmp_path: Path, kind: SandboxKind, setting: str, landlock_abi: int) -> Verdict:
    async with scene(tmp_path, kind, FILES) as place:
        told = {"sandbox": {"testsWithoutSandbox": setting}}
        finder = CurrentFinder(Configuration(place.root, lambda _event, _data: None, told), landlock_abi)
        options = GateOptions(timeout_s=60.0, note_of_copies=note_of_copies(landlock_abi, network=False))
        gate = Gate(place.trees, place.pool, finder, options)
        return (await gate.validate((await place.trees.snapshot(())).tree, (EDIT,))).verdict


@pytest.mark.parametrize("kind", KINDS)
async def test_the_verdict_says_what_a_plain_copy_leaves_open_and_nothing_of_better_kinds(
    tmp_path: Path, kind: SandboxKind
) -> None:
    verdict = await verdict_of(tmp_path, kind, "refuse", 7)
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    notes = [reason for reason in verdict.reasons if "sandbox kind" in reason]
    assert notes == ([note_of_copies(7, network=False)] if kind is SandboxKind.CLONE else [])


async def test_without_any_isolation_tests_run_and_the_verdict_tells_what_to_do(tmp_path: Path) -> None:
    verdict = await verdict_of(tmp_path, SandboxKind.CLONE, "tell", 0)
    assert verdict.decision is Decision.PROVEN, verdict.reasons
    assert "isolates nothing" in verdict.reasons[-1]
    assert "install bubblewrap" in verdict.reasons[-1]


async def test_without_any_isolation_no_test_runs_where_the_settings_refuse(tmp_path: Path) -> None:
    verdict = await verdict_of(tmp_path, SandboxKind.CLONE, "refuse", 0)
    assert (verdict.decision, verdict.collected, verdict.ran) == (Decision.UNDECIDED, 0, 0)
    assert "were not run" in verdict.reasons[0]
    assert "install bubblewrap" in verdict.reasons[1]
    assert not any("tests ran" in reason for reason in verdict.reasons)


def test_the_note_tells_of_an_open_network_only_where_the_kernel_leaves_it_open() -> None:
    assert "network" in note_of_copies(3, network=False)
    assert "network" not in note_of_copies(4, network=False)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_path_that_the_settings_show_can_be_read_and_not_written(
    tmp_path: Path, kind: SandboxKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = put(tmp_path / "home", {"data/set": "seen", "private": "hidden"})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AGENT_LSP_CACHE_DIR", str(tmp_path / "cache"))
    root = put(tmp_path / "at" / "workspace", FILES)
    settings = {"sandbox": {"kind": kind.value, "visible": ["~/data"]}}
    lab = laboratory(root, Configuration(root, lambda _event, _data: None, settings))
    try:
        candidate = await lab.pool.open((await lab.trees.snapshot(())).tree)
        shown = await candidate.run(Command(("cat", f"{home}/data/set"), timeout_s=10.0))
        hidden = await candidate.run(Command(("cat", f"{home}/private"), timeout_s=10.0))
        written = await candidate.run(Command(("touch", f"{home}/data/new"), timeout_s=10.0))
    finally:
        await lab.gate.close()
        await lab.pool.close()
    assert (shown.exit_status, shown.output.strip()) == (0, "seen")
    assert hidden.exit_status != 0
    assert written.exit_status != 0
    assert not (home / "data/new").exists()
