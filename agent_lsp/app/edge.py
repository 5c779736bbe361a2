"""Owns the wiring of the edge: how it starts a runtime, reads the log, and what loads after `initialize`.

Only light modules are imported at the top: this one stands between the shell and the reply to `initialize`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent_lsp.server.main import EdgeDependencies, serve_listening, serve_stdio

if TYPE_CHECKING:
    from agent_lsp.server.address import Listening
    from agent_lsp.server.runtime import RuntimeProcess

CLIENT_SETTINGS: Final = "AGENT_LSP_CLIENT"
"""Environment variable that hands the editor's settings to the runtime, as JSON."""

_EXIT_USAGE: Final = 2


def serve(version: str) -> int:
    """Serves one editor over stdin and stdout; the exit status of the process."""
    return serve_stdio(_dependencies(version))


def serve_clients(version: str, listening: "Listening") -> int:
    """Serves every client that connects, until a signal; the exit status of the process."""
    from agent_lsp.server.address import AddressError

    try:
        return serve_listening(_dependencies(version), listening)
    except AddressError as error:
        print(f"agent-lsp serve: {error}", file=sys.stderr)
        return _EXIT_USAGE


def _dependencies(version: str) -> EdgeDependencies:
    return EdgeDependencies(
        start_runtime=_start_runtime,
        read_log=_read_log,
        on_initialized=_load_the_rest,
        version=version,
        begin_session=_begin_session,
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

    argv = [sys.executable, "-P", "-m", "agent_lsp", "runtime", "--root", str(root)]
    environment = {**os.environ, CLIENT_SETTINGS: json.dumps(dict(settings))}
    return _Child(await start_piped(argv, env=environment, cwd=root))


def _read_log(root: Path, lines: int, errors_only: bool) -> tuple[str, str]:
    from agent_lsp.app.past import log_path
    from agent_lsp.storage.log_reader import read_tail

    path = log_path(root)
    return read_tail(path, lines, errors_only), str(path)


def _begin_session() -> Callable[[], None]:
    from agent_lsp.app.edge_log import install_edge_log

    log = install_edge_log()
    session = log.begin()
    return lambda: log.end(session)


def _load_the_rest(roots: list[Path], _options: Any) -> None:
    """Sends the session's log to the first root's console log. Runs in a thread, in the session's context."""
    from agent_lsp.app.edge_log import install_edge_log

    log = install_edge_log()
    if roots:
        log.open(roots[0])
    else:
        log.settle_without_a_log()
