"""Owns snapshots: the workspace's bytes with the open buffers laid over, as git trees in a private directory."""

import asyncio
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from agent_lsp.domain.changes import Entry, FileEdit, FileMode
from agent_lsp.domain.errors import SnapshotError
from agent_lsp.domain.ports import Buffer, Snapshot
from agent_lsp.domain.text import decode, encode_like
from agent_lsp.workspace import git
from agent_lsp.workspace.in_place import InPlace, Large, may_stay
from agent_lsp.workspace.layout import Layout, make_private
from agent_lsp.workspace.listing import FORBIDDEN, Listing, Live
from agent_lsp.workspace.live import LiveView
from agent_lsp.workspace.objects import IN_PLACE, PACK_FROM, Leaf, Manifest, Objects, object_id
from agent_lsp.workspace.pruning import prune_if_due
from agent_lsp.workspace.room import is_full, no_room
from agent_lsp.workspace.statcache import Known, Loaded, StatCache, load
from agent_lsp.workspace.tenancy import Tenancy

_EMPTY_BLOB: Final = object_id("blob", b"")
_CHECKOUTS_KEPT: Final = 32
_PART_BYTES: Final = 256 << 20
_KEEP_FROM: Final = 100
"""So many newly hashed files make it worth writing the stat cache for the next process."""


