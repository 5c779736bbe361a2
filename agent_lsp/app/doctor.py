"""Owns `agent-lsp doctor`: what works on this machine, each failing row with what to do."""

import asyncio
import json
import logging
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from agent_lsp.agent.private_files import PrivateFiles
from agent_lsp.app.configuration import Configuration
from agent_lsp.app.laboratory import bound_bytes, history_of, memory_of
from agent_lsp.app.models import place_of
from agent_lsp.domain.errors import AgentLspError, ConfigError
from agent_lsp.domain.flakiness import worst
from agent_lsp.domain.network_hosts import HostList
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.providers.health import probe as probe_endpoint
from agent_lsp.settings.endpoint import DEFAULT, Endpoint
from agent_lsp.settings.identity import read_identity
from agent_lsp.workspace import landlock
from agent_lsp.workspace.layout import STATE_FOLDER, cache_dir
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.probe import probe as probe_sandboxes
from agent_lsp.workspace.probe import reaches_hosts
from agent_lsp.workspace.process import Start, run
from agent_lsp.workspace.runners.detect import WorkspaceRunnerFinder
from agent_lsp.workspace.snapshot import GitTrees
from agent_lsp.workspace.tidying import holdings

_EDITORS: Final = {"nvim": "Neovim", "code": "VS Code", "codium": "VSCodium", "emacs": "Emacs", "hx": "Helix"}
_ISOLATING: Final = ("sandbox overlay", "sandbox bubblewrap")
_ENDPOINT_WITHIN_S: Final = 10.0
_LOW_BYTES: Final = 2_000_000_000
_EXIT_USAGE: Final = 2
_FLAKY_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was looked at, whether it works, what was seen, and what to do where it does not.

    `needed` tells whether the product cannot work without it.
    """

    name: str
    works: bool
    seen: str
    advice: str = ""
    needed: bool = False


def report(root: Path, *, as_json: bool) -> int:
    """Prints every row; exit status 1 when something that is needed does not work."""
    if not root.is_dir():
        print(f"agent-lsp doctor: {root} is not a folder; name the workspace with --root", file=sys.stderr)
        return _EXIT_USAGE
    logging.getLogger().addHandler(logging.NullHandler())  # what is wrong is told in the rows, and only there
    rows = asyncio.run(_rows(root))
    if as_json:
        told = [
            {"name": r.name, "works": r.works, "seen": r.seen, "advice": r.advice, "needed": r.needed} for r in rows
        ]
        print(json.dumps({"rows": told}, indent=2))
    else:
        _print(rows)
    return 1 if any(row.needed and not row.works for row in rows) else 0


def _print(rows: list[Row]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for row in rows:
        mark = "[green]ok[/green]" if row.works else ("[red]no[/red]" if row.needed else "[yellow]--[/yellow]")
        seen = row.seen if row.works or not row.advice else f"{row.seen}\n-> {row.advice}"
        table.add_row(mark, row.name, seen)
    Console(highlight=False).print(table)


async def _rows(root: Path) -> list[Row]:
    configuration = Configuration(root, lambda _event, _data: None, {})
    rows = [_python(), await _git(root), await _settings(configuration), _identity(root, configuration)]
    rows += [*await _sandboxes(root), await _guarded(lambda: _network(root, configuration), "network of commands")]
    rows += await _runners(root, configuration)
    checks: list[Callable[[], Awaitable[Row]]] = [
        lambda: _cache(root, configuration),
        lambda: _selection(root, configuration),
        lambda: _warm(configuration, isolated=any(row.works and row.name in _ISOLATING for row in rows)),
    ]
    rows += [await _guarded(check) for check in checks]
    return [*rows, *await _models(configuration), *_editors()]


async def _guarded(check: Callable[[], Awaitable[Row]], name: str = "test runner") -> Row:
    try:
        return await check()
    except AgentLspError as error:
        return Row(name, False, error.message, error.hint)


def _python() -> Row:
    right = sys.version_info >= (3, 11)
    return Row("python", right, f"{platform.python_version()} at {sys.executable}", "Use Python 3.11 or newer.", True)


async def _git(root: Path) -> Row:
    if shutil.which("git") is None:
        return Row("git", False, "not found on PATH", "Install git (Debian: apt-get install git).", True)
    done = await run(Start(["git", "--version"], cwd=root, env=os.environ, timeout_s=10))
    return Row("git", done.status == 0, done.out.decode(errors="replace").strip(), "Install git 2.30 or newer.", True)


async def _settings(configuration: Configuration) -> Row:
    try:
        configuration.check()
    except AgentLspError as error:
        return Row("configuration", False, error.message, error.hint or "Mend the file it names.", True)
    return Row("configuration", True, "files and environment are well-formed")


def _identity(root: Path, configuration: Configuration) -> Row:
    """The files that tell models who they are and whom they work for."""
    private = PrivateFiles(configuration.settings.context.private)
    found = read_identity(root / STATE_FOLDER, os.environ, private.__contains__)
    given = ", ".join(file.shown for file in found.files) or "none"
    if not found.troubles:
        return Row("identity files", True, given)
    return Row("identity files", False, f"{given}; {'; '.join(found.troubles)}", "docs/models.md tells what is read.")


async def _sandboxes(root: Path) -> list[Row]:
    rows = []
    kinds = await probe_sandboxes(cache_dir(root))
    alone = not any(found.works for found in kinds if found.kind != "clone")
    use = "used, for no other kind works, and every verdict says so" if alone else "used only where no other kind works"
    for number, found in enumerate(kinds):
        seen = "works" if found.works else found.reason
        if found.works and found.kind == "clone":
            seen += f"; {_walls()}; {use}"
        rows.append(Row(f"sandbox {found.kind}", found.works, seen, found.advice, needed=number == 2))
    return rows


def _walls() -> str:
    """What keeps the commands of a plain copy in."""
    version = landlock.abi()
    if version < 1:
        return (
            "isolates nothing, for this kernel has no Landlock: tests can read and write what you can "
            "(sandbox.tests_without_sandbox = `refuse` keeps them from running)"
        )
    network = "and the network is off" if version >= landlock.NETWORK_ABI else "but the network is open"
    return f"Landlock {version} keeps commands from files outside, {network}; docs/sandbox.md tells the rest"


async def _network(root: Path, configuration: Configuration) -> Row:
    """What of the network commands and tests reach; a list of hosts is tried in a candidate."""
    name, sandbox = "network of commands", configuration.settings.sandbox
    if sandbox.network:
        return Row(name, True, "all of it (sandbox.network)")
    if not sandbox.network_hosts:
        return Row(name, True, "off (sandbox.network, sandbox.network_hosts)")
    listed = f"only {', '.join(sandbox.network_hosts)} (sandbox.network_hosts)"
    kind = None if sandbox.kind == "auto" else SandboxKind(sandbox.kind)
    reached = await reaches_hosts(cache_dir(root), kind, HostList.read(sandbox.network_hosts))
    advice = "A plain copy has no network of its own here: docs/sandbox.md tells what the better kinds need."
    return Row(name, reached, f"{listed}, by a proxy" if reached else f"off, though {listed} should be reached", advice)


async def _runners(root: Path, configuration: Configuration) -> list[Row]:
    """What runs the tests of each project that was found, and which file says so."""
    with tempfile.TemporaryDirectory(prefix="agent-lsp-doctor-") as folder:
        trees = GitTrees(root, Path(folder))
        pool = Pool(root, Path(folder), trees)
        try:
            candidate = await pool.open((await trees.snapshot(())).tree)
            rows = await WorkspaceRunnerFinder(configuration.runner_options()).explain(candidate)
            return [Row(_place("test runner", row.folder), row.works, row.seen, row.advice) for row in rows]
        except AgentLspError as error:
            return [Row("test runner", False, error.message, error.hint)]
        finally:
            await pool.close()


def _place(name: str, folder: str) -> str:
    return name if folder == "." else f"{name} {folder}"


async def _selection(root: Path, configuration: Configuration) -> Row:
    """How the selections of tests have fared: told, nothing that a person must mend."""
    if not configuration.settings.tests.impact:
        return Row("test selection", True, "off (tests.impact): every verdict waits for the whole suite")
    memory = memory_of(root)
    facts, audit = await memory.facts(), await memory.audited()
    size = "not known yet" if facts.whole_s is None else f"{'over ' if facts.unended else ''}{facts.whole_s:.0f} s"
    flaky = worst(await history_of(root).flaky(), _FLAKY_SHOWN)
    told = "; ".join(flaky) if flaky else "no flaky test is known"
    return Row("test selection", True, f"whole suite: {size}; {audit.sentence()}; {told}")


async def _cache(root: Path, configuration: Configuration) -> Row:
    """What all workspaces keep in the cache, and what they may."""
    caches, bound = cache_dir(root).parent, bound_bytes(configuration.settings)
    found = await asyncio.to_thread(holdings, caches) if caches.is_dir() else []
    used_bytes = sum(row.size_bytes for row in found)
    place = next(folder for folder in (caches, *caches.parents) if folder.is_dir())
    free_bytes = shutil.disk_usage(place).free
    limit = "without a bound" if bound is None else f"of {_gb(bound)} at most (cache.max_gb)"
    seen = f"{_gb(used_bytes)} {limit} for {len(found)} workspaces in {caches}; {_gb(free_bytes)} free on its disk"
    if free_bytes < _LOW_BYTES:
        return Row("cache", False, seen, "Free some space on this disk, or move the cache with AGENT_LSP_CACHE_DIR.")
    advice = "What is unused goes within the hour; what is in use stays. Or raise cache.max_gb."
    return Row("cache", bound is None or used_bytes <= bound, seen, advice)


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB"


async def _warm(configuration: Configuration, *, isolated: bool) -> Row:
    """How warm runs have fared: told, nothing that a person must mend."""
    name = "warm runs"
    if configuration.warm() is None:
        return Row(name, True, "off (tests.warm): every run of the tests starts by itself")
    if not isolated or configuration.settings.sandbox.kind == "clone":
        return Row(name, True, "not used: a plain copy has no process namespace")
    known = await configuration.warm_memory.latest()
    return Row(name, True, known.sentence() if known is not None else "none yet; only the embedded search uses them")


async def _models(configuration: Configuration) -> list[Row]:
    """Each endpoint that a tier names, asked whether it is there."""
    main = configuration.endpoint
    rows = [await _model(place) for place in configuration.endpoints.by_name.values()]
    if not rows or (main.provider == "embedded" and configuration.settings.model.provider == "embedded"):
        advice = "Set ANTHROPIC_API_KEY (or model.base_url, or model.provider) for goals beyond failing tests."
        rows.append(Row("model", False, "none configured; the embedded repair engine serves failing tests", advice))
    idle = sorted(configuration.settings.endpoints.keys() - configuration.endpoints.by_name.keys())
    return [
        *rows,
        *(Row(f"model {name}", False, "no tier names it", f"Add {name} to a list of [tiers].") for name in idle),
    ]


async def _model(endpoint: Endpoint) -> Row:
    title = "model" if endpoint.label == DEFAULT else f"model {endpoint.label}"
    if endpoint.provider == "editor":
        return Row(title, True, "one that the editor lends; only a run in that editor can try it")
    try:
        endpoint.check()
    except ConfigError as error:
        return Row(title, False, error.message, error.hint)
    if endpoint.provider == "recorded":
        return Row(title, True, f"answers recorded in {endpoint.chosen.file}")
    place = place_of(endpoint, _ENDPOINT_WITHIN_S)
    works, text = await probe_endpoint(place)
    said = f"{endpoint.name} at {place.base_url}: {text}"
    return Row(title, works, said, "Check the key, the address and the network.")


def _editors() -> list[Row]:
    found = [name for program, name in _EDITORS.items() if shutil.which(program)]
    seen = ", ".join(found) or "none found on PATH"
    return [Row("editors", bool(found), seen, "Any editor that speaks LSP will do; docs/getting-started.md tells how.")]
