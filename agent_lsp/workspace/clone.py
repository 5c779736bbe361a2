"""Owns the clone kind: a plain copy elsewhere, with the walls that Landlock gives, where nothing better works."""

import asyncio
import os
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.workspace import landlock
from agent_lsp.workspace.copies import Copy, bring
from agent_lsp.workspace.copy_pool import Copies
from agent_lsp.workspace.environment import command_env
from agent_lsp.workspace.home import Home
from agent_lsp.workspace.host_proxy import HostProxy
from agent_lsp.workspace.limits import limits
from agent_lsp.workspace.live import LiveView
from agent_lsp.workspace.place import Place
from agent_lsp.workspace.session import MARK, Session, holder_argv
from agent_lsp.workspace.sight import Sights
from agent_lsp.workspace.snapshot import GitTrees

_DEVICES: Final = (
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"),
    "/dev/shm",  # noqa: S108 - where semaphores live
)


class CloneMaker:
    """Makes clone places of one workspace."""

    def __init__(self, trees: GitTrees, copies: Copies, sights: Sights, proxy: HostProxy | None = None) -> None:
        self._trees, self._copies, self._sights, self._proxy = trees, copies, sights, proxy

    async def make(self, tree: str, live: LiveView) -> Place:
        """A copy of `tree` with the live ignored folders linked in. Raises CandidateError."""
        home = Home.make(self._trees.layout)
        copy: Copy | None = None
        try:
            copy = await self._copies.take(tree, live)
            folder = copy.folder
            await asyncio.to_thread(_link_ignored, self._trees.root, folder, copy.brought)
            await asyncio.to_thread(self._place_large, copy)
            await asyncio.to_thread(copy.done)
            # No byte-code: an editable install names the live folder, and would write there.
            house, tmp = home.folder("home"), home.folder("tmp")
            user = {"PYTHONUSERBASE": str(Path.home() / ".local")}
            clean = {**user, **command_env(os.environ, str(tmp)), "HOME": str(house)}
            env = {**clean, MARK: home.path.name, "PYTHONDONTWRITEBYTECODE": "1"}
            seen = await self._sights.now()
            places = [str(folder), str(home.scratch), str(house), str(tmp)]
            config = {
                "namespaces": None,
                "wrapped": False,
                "root": str(folder),
                "aliases": [str(self._trees.root)],
                "env": env,
                "limits": limits(places, held_bytes=copy.size_bytes()),
                "walls": {
                    "readable": [*await asyncio.to_thread(seen.readable), str(self._trees.root)],
                    "writable": [*places, *_DEVICES],
                    "network": self._sights.access.network,
                },
            }
            session = await Session.start(holder_argv(), config, env, home.path / "errors", self._proxy)
        except BaseException as error:
            if copy is not None:
                self._copies.give_back(copy.folder)
            home.discard()
            if isinstance(error, OSError):
                raise CandidateError(f"the copy could not be made: {error}") from error
            raise
        root, scratch = str(folder), str(home.scratch)
        kind, mark = SandboxKind.CLONE, home.path.name
        forget, spoil = self._copies.ending(copy.folder, home)
        return Place(kind, root, scratch, root, live.nested, mark, session, copy.look, forget, spoil, copy.large)

    def _place_large(self, copy: Copy) -> None:
        """Links to the live files where nothing can be written through a link, else copies them."""
        self._trees.in_place.check(copy.large)
        for path, file in copy.large.items():
            target = copy.folder / path
            if landlock.abi() < 1:
                self._trees.in_place.copy(file, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(self._trees.root / path)


def _link_ignored(root: Path, folder: Path, paths: frozenset[str]) -> None:
    for path in bring(root, folder, paths):
        target = folder / path
        if not target.exists():
            target.symlink_to(root / path)
