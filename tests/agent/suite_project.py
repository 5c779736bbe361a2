"""Owns small projects for the gate's tests: files in a folder, a change to them, and the verdict of real runs."""

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.domain.verdict import Evidence, Verdict
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from tests.plain import PlainPool, PlainTrees


def text(code: str) -> bytes:
    return textwrap.dedent(code).lstrip("\n").encode()


class ApartPool(PlainPool):
    """Says that its candidates are isolated (plain folders are, for small suites), so both sides run at once."""

    kind = SandboxKind.BUBBLEWRAP


class Project:
    """A workspace of a few files. `check` runs the gate on a change given as `path=new text` (None deletes)."""

    def __init__(
        self, root: Path, files: Mapping[str, str], *, runner: str = "auto", at_once: bool = True, **settings: Any
    ) -> None:
        for name, code in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text(code))
        self.trees = PlainTrees(root)
        self.pool = ApartPool(self.trees) if at_once else PlainPool(self.trees)
        self.interpreter = str(settings.get("interpreter", sys.executable))
        options = RunnerOptions(runner=runner, **({"interpreter": sys.executable} | settings))
        self.finder = WorkspaceRunnerFinder(options)
        self.gate = Gate(self.trees, self.pool, self.finder, GateOptions(timeout_s=60.0))

    async def tree(self) -> str:
        return (await self.trees.snapshot([])).tree

    async def edits(self, change: Mapping[str, str | None]) -> tuple[FileEdit, ...]:
        base = await self.tree()
        return tuple(
            [
                FileEdit(path, await self.trees.read(base, path), None if code is None else Entry(text(code)))
                for path, code in sorted(change.items())
            ]
        )

    async def evidence(self, change: Mapping[str, str | None], **asked: Any) -> Evidence:
        return await self.gate.validate(await self.tree(), await self.edits(change), **asked)

    async def check(self, change: Mapping[str, str | None], **asked: Any) -> Verdict:
        return (await self.evidence(change, **asked)).verdict
