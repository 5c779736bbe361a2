"""Owns the bubblewrap kind: a clean copy bound over the workspace's own path, for disks that deny overlays."""

import asyncio
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.workspace.copies import Copy, bring
from agent_lsp.workspace.environment import command_env
from agent_lsp.workspace.home import Home
from agent_lsp.workspace.live import LiveView
from agent_lsp.workspace.overlay import TMP
from agent_lsp.workspace.place import Place
from agent_lsp.workspace.session import MARK, Session, holder_argv
from agent_lsp.workspace.snapshot import GitTrees
from agent_lsp.workspace.sockets import control_sockets

_PACKAGE: Final = Path(__file__).resolve().parents[2]


class BubblewrapMaker:
    """Makes bubblewrap places of one workspace."""

    def __init__(self, trees: GitTrees, *, network: bool) -> None:
        self._trees, self._network = trees, network

    async def make(self, tree: str, live: LiveView) -> Place:
        """A place that shows `tree`. Raises CandidateError, with nothing left behind."""
        program = shutil.which("bwrap")
        if program is None:
            raise CandidateError("bubblewrap (bwrap) is not installed", hint="Install the package bubblewrap.")
        home = Home.make(self._trees.layout)
        try:
            copy = await Copy.make(self._trees, tree, home.path / "tree", live)
            left = await asyncio.to_thread(bring, self._trees.root, copy.folder, copy.brought)
            binds = await asyncio.to_thread(self._binds, home, copy, left)
            env = {**command_env(os.environ, f"{TMP}/agent-lsp"), MARK: home.path.name}
            config: dict[str, Any] = {
                "namespaces": None,
                "wrapped": True,
                "root": str(self._trees.root),
                "aliases": [],
                "env": env,
            }
            argv = [program, *self._isolation(), *binds, "--", *holder_argv()]
            session = await Session.start(argv, config, env, home.path / "errors")
        except BaseException as error:
            home.discard()
            if isinstance(error, OSError):
                raise CandidateError(f"the copy could not be made: {error}") from error
            raise
        root, scratch, top = str(self._trees.root), str(home.scratch), str(self._trees.listing.top)
        mark, kind = home.path.name, SandboxKind.BUBBLEWRAP
        return Place(kind, root, scratch, top, live.nested, mark, session, copy.look, home.discard)

    def _isolation(self) -> list[str]:
        network = [] if self._network else ["--unshare-net"]
        args = ["--unshare-user-try", "--unshare-pid", "--unshare-ipc", *network, "--die-with-parent"]
        args += ["--cap-drop", "ALL", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", TMP]
        return [*args, *(item for path in control_sockets() for item in ("--ro-bind", os.devnull, path))]

    def _binds(self, home: Home, copy: Copy, left: list[str]) -> list[str]:
        root = self._trees.root
        back = [path for path in needed_folders(self._trees) if path.startswith(TMP + "/") and Path(path).exists()]
        args = [item for path in sorted(back) for item in ("--ro-bind", path, path)]
        args += ["--bind", str(copy.folder), str(root), "--bind", str(home.scratch), str(home.scratch)]
        git = root / ".git"
        if git.exists():
            _mountpoint(git, copy.folder / ".git")
            args += ["--ro-bind", str(git), str(git)]
        for path in left:
            _mountpoint(root / path, copy.folder / path)
            args += ["--ro-bind", str(root / path), str(root / path)]
        return args


def needed_folders(trees: GitTrees) -> set[str]:
    """Folders that must stay visible when /tmp is hidden: interpreters, programs, packages, our own caches."""
    paths = {sys.prefix, sys.base_prefix, str(_PACKAGE), str(trees.layout.cache), str(trees.listing.top)}
    paths.update(path for path in sys.path if path)
    paths.update(path for path in os.environ.get("PATH", "").split(os.pathsep) if path)
    for name in (".venv", "venv"):
        python = trees.root / name / "bin" / "python"
        if python.exists():
            paths.add(str(python.resolve().parent.parent))
    return paths


def _mountpoint(source: Path, target: Path) -> None:
    if target.exists() or target.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(source.stat().st_mode):
        target.mkdir()
    else:
        target.touch()
