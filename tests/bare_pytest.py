"""Owns a virtual environment with pytest and nothing else, so that small suites run as quickly as they can."""

import importlib.util
import sys
from importlib.metadata import distribution
from pathlib import Path

_PACKAGES = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")
_DISTRIBUTIONS = ("pytest", "pluggy")


def give_pytest(root: Path) -> None:
    """Makes `.venv` in a folder; its packages are links to this Python's."""
    home = root / ".venv"
    site = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    (home / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(base)
    for name in _PACKAGES:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        file = Path(found.origin)
        place = file.parent if file.name == "__init__.py" else file
        (site / place.name).symlink_to(place)
    for name in _DISTRIBUTIONS:
        info = Path(str(distribution(name).locate_file(f"{name}-{distribution(name).version}.dist-info")))
        (site / info.name).symlink_to(info)
