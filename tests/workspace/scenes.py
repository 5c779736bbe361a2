"""Owns the workspaces that these tests work on: real folders, real git, real pools."""

import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_lsp.domain.ports import Candidate, CandidatePool, Command, CommandResult, SandboxKind
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.probe import Finding, try_kind
from agent_lsp.workspace.sight import Access
from agent_lsp.workspace.snapshot import GitTrees
from tests.plain import PlainPool, PlainTrees

KINDS = [SandboxKind.OVERLAY, SandboxKind.BUBBLEWRAP, SandboxKind.CLONE]
ISOLATED = [SandboxKind.OVERLAY, SandboxKind.BUBBLEWRAP]

_TRIED: dict[SandboxKind, Finding] = {}

GIT_ENV = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}


def git(folder: Path, *args: str) -> str:
    """The person's own git."""
    done = subprocess.run(["git", *args], cwd=folder, env=GIT_ENV, capture_output=True, text=True, check=True)
    return done.stdout


def put(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Writes files below a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


@dataclass(frozen=True)
class Scene:
    """One workspace with its trees and a started pool."""

    root: Path
    cache: Path
    trees: GitTrees
    pool: Pool

    async def open(self) -> Candidate:
        """A candidate of the workspace as it is now."""
        return await self.pool.open((await self.trees.snapshot(())).tree)


@asynccontextmanager
async def scene(
    tmp_path: Path,
    kind: SandboxKind | None,
    files: Mapping[str, str | bytes],
    access: Access = Access(),  # noqa: B008 - frozen
) -> AsyncIterator[Scene]:
    """A workspace with these files and a pool of one kind; skips where the machine cannot."""
    root, cache = tmp_path / "workspace", tmp_path / "cache"
    root.mkdir(exist_ok=True)
    put(root, files)
    trees = GitTrees(root, cache)
    pool = Pool(root, cache, trees, kind, access)
    if kind is not None:
        if kind not in _TRIED:
            _TRIED[kind] = await try_kind(tmp_path / "probe", kind)
        if not _TRIED[kind].works:
            pytest.skip(f"{kind} does not work on this machine: {_TRIED[kind].reason}")
        pool.assume(kind)
    else:
        await pool.start()
    try:
        yield Scene(root, cache, trees, pool)
    finally:
        await pool.close()
        left = [path for name in ("candidates", "trash") for path in (cache / name).glob("*")]
        assert left == [], "a candidate left something behind"


@asynccontextmanager
async def opened(
    tmp_path: Path, kind: SandboxKind | None, files: Mapping[str, str | bytes]
) -> AsyncIterator[Candidate]:
    """A candidate of a workspace with these files; without a kind, the plain stand-in."""
    if kind is None:
        root = put(tmp_path / "workspace", files)
        trees = PlainTrees(root)
        plain: CandidatePool = PlainPool(trees)
        candidate = await plain.open((await trees.snapshot(())).tree)
        try:
            yield candidate
        finally:
            await candidate.close()
        return
    async with scene(tmp_path, kind, files) as made:
        candidate = await made.open()
        yield candidate
        await candidate.close()


async def sh(candidate: Candidate, script: str, *, timeout_s: float = 30.0) -> CommandResult:
    """A shell script in a candidate."""
    return await candidate.run(Command(("sh", "-c", script), timeout_s=timeout_s))
