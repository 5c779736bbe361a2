"""Owns reading a tree's import graph: each blob is read once, ever, and what it says is kept in the user's cache."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.import_graph import ImportGraph
from agent_lsp.domain.imports import FileImports, Imported, read_imports
from agent_lsp.workspace.blob_lines import keep, restored
from agent_lsp.workspace.objects import Manifest
from agent_lsp.workspace.snapshot import GitTrees

_VERSION: Final = 2
_BATCH: Final = 250
_LARGEST_BYTES: Final = 2_000_000
_SPARE: Final = 20_000
"""Blobs that are in no tree of the moment, of which what they say is kept all the same."""


class StoredImports:
    """Import graphs of one workspace's trees. `wait_s` bounds one reading; a later one goes on where it stopped."""

    def __init__(self, trees: GitTrees, file: Path, wait_s: float = 60.0) -> None:
        self._trees, self._file, self._wait_s = trees, file, wait_s
        self._said: dict[str, FileImports] | None = None
        self._lock = asyncio.Lock()
        self._last: tuple[dict[str, FileImports], ImportGraph] | None = None

    async def graph(self, base_tree: str, tree: str) -> ImportGraph | None:
        """The files of `tree` and those that only `base_tree` has. None where there are too many to read in time."""
        async with self._lock:
            before = await self._trees.objects.manifest(base_tree)
            after = await self._trees.objects.manifest(tree)
            wanted = _python({**before, **after})
            if not await self._read(wanted):
                return None
            said = self._said or {}
            files = {path: said[oid] for path, oid in wanted.items()}
            if self._last is None or self._last[0] != files:
                self._last = (files, await asyncio.to_thread(ImportGraph, files))
            return self._last[1]

    async def _read(self, wanted: Mapping[str, str]) -> bool:
        """Makes sure that everything was read; False if the time was not enough."""
        if self._said is None:
            self._said = await asyncio.to_thread(restored, self._file, _VERSION, _row)
        said = self._said
        missing = sorted({oid for oid in wanted.values() if oid not in said})
        end_s = time.monotonic() + self._wait_s
        done = 0
        for start in range(0, len(missing), _BATCH):
            if time.monotonic() > end_s:
                break
            contents = await self._trees.objects.read(missing[start : start + _BATCH])
            said.update(await asyncio.to_thread(_read_all, contents))
            done += len(contents)
        if done:
            self._drop(wanted)
            await asyncio.to_thread(keep, self._file, _VERSION, _written(dict(said)))
        return done >= len(missing)

    def _drop(self, wanted: Mapping[str, str]) -> None:
        said, present = self._said or {}, set(wanted.values())
        spare = [oid for oid in said if oid not in present]
        for oid in spare[: max(0, len(spare) - _SPARE)]:
            del said[oid]


def _python(manifest: Manifest) -> dict[str, str]:
    return {path: leaf.oid for path, leaf in manifest.items() if path.endswith(".py") and leaf.mode != "120000"}


def _read_all(contents: Mapping[str, bytes]) -> dict[str, FileImports]:
    found = {}
    for oid, content in contents.items():
        found[oid] = read_imports(content) if len(content) <= _LARGEST_BYTES else FileImports()
        time.sleep(0)
    return found


def _written(said: Mapping[str, FileImports]) -> Iterator[list[Any]]:
    for oid, one in said.items():
        imports = [[row.module, row.level, row.names] for row in one.imports]
        yield [oid, imports, one.mentions, int(one.dynamic), one.tests]


def _row(row: Any) -> tuple[str, FileImports]:
    oid, imports, mentions, dynamic, tests = row
    return str(oid), FileImports(
        tuple(Imported(str(module), int(level), tuple(names)) for module, level, names in imports),
        tuple(mentions),
        bool(dynamic),
        int(tests),
    )
