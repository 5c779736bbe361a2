"""Owns the maps of a workspace's trees: each blob is read once, ever, and what it says is kept in the user's cache."""

import asyncio
import logging
import time
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.repository_map import RepositoryGraph, Wish, drawn
from agent_lsp.domain.symbols import Definition, FileSymbols, is_source, read_symbols
from agent_lsp.workspace.blob_lines import keep, restored
from agent_lsp.workspace.snapshot import GitTrees

logger = logging.getLogger(__name__)

_VERSION: Final = 1
_BATCH: Final = 100
_LARGEST_BYTES: Final = 500_000
_SPARE: Final = 5_000
"""Blobs that are in no tree of the moment, of which what they say is kept all the same."""


class StoredMaps:
    """`domain.ports.RepositoryMaps` of one workspace. `wait_s` bounds the reading for one map; the next goes on."""

    def __init__(self, trees: GitTrees, file: Path, wait_s: float = 20.0) -> None:
        self._trees, self._file, self._wait_s = trees, file, wait_s
        self._said: dict[str, FileSymbols] | None = None
        self._lock = asyncio.Lock()
        self._last: tuple[dict[str, str], RepositoryGraph] | None = None

    async def draw(self, tree: str, wish: Wish, hidden: Container[str], most_characters: int) -> str:
        """The files of a tree that matter to a wish, ranked; `hidden` ones are never read."""
        async with self._lock:
            manifest = await self._trees.objects.manifest(tree)
            wanted = await asyncio.to_thread(
                lambda: {
                    path: leaf.oid
                    for path, leaf in manifest.items()
                    if is_source(path) and leaf.mode.startswith("100") and path not in hidden
                }
            )
            known = await self._read(wanted)
            if self._last is None or self._last[0] != known:
                said = self._said or {}
                files = {path: said[oid] for path, oid in known.items()}
                self._last = (known, await asyncio.to_thread(RepositoryGraph, files))
            return await asyncio.to_thread(drawn, self._last[1], wish, most_characters)

    async def _read(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Reads what was not read before, as long as there is time; gives the files that are known now."""
        if self._said is None:
            self._said = await asyncio.to_thread(restored, self._file, _VERSION, _row)
        said = self._said
        suffixes = {oid: path.rpartition(".")[2] for path, oid in wanted.items()}
        missing = sorted({oid for oid in wanted.values() if _key(suffixes[oid], oid) not in said})
        end_s = time.monotonic() + self._wait_s
        for start in range(0, len(missing), _BATCH):
            if time.monotonic() > end_s:
                logger.warning("the map of the workspace is drawn of a part of it: the rest is read next time")
                break
            contents = await self._trees.objects.read(missing[start : start + _BATCH])
            said.update(await asyncio.to_thread(_read_all, contents, suffixes))
        if missing:
            self._drop(wanted)
            await asyncio.to_thread(keep, self._file, _VERSION, _written(dict(said)))
        return {path: key for path, oid in wanted.items() if (key := _key(suffixes[oid], oid)) in said}

    def _drop(self, wanted: Mapping[str, str]) -> None:
        said = self._said or {}
        present = {_key(path.rpartition(".")[2], oid) for path, oid in wanted.items()}
        spare = [key for key in said if key not in present]
        for key in spare[: max(0, len(spare) - _SPARE)]:
            del said[key]


def _key(suffix: str, oid: str) -> str:
    """What a blob says depends on the language that it is read as."""
    return f"{oid}.{suffix.lower()}"


def _read_all(contents: Mapping[str, bytes], suffixes: Mapping[str, str]) -> dict[str, FileSymbols]:
    found = {}
    for oid, content in contents.items():
        text = content.decode("utf-8", "replace") if len(content) <= _LARGEST_BYTES else ""
        found[_key(suffixes[oid], oid)] = read_symbols(suffixes[oid], text)
        time.sleep(0)
    return found


def _written(said: Mapping[str, FileSymbols]) -> Iterator[list[Any]]:
    for key, one in said.items():
        yield [key, [[row.name, row.line, row.text] for row in one.definitions], " ".join(one.uses)]


def _row(row: Any) -> tuple[str, FileSymbols]:
    key, rows, uses = row
    definitions = tuple(Definition(str(name), int(at), str(text)) for name, at, text in rows)
    return str(key), FileSymbols(definitions, tuple(uses.split()))
