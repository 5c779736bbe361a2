"""Owns the measurement of repository maps on CPython's library and on Django, against a plain tree-sitter pass."""

import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tree_sitter_python
from tree_sitter import Language, Parser, Query, QueryCursor

from agent_lsp.domain.repository_map import Wish
from agent_lsp.domain.symbols import read_symbols
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
_LEFT_OUT: Final = shutil.ignore_patterns(
    "site-packages", "test", "tests", "idlelib", "__pycache__", "*.so", "config-*"
)
_DJANGO: Final = "5.2.8"
_DOWNLOAD_S: Final = 300


@dataclass(frozen=True, slots=True)
class _Project:
    """A project to draw maps of: how it comes into a folder, the goal, and the file that its map must name."""

    title: str
    fill: Callable[[Path], None]
    goal: str
    asked: str


def _library(root: Path) -> None:
    shutil.copytree(sysconfig.get_paths()["stdlib"], root, ignore=_LEFT_OUT)


def _django(root: Path) -> None:
    packed = root.with_name("django.packed")
    what = ["--only-binary", ":all:", "-d", str(packed), f"Django=={_DJANGO}"]
    argv = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check", *what]
    subprocess.run(argv, capture_output=True, timeout=_DOWNLOAD_S, check=True)
    with zipfile.ZipFile(next(packed.glob("*.whl"))) as wheel:
        wheel.extractall(root)


_PROJECTS: Final = (
    _Project(
        "CPython's library",
        _library,
        "json.dumps should keep the order of keys of a mapping",
        "json/encoder.py",
    ),
    _Project(
        f"Django {_DJANGO}",
        _django,
        "QuerySet.update should tell how many rows were matched",
        "django/db/models/query.py",
    ),
)


async def measure_maps(folder: Path) -> list[Row]:
    """Of each project what reading its names takes, the first map, one after an edit, and one by a new process."""
    rows: list[Row] = []
    for number, project in enumerate(_PROJECTS):
        root = folder / f"project{number}"
        try:
            project.fill(root)
        except (OSError, subprocess.SubprocessError) as error:
            say(f"maps: {project.title} could not be had: {error}")
            continue
        rows += await _measured(project, root, folder / f"cache{number}")
    return rows


async def _measured(project: _Project, root: Path, cache: Path) -> list[Row]:
    files = sorted(root.rglob("*.py"))
    size_mb = sum(path.stat().st_size for path in files) / 1e6
    what = f"{project.title} ({len(files):,} files, {size_mb:.0f} MB of Python)"
    say(f"maps: {what}")
    bench = _Maps(project, root, cache)
    names, plain_names = await alternate(_ROUNDS, lambda: _read(files), lambda: _plain(files))
    first, plain = await alternate(_ROUNDS, bench.first, lambda: _plain(files))
    edited, _ = await alternate(_ROUNDS, bench.after_an_edit, lambda: _plain(files[:1]))
    again, _ = await alternate(_ROUNDS, bench.by_a_new_process, lambda: _plain(files[:1]))
    against = "against a plain tree-sitter pass over its files"
    return [
        Row(f"{what}: its names alone, {against}", f"{names:.2f} s", f"{plain_names:.2f} s", names / plain_names, ""),
        Row(f"{project.title}: the first map, {against}", f"{first:.2f} s", f"{plain:.2f} s", first / plain, ""),
        Row("the same after one file was edited", milliseconds(edited), milliseconds(plain), edited / plain, ""),
        Row("the same by a new process", milliseconds(again), milliseconds(plain), again / plain, ""),
    ]


class _Maps:
    """Maps of one folder."""

    def __init__(self, project: _Project, root: Path, cache: Path) -> None:
        self._project, self._root, self._cache = project, root, cache
        self._wish = Wish(project.goal, (project.asked,))
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
        with (self._root / self._project.asked).open("a") as file:
            file.write(f"\ndef more_{self._number}(): pass\n")
        return await self._drawn()

    async def by_a_new_process(self) -> float:
        self._maps = StoredMaps(self._trees, self._kept, _LONGEST_S)
        return await self._drawn()

    async def _drawn(self) -> float:
        tree = (await self._trees.snapshot(())).tree
        began_s = time.perf_counter()
        text = await self._maps.draw(tree, self._wish, (), _CHARACTERS)
        took_s = time.perf_counter() - began_s
        assert self._project.asked in text
        return took_s


async def _read(files: list[Path]) -> float:
    """What the map reads of each file: no tree of it, no graph, no rank."""
    began_s = time.perf_counter()
    for path in files:
        read_symbols("py", path.read_bytes().decode(errors="replace"))
    return time.perf_counter() - began_s


async def _plain(files: list[Path]) -> float:
    """Parses each file and asks for definitions and names: no graph, no rank, nothing kept."""
    began_s = time.perf_counter()
    parser = Parser(_LANGUAGE)
    for path in files:
        found = QueryCursor(_TAGS).captures(parser.parse(path.read_bytes()).root_node)
        _ = [node.text for nodes in found.values() for node in nodes]
    return time.perf_counter() - began_s
