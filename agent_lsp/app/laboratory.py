"""Owns the building of what tests a change: copies of the workspace, the gate and its stages, what they remember."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_lsp.agent.mutant_runs import MutantOptions, MutantRuns
from agent_lsp.agent.stages import StagedGate, StageOptions, StagePorts
from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.app.configuration import Configuration
from agent_lsp.domain.network_hosts import HostList
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.settings.model import Settings
from agent_lsp.storage.baselines import StoredBaselines
from agent_lsp.storage.suite_history import StoredSuiteHistory
from agent_lsp.storage.suite_memory import StoredSuiteMemory
from agent_lsp.workspace import landlock, machine
from agent_lsp.workspace.fingerprint import Fingerprints
from agent_lsp.workspace.import_graph import StoredImports
from agent_lsp.workspace.installed import installed_elsewhere
from agent_lsp.workspace.isolation import note_of_copies
from agent_lsp.workspace.layout import cache_dir
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.repository_maps import StoredMaps
from agent_lsp.workspace.runners.bytecode import BytecodePacks
from agent_lsp.workspace.runners.remembered import Remembering, RememberingFinder
from agent_lsp.workspace.script_reader import read_script
from agent_lsp.workspace.sight import Access
from agent_lsp.workspace.snapshot import GitTrees
from agent_lsp.workspace.upkeep import Upkeep

_BYTES_PER_MB: Final = 1_000_000
_BYTES_PER_GB: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Laboratory:
    """Where copies of the workspace are made and tested."""

    trees: GitTrees
    pool: Pool
    gate: StagedGate
    imports: StoredImports
    mutants: MutantRuns
    maps: StoredMaps


def _access(root: Path, settings: Settings) -> Access:
    """What of the network is allowed, and what settings name: the interpreter, wherever it is, and further paths."""
    named = settings.tests.interpreter
    shown = [*installed_elsewhere(str((root.resolve() / named).parent.parent))] if named else []
    shown += [str(root.resolve() / os.path.expanduser(path)) for path in settings.sandbox.visible]  # noqa: PTH111
    return Access(settings.sandbox.network, tuple(shown), HostList.read(settings.sandbox.network_hosts))


def memory_of(root: Path) -> StoredSuiteMemory:
    """What runs showed of a workspace's tests."""
    return StoredSuiteMemory(cache_dir(root) / "suite.json.z")


def bound_bytes(settings: Settings) -> int | None:
    """How much all workspaces may keep in the cache."""
    max_gb = settings.cache.max_gb
    return None if max_gb is None else int(max_gb * _BYTES_PER_GB)


def history_of(root: Path) -> StoredSuiteHistory:
    """What verdicts learned of a workspace's tests for good."""
    return StoredSuiteHistory(cache_dir(root) / "history.json")


def conditions(settings: Settings) -> str:
    """What results of tests depend on besides their environment."""
    sandbox = settings.sandbox
    seen = f" visible={sandbox.visible}" if sandbox.visible else ""
    hosts = f" hosts={sorted(sandbox.network_hosts)}" if sandbox.network_hosts and not sandbox.network else ""
    return f"network={sandbox.network}{seen}{hosts}"


def laboratory(root: Path, configuration: Configuration) -> Laboratory:
    """Builds it; nothing is made on the disk yet."""
    settings, cache = configuration.settings, cache_dir(root)
    trees = GitTrees(root, cache)
    kind = None if settings.sandbox.kind == "auto" else SandboxKind(settings.sandbox.kind)
    pool = Pool(root, cache, trees, kind, _access(root, settings), Upkeep(trees.layout, bound_bytes(settings)))
    memory = memory_of(root)
    baselines = StoredBaselines(cache / "baselines", int(settings.tests.baselines_mb * _BYTES_PER_MB))
    sandbox = settings.sandbox
    prints = Fingerprints(root.resolve(), os.environ, extra=conditions(settings))
    packs = BytecodePacks(cache / "bytecode")
    remembering = Remembering(root, trees, baselines, memory, prints, bytecode=packs)
    finder = RememberingFinder(configuration.finder, remembering)
    note = note_of_copies(landlock.abi(), network=sandbox.network)
    options_of_gate = GateOptions(
        settings.tests.timeout_s,
        note_of_copies=note,
        room=machine.room,
        history=history_of(root),
        scripts=read_script,
    )
    gate = Gate(trees, pool, finder, options_of_gate)

    def options() -> StageOptions:
        now = configuration.settings.tests
        python = now.runner in ("auto", "pytest", "unittest") and not (now.runner == "auto" and now.command)
        selective = now.impact and python
        return StageOptions(selective, now.staged_over_s, now.staged_budget_s, now.timeout_s, now.new_findings)

    imports = StoredImports(trees, cache / "imports.json.z")
    gate_in_stages = StagedGate(gate, StagePorts(trees, pool, finder, imports, memory, options))
    mutants = MutantRuns(pool, configuration.finder, lambda: MutantOptions(configuration.settings.tests.mutations))
    maps = StoredMaps(trees, cache / "symbols.json.z")
    return Laboratory(trees, pool, gate_in_stages, imports, mutants, maps)