class GitTrees:
    """Trees of one workspace. `cache` is the workspace's folder of layout.cache_dir."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.root = root.resolve()
        self.layout = Layout(cache)
        self.private = git.PrivateGit(self.layout.git)
        self.objects = Objects(self.private)
        self.in_place = InPlace(self.root, self.objects)
        self.listing = Listing(self.root, self.private)
        self.stats = StatCache(self.layout.git / "stat-cache.json")
        self._lock = asyncio.Lock()
        self._preparing = asyncio.Lock()
        self._prepared = False
        self._tenancy: Tenancy | None = None
        self._last: tuple[Manifest, str] | None = None
        self._nested: frozenset[str] | None = None
        self._checkouts: dict[str, tuple[str, dict[str, Large]]] = {}

    async def prepare(self) -> None:
        """Makes the private git directory; called by everything else when it is needed."""
        async with self._preparing:  # a run's first snapshot and the pool's own preparation meet here
            if self._prepared and self.private.folder.is_dir():
                return
            alone = partial(prune_if_due, self.layout, self.private)
            self._tenancy = await Tenancy.begin(self.layout, self.root, alone)
            await self.private.prepare()
            self.objects.forget()
            self._checkouts.clear()
            await asyncio.to_thread(self.stats.restore)
            self._last, self._prepared = None, True

    async def snapshot(self, buffers: Sequence[Buffer]) -> Snapshot:
        """Every file that is not ignored with the buffers laid over. Raises SnapshotError."""
        async with self._lock:
            if not self.root.is_dir():
                raise SnapshotError(f"{self.root} is not a folder that can be read")
            await self.prepare()
            live = await self.listing.files()
            self._nested = live.nested
            try:
                disk = await self._disk(live)
                manifest, versions = await self._lay_over(disk, buffers)
                return Snapshot(await self._tree(manifest), versions)
            except (OSError, SnapshotError) as error:
                if is_full(error):
                    message, hint = no_room(self.layout.cache)
                    raise SnapshotError(message, hint=hint) from error
                if isinstance(error, SnapshotError):
                    raise
                hint = "Check the rights of the cache folder."
                raise SnapshotError(f"the snapshot could not be stored: {error}", hint=hint) from error

    async def look(self) -> LiveView:
        """What the workspace ignores now, and the nested repositories in it. Raises SnapshotError."""
        async with self._lock:
            await self.prepare()
            if self._nested is None:
                self._nested = (await self.listing.files()).nested
            return LiveView(await self.listing.ignored(), self._nested)

    async def _tree(self, manifest: Manifest) -> str:
        if self._last is not None and self._last[0] == manifest:
            self.objects.remember(self._last[1], self._last[0])
            return self._last[1]
        tree = await asyncio.to_thread(self.objects.write_tree, manifest)
        self._last = (manifest, tree)
        return tree

    async def _disk(self, live: Live) -> dict[str, Leaf]:
        manifest, stale = await asyncio.to_thread(self.stats.scan, self.root, live.paths)
        if not stale:
            return manifest
        hashed, rest = await asyncio.to_thread(self._point, stale)
        if len(rest) < PACK_FROM:
            hashed.update(await asyncio.to_thread(self._hash, rest))
        else:
            for part in _parts(rest, stale):
                hashed.update(await self._hash_many(part))
        for path, known in hashed.items():
            manifest[path] = known.leaf
        self.stats.known.update(hashed)
        if len(self.stats.known) > 2 * len(manifest) + 1000:
            self.stats.known = {path: row for path, row in self.stats.known.items() if path in manifest}
        if len(hashed) >= _KEEP_FROM:
            await asyncio.to_thread(self.stats.keep)
        return manifest

    def _point(self, stale: Mapping[str, os.stat_result]) -> tuple[dict[str, Known], list[str]]:
        large = {path for path, found in stale.items() if may_stay(path, found)}
        pointed, rest = self.in_place.point(sorted(large))
        return pointed, [*rest, *(path for path in stale if path not in large)]

    def _hash(self, paths: Iterable[str]) -> dict[str, Known]:
        hashed = {}
        for path in paths:
            file = load(f"{self.root}/{path}")
            if file is not None:
                hashed[path] = _known(file, self.objects.put("blob", file.content))
        return hashed

    async def _hash_many(self, paths: Sequence[str]) -> dict[str, Known]:
        handle, name = tempfile.mkstemp(dir=self.layout.cache, prefix="import-")
        os.close(handle)
        stream = Path(name)
        try:
            hashed = await asyncio.to_thread(self._write_stream, paths, stream)
            await self.objects.import_pack(stream)
        finally:
            stream.unlink(missing_ok=True)
        return hashed

    def _write_stream(self, paths: Iterable[str], stream: Path) -> dict[str, Known]:
        hashed = {}
        with stream.open("wb") as out:
            for number, path in enumerate(paths):
                file = load(f"{self.root}/{path}")
                if file is None:
                    continue
                hashed[path] = _known(file, object_id("blob", file.content))
                out.write(b"blob\ndata %d\n" % len(file.content))
                out.write(file.content)
                out.write(b"\n")
                if number % 200 == 199:
                    time.sleep(0)
        return hashed

    async def _lay_over(self, disk: dict[str, Leaf], buffers: Sequence[Buffer]) -> tuple[Manifest, dict[str, int]]:
        manifest, versions = dict(disk), {}
        places = {buffer.path: self._place(buffer.path, disk) for buffer in buffers}
        unknown = [place for place in places.values() if place is not None and place not in disk]
        ignored = await self.listing.ignored_among(unknown)
        for buffer in buffers:
            place = places[buffer.path]
            if place is None or place in ignored:
                continue
            manifest[place] = await self._buffer_leaf(buffer, disk.get(place))
            versions[buffer.path] = buffer.version
        return manifest, versions

    def _place(self, path: str, disk: Mapping[str, Leaf]) -> str | None:
        """The path that a buffer's text belongs to, symlinks followed; None if it is not ours."""
        leaf = disk.get(path)
        if leaf is not None and leaf.mode != FileMode.SYMLINK:
            return path
        real = Path(os.path.realpath(self.root / path))
        if not real.is_relative_to(self.root) or real == self.root or real.is_dir():
            return None
        place = real.relative_to(self.root).as_posix()
        parts = place.split("/")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
        return None if parts[0] in FORBIDDEN or above & (self._nested or frozenset()) else place

    async def _buffer_leaf(self, buffer: Buffer, leaf: Leaf | None) -> Leaf:
        entry = None if leaf is None else (await self._entries([leaf]))[leaf]
        base = None if entry is None else entry.content
        decoded = None if base is None else decode(base)
        if leaf is not None and decoded is not None and decoded.text == buffer.text:
            return leaf
        content = encode_like(buffer.text, base)
        mode = entry.mode.value if entry is not None else FileMode.FILE.value
        return Leaf(mode, await asyncio.to_thread(self.objects.put, "blob", content))

    async def read(self, tree: str, path: str) -> Entry | None:
        """A file of a tree, or None."""
        leaf = (await self.objects.manifest(tree)).get(path)
        return None if leaf is None else (await self._entries([leaf]))[leaf]

    async def contents(self, tree: str, paths: Sequence[str]) -> dict[str, bytes]:
        """Those of `paths` that are in the tree and no large files, read at once."""
        manifest = await self.objects.manifest(tree)
        leaves = {path: manifest[path] for path in paths if path in manifest and manifest[path].mode != IN_PLACE}
        found = await self.objects.read(leaf.oid for leaf in leaves.values())
        return {path: found[leaf.oid] for path, leaf in leaves.items()}

    async def _entries(self, leaves: Iterable[Leaf]) -> dict[Leaf, Entry]:
        """The contents of files of trees. Raises SnapshotError if a large one was changed since."""
        wanted = set(leaves)
        large = {leaf for leaf in wanted if leaf.mode == IN_PLACE}
        contents = await self.objects.read(leaf.oid for leaf in wanted - large)
        found = {leaf: Entry(contents[leaf.oid], FileMode(leaf.mode)) for leaf in wanted - large}
        return {**found, **await self.in_place.entries(large)}

    async def checkout(self, tree: str) -> tuple[str, dict[str, Large]]:
        """What a checkout of a tree holds, itself a tree, and the large files that stay where they are."""
        known = self._checkouts.get(tree)
        if known is None:
            manifest = await self.objects.manifest(tree)
            large = await self.in_place.of(manifest)
            rest = {path: leaf for path, leaf in manifest.items() if path not in large} if large else None
            held = tree if rest is None else await asyncio.to_thread(self.objects.write_tree, rest)
            known = self._checkouts[tree] = (held, large)
            while len(self._checkouts) > _CHECKOUTS_KEPT:
                del self._checkouts[next(iter(self._checkouts))]
        return known

    async def paths(self, tree: str) -> Sequence[str]:
        """All files of a tree, sorted."""
        return sorted(await self.objects.manifest(tree))

    async def hashes(self, tree: str, paths: Sequence[str]) -> Mapping[str, str]:
        """sha256 of the bytes of those of `paths` that are in the tree."""
        manifest = await self.objects.manifest(tree)
        wanted = {path: manifest[path] for path in paths if path in manifest}
        large = {leaf for leaf in wanted.values() if leaf.mode == IN_PLACE}
        digests = await self.objects.sha256(leaf.oid for leaf in wanted.values() if leaf not in large)
        digests.update(await self.in_place.sha256(large))
        return {path: digests[leaf.oid] for path, leaf in wanted.items()}

    async def write(self, tree: str, edits: Sequence[FileEdit]) -> str:
        """The id of `tree` with the edits' `after` sides laid over. Raises SnapshotError."""
        manifest = dict(await self.objects.manifest(tree))
        for edit in edits:
            manifest.pop(edit.base_path, None)
            manifest.pop(edit.path, None)
        for edit in edits:
            if edit.after is not None:
                oid = await asyncio.to_thread(self.objects.put, "blob", edit.after.content)
                manifest[edit.path] = Leaf(edit.after.mode.value, oid)
        return await asyncio.to_thread(self.objects.write_tree, manifest)

    async def diff(self, old: str, new: str) -> tuple[FileEdit, ...]:
        """What leads from one tree to the other, sorted by path; exact renames are told as such."""
        if old == new:
            return ()
        before, after = await self.objects.manifest(old), await self.objects.manifest(new)
        return await self.edits_between(before, after)

    async def edits_between(self, before: Manifest, after: Manifest) -> tuple[FileEdit, ...]:
        """The difference of two manifests as edits."""
        gone, changed = await asyncio.to_thread(_differences, before, after)
        renames = _pair_renames(gone, {path: leaf for path, leaf in changed.items() if path not in before})
        moved = set(renames.values())
        leaves = [*gone.values(), *changed.values(), *(before[path] for path in changed if path in before)]
        entries = await self._entries(leaves)
        edits = [FileEdit(path, entries[leaf], None) for path, leaf in gone.items() if path not in moved]
        for path, leaf in changed.items():
            source = renames.get(path)
            base = before.get(source or path)
            if base is None or entries[base] != entries[leaf] or source:
                edits.append(FileEdit(path, entries[base] if base else None, entries[leaf], source))
        return tuple(sorted(edits, key=lambda edit: edit.path))

    async def merge_text(self, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        """Three-way merge with git merge-file, or None where it conflicts or is binary."""
        make_private(self.layout.cache)
        with tempfile.TemporaryDirectory(dir=self.layout.cache, prefix="merge-") as folder:
            names = []
            for name, content in (("ours", ours), ("base", base), ("theirs", theirs)):
                Path(folder, name).write_bytes(content)
                names.append(name)
            env = {"GIT_DIR": str(self.private.folder), "GIT_CEILING_DIRECTORIES": folder}
            call = git.Call(("merge-file", "-p", "-q", *names), Path(folder), env, ok=range(256))
            await self.prepare()
            # git gives the number of conflicts (at most 127) as its status, and 255 for a binary file.
            status, out = await git.run_status(call)
            return out if status == 0 else None


def _parts(paths: Sequence[str], found: Mapping[str, os.stat_result]) -> Iterator[list[str]]:
    """Files in groups that take no more room on the way into a pack than need be."""
    part: list[str] = []
    size_bytes = 0
    for path in paths:
        part.append(path)
        size_bytes += found[path].st_size
        if size_bytes > _PART_BYTES:
            yield part
            part, size_bytes = [], 0
    if part:
        yield part


def _known(file: Loaded, oid: str) -> Known:
    return Known(file.known, Leaf(file.mode, oid), file.settled)


def _differences(before: Manifest, after: Manifest) -> tuple[dict[str, Leaf], dict[str, Leaf]]:
    gone = {path: leaf for path, leaf in before.items() if path not in after}
    changed = {path: leaf for path, leaf in after.items() if before.get(path) != leaf}
    return gone, changed


def _pair_renames(gone: Mapping[str, Leaf], created: Mapping[str, Leaf]) -> dict[str, str]:
    """New path to old path, for files whose bytes and mode are the same; equal names are paired first."""
    sources: dict[Leaf, list[str]] = defaultdict(list)
    for path in sorted(gone):
        if gone[path].oid != _EMPTY_BLOB:
            sources[gone[path]].append(path)
    pairs = {}
    by_name = sorted(created, key=lambda p: (all(_name(p) != _name(s) for s in sources.get(created[p], ())), p))
    for path in by_name:
        candidates = sources.get(created[path])
        if candidates:
            same = [source for source in candidates if _name(source) == _name(path)]
            chosen = (same or candidates)[0]
            candidates.remove(chosen)
            pairs[path] = chosen
    return pairs


def _name(path: str) -> str:
    return path.rpartition("/")[2]
