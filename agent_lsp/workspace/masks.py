"""Owns what an overlay must hide of the live workspace, so that only ignored things show through."""

import os
import stat
from collections.abc import Container, Iterable
from pathlib import Path

from agent_lsp.workspace.listing import FORBIDDEN

_BYTECODE = ("__pycache__", ".pyc", ".pyo")


def is_bytecode(path: str) -> bool:
    """Whether an ignored path is compiled Python, which must be fresh in every candidate."""
    return path.endswith(_BYTECODE)


def hidden(root: Path, ignored: Iterable[str], nested: Iterable[str], covered: Container[str] = ()) -> list[str]:
    """Paths to hide, topmost first: everything live that is neither ignored nor on the way to what is.

    `covered` are files of a layer above the mask: what lies beneath them does not show anyway.
    A folder without anything ignored is hidden whole, so what is created in it later does not show either.
    """
    shown = {path for path in ignored if not is_bytecode(path)} | set(nested)
    way = {"/".join(path.split("/")[:depth]) for path in shown for depth in range(1, path.count("/") + 1)}
    found: list[str] = []
    folders = [""]
    while folders:
        folder = folders.pop()
        for name in _names(root / folder):
            path = f"{folder}/{name}" if folder else name
            if path == ".git" or (path in shown and name not in FORBIDDEN):
                continue
            if path in covered:
                continue
            if path in way:
                folders.append(path)
            else:
                found.append(path)
    return sorted(found)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names as they are
    except OSError:
        return []


def make_whiteouts(layer: Path, paths: Iterable[str]) -> None:
    """Fills an overlay layer with marks that hide these paths of the layers below it. Raises OSError."""
    for path in paths:
        target = layer / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.mknod(target, stat.S_IFCHR | 0o600, 0)
