"""Owns which Python a workspace's tests run under: found where projects keep it, and asked inside the candidate."""

import json
import os
import shlex
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_lsp.domain.errors import CandidateError, ConfigError
from agent_lsp.domain.ports import Candidate, Command
from agent_lsp.workspace.runners.environments import OF_HATCH, environments

_MARK = "agent-lsp-interpreter:"
_QUESTION = f"""
import sys
if sys.path and sys.path[0] == "": del sys.path[0]
import json, importlib.util
version = ""
if importlib.util.find_spec("pytest") is not None:
    try:
        from importlib.metadata import version as ask
        version = ask("pytest")
    except Exception:
        version = "?"
print({_MARK!r} + json.dumps(dict(python="%d.%d.%d" % sys.version_info[:3], pytest=version, prefix=sys.prefix)))
"""
_OLDEST = (3, 8)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that answered. `shown` is its path as a person knows it; `inside` one below the candidate's root.

    `pytest` is its version, empty when it is not installed; `passed_over` says why earlier finds were not taken.
    `first` are folders below the root that come first on its path.
    """

    shown: str
    origin: str
    inside: bool = False
    python: str = ""
    pytest: str = ""
    passed_over: tuple[str, ...] = ()
    first: tuple[str, ...] = ()

    def program(self, candidate: Candidate) -> str:
        """What to start in this candidate."""
        return f"{candidate.root}/{self.shown}" if self.inside else self.shown

    @property
    def borrowed(self) -> bool:
        """Whether this is agent-lsp's own Python: what is installed there is not the workspace's."""
        return self.origin == _OURS

    @property
    def of_project(self) -> bool:
        """Whether it was made for the project: it lies in its folder, or hatch keeps it for this folder."""
        return self.inside or self.origin.endswith(OF_HATCH)

    def describe(self) -> str:
        """Which Python, from where, with what, and what was passed over on the way."""
        has = f"pytest {self.pytest}" if self.pytest else "no pytest"
        text = f"Python {self.python}, {has}, {self.shown} ({self.origin})"
        before = [f"{', '.join(self.first)} first on its path"] if self.first else []
        return "; ".join([text, *before, *self.passed_over])

    def path_env(self, candidate: Candidate) -> dict[str, str]:
        """The variable that puts `first` on the path, of the processes too that the tests start."""
        if not self.first:
            return {}
        kept = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
        return {"PYTHONPATH": os.pathsep.join([*(f"{candidate.root}/{folder}" for folder in self.first), *kept])}


@dataclass(frozen=True, slots=True)
class Found:
    """What the search came to: the one to use with pytest, the first usable one, and what was said of each."""

    with_pytest: Interpreter | None
    usable: Interpreter | None
    notes: tuple[str, ...] = field(default=())

    def explain(self) -> str:
        """What was looked at, for an error's text."""
        return "; ".join(self.notes) or "no Python was found"

    def hint(self) -> str:
        """What to do so that pytest can be used."""
        if self.usable is None:
            return "Make a virtual environment in .venv, or set tests.interpreter to the project's Python."
        return f"Run `{shlex.quote(self.usable.shown)} -m pip install pytest`, or set tests.interpreter."


async def find_interpreter(candidate: Candidate, setting: str | None = None, root: str = "") -> Found:
    """Asks each likely Python in turn, inside the candidate, until one has pytest.

    A Python that the settings name is the only one asked. `root` is where the person has the workspace, if the
    candidate shows it at another path. Raises ConfigError if that one does not answer.
    """
    notes: list[str] = []
    usable: Interpreter | None = None
    for place in await _places(candidate, setting, root):
        answer = await _ask(candidate, place)
        if isinstance(answer, str):
            if setting:
                raise ConfigError(f"tests.interpreter: {setting} {answer}", hint="Give the path of a Python 3.8+.")
            if place.origin != _OURS:
                notes.append(f"{place.shown} {answer}")
            continue
        answer = _with_notes(answer, notes)
        usable = usable or answer
        if answer.pytest:
            return Found(answer, usable, tuple(notes))
        notes.append(f"{answer.shown} ({answer.origin}) has no pytest")
    return Found(None, usable, tuple(notes))


