"""Owns the real suites that the gate is measured on: source distributions in fixed versions, each with a Python."""

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.contenders import PLACE
from tests.bench.measure import say

_INSTALL_S: Final = 600


@dataclass(frozen=True, slots=True)
class RealSuite:
    """A project: what its tests need, and a fault as a change would make it: `right` in `file` becomes `wrong`.

    `rounds` is how often it is measured.
    """

    name: str
    version: str
    needs: tuple[str, ...]
    file: str
    right: str
    wrong: str
    rounds: int

    @property
    def title(self) -> str:
        """As the tables have it."""
        return f"{self.name} {self.version}"


SUITES: Final = (
    RealSuite(
        "click",
        "8.1.7",
        ("pytest==7.4.4",),
        "src/click/utils.py",
        "    return str(value)\n\n",
        "    return repr(value)\n\n",
        5,
    ),
    RealSuite(
        "Jinja2",
        "3.1.4",
        ("pytest==7.4.4",),
        "src/jinja2/filters.py",
        "return soft_str(s).upper()",
        "return soft_str(s).lower()",
        5,
    ),
    RealSuite(
        "attrs",
        "22.1.0",
        ("pytest==7.4.4", "hypothesis==6.88.1", "cloudpickle==3.0.0", "zope.interface==6.1"),
        "src/attr/_funcs.py",
        "raise AttrsAttributeNotFoundError(",
        "raise KeyError(",
        3,
    ),
)


class SuiteMissingError(Exception):
    """A project could not be had, with the reason."""


def ready(suite: RealSuite) -> Path:
    """The project's folder in `.bench/`, with a `.venv` of its own. Needs a package index the first time."""
    root = PLACE / "suites" / f"{suite.name}-{suite.version}"
    stamp = root / ".venv" / "ready"
    wanted = f"{suite!r} {sys.version}"
    if stamp.exists() and stamp.read_text() == wanted:
        return root
    say(f"fetching {suite.title} and what its tests need …")
    shutil.rmtree(root, ignore_errors=True)
    try:
        _unpack(suite, root)
        _install(suite, root)
    except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
        told = getattr(error, "stderr", "") or str(error)
        raise SuiteMissingError(f"{suite.title} could not be had: {told[-500:]}") from error
    stamp.write_text(wanted)
    return root


def _unpack(suite: RealSuite, root: Path) -> None:
    packed = root.with_name(f"{root.name}.sdist")
    packed.mkdir(parents=True, exist_ok=True)
    what = f"{suite.name}=={suite.version}"
    _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(packed), what])
    with tarfile.open(next(packed.glob("*.tar.gz"))) as archive:
        archive.extractall(packed, filter="data")
    next(path for path in packed.iterdir() if path.is_dir()).rename(root)
    shutil.rmtree(packed)


def _install(suite: RealSuite, root: Path) -> None:
    _run([sys.executable, "-m", "venv", str(root / ".venv")])
    _run([str(root / ".venv/bin/python"), "-m", "pip", "install", "-q", "-e", str(root), *suite.needs])
    (root / ".gitignore").write_text(".venv/\n__pycache__/\n*.egg-info/\n.pytest_cache/\n.hypothesis/\n")


def _run(argv: list[str]) -> None:
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(argv, env=env, capture_output=True, text=True, timeout=_INSTALL_S, check=True)
