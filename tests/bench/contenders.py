"""Owns who is measured: us, the bare pygls baseline, and others, in pinned versions that are installed when missing."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
OTHERS: Final = HERE / "others"
PLACE: Final = HERE.parent.parent / ".bench"
OURS: Final = "agent-lsp"
BARE: Final = "bare pygls"
_INSTALL_S: Final = 300


@dataclass(frozen=True, slots=True)
class Contender:
    """One server. `missing` says why it cannot be started; `environment` is added to ours."""

    name: str
    argv: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    version: str = ""
    missing: str = ""


def contenders(cache: Path) -> list[Contender]:
    """Everybody, us first and the baseline second. Installs what is not there; needs a package index for that."""
    return [ours(cache), bare(), *_python_servers(), _node_server()]


def ours(cache: Path) -> Contender:
    """The edge of this very tree."""
    environment = {"AGENT_LSP_CACHE_DIR": str(cache), "AGENT_LSP_MODEL__PROVIDER": "embedded"}
    return Contender(OURS, [sys.executable, "-m", "agent_lsp", "serve"], environment)


def bare() -> Contender:
    """The baseline."""
    argv = [sys.executable, str(HERE / "bare_server.py")]
    return Contender(BARE, argv, version=_version(Path(sys.executable), "pygls"))


def _python_servers() -> list[Contender]:
    folder = PLACE / "python"
    python = folder / "bin" / "python"
    pins = OTHERS / "requirements.txt"

    def install() -> None:
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(pins)])
        _run([str(python), "-m", "compileall", "-q", str(folder / "lib")])

    missing = _ensure(folder, [pins], install)
    starts = {
        "jedi-language-server": [str(folder / "bin" / "jedi-language-server")],
        "python-lsp-server": [str(python), "-m", "pylsp"],
        "ruff": [str(folder / "bin" / "ruff"), "server"],
    }
    if missing:
        return [Contender(name, missing=missing) for name in starts]
    return [Contender(name, argv, version=_version(python, name)) for name, argv in starts.items()]


def _node_server() -> Contender:
    name, source, folder = "Node hello", OTHERS / "node", PLACE / "node"
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return Contender(name, missing="node and npm are not installed")
    files = [source / file for file in ("package.json", "package-lock.json", "server.js")]

    def install() -> None:
        for file in files:
            shutil.copy(file, folder)
        _run([npm, "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    missing = _ensure(folder, files, install)
    if missing:
        return Contender(name, missing=missing)
    pinned = json.loads((source / "package.json").read_text())["dependencies"]["vscode-languageserver"]
    return Contender(name, [node, str(folder / "server.js"), "--stdio"], version=f"vscode-languageserver {pinned}")


def _ensure(folder: Path, sources: Sequence[Path], install: Callable[[], None]) -> str:
    """Installs once for each state of `sources`; why that did not work, or nothing."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources) + sys.version.encode()).hexdigest()
    stamp = folder / ".installed"
    if stamp.exists() and stamp.read_text() == digest:
        return ""
    print(f"installing {folder.name} servers to compare with into {folder} …", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        install()
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        last = said.strip().splitlines()[-1] if said.strip() else "no reason given"
        print(f"could not install them: {said}", file=sys.stderr, flush=True)
        return f"could not be installed: {last[:100]}"
    stamp.write_text(digest)
    return ""


def _run(argv: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, env=os.environ, capture_output=True, text=True, timeout=_INSTALL_S, check=True)
    return done.stdout


def _version(python: Path, package: str) -> str:
    return _run([str(python), "-c", f"from importlib.metadata import version; print(version({package!r}))"]).strip()
