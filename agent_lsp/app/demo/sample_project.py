"""Owns the sample project of the demonstration: a small package with a suite, a git history, and one real bug."""

import os
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from agent_lsp.workspace.process import Start, run

BUGGY_FILE: Final = "src/roomplan/spans.py"
GOAL: Final = "make the failing tests pass"
_RIGHT: Final = "span.start <= merged[-1].end"
_WRONG: Final = "span.start < merged[-1].end"


async def make_sample_project(folder: Path) -> None:
    """Writes the project with two commits; the second, a tidy-up, brought in the bug. The folder must be empty."""
    sample = resources.files("agent_lsp.app.demo") / "sample"
    _copy(sample, folder)
    (folder / "gitignore").rename(folder / ".gitignore")
    await _git(folder, "init", "-q", "-b", "main")
    await _commit(folder, "Add spans and the calendar")
    source = folder / BUGGY_FILE
    source.write_text(source.read_text().replace(_RIGHT, _WRONG))
    await _commit(folder, "Tidy merge")


def _copy(source: Traversable, target: Path) -> None:
    for item in source.iterdir():
        if item.is_dir():
            _copy(item, target / item.name)
        elif item.name.endswith(".txt"):
            target.mkdir(parents=True, exist_ok=True)
            (target / item.name.removesuffix(".txt")).write_bytes(item.read_bytes())


async def _commit(folder: Path, message: str) -> None:
    await _git(folder, "add", "-A")
    await _git(folder, "commit", "-q", "-m", message)


async def _git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=demo", "-c", "user.email=demo@example.invalid", "-c", "commit.gpgsign=false")
    done = await run(Start(["git", *who, *arguments], cwd=folder, env=os.environ, timeout_s=30))
    if done.status != 0:
        raise RuntimeError(f"git {arguments[0]} failed: {done.error_text}")