_OURS = "agent-lsp's own Python, for want of another with pytest"


def _with_notes(found: Interpreter, notes: list[str]) -> Interpreter:
    return Interpreter(found.shown, found.origin, found.inside, found.python, found.pytest, tuple(notes))


async def _places(candidate: Candidate, setting: str | None, root: str) -> list[Interpreter]:
    if setting:
        path = str(Path(setting).expanduser())
        inside = "/" in path and not path.startswith("/")
        return [Interpreter(path, "setting tests.interpreter", inside)]
    places = [
        await _environment(candidate, name, f"the workspace's {name}")
        for name in dict.fromkeys([".venv", "venv", *await _hints(candidate)])
    ]
    places += [Interpreter(*row) for row in await environments(candidate, os.environ, root)]
    if active := os.environ.get("VIRTUAL_ENV"):
        places.append(Interpreter(f"{active}/bin/python", "VIRTUAL_ENV"))
    places += [Interpreter("python3", "PATH"), Interpreter("python", "PATH")]
    places.append(Interpreter(sys.executable, _OURS))
    return [place for place in places if place is not None]


async def _environment(candidate: Candidate, name: str, origin: str) -> Interpreter | None:
    """An environment's Python: a folder in the workspace, a file that names one elsewhere, or an absolute path."""
    if name.startswith("/"):
        return Interpreter(name if "/bin/" in name else f"{name}/bin/python", origin)
    named = await candidate.read(name)
    if named is not None:
        target = named.content.decode(errors="replace").strip()
        return Interpreter(f"{target}/bin/python", origin) if target.startswith("/") else None
    if await candidate.read(f"{name}/pyvenv.cfg") is None and await candidate.read(f"{name}/bin/python") is None:
        return None
    return Interpreter(f"{name}/bin/python", origin, inside=True)


async def _hints(candidate: Candidate) -> list[str]:
    """Environments that the project's own tools write down: pdm, hatch, pyright."""
    hints = []
    pdm = await candidate.read(".pdm-python")
    if pdm is not None:
        hints.append(pdm.content.decode(errors="replace").strip())
    table = await _pyproject(candidate)
    hatch = _dig(table, "tool", "hatch", "envs", "default", "path")
    pyright = _dig(table, "tool", "pyright", "venv")
    if isinstance(hatch, str):
        hints.append(hatch)
    if isinstance(pyright, str):
        folder = _dig(table, "tool", "pyright", "venvPath")
        hints.append(os.path.normpath(f"{folder}/{pyright}" if isinstance(folder, str) else pyright))
    return [hint for hint in hints if hint and not hint.startswith("..")]


async def _pyproject(candidate: Candidate) -> Mapping[str, Any]:
    entry = await candidate.read("pyproject.toml")
    try:
        return tomllib.loads(entry.content.decode()) if entry is not None else {}
    except ValueError:
        return {}


def _dig(table: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(table, Mapping):
            return None
        table = table.get(key)
    return table


async def _ask(candidate: Candidate, place: Interpreter) -> Interpreter | str:
    """The place with its versions, or why it cannot be used."""
    try:
        result = await candidate.run(Command((place.program(candidate), "-c", _QUESTION), timeout_s=20.0))
    except (CandidateError, OSError):
        return "could not be started"
    line = next((row for row in result.output.splitlines() if row.startswith(_MARK)), "")
    try:
        told = json.loads(line.removeprefix(_MARK))
        version = tuple(int(part) for part in told["python"].split(".")[:2])
    except (ValueError, KeyError):
        return "did not answer" if not result.timed_out else "did not answer in 20 s"
    if version < _OLDEST:
        return f"is Python {told['python']}; tests need 3.8 or newer"
    return Interpreter(place.shown, place.origin, place.inside, told["python"], told["pytest"])
