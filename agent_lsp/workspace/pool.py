"""Owns the making of candidates: which kind works here, the view they open with, and what is left behind."""

import asyncio
import time
from pathlib import Path
from typing import Final, Protocol, assert_never

from agent_lsp.domain.errors import CandidateError, SnapshotError
from agent_lsp.domain.ports import SandboxKind
from agent_lsp.workspace.bases import Bases
from agent_lsp.workspace.bubblewrap import BubblewrapMaker
from agent_lsp.workspace.candidate import HeldCandidate
from agent_lsp.workspace.clone import CloneMaker
from agent_lsp.workspace.copy_pool import Copies
from agent_lsp.workspace.home import empty_trash, remove_abandoned
from agent_lsp.workspace.host_proxy import HostProxy
from agent_lsp.workspace.live import LiveView
from agent_lsp.workspace.lookup import Lookups
from agent_lsp.workspace.overlay import OverlayMaker
from agent_lsp.workspace.place import Place
from agent_lsp.workspace.probe import working_kind
from agent_lsp.workspace.room import is_full, no_room
from agent_lsp.workspace.sight import Access, Sights
from agent_lsp.workspace.snapshot import GitTrees
from agent_lsp.workspace.upkeep import Upkeep

_ROOM_BYTES: Final = 4 << 30
_VIEW_AGE_S: Final = 2.0
"""How old a look at the live workspace's ignored files may be when a candidate opens."""


class Maker(Protocol):
    """One kind of sandbox."""

    async def make(self, tree: str, live: LiveView) -> Place:
        """A place that shows a tree. Raises CandidateError."""
        ...


class Pool:
    """Opens candidates of one workspace. `start` first, `close` at the end."""

    def __init__(
        self,
        root: Path,
        cache_dir: Path,
        trees: GitTrees,
        kind: SandboxKind | None = None,
        access: Access = Access(),  # noqa: B008 - frozen
        upkeep: Upkeep | None = None,
    ) -> None:
        self._root, self._cache = root, cache_dir
        self._trees, self._forced, self._sights = trees, kind, Sights(trees, access)
        self._bases, self._copies, self._upkeep = Bases(trees), Copies(trees), upkeep
        listed = access.hosts.hosts and not access.network
        self._proxy = HostProxy(access.hosts, Lookups()) if listed else None
        self._kind: SandboxKind | None = None
        self._view: tuple[float, LiveView] | None = None
        self._open: set[HeldCandidate] = set()
        self._cleaning: set[asyncio.Task[None]] = set()

    @property
    def kind(self) -> SandboxKind:
        """The kind in use. Before `start` the forced one, else the one that isolates least."""
        return self._kind or self._forced or SandboxKind.CLONE

    async def start(self) -> None:
        """Removes what a crash left and picks the kind. Raises CandidateError if a forced kind does not work."""
        await self._trees.prepare()
        await asyncio.to_thread(remove_abandoned, self._trees.layout)
        self._clean()
        self._kind = await working_kind(self._cache, self._forced)
        if self._upkeep is not None:
            self._upkeep.begin()

    def assume(self, kind: SandboxKind) -> None:
        """Uses a kind without trying it first."""
        self._kind = kind

    async def close(self) -> None:
        """Closes every candidate and deletes what they left."""
        if self._upkeep is not None:
            await self._upkeep.end()
        await asyncio.gather(*(candidate.close() for candidate in self._open))
        while self._cleaning:
            await asyncio.gather(*self._cleaning)
        await self._copies.close()
        await asyncio.to_thread(empty_trash, self._trees.layout)

    async def open(self, tree: str) -> "PooledCandidate":
        """A fresh candidate of a tree. Raises CandidateError."""
        if self._kind is None:
            await self.start()
        try:
            place = await self._place(tree)
        except CandidateError:
            self._clean()
            raise
        except SnapshotError as error:
            raise CandidateError(error.message, hint=error.hint) from error
        except OSError as error:
            hint = "Check the rights of the cache folder."
            raise CandidateError(f"a copy of the workspace could not be made: {error}", hint=hint) from error
        candidate = PooledCandidate(self._trees, tree, place, self)
        self._open.add(candidate)
        return candidate

    def closed(self, candidate: HeldCandidate) -> None:
        """A candidate tells that it is gone."""
        self._open.discard(candidate)
        self._clean()

    async def _place(self, tree: str) -> Place:
        """On a full disk, what can be spared goes, and it is tried once more."""
        view = await self._look()
        try:
            return await self._maker().make(tree, view)
        except (CandidateError, SnapshotError, OSError) as error:
            if not is_full(error):
                raise
        try:
            await self._make_room()
            return await self._maker().make(tree, view)
        except (CandidateError, SnapshotError, OSError) as error:
            if not is_full(error):
                raise
            message, hint = no_room(self._cache)
            raise CandidateError(message, hint=hint) from error

    async def _make_room(self) -> None:
        await self._copies.close(keep=False)
        await asyncio.to_thread(empty_trash, self._trees.layout)
        await self._bases.trim(0)
        if self._upkeep is not None:
            await self._upkeep.now(free_bytes=_ROOM_BYTES)

    def _maker(self) -> Maker:
        match self.kind:
            case SandboxKind.OVERLAY:
                return OverlayMaker(self._trees, self._bases, self._sights, self._proxy)
            case SandboxKind.BUBBLEWRAP:
                return BubblewrapMaker(self._trees, self._copies, self._sights, self._proxy)
            case SandboxKind.CLONE:
                return CloneMaker(self._trees, self._copies, self._sights, self._proxy)
            case other:
                assert_never(other)

    async def _look(self) -> LiveView:
        now_s = time.monotonic()
        if self._view is None or now_s - self._view[0] > _VIEW_AGE_S:
            self._view = (now_s, await self._trees.look())
        return self._view[1]

    def _clean(self) -> None:
        task = asyncio.create_task(self._tidy())
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def _tidy(self) -> None:
        await self._copies.tidy()
        await asyncio.to_thread(empty_trash, self._trees.layout)
        await self._bases.trim()


class PooledCandidate(HeldCandidate):
    """A candidate that tells its pool when it closes."""

    def __init__(self, trees: GitTrees, tree: str, place: Place, pool: Pool) -> None:
        super().__init__(trees, tree, place)
        self._pool = pool

    async def close(self) -> None:
        """Kills everything in it and removes it; safe to repeat."""
        await super().close()
        self._pool.closed(self)
