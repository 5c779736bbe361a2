"""Owns frozen checkouts: folders holding a whole tree, shared by candidates, brought along by differences."""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import CandidateError, SnapshotError
from agent_lsp.workspace import git, room
from agent_lsp.workspace.in_place import Large
from agent_lsp.workspace.layout import make_private
from agent_lsp.workspace.masks import make_whiteouts
from agent_lsp.workspace.objects import Leaf, Manifest
from agent_lsp.workspace.snapshot import GitTrees

_DELTA_FILES: Final = 200
"""So many differing files are laid over a busy checkout; more make a new one."""
_IDLE_KEPT: Final = 2
_FEW_FILES: Final = 100
"""So many files are written by ourselves; more of them by git's parallel workers, which hold no more than one each."""


@dataclass(slots=True)
class Lease:
    """The right to use a checkout as it stands; nobody changes it until `release`."""

    folder: Path
    tree: str
    _handle: int

    def release(self) -> None:
        """Gives it back; safe to repeat."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Bases:
    """The checkouts of one workspace, shared with other processes through file locks."""

    def __init__(self, trees: GitTrees) -> None:
        self._trees = trees
        self._folder = trees.layout.bases
        self._lock = asyncio.Lock()

    async def lease(self, tree: str) -> Lease:
        """A checkout of exactly this tree, or of one that differs in few files. Raises CandidateError."""
        async with self._lock:
            make_private(self._folder)
            manifest = await self._trees.objects.manifest(tree)
            ranked = await self._ranked(manifest)
            for distance, base in ranked:
                lease = self._take(base, fcntl.LOCK_SH) if distance == 0 else await self._bring(base, tree)
                if lease is not None and lease.tree == tree:
                    return lease
                if lease is not None:
                    lease.release()
            for distance, base in ranked:
                lease = self._take(base, fcntl.LOCK_SH) if distance <= _DELTA_FILES else None
                if lease is not None:
                    return lease
            return await self._create(tree)

    async def _ranked(self, manifest: Manifest) -> list[tuple[int, Path]]:
        found = []
        for base in sorted(self._folder.iterdir()):
            state = _state(base)
            if state:
                with contextlib.suppress(SnapshotError):
                    other = await self._trees.objects.manifest(state)
                    found.append((await asyncio.to_thread(_distance, other, manifest), base))
        return sorted(found)

    def _take(self, base: Path, kind: int) -> Lease | None:
        try:
            handle = os.open(base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        lease = Lease(base / "tree", "", handle)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except OSError:
            lease.release()
            return None
        lease.tree = _state(base)
        if not lease.tree:
            lease.release()
            return None
        return lease

    async def _bring(self, base: Path, tree: str) -> Lease | None:
        """Moves an idle checkout to another tree; None if it is in use."""
        lease = self._take(base, fcntl.LOCK_EX)
        if lease is None:
            return None
        try:
            before = await self._trees.objects.manifest(lease.tree)
            (base / "state").unlink(missing_ok=True)
            await move(self._trees, lease.folder, before, tree)
            _set_state(base, tree)
            lease.tree = tree
            is_ours = _share(base, lease)
        except OSError as error:
            lease.release()
            raise CandidateError(f"a checkout could not be updated: {error}") from error
        except BaseException:
            lease.release()
            raise
        if not is_ours:
            lease.release()
            return None
        return lease

    async def _create(self, tree: str) -> Lease:
        while True:
            lease = await self._create_once(tree)
            if lease is not None:
                return lease

    async def _create_once(self, tree: str) -> Lease | None:
        """None if another process took the checkout at the moment when it became free for all."""
        base, handle = await asyncio.to_thread(_new_base, self._folder)
        lease = Lease(base / "tree", tree, handle)
        try:
            await materialise(self._trees, tree, lease.folder)
            _set_state(base, tree)
            is_ours = _share(base, lease)
        except BaseException:
            lease.release()
            await asyncio.to_thread(shutil.rmtree, base, ignore_errors=True)
            raise
        if not is_ours:
            lease.release()
            return None
        return lease

    async def trim(self, kept: int = _IDLE_KEPT) -> None:
        """Removes broken checkouts and idle ones beyond the few that are worth keeping."""
        if not self._folder.is_dir():
            return
        async with self._lock:
            await asyncio.to_thread(self._trim, kept)

    def _trim(self, kept: int = _IDLE_KEPT) -> None:
        idle = 0
        for base in sorted(self._folder.iterdir(), key=_age):
            try:
                handle = os.open(base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                continue  # another process has just removed it
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                continue
            idle += 1
            if idle > kept or not _state(base):
                idle -= 1
                (base / "state").unlink(missing_ok=True)
                shutil.rmtree(base, ignore_errors=True)
            os.close(handle)


def _share(base: Path, lease: Lease) -> bool:
    """Lets others use a checkout too. False if it was changed or removed meanwhile.

    flock gives up the one lock before it takes the other: https://man7.org/linux/man-pages/man2/flock.2.html
    """
    fcntl.flock(lease._handle, fcntl.LOCK_SH)
    return os.fstat(lease._handle).st_nlink > 0 and _state(base) == lease.tree


def _new_base(folder: Path) -> tuple[Path, int]:
    """A new folder and its lock. Until it is locked another process may tidy it away, and then it is made again."""
    while True:
        base = folder / secrets.token_hex(4)
        base.mkdir(mode=0o700)
        try:
            handle = os.open(base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return base, handle
        os.close(handle)


def _state(base: Path) -> str:
    try:
        return str(json.loads((base / "state").read_bytes())["tree"])
    except (OSError, ValueError, LookupError):
        return ""


def _set_state(base: Path, tree: str) -> None:
    draft = base / "state.new"
    draft.write_text(json.dumps({"tree": tree}), encoding="ascii")
    draft.replace(base / "state")


def _age(base: Path) -> float:
    try:
        return -(base / "state").stat().st_mtime
    except OSError:
        return 0.0


def differing(before: Manifest, after: Manifest) -> list[str]:
    """The paths that are not the same in both."""
    if before is after or before == after:
        return []
    gone = [path for path, leaf in before.items() if after.get(path) != leaf]
    return [*gone, *(path for path in after if path not in before)]


def _distance(before: Manifest, after: Manifest) -> int:
    return len(differing(before, after))


async def materialise(trees: GitTrees, tree: str, folder: Path) -> None:
    """Writes a whole tree into a new folder, byte for byte, by git's parallel workers. Raises CandidateError."""
    folder.mkdir(mode=0o700, parents=True)
    await _check_out(trees, tree, folder, None)


