"""Owns the pool of plain copies: each is used by one candidate after the other and put right in between."""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import CandidateError, SnapshotError
from agent_lsp.workspace.bases import differing, fill, materialise, move
from agent_lsp.workspace.copies import Copy, Stats, wanted
from agent_lsp.workspace.home import Home, open_up, throw_away
from agent_lsp.workspace.layout import make_private
from agent_lsp.workspace.live import LiveView
from agent_lsp.workspace.snapshot import GitTrees
from agent_lsp.workspace.statcache import read_rows, signature, write_rows

_IDLE_KEPT: Final = 3
"""Both sides of a comparison and the place where the agent works are open at once."""


@dataclass(slots=True)
class _Held:
    """A copy with its lock. `stats` tell the files of `tree` as they were written; `folder_mode` is every folder's."""

    base: Path
    folder: Path
    handle: int
    tree: str
    stats: Stats = field(default_factory=dict)
    folder_mode: int = 0o755

    def release(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


class Copies:
    """The plain copies of one workspace. Between two uses nothing of the first is left, but for what a crash spoilt."""

    def __init__(self, trees: GitTrees) -> None:
        self._trees = trees
        self._folder = trees.layout.copies
        self._idle: list[_Held] = []
        self._used: list[_Held] = []
        self._busy: dict[Path, _Held] = {}
        self._spoilt: set[Path] = set()
        self._tidying = asyncio.Lock()
        self._has_looked = False

    async def take(self, tree: str, live: LiveView) -> Copy:
        """A copy of exactly this tree, for one candidate. Raises CandidateError, SnapshotError, OSError."""
        tree_held, large = await self._trees.checkout(tree)
        if not self._idle:
            if not self._has_looked:
                self._has_looked = True
                self._used += await asyncio.to_thread(self._adopted)
            if self._used or self._tidying.locked():
                await self.tidy()
        held = await self._nearest(tree_held) or await self._create(tree_held)
        try:
            await self._bring(held, tree_held)
        except BaseException:
            await asyncio.to_thread(self._discard, held)
            raise
        self._busy[held.folder] = held
        manifest = await self._trees.objects.manifest(tree)
        brought = frozenset(path for path in live.ignored | live.nested if wanted(path) and path not in manifest)
        return Copy(held.folder, manifest, held.stats, large, brought)

    def ending(self, folder: Path, home: Home) -> tuple[Callable[[], None], Callable[[], None]]:
        """What a place does at its end, and what before that if nobody knows whether all that used it is dead.

        Without Linux nobody ever does: such a copy is not used again.
        """

        def forget() -> None:
            if sys.platform != "linux":
                self._spoilt.add(folder)
            self.give_back(folder)
            home.discard()

        return forget, lambda: self._spoilt.add(folder)

    def give_back(self, folder: Path) -> None:
        """The candidate that used this copy is gone. For any thread."""
        held = self._busy.pop(folder, None)
        if held is not None:
            self._used.append(held)

    async def tidy(self) -> None:
        """Puts right what was used, keeps a few of them, and removes what crashes left."""
        async with self._tidying:
            while self._used:
                held = self._used.pop()
                if held.folder in self._spoilt or len(self._idle) >= _IDLE_KEPT:
                    self._spoilt.discard(held.folder)
                    await asyncio.to_thread(self._discard, held)
                else:
                    await self._put_right(held)
            await asyncio.to_thread(self._remove_broken)

    async def close(self, *, keep: bool = True) -> None:
        """Lets go of all that nobody uses; another process may take it over, if it is not to be removed."""
        async with self._tidying:
            for held in self._used:
                if held.folder not in self._spoilt:
                    await asyncio.to_thread(_note, held)  # who takes it over puts it right
            while self._used or self._idle:
                held = (self._used or self._idle).pop()
                if keep and held.folder not in self._spoilt:
                    held.release()
                else:
                    await asyncio.to_thread(self._discard, held)

    async def _nearest(self, tree: str) -> _Held | None:
        """The idle copy that differs least."""
        rows = []
        wanted_files = await self._trees.objects.manifest(tree)
        for held in self._idle:
            if held.tree == tree:
                rows.append((0, held))
                break
            other = await self._trees.objects.manifest(held.tree)
            rows.append((len(await asyncio.to_thread(differing, other, wanted_files)), held))
        rows = [row for row in rows if row[1] in self._idle]  # others may have taken some meanwhile
        if not rows:
            return None
        held = min(rows, key=lambda row: row[0])[1]
        self._idle.remove(held)
        return held

    async def _create(self, tree: str) -> _Held:
        held = await asyncio.to_thread(self._new)
        try:
            await materialise(self._trees, tree, held.folder)
            manifest = await self._trees.objects.manifest(tree)
            held.tree = tree
            held.stats = await asyncio.to_thread(_stats, held.folder, list(manifest))
            held.folder_mode = await asyncio.to_thread(_folder_mode, held.folder)
        except BaseException:
            await asyncio.to_thread(self._discard, held)
            raise
        return held

    async def _bring(self, held: _Held, tree: str) -> None:
        await asyncio.to_thread((held.base / "state").unlink, missing_ok=True)
        if held.tree == tree:
            return
        before, after = await self._trees.objects.manifest(held.tree), await self._trees.objects.manifest(tree)
        await move(self._trees, held.folder, before, tree)
        changed = await asyncio.to_thread(differing, before, after)
        for path in changed:
            held.stats.pop(path, None)
        held.stats.update(await asyncio.to_thread(_stats, held.folder, [path for path in changed if path in after]))
        held.tree = tree

    async def _put_right(self, held: _Held) -> None:
        """Makes a used copy what it was, so that it can be used again."""
        try:
            missing = await asyncio.to_thread(_put_back, held)
            await fill(self._trees, held.folder, held.tree, missing)
            held.stats.update(await asyncio.to_thread(_stats, held.folder, missing))
            await asyncio.to_thread(_note, held)
        except (OSError, SnapshotError, CandidateError):
            await asyncio.to_thread(self._discard, held)
        except BaseException:
            self._spoilt.add(held.folder)  # a thread may still be at work in it
            self._used.append(held)
            raise
        else:
            self._idle.append(held)

    def _new(self) -> _Held:
        make_private(self._folder)
        while True:
            base = self._folder / secrets.token_hex(4)
            base.mkdir(mode=0o700)
            handle = _locked(base)
            if handle is not None:
                return _Held(base, base / self._trees.root.name, handle, "")

    def _adopted(self) -> list[_Held]:
        """Copies that another process left in good order; they are looked through before they are used."""
        found: list[_Held] = []
        for base in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            handle = _locked(base) if (base / "state").is_file() else None
            if handle is None:
                continue
            held = _Held(base, base / self._trees.root.name, handle, "")
            try:
                state = json.loads((base / "state").read_bytes())
                held.tree, held.folder_mode = str(state["tree"]), int(state["folder_mode"])
                held.stats = {path: (row[0], row[1], row[2], row[3], row[4]) for path, row in read_rows(base / "stats")}
            except (OSError, ValueError, LookupError, TypeError):
                held.release()
                continue
            (base / "state").unlink(missing_ok=True)
            found.append(held)
        return found

    def _discard(self, held: _Held) -> None:
        (held.base / "state").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            throw_away(self._trees.layout, held.base)
        held.release()

    def _remove_broken(self) -> None:
        """Copies that nobody uses and of which nobody knows what they hold."""
        for base in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            handle = None if (base / "state").is_file() else _locked(base)
            if handle is not None:
                with contextlib.suppress(OSError):
                    throw_away(self._trees.layout, base)
                os.close(handle)


def _locked(base: Path) -> int | None:
    """The lock of a copy, or None if somebody has it or has removed it."""
    try:
        handle = os.open(base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), (base / "lock").stat()):  # it may be on its way to the trash
            return handle
    os.close(handle)
    return None


