"""Owns the overlay kind: a copy-on-write view at the workspace's own path, in namespaces of its own."""

import asyncio
import bisect
import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.workspace.bases import Bases, Lease, write_delta
from agent_lsp.workspace.environment import command_env
from agent_lsp.workspace.home import Home
from agent_lsp.workspace.host_proxy import HostProxy
from agent_lsp.workspace.in_place import Large
from agent_lsp.workspace.limits import limits
from agent_lsp.workspace.listing import excluded
from agent_lsp.workspace.live import LiveView
from agent_lsp.workspace.masks import hidden, make_whiteouts
from agent_lsp.workspace.objects import Manifest
from agent_lsp.workspace.place import Changes, Place
from agent_lsp.workspace.session import MARK, Session, holder_argv
from agent_lsp.workspace.sight import TMP, Sight, Sights
from agent_lsp.workspace.snapshot import GitTrees


class OverlayMaker:
    """Makes overlay places of one workspace."""

    def __init__(self, trees: GitTrees, bases: Bases, sights: Sights, proxy: HostProxy | None = None) -> None:
        self._trees, self._bases, self._sights, self._proxy = trees, bases, sights, proxy

    async def make(self, tree: str, live: LiveView) -> Place:
        """A place that shows `tree`. Raises CandidateError, with nothing left behind."""
        home = Home.make(self._trees.layout)
        env = {**command_env(os.environ, f"{TMP}/agent-lsp"), MARK: home.path.name}
        lease: Lease | None = None
        session: Session | None = None
        try:
            # The interpreter comes up while the layers are made.
            session = await Session.spawn(holder_argv(), env, home.path / "errors", self._proxy)
            held, large = await self._trees.checkout(tree)
            lease = await self._bases.lease(held)
            layers = await self._layers(home, lease, (held, large), live)
            seen = await self._sights.now()
            await session.begin(self._config(home, layers, env, seen), home.path / "errors")
        except BaseException as error:
            if session is not None:
                await session.end()
            if lease is not None:
                lease.release()
            home.discard()
            if isinstance(error, OSError):
                raise CandidateError(f"the overlay's folders could not be made: {error}") from error
            raise
        manifest = await self._trees.objects.manifest(tree)
        return replace(self._place(home, lease, session, manifest, live), large=large)

    def _place(self, home: Home, lease: Lease, session: Session, manifest: Manifest, live: LiveView) -> Place:
        def forget() -> None:
            lease.release()
            home.discard()

        upper = Upper(home.path / "upper", manifest)
        top = str(self._trees.listing.top)
        root, scratch = str(self._trees.root), str(home.scratch)
        return Place(SandboxKind.OVERLAY, root, scratch, top, live.nested, home.path.name, session, upper.look, forget)

    async def _layers(
        self, home: Home, lease: Lease, checkout: tuple[str, Mapping[str, Large]], live: LiveView
    ) -> list[str]:
        held, large = checkout
        layers = [str(lease.folder), str(home.folder("masks"))]
        await asyncio.to_thread(self._trees.in_place.check, large)
        if lease.tree != held:
            delta = home.folder("delta")
            before = await self._trees.objects.manifest(lease.tree)
            await write_delta(self._trees, delta, before, held, large)
            layers.insert(0, str(delta))
        shown = LiveView(live.ignored | large.keys(), live.nested)
        covered = await self._trees.objects.manifest(lease.tree)
        await asyncio.to_thread(_mask, self._trees.root, home.path / "masks", shown, covered)
        return layers

    def _config(self, home: Home, layers: list[str], env: dict[str, str], seen: Sight) -> dict[str, Any]:
        most = limits([str(home.path)])
        namespaces = {
            "root": str(self._trees.root),
            "layers": layers,
            "upper": str(home.folder("upper")),
            "work": str(home.folder("work")),
            "scratch": str(home.scratch),
            "view": seen.steps(home.folder("view")),
            "masked": seen.masked,
            "disk": most["disk"],
            "memory_bytes": most["memory_bytes"],
            "processes": most["processes"],
            "network": self._sights.access.network,
        }
        root = str(self._trees.root)
        return {"namespaces": namespaces, "wrapped": True, "root": root, "aliases": [], "env": env, "limits": most}


def _mask(root: Path, layer: Path, live: LiveView, covered: Manifest) -> None:
    make_whiteouts(layer, hidden(root, live.ignored, live.nested, covered))


class Upper:
    """An upper layer, read from outside: copies of changed files, 0/0 devices for deletions, opaque folders."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder, self._manifest = folder, manifest
        self._sorted: list[str] | None = None

    def look(self) -> Changes:
        """What the layer says of the tree. Ignored files are still in it."""
        changes = Changes({}, set())
        folders = [""]
        while folders:
            folder = folders.pop()
            with contextlib.suppress(FileNotFoundError, PermissionError), os.scandir(self._folder / folder) as rows:
                for row in rows:
                    path = f"{folder}/{row.name}" if folder else row.name
                    if self._take(row, path, changes):
                        folders.append(path)
        return changes

    def _take(self, row: os.DirEntry[str], path: str, changes: Changes) -> bool:
        """Notes one entry; True for a folder to look into."""
        found = row.stat(follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            if path in self._manifest:
                changes.gone.add(path)
            if _is_opaque(row.path):
                changes.gone.update(self._below(path))
            return not excluded(row.name) or bool(self._below(path))
        if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
            changes.gone.update(self._below(path))
            if path in self._manifest:
                changes.gone.add(path)
        elif stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
            changes.gone.update(self._below(path))
            changes.present[path] = Path(row.path)
        elif path in self._manifest:
            changes.gone.add(path)
        return False

    def _below(self, folder: str) -> list[str]:
        if self._sorted is None:
            self._sorted = sorted(self._manifest)
        start = bisect.bisect_left(self._sorted, folder + "/")
        return self._sorted[start : bisect.bisect_left(self._sorted, folder + "0")]


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, "user.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False
