"""Owns the pruning of a private git directory: what nothing needs any more goes, in one pass that may be cut off."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import SnapshotError
from agent_lsp.workspace.git import PrivateGit
from agent_lsp.workspace.layout import Layout
from agent_lsp.workspace.statcache import read_rows

logger = logging.getLogger(__name__)

_DAY_S: Final = 24 * 3600.0
_GRACE_S: Final = 7 * _DAY_S
"""Objects younger than this stay: a run that ended in a crash may still be looked at."""

_LEAST_AGE_S: Final = _DAY_S
_LARGE_BYTES: Final = 256 << 20
_MANY_FILES: Final = 20_000


async def prune_if_due(layout: Layout, private: PrivateGit) -> None:
    """Prunes once a week, or once a day a store that has grown large. For who uses the cache alone; never raises."""
    stamp = layout.git / "pruned"
    try:
        if not (layout.git / "HEAD").is_file():
            return
        if not stamp.exists():
            stamp.touch()
            return
        age_s = time.time() - stamp.stat().st_mtime
        if age_s < _LEAST_AGE_S:
            return
        is_large = await asyncio.to_thread(_is_large, layout.git / "objects")
        if not is_large and age_s < _GRACE_S:
            return
        await prune(layout, private, grace_s=_LEAST_AGE_S if is_large else _GRACE_S)
        stamp.touch()
    except (OSError, SnapshotError) as error:
        logger.warning("the snapshots of before could not be pruned: %s", error)


async def prune(layout: Layout, private: PrivateGit, *, grace_s: float) -> None:
    """Keeps what is younger than `grace_s`, what the workspace's files are known to be, and what checkouts hold.

    Everything that is kept stands in a new pack before anything else goes. Raises SnapshotError, OSError.
    """
    since_s = time.time() - grace_s
    objects = layout.git / "objects"
    packs, loose = await asyncio.to_thread(_older, objects, since_s)
    known = (await private.call("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")).decode().split()
    wanted = await _wanted(layout, private)
    kept = "".join(f"{oid}\n" for oid in known if oid in wanted)
    name = ""
    if kept and (packs or loose):
        args = ("pack-objects", "--quiet", "--window=0", "--compression=1", str(objects / "pack" / "pack"))
        name = (await private.call(*args, stdin=kept.encode())).decode().strip()
    await asyncio.to_thread(_remove, [pack for pack in packs if pack.stem != f"pack-{name}"], loose)


async def _wanted(layout: Layout, private: PrivateGit) -> set[str]:
    wanted = set()
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        wanted = {str(row[6]) for _, row in read_rows(layout.git / "stat-cache.json")}
    held = {str(_table(base / "state").get("tree", "")) for base in _folders(layout.bases)}
    held |= {str(_table(copy / "state").get("tree", "")) for copy in _folders(layout.copies)}
    for tree in held - {""}:
        try:
            out = await private.call("ls-tree", "-r", "-t", "-z", "--full-tree", tree)
        except SnapshotError:
            continue  # a checkout of which nobody knows what it is
        wanted |= {tree, *(row.split(b"\t", 1)[0].split(b" ")[2].decode() for row in out.split(b"\0") if row)}
    return wanted


def _table(file: Path) -> dict[str, list[str]]:
    try:
        table = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def _folders(parent: Path) -> list[Path]:
    return sorted(parent.iterdir()) if parent.is_dir() else []


def _older(objects: Path, since_s: float) -> tuple[list[Path], list[Path]]:
    """Packs and single objects from before then, with what was left half written."""
    packs = [pack for pack in (objects / "pack").glob("*.pack") if pack.stat().st_mtime < since_s]
    loose = [file for file in _loose(objects) if file.stat().st_mtime < since_s]
    drafts = [file for file in (objects / "pack").glob("tmp_*") if file.stat().st_mtime < since_s]
    return packs, [*loose, *drafts]


def _loose(objects: Path) -> Iterable[Path]:
    for folder in objects.iterdir():
        if len(folder.name) == 2:
            yield from folder.iterdir()


def _is_large(objects: Path) -> bool:
    count = size_bytes = 0
    for file in (*_loose(objects), *(objects / "pack").glob("*.pack")):
        count += 1
        size_bytes += file.stat().st_size
    return count > _MANY_FILES or size_bytes > _LARGE_BYTES


def _remove(packs: Iterable[Path], loose: Iterable[Path]) -> None:
    for pack in packs:
        # The index goes first: a pack without one counts as none.
        for suffix in (".idx", ".rev", ".mtimes", ".bitmap", ".keep", ".pack"):
            pack.with_suffix(suffix).unlink(missing_ok=True)
    for file in loose:
        file.unlink(missing_ok=True)
