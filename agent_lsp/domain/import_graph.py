"""Owns the import graph of a workspace: which files lean on which, how far, computed from what each file says."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from agent_lsp.domain.imports import FileImports, Imported, is_test_file

DIRECT: Final = 1
"""The distance of an import that names the module, or a name that the module defines or hands on."""

MENTIONED: Final = 2
"""A string holds the module's dotted name: lazy imports, plugin tables, targets of patches."""

IMPLIED: Final = 8
"""Nobody names it, and it runs all the same: a package's `__init__`, a conftest, what a loader of names may load."""

_LONGEST_CHAIN: Final = 6
_SOURCE_FOLDERS: Final = ("src", "lib", "python")


@dataclass(slots=True)
class ImportGraph:
    """All Python files of a tree. `files` maps paths to what they say."""

    files: Mapping[str, FileImports]
    _index: dict[str, list[str]] = field(default_factory=dict)
    _importers: dict[str, dict[str, int]] = field(default_factory=dict)
    _loaders: dict[str, list[str]] = field(default_factory=dict)
    _handed: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.files:
            for name in _names_of(path, self.files):
                self._index.setdefault(name, []).append(path)
        for path, said in self.files.items():
            if said.dynamic:
                self._loaders.setdefault(_folder(path), []).append(path)
            for target, distance in self._targets(path, said):
                if target != path:
                    row = self._importers.setdefault(target, {})
                    row[path] = min(distance, row.get(path, distance))

    def dependents(self, changed: Collection[str]) -> dict[str, int]:
        """Every file that leans on one of these, with its distance; the changed files themselves are at 0."""
        best = {path: 0 for path in changed if path in self.files}
        queue = [(0, path) for path in sorted(best)]
        while queue:
            distance, path = heapq.heappop(queue)
            if distance > best[path]:
                continue
            for other, step in self._leaning(path):
                if distance + step < best.get(other, distance + step + 1):
                    best[other] = distance + step
                    heapq.heappush(queue, (distance + step, other))
        return best

    def importers(self, path: str) -> frozenset[str]:
        """The files that name this one in an import or a string."""
        return frozenset(
            other for other, distance in self._importers.get(path, {}).items() if distance in (DIRECT, MENTIONED)
        )

    def _leaning(self, path: str) -> Iterator[tuple[str, int]]:
        yield from self._importers.get(path, {}).items()
        for folder in () if is_test_file(path) else _parents(path):
            for loader in self._loaders.get(folder, ()):
                yield loader, IMPLIED
        if PurePosixPath(path).name == "conftest.py":
            below = _folder(path)
            for other in self.files:
                if other != path and (not below or other.startswith(below + "/")):
                    yield other, IMPLIED

    def _targets(self, path: str, said: FileImports) -> Iterator[tuple[str, int]]:
        for imported in said.imports:
            module = _absolute(path, imported)
            for near in self._defining(path, module, imported.names, 0):
                yield near, DIRECT
            yield from ((package, IMPLIED) for package in self._packages(path, module))
        for name in said.mentions:
            for target in self._longest(path, name):
                yield target, MENTIONED

    def _defining(self, path: str, module: str, names: Sequence[str], depth: int) -> set[str]:
        """Files that an import means: submodules by name, and through `__init__` files what hands the names on."""
        found: set[str] = set()
        homes = self._resolve(path, module)
        for name in names:
            inner = self._resolve(path, f"{module}.{name}" if module else name)
            if inner:
                found.update(inner)
                continue
            for home in homes:
                found.update(self._handed_on(home, name, depth) or {home})
        if not names:
            found.update(homes or self._longest(path, module))
        return found

    def _handed_on(self, home: str, name: str, depth: int) -> frozenset[str]:
        """Where a name comes from that a package's `__init__` has by importing it."""
        if depth >= _LONGEST_CHAIN or not home.endswith("__init__.py"):
            return frozenset()
        known = self._handed.get((home, name))
        if known is None:
            self._handed[home, name] = frozenset()  # a circle of imports ends here
            found: set[str] = set()
            for imported in self.files[home].imports:
                if name in imported.names:
                    found |= self._defining(home, _absolute(home, imported), (name,), depth + 1)
            known = self._handed[home, name] = frozenset(found - {home})
        return known

    def _longest(self, path: str, module: str) -> list[str]:
        """The file of `a.b.c`, else of `a.b`: the rest is a name in it. One word alone names no file."""
        parts = module.split(".")
        for count in range(len(parts), 1 if len(parts) > 1 else 0, -1):
            if found := self._resolve(path, ".".join(parts[:count])):
                return found
        return []

    def _packages(self, path: str, module: str) -> set[str]:
        parts = module.split(".")
        above = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
        return {file for name in above for file in self._resolve(path, name) if file.endswith("__init__.py")}

    def _resolve(self, path: str, name: str) -> list[str]:
        """The files of a dotted name; where several bear it, those beside the importer come alone."""
        found = self._index.get(name, [])
        if len(found) > 1:
            beside = [file for file in found if _folder(file) == _folder(path)]
            return beside or found
        return found


def _absolute(path: str, imported: Imported) -> str:
    """The dotted name that a relative import means, in terms of folders from the root."""
    if not imported.level:
        return imported.module
    parts = _folder(path).split("/") if _folder(path) else []
    kept = parts[: len(parts) - (imported.level - 1)] if imported.level > 1 else parts
    return ".".join([*kept, *([imported.module] if imported.module else [])])


def _names_of(path: str, files: Collection[str]) -> Iterable[str]:
    """The dotted names under which a file may be imported: from the root, a source folder, or its top package."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    top = len(parts) - 1
    while top > 0 and "/".join([*parts[:top], "__init__.py"]) in files:
        top -= 1
    if parts[-1] == "__init__":
        parts.pop()
    starts = {0, top}
    starts |= {place + 1 for place, part in enumerate(parts[:-1]) if part in _SOURCE_FOLDERS}
    return {".".join(parts[start:]) for start in starts if start < len(parts)}


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _parents(path: str) -> Iterator[str]:
    """The folders above a file, the root (empty) last."""
    folder = _folder(path)
    while folder:
        yield folder
        folder = _folder(folder)
    yield ""
