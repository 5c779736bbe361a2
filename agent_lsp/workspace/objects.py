"""Owns our git objects: raw blobs and trees written and read without filters, and manifests of whole trees."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent_lsp.domain.errors import SnapshotError
from agent_lsp.workspace.git import PrivateGit

PACK_FROM: Final = 64
"""So many new blobs go into one pack instead of single files."""

IN_PLACE: Final = "160000"
"""Mode of a tree's entry that only points to a file (see in_place.py): git's for submodules, and ours have none."""

_KEPT_MANIFESTS: Final = 16
_KEPT_BYTES: Final = 4_000_000
_KEPT_BLOB_BYTES: Final = 256_000
"""Of blobs that a git process had to read: a candidate's base is asked for after each edit."""


class Leaf(NamedTuple):
    """A file of a tree: git's mode and the id of its blob."""

    mode: str
    oid: str


Manifest = Mapping[str, Leaf]
"""All files of a tree by path; names that are not UTF-8 are decoded with `surrogateescape`."""


def object_id(kind: str, content: bytes) -> str:
    """git's SHA-1 name of an object."""
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content, usedforsecurity=False).hexdigest()


class Objects:
    """Reads and writes the private object store. The methods without `async` are meant for a worker thread."""

    def __init__(self, git: PrivateGit) -> None:
        self.git = git
        self._known_trees: set[str] = set()
        self._manifests: OrderedDict[str, Manifest] = OrderedDict()
        self._sha256: dict[str, str] = {}
        self._blobs: OrderedDict[str, bytes] = OrderedDict()

    def forget(self) -> None:
        """Drops what is believed of the store, which may have been removed."""
        self._known_trees.clear()
        self._manifests.clear()
        self._sha256.clear()
        self._blobs.clear()

    def _loose(self, oid: str) -> Path:
        return self.git.folder / "objects" / oid[:2] / oid[2:]

    def put(self, kind: str, content: bytes) -> str:
        """Writes one object unless it is there; gives its id."""
        oid = object_id(kind, content)
        path = self._loose(oid)
        with contextlib.suppress(OSError):
            os.utime(path)  # what is in use is young, and stays when others are pruned
            return oid
        path.parent.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix="tmp_obj_")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(zlib.compress(b"%s %d\0" % (kind.encode(), len(content)) + content, 1))
            Path(name).chmod(0o444)
            Path(name).rename(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return oid

    async def import_pack(self, stream: Path) -> None:
        """Stores the blobs of a fast-import stream as one pack."""
        with stream.open("rb") as file:
            await self.git.call("-c", "core.compression=1", "fast-import", "--quiet", stdin=file)

    def write_tree(self, manifest: Manifest) -> str:
        """Writes every tree object that is not there yet; gives the root's id.

        Raises SnapshotError if a path is below another file.
        """
        root: dict[str, Any] = {}
        folders: dict[str, dict[str, Any]] = {"": root}
        for path, leaf in manifest.items():
            parent, _, name = path.rpartition("/")
            folder = folders.get(parent)
            if folder is None:
                folder = _make_folder(folders, parent)
            if name in folder:
                raise SnapshotError(f"{path} is a file and a folder at once")
            folder[name] = leaf
        oid = self._put_tree(root)
        self.remember(oid, manifest)
        return oid

    def _put_tree(self, folder: dict[str, Any]) -> str:
        rows = []
        for name, value in folder.items():
            raw = os.fsencode(name)
            if isinstance(value, Leaf):
                rows.append((raw, value.mode.encode(), value.oid))
            else:
                rows.append((raw + b"/", b"40000", self._put_tree(value)))
        rows.sort()
        content = b"".join(mode + b" " + raw.rstrip(b"/") + b"\0" + bytes.fromhex(oid) for raw, mode, oid in rows)
        oid = object_id("tree", content)
        if oid not in self._known_trees:
            self.put("tree", content)
            self._known_trees.add(oid)
        return oid

    def remember(self, tree: str, manifest: Manifest) -> None:
        """Keeps a tree's manifest in memory, the oldest ones go."""
        self._manifests[tree] = manifest
        self._manifests.move_to_end(tree)
        while len(self._manifests) > _KEPT_MANIFESTS:
            self._manifests.popitem(last=False)

    async def manifest(self, tree: str) -> Manifest:
        """All files of a tree. Raises SnapshotError if the tree is not in the store."""
        known = self._manifests.get(tree)
        if known is None:
            out = await self.git.call("ls-tree", "-r", "-z", "--full-tree", tree)
            known = await asyncio.to_thread(_parse_tree, out)
        self.remember(tree, known)
        return known

    async def read(self, oids: Iterable[str]) -> dict[str, bytes]:
        """The contents of blobs by id. Raises SnapshotError if one is missing."""
        return await self._read(sorted(set(oids)))

    async def _read(self, wanted: Sequence[str]) -> dict[str, bytes]:
        found = {oid: self._blobs[oid] for oid in wanted if oid in self._blobs}
        found |= await asyncio.to_thread(self._read_loose, [oid for oid in wanted if oid not in found])
        packed = [oid for oid in wanted if oid not in found]
        if packed:
            out = await self.git.call(
                "cat-file", "--batch", "--buffer", stdin="".join(f"{o}\n" for o in packed).encode()
            )
            read = await asyncio.to_thread(_parse_batch, out)
            self._keep(read)
            found |= read
        return found

    def _keep(self, read: Mapping[str, bytes]) -> None:
        """Remembers small blobs; the oldest ones go."""
        self._blobs.update({oid: content for oid, content in read.items() if len(content) <= _KEPT_BLOB_BYTES})
        size_bytes = sum(map(len, self._blobs.values()))
        while size_bytes > _KEPT_BYTES:
            size_bytes -= len(self._blobs.popitem(last=False)[1])

    def _read_loose(self, wanted: Iterable[str]) -> dict[str, bytes]:
        found = {}
        for oid in wanted:
            try:
                raw = zlib.decompress(self._loose(oid).read_bytes())
            except (OSError, zlib.error):
                continue
            found[oid] = raw[raw.index(b"\0") + 1 :]
        return found

    async def sha256(self, oids: Iterable[str]) -> dict[str, str]:
        """sha256 of blobs' contents by id."""
        wanted = set(oids)
        unknown = [oid for oid in wanted if oid not in self._sha256]
        for start in range(0, len(unknown), 500):
            contents = await self.read(unknown[start : start + 500])
            self._sha256.update(await asyncio.to_thread(_hex256, contents))
        return {oid: self._sha256[oid] for oid in wanted}


def _hex256(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {oid: hashlib.sha256(content).hexdigest() for oid, content in contents.items()}


def _make_folder(folders: dict[str, dict[str, Any]], path: str) -> dict[str, Any]:
    parent, _, name = path.rpartition("/")
    above = folders.get(parent)
    if above is None:
        above = _make_folder(folders, parent)
    if name in above:
        raise SnapshotError(f"{path} is a file and a folder at once")
    above[name] = folders[path] = {}
    return folders[path]


def _parse_tree(out: bytes) -> Manifest:
    manifest = {}
    for row in out.split(b"\0"):
        if row:
            head, _, path = row.partition(b"\t")
            mode, kind, oid = head.decode().split(" ")
            if kind in ("blob", "commit"):
                manifest[os.fsdecode(path)] = Leaf(mode, oid)
    return manifest


def _parse_batch(out: bytes) -> dict[str, bytes]:
    found, at = {}, 0
    while at < len(out):
        end = out.index(b"\n", at)
        head = out[at:end].decode().split(" ")
        if len(head) != 3:
            raise SnapshotError(
                f"object {head[0]} is missing from the snapshot store", hint="The cache was removed; start again."
            )
        size = int(head[2])
        found[head[0]] = out[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found
