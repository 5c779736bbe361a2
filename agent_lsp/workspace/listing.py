"""Owns what lies in the workspace: which files count, which are ignored, which belong to nested repositories.

The person's git directory is only read as files: no git process ever has it as its own, so none of its
configuration can run and nothing in it is written, time stamps included.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import SnapshotError
from agent_lsp.workspace import git

EXCLUDED: Final = (
    ".agent-lsp",
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    "*.pyc",
    "*.pyo",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".eggs",
    ".coverage",
    ".DS_Store",
    ".direnv",
    ".pixi",
    "__pypackages__",
)
"""Untracked names that are ignored whatever the workspace's own rules say."""

FORBIDDEN: Final = frozenset({".git", ".agent-lsp"})
_OURS: Final = (".git/", ".agent-lsp/")

_EXCLUDED_NAME = re.compile("|".join(f"(?:{re.escape(name).replace(chr(92) + '*', '.*')})" for name in EXCLUDED))


def excluded(path: str) -> bool:
    """Whether a built-in rule ignores an untracked path."""
    return any(part in FORBIDDEN or _EXCLUDED_NAME.fullmatch(part) for part in path.split("/"))


@dataclass(frozen=True, slots=True)
class Live:
    """The workspace now: files that count (not looked at yet) and folders of nested repositories (`a/b`)."""

    paths: Sequence[str]
    nested: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Repository:
    top: Path
    git_dir: Path
    common_dir: Path


@dataclass(slots=True)
class _Tracked:
    key: tuple[int, ...] = ()
    paths: Sequence[str] = ()
    nested: frozenset[str] = frozenset()
    index: Path | None = None


