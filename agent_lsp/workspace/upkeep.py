"""Owns the hourly look at the cache, which is tidied by a process of its own."""

import asyncio
import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_lsp.workspace import process
from agent_lsp.workspace.layout import Layout
from agent_lsp.workspace.tidying import STAMP

_EVERY_S: Final = 3600.0
_TIMEOUT_S: Final = 600.0
_PACKAGE: Final = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class Upkeep:
    """Keeps the caches of all workspaces together below a size (None: no bound), from beside the work."""

    layout: Layout
    max_bytes: int | None
    _task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Looks once an hour whether something must go."""
        if self._task is None:
            self._task = asyncio.create_task(self._hourly())

    async def end(self) -> None:
        """Stops looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _hourly(self) -> None:
        while True:
            if await asyncio.to_thread(_is_due, self.layout.cache.parent):
                await self.now()
            await asyncio.sleep(_EVERY_S)

    async def now(self, free_bytes: int = 0) -> None:
        """Tidies at once; with `free_bytes`, until so much is free on the disk or nothing is left that may go."""
        code = (
            f"import sys; sys.path.insert(0, {str(_PACKAGE)!r}); from agent_lsp.workspace.tidying import main; main()"
        )
        bound = "-" if self.max_bytes is None else str(self.max_bytes)
        argv = [sys.executable, "-I", "-S", "-c", code, str(self.layout.cache.parent), bound, str(free_bytes)]
        with contextlib.suppress(OSError):
            await process.run(process.Start(argv, Path("/"), os.environ, timeout_s=_TIMEOUT_S))


def _is_due(caches: Path) -> bool:
    """Whether nobody has tidied for an hour; a folder that is met for the first time has time."""
    stamp = caches / STAMP
    try:
        if stamp.exists():
            return time.time() - stamp.stat().st_mtime > _EVERY_S
        stamp.touch(mode=0o600)
    except OSError:
        return False
    return False
