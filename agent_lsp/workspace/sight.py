"""Owns what of this machine's disk commands may see: which folders are hidden from them, and what is shown again."""

# Paths go to the kernel and to bubblewrap as they are written: text serves better here than pathlib.
# ruff: noqa: PTH100, PTH110, PTH111, PTH114, PTH118, PTH119, PTH120, PTH208

import asyncio
import os
import stat
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent_lsp.domain.network_hosts import HostList
from agent_lsp.workspace.installed import installed_elsewhere
from agent_lsp.workspace.runners.environments import prefixes as made_prefixes
from agent_lsp.workspace.snapshot import GitTrees
from agent_lsp.workspace.sockets import control_sockets

TMP: Final = str(Path("/tmp").resolve())  # noqa: S108 - the machine's own, in whose place commands get a private one
_TEMPORARY: Final = (TMP, "/var/tmp")  # noqa: S108
_PRIVATE: Final = ("/home", "/root", "/Users", "/run", "/var/run", "/media", "/etc/ssl/private", "/var/spool/cron")
_SECRET_FILES: Final = ("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/krb5.keytab")
_SYSTEM: Final = frozenset({"bin", "boot", "dev", "etc", "lib", "lib64", "nix", "proc", "run", "sbin", "sys", "usr"})
_SHARED: Final = frozenset({"/", "/opt", "/var", "/var/lib", "/tmp", "/var/tmp"})  # noqa: S108
# fmt: off
_OF_TOOLS: Final = (
    ".pyenv",
    ".nvm",
    ".volta",
    ".asdf",
    ".rustup",
    ".conda",
    ".virtualenvs",
    ".nix-profile",
    ".bun",
    ".deno",
    "go",
    "miniconda3",
    "anaconda3",
    "miniforge3",
    "mambaforge",
    "micromamba",
    ".cargo/bin",
    ".cargo/registry",
    ".cargo/git",
    ".local/bin",
    ".local/lib",
    ".local/pipx",
    ".local/share/uv",
    ".local/share/hatch",
    ".local/share/pdm",
    ".local/share/mise",
    ".local/share/virtualenvs",
    ".local/share/pipx",
    ".local/share/pnpm",
    ".cache/pypoetry",
    ".cache/uv",
    ".cache/node",
    ".cache/ms-playwright",
    ".m2/repository",
    ".gradle/caches",
    ".gradle/wrapper",
    ".config/git/ignore",
)
# fmt: on
"""Below a home: where interpreters, packages and tools live. No place of keys, mail, histories or projects."""
# fmt: off
_VARIABLES: Final = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYENV_ROOT",
    "NVM_DIR",
    "NODE_PATH",
    "JAVA_HOME",
    "GOPATH",
    "GOROOT",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_PROFILES",
)
# fmt: on
_AGE_S: Final = 5.0
_PACKAGE: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Access:
    """What the person allows commands beyond the rule: the network or some hosts, and paths that stay visible."""

    network: bool = False
    visible: tuple[str, ...] = ()
    hosts: HostList = field(default_factory=HostList)


@dataclass(frozen=True, slots=True)
class Sight:
    """`hidden` folders are empty for commands, outer ones first, and `writable` of them can be written to, privately.

    `shown` paths lie in hidden folders and can be read all the same; `masked` files and sockets are empty.
    """

    hidden: tuple[str, ...]
    shown: tuple[str, ...]
    masked: tuple[str, ...]
    writable: tuple[str, ...]

    def steps(self, backing: Path) -> list[tuple[str, str, bool]]:
        """What to mount, outer paths first: target, source, and whether it is to be written to.

        Makes an empty folder below `backing` for each hidden one. Raises OSError.
        """
        found = [(path, path, False) for path in self.shown]
        for number, path in enumerate(self.hidden):
            folder = backing / str(number)
            folder.mkdir(mode=0o700)
            folder.chmod(0o1777 if path in _TEMPORARY else 0o755)
            found.append((path, str(folder), path in self.writable))
        return sorted(found)

    def readable(self) -> list[str]:
        """Everything but what is hidden and masked, as few paths as can be: for walls that know only permission."""
        closed = (*self.hidden, *self.masked)
        found, folders = list(self.shown), ["/"]
        while folders:
            folder = folders.pop()
            if folder in closed:
                continue
            if any(_below(path, folder) for path in closed):
                folders += [os.path.join(folder, name) for name in _names(folder)]
            elif not os.path.islink(folder):
                found.append(folder)
        return sorted(found)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def sight(trees: GitTrees, access: Access) -> Sight:
    """What commands of a workspace may see. Looks at the disk: for a worker thread."""
    root, top, cache = str(trees.root), str(trees.listing.top), str(trees.layout.cache)
    home = os.path.realpath(Path.home())
    private = {*_PRIVATE, *_TEMPORARY, home}
    hidden = sorted(path for path in {*private, *_neighbours(top), cache} if _is_place(path, (root, top)))
    wanted = {
        os.path.abspath(path) for path in (*_needed(trees, home, network=access.network), *access.visible) if path
    }
    shown = sorted(
        path
        for path in wanted
        if any(_below(path, folder) for folder in hidden)
        and not any(within(folder, path) for folder in private)
        and not within(path, root)
        and os.path.exists(path)
    )
    shown = [path for path in shown if not any(_covers(outer, path, hidden) for outer in shown)]
    masked = [path for path in (*_SECRET_FILES, *control_sockets()) if _is_open(path, root, hidden, shown)]
    writable = tuple(path for path in hidden if path in (home, *_TEMPORARY))
    return Sight(tuple(hidden), tuple(shown), tuple(masked), writable)