@dataclass(slots=True)
class Listing:
    """Lists one workspace. One call at a time."""

    root: Path
    private: git.PrivateGit
    _tracked: _Tracked = field(default_factory=_Tracked)
    _options: tuple[str, ...] = ()
    _top: Path | None = None
    _described: object = None

    @property
    def top(self) -> Path:
        """The top of the working tree whose ignore rules apply; the root itself without git."""
        return self._top or self.root

    @property
    def options(self) -> tuple[str, ...]:
        """git options that bring in the person's own excludes file."""
        return self._options

    async def files(self) -> Live:
        """Files that are tracked or not ignored, and nested repositories. Raises SnapshotError."""
        await self._describe()
        return await asyncio.to_thread(_live, await self._ls("-o"), self._tracked)

    async def ignored(self) -> frozenset[str]:
        """What the rules ignore, whole folders as one entry, without a final slash. Raises SnapshotError."""
        await self._describe()
        out = await self._ls("-o", "-i", "--directory")
        return frozenset(os.fsdecode(row).rstrip("/") for row in out.split(b"\0") if row)

    async def ignored_among(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths (untracked, relative to the root) that the rules ignore."""
        rows = [path for path in paths if path]
        if not rows:
            return set()
        await self._describe()
        hits = {path for path in rows if excluded(path)}
        rest = b"".join(os.fsencode(path) + b"\0" for path in rows if path not in hits)
        out = await git.run(
            git.Call(
                (*self._options, "check-ignore", "--no-index", "-z", "--stdin"),
                self.root,
                self.private.env(self.top),
                rest,
                ok=(0, 1),
            )
        )
        return hits | {os.fsdecode(row) for row in out.split(b"\0") if row}

    async def _ls(self, *args: str) -> bytes:
        patterns = [item for name in EXCLUDED for item in ("-x", name)]
        index = self._tracked.index or self.private.folder / "no-index"
        return await git.run(
            git.Call(
                (*self._options, "ls-files", "-z", *args, "--exclude-standard", *patterns),
                self.root,
                self.private.env(self.top, index),
            )
        )

    async def _describe(self) -> None:
        repository = find_repository(self.root)
        key = _stats(_described_by(self.root, repository))
        if (repository, key) != self._described:
            await self._take(repository)
            self._described = (repository, key)
        if repository is not None and self._top is not None:
            await self._read_index(repository)

    async def _take(self, repository: _Repository | None) -> None:
        await self.private.prepare()
        exclude = repository.common_dir / "info" / "exclude" if repository else None
        rules = exclude.read_bytes() if exclude is not None and exclude.is_file() else b""
        (self.private.folder / "info" / "exclude").write_bytes(rules)
        chosen = await git.person_config(self.root, "core.excludesFile")
        self._options = ("-c", f"core.excludesFile={chosen}") if chosen else ()
        self._tracked = _Tracked()
        self._top = repository.top if repository else None
        if repository is not None and await self._outer_ignores(repository.top):
            self._top = None

    async def _outer_ignores(self, top: Path) -> bool:
        """Whether the root is an ignored folder of a repository around it, and so a workspace of its own."""
        if top == self.root:
            return False
        relative = os.fsencode(str(self.root.relative_to(top))) + b"\0"
        args = (*self._options, "check-ignore", "--no-index", "-z", "--stdin")
        return bool(await git.run(git.Call(args, top, self.private.env(top), relative, ok=(0, 1))))

    async def _read_index(self, repository: _Repository) -> None:
        source = repository.git_dir / "index"
        key = _stats((source,))
        if key == self._tracked.key:
            return
        copy = self.private.folder / "person-index"
        try:
            await asyncio.to_thread(_copy_index, source, copy)
            out = await self._read_tracked(repository, copy)
        except (OSError, SnapshotError):
            # No index yet, a broken one or one of another format: everything that is not ignored counts.
            self._tracked = _Tracked(key)
            return
        self._tracked = await asyncio.to_thread(_parse_index, key, out, copy)

    async def _read_tracked(self, repository: _Repository, index: Path) -> bytes:
        env = self.private.env(repository.top, index)
        env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(repository.common_dir / "objects")
        return await git.run(git.Call(("ls-files", "-z", "-s"), self.root, env))


def _live(out: bytes, tracked: _Tracked) -> Live:
    others = [os.fsdecode(row) for row in out.split(b"\0") if row]
    nested = {row.rstrip("/") for row in others if row.endswith("/")} | tracked.nested
    paths = dict.fromkeys(tracked.paths)
    paths.update((row, None) for row in others if not row.endswith("/"))
    return Live([path for path in paths if not path.startswith(_OURS)], frozenset(nested))


def _parse_index(key: tuple[int, ...], out: bytes, index: Path) -> _Tracked:
    rows = [row.partition(b"\t") for row in out.split(b"\0") if row]
    links = frozenset(os.fsdecode(path) for head, _, path in rows if head.startswith(b"160000"))
    paths = list(dict.fromkeys(os.fsdecode(path) for head, _, path in rows if not head.startswith(b"160000")))
    return _Tracked(key, paths, links, index)


def find_repository(root: Path) -> _Repository | None:
    """The repository around a folder, or None if there is none or it is broken."""
    for top in (root, *root.parents):
        marker = top / ".git"
        try:
            git_dir = _git_dir(marker)
            if git_dir is None:
                continue
            common = git_dir / "commondir"
            common_dir = (git_dir / common.read_text().strip()).resolve() if common.is_file() else git_dir
            if (git_dir / "HEAD").is_file() and (common_dir / "objects").is_dir():
                return _Repository(top, git_dir, common_dir)
        except (OSError, ValueError):
            return None
    return None


def _git_dir(marker: Path) -> Path | None:
    if marker.is_dir():
        return marker.resolve()
    if not marker.is_file():
        return None
    text = marker.read_text().strip()
    return (marker.parent / text.removeprefix("gitdir:").strip()).resolve() if text.startswith("gitdir:") else None


def _copy_index(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    for shared in source.parent.glob("sharedindex.*"):
        copy = target.parent / shared.name
        if not copy.exists():
            shutil.copyfile(shared, copy)


def _described_by(root: Path, repository: _Repository | None) -> list[Path]:
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git" / "config"
    files = [home / ".gitconfig", config, root / ".git"]
    if repository is not None:
        files += [repository.common_dir / "config", repository.common_dir / "info" / "exclude"]
    return files


def _stats(files: Iterable[Path]) -> tuple[int, ...]:
    key: list[int] = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            key.append(0)
            continue
        # A folder's times move with every lock file in it; that it is there is what matters.
        key += [1] if file.is_dir() else [stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino]
    return tuple(key)
