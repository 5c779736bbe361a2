"""Owns where hatch keeps the environments of a project: by its own rules, and as it is configured."""

import base64
import hashlib
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_TYPES: Final = ("virtual", "pip-compile")
"""Types of environments, each with a folder of its own, that are virtual environments."""


@dataclass(frozen=True, slots=True)
class HatchPython:
    """The Python of one environment: its path, the name of the environment, and whether it is the default one."""

    path: Path
    name: str
    default: bool


def hatch_folder(root: str, environ: Mapping[str, str]) -> str:
    """The folder below the root in which hatch is told to keep environments side by side, or `.hatch`."""
    told = _told_folder(root, environ)
    if told is not None and Path(root) in told.parents:
        return os.path.relpath(told, root)
    return ".hatch"


def hatch_pythons(root: str, environ: Mapping[str, str]) -> list[HatchPython]:
    """Those of the project at this path that hatch keeps elsewhere."""
    digest = hashlib.sha256((root.casefold() if sys.platform == "darwin" else root).encode("utf-8", "surrogateescape"))
    mark = base64.urlsafe_b64encode(digest.digest()).decode()[:8]
    told = _told_folder(root, environ)
    folders = [told] if told is not None and Path(root) not in told.parents else []
    folders += [_data(environ) / "env" / kind for kind in _TYPES]
    found = {}
    for folder in folders:
        for python in folder.glob(f"*/{mark}/*/bin/python"):
            name = python.parents[1].name
            found[python] = HatchPython(python, name, name == python.parents[3].name)
    return list(found.values())


def _told_folder(root: str, environ: Mapping[str, str]) -> Path | None:
    """What `dirs.env.virtual` says."""
    folder = _dig(_configuration(environ), "dirs", "env", "virtual")
    return Path(os.path.normpath(Path(root, _expanded(folder, environ)))) if isinstance(folder, str) else None


def _data(environ: Mapping[str, str]) -> Path:
    told = environ.get("HATCH_DATA_DIR") or _dig(_configuration(environ), "dirs", "data")
    return Path(_expanded(told, environ)) if isinstance(told, str) else _place(environ, "XDG_DATA_HOME", ".local/share")


def _configuration(environ: Mapping[str, str]) -> Any:
    told = environ.get("HATCH_CONFIG")
    file = Path(told) if told else _place(environ, "XDG_CONFIG_HOME", ".config") / "config.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _place(environ: Mapping[str, str], variable: str, folder: str) -> Path:
    """Hatch's own folder of one kind."""
    home = environ.get("HOME", "")
    if sys.platform == "darwin":
        return Path(home, "Library", "Application Support", "hatch")
    return Path(environ.get(variable) or f"{home}/{folder}") / "hatch"


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    for name in ("HOME", "USER", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        path = path.replace(f"${{{name}}}", environ.get(name, "")).replace(f"${name}", environ.get(name, ""))
    return environ.get("HOME", "") + path[1:] if path == "~" or path.startswith("~/") else path


def _dig(table: Any, *keys: str) -> Any:
    for key in keys:
        table = table.get(key) if isinstance(table, Mapping) else None
    return table
