"""Owns the clone kind: a plain copy elsewhere, with no isolation, for machines where nothing better works."""

import asyncio
import os
from pathlib import Path

from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.workspace.copies import Copy, bring
from agent_lsp.workspace.environment import command_env
from agent_lsp.workspace.home import Home
from agent_lsp.workspace.live import LiveView
from agent_lsp.workspace.place import Place
from agent_lsp.workspace.session import MARK, Session, holder_argv
from agent_lsp.workspace.snapshot import GitTrees


class CloneMaker:
    """Makes clone places of one workspace."""

    def __init__(self, trees: GitTrees) -> None:
        self._trees = trees

    async def make(self, tree: str, live: LiveView) -> Place:
        """A copy of `tree` with the live ignored folders linked in. Raises CandidateError."""
        home = Home.make(self._trees.layout)
        try:
            folder = home.path / self._trees.root.name
            copy = await Copy.make(self._trees, tree, folder, live)
            await asyncio.to_thread(_link_ignored, self._trees.root, folder, copy.brought)
            # No byte-code: an editable install names the live folder, and would write there.
            clean = command_env(os.environ, str(home.path / "tmp"))
            env = {**clean, MARK: home.path.name, "PYTHONDONTWRITEBYTECODE": "1"}
            config = {
                "namespaces": None,
                "wrapped": False,
                "root": str(folder),
                "aliases": [str(self._trees.root)],
                "env": env,
            }
            session = await Session.start(holder_argv(), config, env, home.path / "errors")
        except BaseException as error:
            home.discard()
            if isinstance(error, OSError):
                raise CandidateError(f"the copy could not be made: {error}") from error
            raise
        root, scratch = str(folder), str(home.scratch)
        return Place(
            SandboxKind.CLONE, root, scratch, root, live.nested, home.path.name, session, copy.look, home.discard
        )


def _link_ignored(root: Path, folder: Path, paths: frozenset[str]) -> None:
    for path in bring(root, folder, paths):
        target = folder / path
        if not target.exists():
            target.symlink_to(root / path)
