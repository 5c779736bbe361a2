"""Owns the finding out of which kinds of sandbox work here, by really making one of each."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import AgentLspError, CandidateError
from agent_lsp.domain.ports import Command, SandboxKind
from agent_lsp.workspace.layout import make_private

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


async def _trial(folder: Path, kind: SandboxKind) -> str:
    """What went wrong, or nothing."""
    from agent_lsp.workspace.pool import Pool
    from agent_lsp.workspace.snapshot import GitTrees

    root = folder / "workspace"
    root.mkdir()
    (root / "a").write_text("before\n")
    trees = GitTrees(root, folder / "cache")
    pool = Pool(root, folder / "cache", trees, kind)
    pool.assume(kind)
    try:
        candidate = await pool.open((await trees.snapshot(())).tree)
        done = await candidate.run(Command(("sh", "-c", "rm a && echo after > b"), timeout_s=10.0))
        edits = await candidate.harvest()
        if done.exit_status != 0:
            return f"a command failed in it: {done.output.strip()}"
        if [edit.path for edit in edits] != ["a", "b"] or not (root / "a").exists():
            return "changes were not kept apart from the workspace"
    finally:
        await pool.close()
    return ""
