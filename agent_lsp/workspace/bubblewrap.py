"""Owns the bubblewrap kind: a clean copy bound over the workspace's own path, for disks that deny overlays."""

import asyncio
import os
import shutil
import stat
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.workspace import process
from agent_lsp.workspace.copies import Copy, bring
from agent_lsp.workspace.copy_pool import Copies
from agent_lsp.workspace.environment import command_env
from agent_lsp.workspace.home import Home
from agent_lsp.workspace.host_proxy import HostProxy
from agent_lsp.workspace.limits import limits
from agent_lsp.workspace.live import LiveView
from agent_lsp.workspace.place import Place
from agent_lsp.workspace.session import MARK, Session, holder_argv
from agent_lsp.workspace.sight import TMP, Sight, Sights
from agent_lsp.workspace.snapshot import GitTrees

_CLOSING: Final = ("--tmpfs", "/dev/shm", "--remount-ro", "/dev", "--remount-ro", "/proc")  # noqa: S108
"""Last, since places to mount on are made before: what is written in /proc/sys is the machine's, not the sandbox's."""
_BINDS: Final = 200


class BubblewrapMaker:
    """Makes bubblewrap places of one workspace."""

    def __init__(self, trees: GitTrees, copies: Copies, sights: Sights, proxy: HostProxy | None = None) -> None:
        self._trees, self._copies, self._sights, self._proxy = trees, copies, sights, proxy

    async def make(self, tree: str, live: LiveView) -> Place:
        """A place that shows `tree`. Raises CandidateError, with nothing left behind."""
        program = shutil.which("bwrap")
        if program is None:
            raise CandidateError("bubblewrap (bwrap) is not installed", hint="Install the package bubblewrap.")
        home = Home.make(self._trees.layout)
        copy: Copy | None = None
        try:
            copy = await self._copies.take(tree, live)
            left = await asyncio.to_thread(bring, self._trees.root, copy.folder, copy.brought)
            left += await asyncio.to_thread(self._place_large, copy)
            await asyncio.to_thread(copy.done)
            seen = await self._sights.now()
            binds = await asyncio.to_thread(self._binds, home, copy, seen, left)
            env = {**command_env(os.environ, f"{TMP}/agent-lsp"), MARK: home.path.name}
            config: dict[str, Any] = {
                "namespaces": None,
                "wrapped": True,
                "root": str(self._trees.root),
                "aliases": [],
                "env": env,
                "limits": self._limits(home, copy, seen, left),
            }
            argv = [
                program,
                *self._isolation(),
                *await _without_nesting(program),
                *binds,
                *_CLOSING,
                "--",
                *holder_argv(),
            ]
            session = await Session.start(argv, config, env, home.path / "errors", self._proxy)
        except BaseException as error:
            if copy is not None:
                self._copies.give_back(copy.folder)
            home.discard()
            if isinstance(error, OSError):
                raise CandidateError(f"the copy could not be made: {error}") from error
            raise
        root, scratch, top = str(self._trees.root), str(home.scratch), str(self._trees.listing.top)
        mark, kind = home.path.name, SandboxKind.BUBBLEWRAP
        forget, spoil = self._copies.ending(copy.folder, home)
        return Place(kind, root, scratch, top, live.nested, mark, session, copy.look, forget, spoil, copy.large)

    def _place_large(self, copy: Copy) -> list[str]:
        """Makes places to bind the largest files on, which it gives, and copies the rest: a bind takes time."""
        self._trees.in_place.check(copy.large)
        ranked = sorted(copy.large.values(), key=lambda file: -file.size_bytes)
        for number, file in enumerate(ranked):
            target = copy.folder / file.path
            if number < _BINDS:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            else:
                self._trees.in_place.copy(file, target)
        return [file.path for file in ranked[:_BINDS]]

    def _limits(self, home: Home, copy: Copy, seen: Sight, left: list[str]) -> dict[str, Any]:
        root = self._trees.root
        disk = [str(root), str(home.scratch), *seen.writable]
        return limits(disk, [str(root / path) for path in (".git", *left)], held_bytes=copy.size_bytes())

    def _isolation(self) -> list[str]:
        network = [] if self._sights.access.network else ["--unshare-net"]
        args = ["--unshare-user-try", "--unshare-pid", "--unshare-ipc", *network, "--die-with-parent", "--as-pid-1"]
        return [*args, "--cap-drop", "ALL", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]

    def _binds(self, home: Home, copy: Copy, seen: Sight, left: list[str]) -> list[str]:
        root = self._trees.root
        steps = seen.steps(home.folder("view"))
        args = [item for path, source, _ in steps for item in (_how(path, source), source, path)]
        args += [item for path in seen.masked for item in ("--ro-bind", os.devnull, path)]
        args += ["--bind", str(copy.folder), str(root), "--bind", str(home.scratch), str(home.scratch)]
        git = root / ".git"
        if git.exists():
            _mountpoint(git, copy.folder / ".git")
            args += ["--ro-bind", str(git), str(git)]
        for path in left:
            _mountpoint(root / path, copy.folder / path)
            args += ["--ro-bind", str(root / path), str(root / path)]
        return [
            *args,
            *(
                item
                for path, source, writable in steps
                if path != source and not writable
                for item in ("--remount-ro", path)
            ),
        ]


def _how(path: str, source: str) -> str:
    """What is shown is read-only at once; places to mount on must still be made in what is hidden."""
    return "--ro-bind" if path == source else "--bind"


async def _without_nesting(program: str) -> list[str]:
    """No namespaces inside the namespace, where this bubblewrap knows how (0.8)."""
    found = await process.run(process.Start([program, "--version"], Path("/"), os.environ, timeout_s=5.0))
    digits = found.out.decode(errors="replace").split()[-1:] or ["0"]
    version = [int(part) for part in digits[0].split(".")[:2] if part.isdigit()]
    return ["--unshare-user", "--disable-userns"] if version >= [0, 8] else []


def _mountpoint(source: Path, target: Path) -> None:
    if target.exists() or target.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(source.stat().st_mode):
        target.mkdir()
    else:
        target.touch()