async def _check_out(trees: GitTrees, tree: str, folder: Path, paths: Iterable[str] | None) -> None:
    """All files of a tree, or some. Raises CandidateError, OSError when the disk is full."""
    index = folder.parent / f"{folder.name}.index"
    env = trees.private.env(folder, index)
    some = None if paths is None else b"".join(os.fsencode(path) + b"\0" for path in paths)
    which = ("--all",) if some is None else ("-z", "--stdin")
    try:
        await git.run(git.Call(("read-tree", tree), folder, env))
        args = ("-c", "checkout.workers=0", "checkout-index", "--force", "--quiet", *which)
        await git.run(git.Call(args, folder, env, some))
    except SnapshotError as error:
        await asyncio.to_thread(room.check, folder)
        raise CandidateError(f"the tree could not be checked out: {error.message}", hint=error.hint) from error
    finally:
        index.unlink(missing_ok=True)
    manifest = await trees.objects.manifest(tree)
    await asyncio.to_thread(_set_times, trees, folder, manifest, paths)


def _set_times(trees: GitTrees, folder: Path, manifest: Manifest, paths: Iterable[str] | None) -> None:
    for path in manifest if paths is None else paths:
        _set_time(trees, f"{folder}/{path}", path, manifest[path])


def _set_time(trees: GitTrees, target: str | Path, path: str, leaf: Leaf) -> None:
    """Gives a file the time of the live file with the same bytes, so that build tools see nothing to do."""
    mtime_ns = trees.stats.mtime_ns(path, leaf)
    if mtime_ns is not None:
        os.utime(target, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


async def move(trees: GitTrees, folder: Path, before: Manifest, tree: str) -> None:
    """Brings a folder that holds `before` to a tree."""
    after = await trees.objects.manifest(tree)
    gone = [path for path in before if path not in after]
    changed = [path for path in after if before.get(path) != after[path]]
    await asyncio.to_thread(_remove, folder, [*gone, *(path for path in changed if path in before)])
    await fill(trees, folder, tree, changed)


async def fill(trees: GitTrees, folder: Path, tree: str, paths: list[str]) -> None:
    """Writes some files of a tree into a folder where they are not."""
    if len(paths) > _FEW_FILES:
        await _check_out(trees, tree, folder, paths)
        return
    manifest = await trees.objects.manifest(tree)
    contents = await trees.objects.read(manifest[path].oid for path in paths)
    await asyncio.to_thread(_write, trees, folder, [(path, manifest[path]) for path in paths], contents)


async def write_delta(trees: GitTrees, layer: Path, before: Manifest, tree: str, large: Mapping[str, Large]) -> None:
    """Makes an overlay layer that turns a checkout of `before` into a tree, with `large` files seen below it."""
    after = await trees.objects.manifest(tree)
    changed = [path for path in after if before.get(path) != after[path]]
    gone = [path for path in before if path not in after and path not in large]
    await fill(trees, layer, tree, changed)
    for path in large:
        parts = path.split("/")
        if any("/".join(parts[:depth]) in before for depth in range(1, len(parts) + 1)):
            await asyncio.to_thread(trees.in_place.copy, large[path], layer / path)  # a file of the checkout hides it
    await asyncio.to_thread(make_whiteouts, layer, _topmost(gone, {*after, *large}))


def _topmost(gone: list[str], after: set[str]) -> list[str]:
    """Of files that are gone, the highest folders that went with them; nothing below or above a file that is there."""
    if not gone:
        return []
    folders = set()
    for path in after:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    found = set()
    for path in gone:
        parts = path.split("/")
        prefixes = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        top = next(prefix for prefix in prefixes if prefix not in folders) if path not in folders else None
        if top is not None and not any(prefix in after for prefix in prefixes):
            found.add(top)
    return sorted(found)


def _remove(folder: Path, paths: Iterable[str]) -> None:
    for path in paths:
        target = folder / path
        target.unlink(missing_ok=True)
        parent = target.parent
        while parent != folder:
            try:
                parent.rmdir()
            except OSError:
                break
            parent = parent.parent


def _write(trees: GitTrees, folder: Path, leaves: Iterable[tuple[str, Leaf]], contents: dict[str, bytes]) -> None:
    for path, leaf in leaves:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        content = contents[leaf.oid]
        if leaf.mode == "120000":
            os.symlink(content, os.fsencode(target))  # noqa: PTH211 - bytes as they are
        else:
            mode = 0o755 if leaf.mode == "100755" else 0o644
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
        _set_time(trees, target, path, leaf)
