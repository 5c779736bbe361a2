"""Owns a vitest for the tests, installed once from the npm registry into the user's cache."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

VITEST = "vitest@4.1.12"
_WITHIN_S = 240.0

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not on PATH")


def vitest_modules() -> Path:
    """A `node_modules` with vitest in it. Skips the test, saying so, where npm cannot bring it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agent-lsp-tests"
    place = cache / VITEST.replace("@", "-")
    if not (place / "node_modules" / ".bin" / "vitest").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _install(Path(folder))
            if not place.exists():
                Path(folder, "made").rename(place)
    return place / "node_modules"


def _install(folder: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not on PATH, so there is no vitest to test with")
    made = folder / "made"
    made.mkdir()
    (made / "package.json").write_text('{"private": true}')
    command = ["npm", "install", VITEST, "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
    try:
        done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm brought no {VITEST} within {_WITHIN_S:.0f} s")
    if done.returncode != 0:
        pytest.skip(f"npm brought no {VITEST}: {done.stderr.strip()[-300:]}")


def give_vitest(root: Path) -> None:
    """Puts it into a project, as files of its own."""
    shutil.copytree(vitest_modules(), root / "node_modules", symlinks=True, copy_function=_linked)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
