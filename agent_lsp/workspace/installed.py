"""Owns the places outside an environment of Python that its packages and its interpreter are loaded from."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

_QUOTED = re.compile(r"['\"](/[^'\"\n]+)['\"]")


def installed_elsewhere(prefix: str) -> list[str]:
    """Folders that an environment leads to: its base interpreter, and projects installed as editable.

    Empty where there is no environment.
    """
    if not prefix:
        return []
    folder = Path(prefix)
    found = [os.path.realpath(folder), *_interpreters(folder / "bin" / "python")]
    for site in (*folder.glob("lib/python*/site-packages"), *folder.glob("Lib/site-packages")):
        found += _linked(site)
    return found


def _interpreters(python: Path) -> Iterator[str]:
    """The prefix of every link on the way to the interpreter itself."""
    for _ in range(16):
        if not os.path.lexists(python):
            return
        yield str(python.absolute().parent.parent)
        if not python.is_symlink():
            break
        python = Path(os.path.normpath(python.parent / python.readlink()))
    yield str(Path(os.path.realpath(python)).parent.parent)


def _linked(site: Path) -> Iterator[str]:
    try:
        names = os.listdir(site)  # noqa: PTH208 - names as they are
    except OSError:
        return
    for name in names:
        if name.endswith(".pth") or name.startswith("__editable__"):
            text = _text(site / name)
            lines = text.splitlines() if name.endswith(".pth") else _QUOTED.findall(text)
            yield from (line.strip() for line in lines if line.startswith("/"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size < 1 << 20 else ""
    except OSError:
        return ""
