"""Owns telling whether `src` must come first on the path, for the tests to load the workspace and no installed copy."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.ports import Candidate, Command

_FOLDER: Final = "src"
"""What lies at the root comes first anyway; a package in `src` has to be installed, or put on the path, as tox does."""

_MOST_IN_NAMESPACES: Final = 50
_MARK: Final = "agent-lsp-sources:"
_QUESTION: Final = f"""
import sys, os, json, sysconfig
if sys.path and sys.path[0] == "": sys.path[0] = os.getcwd()
from importlib.util import find_spec
standard = os.path.realpath(sysconfig.get_paths()["stdlib"])
found = {{}}
for name in sys.argv[1:]:
    place, built = "", []
    try:
        spec = find_spec(name)
    except Exception:
        spec = None
    if spec is not None and spec.has_location:
        place = os.path.realpath(spec.origin)
    elif spec is not None:
        place = standard if spec.origin else ""
    if os.path.basename(place).startswith("__init__."):
        top = base = os.path.dirname(place)
        for _ in name.split("."):
            base = os.path.dirname(base)
        for folder, _, files in os.walk(top):
            inside = os.path.relpath(folder, base)
            made = [file for file in files if file.endswith((".so", ".pyd")) or file.endswith("version.py")]
            built += [os.path.join(inside, file) for file in made]
    own = place.startswith(standard) and "-packages" not in place[len(standard):]
    found[name] = dict(place=place, built=built, standard=own)
print({_MARK!r} + json.dumps(found))
"""


async def source_roots(candidate: Candidate, program: str) -> tuple[str, ...]:
    """`src`, if this Python would load a package in it from elsewhere, or not find it at all; else nothing.

    Nothing too where that could hide more than it shows: modules of the standard library's names, and packages whose
    installed copy has what is made by a build (extensions, the file of the version) and the sources lack.
    """
    packages, modules = _names(await candidate.paths())
    told = await _places(candidate, program, [*packages, *modules]) if packages or modules else {}
    own = f"{os.path.realpath(candidate.root)}/{_FOLDER}/"
    wanted = False
    for name, place in told.items():
        if place.standard or any([await candidate.read(f"{_FOLDER}/{file}") is None for file in place.built]):
            return ()
        elsewhere = not place.file.startswith(own)
        wanted = wanted or (elsewhere and (name in packages or bool(place.file)))
    return (_FOLDER,) if wanted else ()


def _names(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The packages right below the folder, and the modules there and the packages in namespaces; none if the folder is
    a package itself."""
    inside = [path.split("/")[1:] for path in paths if path.startswith(_FOLDER + "/") and path.endswith(".py")]
    if ["__init__.py"] in inside:
        return [], []
    packages = {parts[0] for parts in inside if len(parts) == 2 and parts[1] == "__init__.py"}
    modules = {parts[0].removesuffix(".py") for parts in inside if len(parts) == 1}
    others = [name for name in (modules - packages) if name.isidentifier()]
    return sorted(filter(str.isidentifier, packages)), sorted([*others, *_in_namespaces(inside)])


def _in_namespaces(inside: Sequence[Sequence[str]]) -> list[str]:
    """The outermost packages that lie in folders which are no packages: `company.shapes`."""
    packages = {tuple(parts[:-1]) for parts in inside if parts[-1] == "__init__.py"}
    outermost = [
        package
        for package in packages
        if len(package) > 1 and not any(package[:depth] in packages for depth in range(1, len(package)))
    ]
    names = [".".join(package) for package in outermost if all(map(str.isidentifier, package))]
    return sorted(names)[:_MOST_IN_NAMESPACES]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name would be loaded from (empty: nowhere), and what a build made in that copy, by path."""

    file: str
    built: tuple[str, ...]
    standard: bool


async def _places(candidate: Candidate, program: str, names: list[str]) -> dict[str, _Place]:
    """Empty where this Python does not answer."""
    try:
        result = await candidate.run(Command((program, "-c", _QUESTION, *names), timeout_s=20.0))
        line = next((row for row in result.output.splitlines() if row.startswith(_MARK)), "")
        told = json.loads(line.removeprefix(_MARK))
        return {name: _Place(row["place"], tuple(row["built"]), row["standard"]) for name, row in told.items()}
    except (CandidateError, OSError, ValueError, KeyError, TypeError):
        return {}
