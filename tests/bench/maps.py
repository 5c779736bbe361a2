"""Owns the measurement of repository maps on CPython's library (without tests), against a plain tree-sitter pass."""

import shutil
import sysconfig
import time
from pathlib import Path
from typing import Final

import tree_sitter_python
from tree_sitter import Language, Parser, Query, QueryCursor

from agent_lsp.domain.repository_map import Wish
from agent_lsp.workspace.repository_maps import StoredMaps
from agent_lsp.workspace.snapshot import GitTrees
from tests.bench.measure import Row, alternate, milliseconds, say

_LANGUAGE: Final = Language(tree_sitter_python.language())
_TAGS: Final = Query(
    _LANGUAGE,
    "(function_definition name: (identifier) @definition) (class_definition name: (identifier) @definition) "
    "(identifier) @name",
)
_ROUNDS: Final = 3
_LONGEST_S: Final = 600.0
_CHARACTERS: Final = 7000
_WISH: Final = Wish("json.dumps should keep the order of keys of a mapping", ("json/encoder.py",))
_LEFT_OUT: Final = shutil.ignore_patterns(
    "site-packages", "test", "tests", "idlelib", "__pycache__", "*.so", "config-*"
)


async def measure_maps(folder: Path) -> list[Row]:
    """Three rows: the first map, one after an edit, and one by a new process."""
    root = folder / "library"
    shutil.copytree(sysconfig.get_paths()["stdlib"], root, ignore=_LEFT_OUT)
    files = sorted(root.rglob("*.py"))
    size_mb = sum(path.stat().st_size for path in files) / 1e6
    what = f"CPython's library ({len(files):,} files, {size_mb:.0f} MB of Python)"
    say(f"maps: {what}")
    bench = _Maps(root, folder / "cache")
    first, plain = await alternate(_ROUNDS, bench.first, lambda: _plain(files))
    edited, _ = await alternate(_ROUNDS, bench.after_an_edit, lambda: _plain(files[:1]))
    again, _ = await alternate(_ROUNDS, bench.by_a_new_process, lambda: _plain(files[:1]))
    against = "against a plain tree-sitter pass over its files"
    return [
        Row(f"{what}: the first map, {against}", f"{first:.2f} s", f"{plain:.2f} s", first / plain, ""),
        Row("the same after one file was edited", milliseconds(edited), milliseconds(plain), edited / plain, ""),
        Row("the same by a new process", milliseconds(again), milliseconds(plain), again / plain, ""),
    ]


class _Maps:
    """Maps of one folder."""

    def __init__(self, root: Path, cache: Path) -> None:
        self._root, self._cache = root, cache
        self._trees = GitTrees(root, cache)
        self._kept = cache / "kept.json.z"
        self._maps = StoredMaps(self._trees, self._kept, _LONGEST_S)
        self._number = 0

    async def first(self) -> float:
        """With nothing known, from a snapshot that is there."""
        self._kept.unlink(missing_ok=True)
        self._maps = StoredMaps(self._trees, self._kept, _LONGEST_S)
        return await self._drawn()

    async def after_an_edit(self) -> float:
        self._number += 1
        with (self._root / "json" / "encoder.py").open("a") as file:
            file.write(f"\ndef more_{self._number}(): pass\n")
        return await self._drawn()

    async def by_a_new_process(self) -> float:
        self._maps = StoredMaps(self._trees, self._kept, _LONGEST_S)
        return await self._drawn()

    async def _drawn(self) -> float:
        tree = (await self._trees.snapshot(())).tree
        began_s = time.perf_counter()
        text = await self._maps.draw(tree, _WISH, (), _CHARACTERS)
        took_s = time.perf_counter() - began_s
        assert "json/encoder.py" in text
        return took_s


async def _plain(files: list[Path]) -> float:
    """Parses each file and asks for definitions and names: no graph, no rank, nothing kept."""
    began_s = time.perf_counter()
    parser = Parser(_LANGUAGE)
    for path in files:
        found = QueryCursor(_TAGS).captures(parser.parse(path.read_bytes()).root_node)
        _ = [node.text for nodes in found.values() for node in nodes]
    return time.perf_counter() - began_s
