"""Owns compiled code between runs: what a run of an unchanged tree compiled is lent to runs of its changes."""

import asyncio
import hashlib
import logging
import os
import shutil
from pathlib import Path
from typing import Final

from agent_lsp.domain.baseline import BaselineKey
from agent_lsp.domain.ports import Candidate, SandboxKind
from agent_lsp.workspace.runners.injected import bytecode_of, kept_bytecode_of

logger = logging.getLogger(__name__)

_KEPT: Final = 3
_MOST_BYTES: Final = 80 << 20


class BytecodePacks:
    """One file for each unchanged tree and environment; the last few are kept.

    A pack is used for changes of the very tree that made it, so that what its tests could put into it reaches nothing
    that does not hold those tests anyway. Only where candidates show the workspace at its own path: elsewhere compiled
    code would name files that are not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def lend(self, key: BaselineKey, candidate: Candidate) -> None:
        """Puts the pack of a tree where the candidate's runs find it. Never raises for the disk."""
        if candidate.kind is not SandboxKind.CLONE:
            await asyncio.to_thread(_copy, self._file(key), bytecode_of(candidate))

    async def take(self, key: BaselineKey, candidate: Candidate) -> None:
        """Keeps what a run of the unchanged tree compiled."""
        if candidate.kind is not SandboxKind.CLONE:
            await asyncio.to_thread(self._keep, self._file(key), kept_bytecode_of(candidate))

    def _file(self, key: BaselineKey) -> Path:
        name = hashlib.sha256(f"{key.tree}\0{key.environment}".encode()).hexdigest()[:32]
        return self._folder / name

    def _keep(self, file: Path, made: Path) -> None:
        try:
            if not made.is_file() or made.is_symlink() or made.stat().st_size > _MOST_BYTES:
                return
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = file.with_name(f".{file.name}.{os.getpid()}")
            shutil.copyfile(made, draft, follow_symlinks=False)
            draft.replace(file)
            ranked = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in ranked[_KEPT:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            logger.info("compiled code could not be kept: %s", error)


def _copy(file: Path, into: Path) -> None:
    try:
        shutil.copyfile(file, into)
        os.utime(file)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.info("compiled code could not be lent: %s", error)
