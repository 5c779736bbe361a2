"""Owns every call of git: a clean environment in which nothing that a person configured can run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from agent_lsp.domain.errors import SnapshotError
from agent_lsp.workspace import process

_FIXED: Final = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_PAGER": "cat",
    "GIT_ASKPASS": "true",
    "LC_ALL": "C",
}
SAFE_OPTIONS: Final = (
    "--no-pager",
    "-c",
    "core.fsmonitor=false",
    "-c",
    f"core.hooksPath={os.devnull}",
    "-c",
    "core.untrackedCache=false",
    "-c",
    "core.quotePath=false",
    "-c",
    "core.protectNTFS=false",
    "-c",
    "core.protectHFS=false",
    "-c",
    "core.autocrlf=false",
    "-c",
    "core.symlinks=true",
    "-c",
    "core.fileMode=true",
    "-c",
    "core.ignoreCase=false",
    "-c",
    "core.precomposeUnicode=false",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "safe.directory=*",
)
_KEPT: Final = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CONFIG_HOME", "SystemRoot")

RAW_ATTRIBUTES: Final = "* -text -filter -ident -working-tree-encoding -eol -export-subst\n"
"""Laid over every .gitattributes of the workspace, so that bytes pass through git unchanged."""


def clean_env(extra: Mapping[str, str]) -> dict[str, str]:
    """An environment for git with nothing of the person's in it but where programs and home are."""
    env = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**env, **_FIXED, **extra}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of git: arguments, extra environment, input."""

    args: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes | IO[bytes] | None = None
    ok: Sequence[int] = (0,)
    timeout_s: float = 300.0


async def run(call: Call) -> bytes:
    """Standard output. Raises SnapshotError when git is missing, fails or takes too long."""
    return (await run_status(call))[1]


async def run_status(call: Call) -> tuple[int, bytes]:
    """Exit status (one of `call.ok`) and standard output. Raises SnapshotError as `run` does."""
    start = process.Start(
        ("git", *SAFE_OPTIONS, *call.args), call.cwd, clean_env(call.env), call.stdin, call.timeout_s, 1 << 40
    )
    try:
        done = await process.run(start)
    except OSError as error:
        raise SnapshotError(f"git could not be started: {error}", hint="Install git and put it on PATH.") from error
    if done.status is None:
        raise SnapshotError(f"git {call.args[0]} took longer than {call.timeout_s:.0f} s and was stopped")
    if done.status not in call.ok:
        raise SnapshotError(f"git {call.args[0]} failed ({done.status}): {done.error_text or 'no message'}")
    return done.status, done.out


async def person_config(folder: Path, key: str) -> str:
    """A setting as the person's own git sees it in this folder; empty where there is none."""
    env = {name: os.environ[name] for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM") if name in os.environ}
    everything = clean_env({})
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        everything.pop(name, None)
    start = process.Start(
        ("git", "-c", "safe.directory=*", "config", "--includes", "--type=path", "--get", key),
        folder,
        {**everything, **env},
        timeout_s=30.0,
    )
    done = await process.run(start)
    return os.fsdecode(done.out).rstrip("\n") if done.status == 0 else ""


@dataclass(frozen=True, slots=True)
class PrivateGit:
    """Our own bare git directory, in the cache. Raw bytes in, raw bytes out."""

    folder: Path

    async def prepare(self) -> None:
        """Makes the directory if it is not there or is broken."""
        info = self.folder / "info"
        if not (self.folder / "HEAD").exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            args = ("init", "--quiet", "--bare", "--template=", "--object-format=sha1", str(self.folder))
            await run(Call(args, self.folder))
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text(RAW_ATTRIBUTES, encoding="ascii")

    def env(self, work_tree: Path, index: Path | None = None) -> dict[str, str]:
        """The environment that points git at this directory and one working tree."""
        env = {"GIT_DIR": str(self.folder), "GIT_WORK_TREE": str(work_tree)}
        if index is not None:
            env["GIT_INDEX_FILE"] = str(index)
        return env

    async def call(self, *args: str, stdin: bytes | IO[bytes] | None = None) -> bytes:
        """git on the object store alone."""
        return await run(Call(args, self.folder, {"GIT_DIR": str(self.folder)}, stdin))
