"""Owns the wiring of the edge: how it starts a runtime, reads the log, and what loads after `initialize`.

Only light modules are imported at the top: this one stands between the shell and the reply to `initialize`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent_lsp.server.main import EdgeDependencies, serve_stdio

if TYPE_CHECKING:
    from agent_lsp.server.runtime import RuntimeProcess

CLIENT_SETTINGS: Final = "AGENT_LSP_CLIENT"
"""Environment variable that hands the editor's settings to the runtime, as JSON."""


def serve(version: str) -> int:
    """Serves one editor over stdin and stdout; the exit status of the process."""
    return serve_stdio(
        EdgeDependencies(
            start_runtime=_start_runtime, read_log=_read_log, on_initialized=_load_the_rest, version=version
        )
    )


@dataclass(frozen=True, slots=True)
class _Child:
    """A runtime process as the edge sees it."""

    process: asyncio.subprocess.Process

    @property
    def reader(self) -> asyncio.StreamReader:
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def writer(self) -> asyncio.StreamWriter:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def pid(self) -> int:
        return self.process.pid

    async def wait(self) -> int:
        return await self.process.wait()

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()


async def _start_runtime(root: Path, settings: Mapping[str, Any]) -> "RuntimeProcess":
    from agent_lsp.workspace.process import start_piped

    argv = [sys.executable, "-m", "agent_lsp", "runtime", "--root", str(root)]
    environment = {**os.environ, CLIENT_SETTINGS: json.dumps(dict(settings))}
    return _Child(await start_piped(argv, env=environment, cwd=root))


def _read_log(root: Path, lines: int, errors_only: bool) -> tuple[str, str]:
    from agent_lsp.app.past import log_path
    from agent_lsp.storage.log_reader import read_tail

    path = log_path(root)
    return read_tail(path, lines, errors_only), str(path)


def _load_the_rest(roots: list[Path], _options: Any) -> None:
    """Sends the edge's own log to the first root's console log. Runs in a thread."""
    from agent_lsp.app.logs import start_log

    if roots:
        start_log(roots[0], "edge")
