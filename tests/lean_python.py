"""Owns the Python that the tests' projects run with: pytest and nothing else, as a fresh project has it.

The Python on a developer's PATH may load plugins into every pytest that starts, a second each; the tests start
thousands.
"""

import compileall
import fcntl
import os
import shutil
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

_DISTRIBUTIONS: Final = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")


def bin_folder() -> Path:
    """The folder with its `python3`, made at the first call for each version of pytest."""
    home = Path(sys.prefix) / f"lean-pytest-{distribution('pytest').version}"
    with (home.parent / "lean.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _make(home)
    return home / "bin"


def come_first() -> None:
    """Puts it before every other Python on the PATH of this process and of those that it starts."""
    first = str(bin_folder())
    folders = os.environ["PATH"].split(os.pathsep)
    if folders[0] != first:
        os.environ["PATH"] = os.pathsep.join([first, *folders])


def _make(home: Path) -> None:
    unfinished = home.with_suffix(".making")
    shutil.rmtree(unfinished, ignore_errors=True)
    venv.create(unfinished, symlinks=True, with_pip=False)
    [site] = unfinished.glob("lib/python*/site-packages")
    for name in _DISTRIBUTIONS:
        found = distribution(name)
        for file in found.files or ():
            if ".." not in file.parts:
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path(str(found.locate_file(file))), target)
    compileall.compile_dir(str(site), quiet=2)
    unfinished.rename(home)
