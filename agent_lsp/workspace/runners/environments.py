"""Owns finding the environments that tox, nox, hatch and conda made for a project, those for tests first."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.ports import Candidate, Command
from agent_lsp.workspace.runners.hatch import hatch_folder, hatch_pythons
from agent_lsp.workspace.runners.tox_and_nox import CONFIGURATION, told

OF_HATCH: Final = " of hatch"
_MOST: Final = 8
_LOOK: Final = """
for folder; do for python in "$folder"/*/bin/python; do
  if [ -e "$python" ] || [ -L "$python" ]; then echo "$python"; fi
done; done
"""
_FOR_TESTS: Final = re.compile(r"(?:py|pypy|python|cpython)?[\d.]*t?(?![a-z\d])|.*test")
"""Names of environments that tests are run in; others may have pytest too, for a checker of types."""


async def environments(candidate: Candidate, environ: Mapping[str, str], root: str = "") -> list[tuple[str, str, bool]]:
    """Paths of Pythons with who made their environment, and whether the path is from the candidate's root.

    Those for tests come first: in the order in which tox's configuration names them, then by name. `root` is where
    the person has the workspace, if the candidate shows it at another path.
    """
    root = root or candidate.root
    texts = {path: text for path in CONFIGURATION if (text := await _text(candidate, path))}
    configured = told(texts)
    tools = {hatch_folder(root, environ): "hatch", ".hatch": "hatch"} | dict(configured.folders)
    seen = await candidate.run(Command(("sh", "-c", _LOOK, "sh", *tools), timeout_s=20.0))
    rows = [(line, tools.get(line.rsplit("/", 3)[0], "")) for line in seen.output.splitlines() if line.count("/") > 2]
    rows = sorted([row for row in rows if row[1]], key=lambda row: (_rank(_name(row[0]), configured.order), row))
    found = [(path, f"the environment {_name(path)} of {tool}", True) for path, tool in rows[:_MOST]]
    apart = sorted(hatch_pythons(root, environ), key=lambda row: (not row.default, _rank(row.name, ()), row.path))
    found += [(str(row.path), f"the environment {row.name}{OF_HATCH}", False) for row in apart[:_MOST]]
    if conda := environ.get("CONDA_PREFIX"):
        found.append((f"{conda}/bin/python", "CONDA_PREFIX", False))
    return found


def prefixes(root: Path, environ: Mapping[str, str]) -> list[str]:
    """The environments of a workspace as they lie on the disk."""
    texts = {}
    for path in CONFIGURATION:
        try:
            texts[path] = (root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    folders = dict.fromkeys([folder for folder, _ in told(texts).folders])
    folders |= dict.fromkeys([".hatch", hatch_folder(str(root), environ)])
    found = [python for folder in folders for python in sorted((root / folder).glob("*/bin/python"))]
    return [str(python.parents[1]) for python in [*found, *(row.path for row in hatch_pythons(str(root), environ))]]


async def _text(candidate: Candidate, path: str) -> str:
    try:
        entry = await candidate.read(path)
    except ToolError:
        return ""
    return entry.content.decode("utf-8", "replace") if entry is not None else ""


def _name(python: str) -> str:
    return python.rsplit("/", 3)[1]


def _rank(name: str, order: tuple[str, ...]) -> tuple[bool, int]:
    return _FOR_TESTS.match(name) is None, order.index(name) if name in order else len(order)
