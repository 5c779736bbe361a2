"""Owns one workspace folder at the edge: its board, its runtime, and the calls that nobody waits for."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from agent_lsp.domain.errors import AgentLspError, LinkClosedError
from agent_lsp.domain.task import RunState
from agent_lsp.server.board import Board
from agent_lsp.server.runtime import Runtime

logger = logging.getLogger(__name__)

CALL_S: Final = 1.3
"""Time-out of a call that a command waits for. Runtimes answer within 0.9 s; every command answers within two."""

START_S: Final = 60.0
"""Time-out of a call that may first have to start the runtime and that no command waits for."""


class Desk:
    """One workspace folder at the edge."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.board = Board()
        self.runtime: Runtime
        self.revalidate_after_s: float | None = None
        self.starting: dict[str, asyncio.Task[Any]] = {}

    def path(self, relative: str) -> Path:
        """The absolute path of a POSIX path relative to the root."""
        return self.root / PurePosixPath(relative)

    def relative(self, path: Path) -> str | None:
        """POSIX and relative to the root; None if it lies elsewhere."""
        if path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix()
        return None


async def control(desk: Desk, run_id: str, action: str, *, timeout_s: float) -> Mapping[str, Any]:
    """Steers a run. One that still waits for its runtime to start is cancelled here."""
    starting = desk.starting.get(run_id)
    if starting is not None and action == "cancel" and not desk.runtime.running:
        starting.cancel()
        return {"state": RunState.CANCELLED.value}
    return await desk.runtime.call("control", {"runId": run_id, "action": action}, timeout_s=timeout_s)


async def cancel(desk: Desk, run_id: str) -> None:
    """Cancels a run for a person who does not wait for an answer; what goes wrong is logged."""
    try:
        await control(desk, run_id, "cancel", timeout_s=START_S)
    except (AgentLspError, TimeoutError) as error:
        logger.warning("the run %s could not be cancelled: %s", run_id, error or "no answer in time")


async def tell(desk: Desk, name: str, args: Mapping[str, Any]) -> None:
    """Calls a running runtime for its effect alone; what goes wrong is logged."""
    if not desk.runtime.running:
        return
    try:
        await desk.runtime.call(name, args, timeout_s=START_S)
    except LinkClosedError:
        pass
    except (AgentLspError, TimeoutError) as error:
        logger.warning("the runtime did not take %s: %s", name, error or "no answer in time")
