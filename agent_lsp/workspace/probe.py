"""Owns the finding out of which kinds of sandbox work here, by really making one of each."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent_lsp.domain.errors import AgentLspError, CandidateError
from agent_lsp.domain.network_hosts import HostList
from agent_lsp.domain.ports import Command, SandboxKind
from agent_lsp.workspace.layout import make_private

if TYPE_CHECKING:
    from agent_lsp.workspace.candidate import HeldCandidate
    from agent_lsp.workspace.sight import Access

_ORDER: Final = (SandboxKind.OVERLAY, SandboxKind.BUBBLEWRAP, SandboxKind.CLONE)
_ADVICE: Final = {
    SandboxKind.OVERLAY: (
        "Needs Linux 5.12 or later, user namespaces allowed for your account (on Ubuntu 24.04: an AppArmor profile "
        "or kernel.apparmor_restrict_unprivileged_userns=0), and a cache folder that is not itself on an overlay."
    ),
    SandboxKind.BUBBLEWRAP: "Install bubblewrap (apt install bubblewrap, dnf install bubblewrap).",
    SandboxKind.CLONE: "Install git, and make sure that the cache folder can be written.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether one kind works here, why not, and what would help."""

    kind: SandboxKind
    works: bool
    reason: str
    advice: str


async def probe(cache_dir: Path) -> Sequence[Finding]:
    """Tries every kind in a small workspace of its own, best kind first."""
    return [await try_kind(cache_dir, kind) for kind in _ORDER]


async def working_kind(cache_dir: Path, forced: SandboxKind | None) -> SandboxKind:
    """The forced kind or the best one that works. Raises CandidateError with what was tried."""
    tried = []
    for kind in (forced,) if forced is not None else _ORDER:
        finding = await try_kind(cache_dir, kind)
        if finding.works:
            return kind
        tried.append(finding)
    text = "; ".join(f"{finding.kind}: {finding.reason}" for finding in tried)
    raise CandidateError(f"no sandbox works here ({text})", hint=" ".join(finding.advice for finding in tried))


async def try_kind(cache_dir: Path, kind: SandboxKind) -> Finding:
    """Makes one candidate of this kind, changes a file in it through a command, and looks at the result."""
    make_private(cache_dir)
    folder = Path(tempfile.mkdtemp(dir=cache_dir, prefix="probe-"))
    try:
        reason = await _trial(folder, kind)
    except AgentLspError as error:
        reason = error.message
    except OSError as error:
        reason = str(error)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return Finding(kind, not reason, reason, "" if not reason else _ADVICE[kind])


async def reaches_hosts(cache_dir: Path, forced: SandboxKind | None, hosts: HostList) -> bool:
    """Whether commands of the forced or the best kind would reach these hosts. Raises CandidateError."""
    from agent_lsp.workspace.sight import Access

    kind = await working_kind(cache_dir, forced)
    folder = Path(tempfile.mkdtemp(dir=cache_dir, prefix="probe-"))
    try:
        async with _opened(folder, kind, Access(hosts=hosts)) as candidate:
            return candidate.reaches_hosts
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


@asynccontextmanager
async def _opened(folder: Path, kind: SandboxKind, access: "Access | None" = None) -> AsyncIterator["HeldCandidate"]:
    """A candidate of a small workspace."""
    from agent_lsp.workspace.pool import Pool
    from agent_lsp.workspace.sight import Access
    from agent_lsp.workspace.snapshot import GitTrees

    root = folder / "workspace"
    root.mkdir()
    (root / "a").write_text("before\n")
    trees = GitTrees(root, folder / "cache")
    pool = Pool(root, folder / "cache", trees, kind, access or Access())
    pool.assume(kind)
    try:
        yield await pool.open((await trees.snapshot(())).tree)
    finally:
        await pool.close()


async def _trial(folder: Path, kind: SandboxKind) -> str:
    """What went wrong, or nothing."""
    async with _opened(folder, kind) as candidate:
        done = await candidate.run(Command(("sh", "-c", "rm a && echo after > b"), timeout_s=10.0))
        edits = await candidate.harvest()
        if done.exit_status != 0:
            return f"a command failed in it: {done.output.strip()}"
        if [edit.path for edit in edits] != ["a", "b"] or not (folder / "workspace/a").exists():
            return "changes were not kept apart from the workspace"
    return ""
