"""Owns the fingerprint of what a test run depends on besides its tree: Python, distributions, options, variables."""

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent_lsp.domain.ports import Candidate, Command
from agent_lsp.workspace.environment import command_env
from agent_lsp.workspace.runners.interpreter import Interpreter

_MARK: Final = "agent-lsp-environment:"
_QUESTION: Final = f"""
import sys, os, json
if sys.path and sys.path[0] == "": del sys.path[0]
rows = dict(version=sys.version, executable=os.path.realpath(sys.executable), prefix=sys.prefix, path=sys.path)
print({_MARK!r} + json.dumps(rows))
"""
_OF_NO_CONCERN: Final = frozenset({"TMPDIR", "XDG_CACHE_HOME", "TERM", "SHELL", "PWD", "OLDPWD", "SHLVL", "_"})
_DISTRIBUTIONS: Final = (".dist-info", ".egg-info", ".egg-link", ".egg", ".pth")
_INJECTED: Final = Path(__file__).parent / "runners" / "inject"


@dataclass(frozen=True, slots=True)
class _Place:
    """What an interpreter said of itself, good for as long as its own files are the same."""

    version: str
    executable: str
    prefix: str
    path: tuple[str, ...]


@dataclass(slots=True)
class Fingerprints:
    """Fingerprints of the environments that runners of one workspace use. `root` is where the person has it."""

    root: Path
    environ: Mapping[str, str]
    extra: str = ""
    _places: dict[tuple[str, str], _Place] = field(default_factory=dict)
    _injected: str = ""

    def below(self, folder: str) -> "Fingerprints":
        """For a runner whose root is a folder of the workspace."""
        return self if folder == "." else Fingerprints(self.root / folder, self.environ, self.extra)

    async def of(self, interpreter: Interpreter, arguments: tuple[str, ...], candidate: Candidate) -> str | None:
        """None where the interpreter does not answer: nothing is remembered then."""
        program = interpreter.program(candidate)
        own = await asyncio.to_thread(self._own_files, program, candidate.root)
        place = self._places.get((program, own))
        if place is None:
            place = await _ask(candidate, program)
            if place is None:
                return None
            self._places[program, own] = place
        return await asyncio.to_thread(self._digest, place, arguments, candidate)

    def _own_files(self, program: str, candidate_root: str) -> str:
        """The state of the interpreter's own files, as it lies on the person's disk."""
        path = self._live(program, candidate_root)
        return "\n".join([_mark(path), _mark(path.parent.parent / "pyvenv.cfg")])

    def _live(self, path: str, candidate_root: str) -> Path:
        if path.startswith(candidate_root + "/"):
            return self.root / path[len(candidate_root) + 1 :]
        return Path(path)

    def _digest(self, place: _Place, arguments: tuple[str, ...], candidate: Candidate) -> str:
        env = {k: v for k, v in command_env(self.environ, "").items() if k not in _OF_NO_CONCERN}
        rows = [place.version, place.executable, place.prefix, *arguments, candidate.kind.value, self.extra]
        rows += [f"{name}={env[name]}" for name in sorted(env)]
        for folder in place.path:
            rows += [folder, *_distributions(self._live(folder, candidate.root))]
        self._injected = self._injected or _injected()
        rows.append(self._injected)
        return hashlib.sha256("\0".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


async def _ask(candidate: Candidate, program: str) -> _Place | None:
    result = await candidate.run(Command((program, "-c", _QUESTION), timeout_s=20.0))
    line = next((row for row in result.output.splitlines() if row.startswith(_MARK)), "")
    try:
        told = json.loads(line.removeprefix(_MARK))
        outside = [path for path in told["path"] if path and path != candidate.root]
        return _Place(told["version"], told["executable"], told["prefix"], tuple(outside))
    except (ValueError, KeyError, TypeError):
        return None


def _distributions(folder: Path) -> list[str]:
    """What is installed in a folder of `sys.path`; a reinstallation shows in the times."""
    try:
        with os.scandir(folder) as rows:
            found = [row for row in rows if row.name.endswith(_DISTRIBUTIONS)]
        return sorted(f"{row.name} {row.stat().st_mtime_ns}" for row in found)
    except OSError:
        return []


def _mark(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        return "-"
    return f"{stat.st_mtime_ns} {stat.st_size}"


def _injected() -> str:
    """The report's own making: another version of the plugins may tell other things of the same run."""
    digest = hashlib.sha256()
    for path in sorted(_INJECTED.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
