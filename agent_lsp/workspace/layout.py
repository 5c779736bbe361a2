"""Owns where things live: the cache folder of a workspace and the `.agent-lsp` folder at its root."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "AGENT_LSP_CACHE_DIR"
"""Environment variable that moves the cache of every workspace to another folder."""

STATE_FOLDER: Final = ".agent-lsp"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders inside one workspace's cache. Nothing here is made until somebody needs it."""

    cache: Path

    @property
    def git(self) -> Path:
        """The private git directory that holds snapshots."""
        return self.cache / "git"

    @property
    def bases(self) -> Path:
        """Frozen checkouts that candidates share."""
        return self.cache / "bases"

    @property
    def candidates(self) -> Path:
        """One folder per open candidate."""
        return self.cache / "candidates"

    @property
    def copies(self) -> Path:
        """Plain copies that candidates use one after the other."""
        return self.cache / "copies"

    @property
    def lock(self) -> Path:
        """Locked by every process that uses this cache; its time is that of the last start."""
        return self.cache / "in-use.lock"

    @property
    def owner(self) -> Path:
        """Holds the path of the workspace."""
        return self.cache / "workspace"

    @property
    def trash(self) -> Path:
        """What is being deleted; anybody may delete what lies here."""
        return self.cache / "trash"


def cache_dir(root: Path) -> Path:
    """The cache folder of a workspace: the same for every spelling of its root."""
    resolved = os.fsencode(root.resolve())
    name = hashlib.sha256(resolved).hexdigest()[:16]
    moved = os.environ.get(CACHE_VARIABLE)
    if moved:
        return Path(moved).expanduser().resolve() / name
    import platformdirs

    return Path(platformdirs.user_cache_dir("agent-lsp", appauthor=False)) / name


def make_private(folder: Path) -> Path:
    """The folder, made with its parents; only its owner may look into it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def state_dir(root: Path) -> Path:
    """`.agent-lsp` at the root, made with a `.gitignore` that hides all of it from git."""
    folder = root / STATE_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    return folder
