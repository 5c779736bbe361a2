"""Owns plain copies of a tree in use: what is ignored brought in, and telling what changed in it."""

import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent_lsp.workspace.in_place import Large
from agent_lsp.workspace.listing import FORBIDDEN, excluded
from agent_lsp.workspace.masks import is_bytecode
from agent_lsp.workspace.objects import Manifest
from agent_lsp.workspace.place import Changes
from agent_lsp.workspace.statcache import signature

Stats = dict[str, tuple[int, int, int, int, int]]

_COPIED_BYTES: Final = 32 * 1024 * 1024
_COPIED_FILES: Final = 2000
_ENVIRONMENTS: Final = frozenset({".venv", "venv", "node_modules", ".tox", ".nox", ".pixi", "__pypackages__"})
_TOOL_CACHES: Final = frozenset({".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".coverage"})


@dataclass(slots=True)
class Copy:
    """A copy of a tree. `brought` are the ignored and nested paths that belong to the live workspace.

    `stats` are those of the files that were copied. `large` files are not: the maker of the place shows the live
    ones, and tells when that is `done`.
    """

    folder: Path
    manifest: Manifest
    stats: Stats
    large: Mapping[str, Large]
    brought: frozenset[str]
    _shown: Stats = field(default_factory=dict)

    def done(self) -> None:
        """Everything stands as commands will find it."""
        self._shown = {path: signature(os.lstat(self.folder / path)) for path in self.large}

    def size_bytes(self) -> int:
        """What the files of the tree took when they were written."""
        return sum(row[2] for row in self.stats.values())

    def look(self) -> Changes:
        """Files whose stat moved or that are new, and files of the tree that are gone."""
        changes = Changes({}, set())
        seen: set[str] = set()
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                rows = list(os.scandir(self.folder / folder))
            except OSError:
                continue
            for row in rows:
                path = f"{folder}/{row.name}" if folder else row.name
                if self._take(row, path, changes, seen):
                    folders.append(path)
        changes.gone.update(path for path in self.manifest if path not in seen)
        return changes

    def _take(self, row: os.DirEntry[str], path: str, changes: Changes, seen: set[str]) -> bool:
        if path in self.brought or path.split("/", 1)[0] in FORBIDDEN:
            return False
        try:
            found = row.stat(follow_symlinks=False)
        except OSError:
            return False
        if stat.S_ISDIR(found.st_mode):
            return not excluded(row.name) or any(known.startswith(path + "/") for known in self.manifest)
        if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
            seen.add(path)
            if (self.stats.get(path) or self._shown.get(path)) != signature(found):
                changes.present[path] = Path(row.path)
        return False


def wanted(path: str) -> bool:
    """Whether an ignored path is of use in a copy: byte-code, caches of tools and our own folder are not."""
    return (
        not is_bytecode(path) and path.rpartition("/")[2] not in _TOOL_CACHES and path.split("/", 1)[0] not in FORBIDDEN
    )


def bring(root: Path, folder: Path, paths: Iterable[str]) -> list[str]:
    """Copies what is small of the ignored paths into a copy, so that commands may write to it.

    Gives the paths that were not copied: environments, nested repositories, large files and folders.
    """
    left = []
    for path in sorted(paths):
        source, target = root / path, folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_symlink():
                target.symlink_to(os.readlink(source))  # noqa: PTH115 - the text of the link
            elif not _is_small(source):
                left.append(path)
            elif source.is_dir():
                shutil.copytree(source, target, symlinks=True, ignore=_bytecode_in)
            else:
                shutil.copy2(source, target)
        except (OSError, shutil.Error):
            continue
    return left


def _bytecode_in(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if is_bytecode(name)}


def _is_small(source: Path) -> bool:
    if source.name in _ENVIRONMENTS or (source / ".git").exists():
        return False
    if not source.is_dir():
        return source.is_file() and source.stat().st_size <= _COPIED_BYTES
    count = size = 0
    for parent, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not is_bytecode(name)]
        count += len(names) + len(folders)
        size += sum(os.lstat(os.path.join(parent, name)).st_size for name in names)  # noqa: PTH118 - many files
        if count > _COPIED_FILES or size > _COPIED_BYTES or _ENVIRONMENTS.intersection(folders):
            return False
    return True