class Sights:
    """Looks for one workspace, each good for some seconds: what is installed seldom changes between candidates."""

    def __init__(self, trees: GitTrees, access: Access) -> None:
        self.access = access
        self._trees = trees
        self._last: tuple[float, Sight] | None = None

    async def now(self) -> Sight:
        """What commands of a candidate that opens now may see."""
        now_s = time.monotonic()
        if self._last is None or now_s - self._last[0] > _AGE_S:
            self._last = (now_s, await asyncio.to_thread(sight, self._trees, self.access))
        return self._last[1]


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return path == folder or _below(path, folder)


def _below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/") and path != folder


def _is_place(path: str, kept: Iterable[str]) -> bool:
    """A real folder that is not part of what must stay as it is."""
    return path != "/" and not any(within(path, folder) for folder in kept) and _is_folder(path)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode) and os.path.realpath(path) == path
    except OSError:
        return False


def _covers(outer: str, path: str, hidden: Iterable[str]) -> bool:
    return _below(path, outer) and not any(_below(folder, outer) and within(path, folder) for folder in hidden)


def _is_open(path: str, root: str, hidden: Iterable[str], shown: Iterable[str]) -> bool:
    """Whether commands would still reach a file."""
    if within(path, root) or not os.path.lexists(path):
        return False
    if any(within(path, folder) for folder in shown):
        return True
    return not any(within(path, folder) for folder in hidden)


def _neighbours(top: str) -> list[str]:
    """The folder that holds the workspace's repository, and with it other projects."""
    parent = os.path.dirname(top)
    first = parent.split("/")[1] if parent != "/" else ""
    return [] if parent in _SHARED or first in _SYSTEM else [parent]


def _needed(trees: GitTrees, home: str, *, network: bool) -> list[str]:
    """Interpreters, programs, packages and our own code, wherever they are."""
    found = [sys.prefix, sys.base_prefix, str(_PACKAGE), *sys.path, str(trees.listing.top), str(trees.layout.git)]
    found += [f"{home}/{name}" for name in _OF_TOOLS]
    for name in _VARIABLES:
        for path in os.environ.get(name, "").split(os.pathsep):
            if path.startswith("/"):
                found += [path, os.path.dirname(path)] if _is_prefix(path, home) else [path]
    for option in trees.listing.options:
        found.append(os.path.expanduser(option.partition("=")[2]))
    prefixes = [sys.prefix, os.environ.get("VIRTUAL_ENV", ""), os.environ.get("CONDA_PREFIX", "")]
    prefixes += [str(trees.root / name) for name in (".venv", "venv")]
    prefixes += made_prefixes(trees.root, os.environ)
    for prefix in prefixes:
        found += installed_elsewhere(prefix)
    if network:
        found.append(os.path.realpath("/etc/resolv.conf"))
    return found


def _is_prefix(path: str, home: str) -> bool:
    """A folder of programs whose packages lie beside it."""
    parent = os.path.dirname(path)
    return os.path.basename(path) == "bin" and parent not in (home, f"{home}/.local", f"{home}/.cargo", "/")
