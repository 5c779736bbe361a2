"""Owns the measurement of candidates against `git worktree`: set-up, reset and the first time, at three sizes."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent_lsp.domain.ports import Candidate, Command
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.process import Start, run
from agent_lsp.workspace.snapshot import GitTrees
from tests.bench.measure import Row, alternate, milliseconds, say, seconds

ROUNDS: Final = {1_000: 5, 10_000: 5, 50_000: 3}
_WHO: Final = ("-c", "user.name=b", "-c", "user.email=b@example.invalid", "-c", "commit.gpgsign=false")
_CHANGE: Final = (
    "for n in $(seq 10 29); do echo x >> package000/module$n.py; done; mkdir new && touch $(seq -f new/%g 50)"
)
"""Twenty files changed, fifty made."""


async def measure_candidates(folder: Path) -> list[Row]:
    """Rows for each size of repository."""
    rows = []
    for files, rounds in ROUNDS.items():
        say(f"candidates: {files:,} files")
        root = await _repository(folder / f"many-{files}", files)
        async with _pool_of(root, folder / f"cache-{files}") as (trees, pool):
            rows += await _rows(files, rounds, _Ours(trees, pool), _Theirs(root, folder / f"worktree-{files}"))
        for left in folder.iterdir():
            shutil.rmtree(left)
    return rows


@asynccontextmanager
async def _pool_of(root: Path, cache: Path) -> AsyncIterator[tuple[GitTrees, Pool]]:
    trees = GitTrees(root, cache)
    pool = Pool(root, cache, trees)
    await pool.start()
    try:
        yield trees, pool
    finally:
        await pool.close()


async def _repository(root: Path, files: int) -> Path:
    for number in range(files):
        path = root / f"package{number // 100:03}" / f"module{number % 100:02}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUE = {number}\n" * 20)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "many"]):
        await _git(root, *_WHO, *words)
    return root


async def _git(folder: Path, *words: str) -> None:
    done = await run(Start(["git", *words], cwd=folder, env=os.environ, timeout_s=300))
    assert done.status == 0, done.error_text


@dataclass(slots=True)
class _Ours:
    trees: GitTrees
    pool: Pool
    tree: str = ""
    opened: list[Candidate] = field(default_factory=list)

    async def open(self) -> None:
        self.opened.append(await self.pool.open(self.tree))

    async def open_fresh(self) -> None:
        self.tree = (await self.trees.snapshot(())).tree
        await self.open()

    async def close(self) -> None:
        await self.opened.pop().close()

    async def set_up(self) -> float:
        """Ready for a first command, and gone again."""

        async def both() -> None:
            await self.open()
            await self.close()

        return await seconds(both)

    async def with_snapshot(self) -> float:
        taken_s = await seconds(self.open_fresh)
        await self.close()
        return taken_s

    async def reset(self) -> float:
        """From one that a command has changed to a clean one."""
        await self.open()
        done = await self.opened[-1].run(Command(("sh", "-c", _CHANGE)))
        assert done.exit_status == 0, done.output

        async def anew() -> None:
            await self.close()
            await self.open()

        taken_s = await seconds(anew)
        await self.close()
        return taken_s


@dataclass(frozen=True, slots=True)
class _Theirs:
    root: Path
    worktree: Path

    async def add(self) -> None:
        await _git(self.root, "worktree", "add", "-q", "--detach", str(self.worktree))

    async def set_up(self) -> float:
        taken_s = await seconds(self.add)
        await _git(self.root, "worktree", "remove", "--force", str(self.worktree))
        return taken_s

    async def reset(self) -> float:
        if not self.worktree.exists():
            await self.add()
        await run(Start(["sh", "-c", _CHANGE], cwd=self.worktree, env=os.environ, timeout_s=60))

        async def clean() -> None:
            await _git(self.worktree, "reset", "-q", "--hard")
            await _git(self.worktree, "clean", "-q", "-fdx")

        return await seconds(clean)


async def _rows(files: int, rounds: int, ours: _Ours, theirs: _Theirs) -> list[Row]:
    first_s, add_s = await seconds(ours.open_fresh), await theirs.set_up()
    await ours.close()
    title = f"{files:,} files ({ours.pool.kind.value})"
    rows = []
    for name, subject, baseline, aim in (
        ("set-up and away, against `git worktree add`", ours.set_up, theirs.set_up, "≤ 0.1 ×"),
        ("snapshot and set-up, against the same", ours.with_snapshot, theirs.set_up, ""),
        ("reset of a changed one, against `git reset --hard` and `git clean -fdx`", ours.reset, theirs.reset, ""),
    ):
        ours_s, theirs_s = await alternate(rounds, subject, baseline)
        rows.append(Row(f"{title}: {name}", milliseconds(ours_s), milliseconds(theirs_s), ours_s / theirs_s, aim))
    name = f"{title}: the very first of a workspace, against `git worktree add`"
    return [*rows, Row(name, milliseconds(first_s), milliseconds(add_s), first_s / add_s, "")]