def _stats(folder: Path, paths: list[str]) -> Stats:
    lstat, base = os.lstat, f"{folder}/"
    return {path: signature(lstat(base + path)) for path in paths}


def _folder_mode(folder: Path) -> int:
    """The rights that folders of a fresh checkout have: the same for all."""
    with os.scandir(folder) as rows:
        return next((stat.S_IMODE(row.stat().st_mode) for row in rows if row.is_dir(follow_symlinks=False)), 0o755)


def _note(held: _Held) -> None:
    """Says what a copy that is in good order holds, for another process."""
    write_rows(held.base / "stats", held.stats.items())
    draft = held.base / "state.new"
    draft.write_text(json.dumps({"tree": held.tree, "folder_mode": held.folder_mode}), encoding="ascii")
    draft.replace(held.base / "state")


def _put_back(held: _Held) -> list[str]:
    """Removes what is not of the tree or not as it was written; gives the files that are missing then."""
    wanted_folders = {""}
    for path in held.stats:
        parent = path.rpartition("/")[0]
        while parent not in wanted_folders:
            wanted_folders.add(parent)
            parent = parent.rpartition("/")[0]
    seen: set[str] = set()
    folders = [""]
    while folders:
        folder = folders.pop()
        where = f"{held.folder}/{folder}"
        mode = held.folder_mode if folder else 0o700
        if stat.S_IMODE(os.lstat(where).st_mode) != mode:
            Path(where).chmod(mode)
        with os.scandir(where) as rows:
            for row in rows:
                path = f"{folder}/{row.name}" if folder else row.name
                found = row.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    if path in wanted_folders:
                        folders.append(path)
                    else:
                        _remove_folder(Path(row.path))
                elif held.stats.get(path) == signature(found):
                    seen.add(path)
                else:
                    Path(row.path).unlink()
    return [path for path in held.stats if path not in seen]


def _remove_folder(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError:
        open_up(folder)
        shutil.rmtree(folder)
