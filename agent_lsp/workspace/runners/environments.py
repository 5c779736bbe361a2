"""Owns where tox, nox, hatch and conda keep the environments of a project."""

import base64
import configparser
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.ports import Candidate, Command

_MOST: Final = 8
_LOOK: Final = (
    'for python in .tox/*/bin/python .nox/*/bin/python .hatch/*/bin/python; do [ -x "$python" ] && echo "$python"; done'
)
_TOOLS: Final = {".tox": "tox", ".nox": "nox", ".hatch": "hatch"}


async def environments(candidate: Candidate, environ: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """Paths of Pythons with who made their environment, and whether the path is from the candidate's root.

    Those for tests come first: in the order in which tox.ini names them, then by name.
    """
    seen = await candidate.run(Command(("sh", "-c", _LOOK), timeout_s=20.0))
    order = await _named_by_tox(candidate)
    rows = [line for line in seen.output.splitlines() if line.partition("/")[0] in _TOOLS]
    rows.sort(key=lambda row: (_rank(row.split("/")[1], order), row))
    found = [(row, f"the environment {row.split('/')[1]} of {_TOOLS[row.split('/')[0]]}", True) for row in rows[:_MOST]]
    found += [(str(path), "hatch's own environment", False) for path in _of_hatch(candidate.root, environ)]
    if conda := environ.get("CONDA_PREFIX"):
        found.append((f"{conda}/bin/python", "CONDA_PREFIX", False))
    return found


async def _named_by_tox(candidate: Candidate) -> list[str]:
    """The names in `envlist`, braces left as they are: `py{310,311}` still tells what is a Python's environment."""
    parser = configparser.RawConfigParser()
    try:
        entry = await candidate.read("tox.ini")
        parser.read_string(entry.content.decode() if entry is not None else "")
    except (configparser.Error, ValueError, ToolError):
        return []
    for section, key in (("tox", "envlist"), ("tox", "env_list")):
        if parser.has_option(section, key):
            return [name for name in re.split(r"[\s,]+", parser.get(section, key)) if name]
    return []


def _rank(name: str, order: list[str]) -> int:
    if name in order:
        return order.index(name)
    likely = name.startswith(("py", "test")) or "test" in name
    return len(order) + (0 if likely else 1)


def _of_hatch(root: str, environ: Mapping[str, str]) -> list[Path]:
    """Where hatch puts the environments of the project at this path, unless it is told otherwise."""
    home = environ.get("XDG_DATA_HOME") or f"{environ.get('HOME', '')}/.local/share"
    data = Path(environ.get("HATCH_DATA_DIR") or f"{home}/hatch") / "env" / "virtual"
    mark = base64.urlsafe_b64encode(hashlib.sha256(root.encode()).digest()).decode()[:8]
    found = sorted(data.glob(f"*/{mark}/*/bin/python"), key=lambda path: (path.parents[1].name, path))
    first = [path for path in found if path.parents[1].name == path.parents[3].name]
    return [*first, *(path for path in found if path not in first)][:_MOST]
