"""Owns reading what the person's private files say, so that it can be masked wherever it is printed."""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from agent_lsp.workspace.snapshot import GitTrees

MOST_BYTES: Final = 256 * 1024
"""Of one file; what comes after is not known, and not masked where a command prints it."""

MOST_FILES: Final = 200
_MOST_LOOKED_AT: Final = 20_000


class PrivateTexts:
    """The private files of one workspace as they lie on the disk; ignored ones too, of which most are."""

    def __init__(self, trees: GitTrees) -> None:
        self._trees = trees

    async def lines(self, is_private: Callable[[str], bool]) -> Iterable[str]:
        """The lines of all private files that are text."""
        files = await self._trees.paths((await self._trees.snapshot(())).tree)
        ignored = (await self._trees.look()).ignored
        return await asyncio.to_thread(_lines, self._trees.root, files, ignored, is_private)


def _lines(
    root: Path, files: Iterable[str], ignored: Iterable[str], is_private: Callable[[str], bool]
) -> frozenset[str]:
    found: set[str] = set()
    count = 0
    for path in (*files, *_within(root, ignored)):
        if count < MOST_FILES and is_private(path):
            count += 1
            found.update(_text(root / path).splitlines())
    return frozenset(found)


def _within(root: Path, ignored: Iterable[str]) -> Iterator[str]:
    """Ignored files; of ignored folders those at their top, since the deeper ones are mostly installed packages."""
    left = _MOST_LOOKED_AT
    for path in sorted(ignored):
        if not (root / path).is_dir():
            yield path
            continue
        for entry in _entries(root / path):
            left -= 1
            if left < 0:
                return
            if entry.is_file():
                yield f"{path}/{entry.name}"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as rows:
            return list(rows)
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            content = file.read(MOST_BYTES)
    except OSError:
        return ""
    return "" if b"\0" in content else content.decode("utf-8", "replace")
