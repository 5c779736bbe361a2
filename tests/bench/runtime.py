"""Owns the measurements of the runtime: the gate against bare pytest, candidates against `git worktree add`."""

import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.app.demo.sample_project import BUGGY_FILE, make_sample_project
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.verdict import Decision
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.process import Start, run
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.snapshot import GitTrees
from tests.bench.measure import Row, alternate, seconds

ROUNDS = 5
MANY_FILES = 10_000
SLOW_MODULE = """
import hashlib

import pytest


@pytest.mark.parametrize("number", range(40))
def test_work(number):
    digest = b"x"
    for _ in range(60000):
        digest = hashlib.sha256(digest).digest()
    assert digest
"""


@asynccontextmanager
async def _pool(root: Path, cache: Path) -> AsyncIterator[tuple[GitTrees, Pool]]:
    trees = GitTrees(root, cache)
    pool = Pool(root, cache, trees)
    await pool.start()
    try:
        yield trees, pool
    finally:
        await pool.close()


async def _pytest_twice(root: Path) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    async def twice() -> None:
        for _ in range(2):
            await run(Start(command, cwd=root, env=os.environ, timeout_s=300))

    return await seconds(twice)


async def measure_gate(folder: Path, *, slow: bool) -> Row:
    """A first verdict (no baseline is known) against the bare pytest of the same tests, twice."""
    root = folder / ("gate-slow" if slow else "gate")
    root.mkdir()
    await make_sample_project(root)
    if slow:
        (root / "tests" / "test_work.py").write_text(SLOW_MODULE)
    wrong = (root / BUGGY_FILE).read_bytes()
    edit = FileEdit(BUGGY_FILE, Entry(wrong), Entry(wrong.replace(b"span.start < merged", b"span.start <= merged")))
    async with _pool(root, folder / f"{root.name}-cache") as (trees, pool):
        finder = WorkspaceRunnerFinder(RunnerOptions(interpreter=sys.executable))

        async def verdict() -> None:
            gate = Gate(trees, pool, finder, GateOptions(300))
            snapshot = await trees.snapshot(())
            evidence = await gate.validate(snapshot.tree, (edit,))
            assert evidence.verdict.decision is Decision.PROVEN, evidence.verdict

        await verdict()
        ours_s, bare_s = await alternate(ROUNDS, lambda: seconds(verdict), lambda: _pytest_twice(root))
    name = "gate's first verdict, against bare `pytest` twice " + ("(suite of seconds)" if slow else "(tiny suite)")
    return Row(name, f"{ours_s:.2f} s", f"{bare_s:.2f} s", ours_s / bare_s, "≤ 1.5 ×")


async def measure_candidates(folder: Path) -> list[Row]:
    """Set-up of a candidate on a generated repository of 10,000 files, against `git worktree add`."""
    root = folder / "many"
    for number in range(MANY_FILES):
        path = root / f"package{number // 100:03}" / f"module{number % 100:02}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUE = {number}\n" * 20)
    who = ["-c", "user.name=b", "-c", "user.email=b@example.invalid", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "many"]):
        await run(Start(["git", *who, *words], cwd=root, env=os.environ, timeout_s=120))
    worktree = folder / "worktree"

    async def add_worktree() -> None:
        done = await run(
            Start(["git", "worktree", "add", "-q", "--detach", str(worktree)], cwd=root, env=os.environ, timeout_s=120)
        )
        assert done.status == 0, done.error_text

    async def worktree_s() -> float:
        taken = await seconds(add_worktree)
        await run(
            Start(["git", "worktree", "remove", "--force", str(worktree)], cwd=root, env=os.environ, timeout_s=120)
        )
        return taken

    cache = folder / "many-cache"
    opened: list[Candidate] = []
    async with _pool(root, cache) as (trees, pool):

        async def set_up() -> None:
            snapshot = await trees.snapshot(())
            candidate = await pool.open(snapshot.tree)
            opened.append(candidate)

        async def open_only() -> None:
            opened.append(await pool.open(tree))

        async def warm_s(work: Callable[[], Awaitable[None]]) -> float:
            taken = await seconds(work)
            await opened.pop().close()
            return taken

        cold_s = await seconds(set_up)
        await opened.pop().close()
        tree = (await trees.snapshot(())).tree
        ours_s, theirs_s = await alternate(ROUNDS, lambda: warm_s(open_only), worktree_s)
        both_s, theirs_too_s = await alternate(ROUNDS, lambda: warm_s(set_up), worktree_s)
        kind = pool.kind.value
    shutil.rmtree(root)
    title = f"candidate set-up, 10,000 files ({kind}), against `git worktree add`"
    return [
        Row(title, f"{ours_s * 1000:.0f} ms", f"{theirs_s * 1000:.0f} ms", ours_s / theirs_s, "≤ 0.1 ×"),
        Row("the same with a fresh snapshot", f"{both_s * 1000:.0f} ms", f"{theirs_too_s * 1000:.0f} ms",
            both_s / theirs_too_s, ""),
        Row("the same, the very first of a workspace", f"{cold_s * 1000:.0f} ms", f"{theirs_s * 1000:.0f} ms",
            cold_s / theirs_s, ""),
    ]  # fmt: skip
