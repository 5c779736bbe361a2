"""Owns one workspace folder at the edge: its board, its runtime, and the calls that nobody waits for."""

import asyncio
import logging
import time
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


_RESTART_S: Final = 20.0
"""A runtime that dies again within so many seconds is not started by itself."""


class Desk:
    """One workspace folder at the edge."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._within = root.as_posix().rstrip("/") + "/"
        self.board = Board()
        self.runtime: Runtime
        self.revalidate_after_s: float | None = None
        self.starting: dict[str, asyncio.Task[Any]] = {}
        self._restarted_s = -_RESTART_S
        self.given_up: set[str] = set()
        """Runs that were cancelled before the runtime said that it took them; what it says of them is not shown."""

    def may_restart(self) -> bool:
        """Whether a runtime that died is started again by itself: not one that dies over and over."""
        now_s = time.monotonic()
        soon = now_s - self._restarted_s < _RESTART_S
        self._restarted_s = now_s
        return not soon

    def path(self, relative: str) -> Path:
        """The absolute path of a POSIX path relative to the root."""
        return self.root / PurePosixPath(relative)

    def relative(self, path: Path) -> str | None:
        """POSIX and relative to the root; None if it lies elsewhere."""
        text = path.as_posix()
        if text.startswith(self._within):
            return text[len(self._within) :]
        return "." if path == self.root else None


async def control(desk: Desk, run_id: str, action: str, *, timeout_s: float) -> Mapping[str, Any]:
    """Steers a run. One that the runtime has not taken yet is cancelled here, whatever the runtime does."""
    starting = desk.starting.get(run_id)
    if starting is not None and action == "cancel":
        starting.cancel()
        return {"state": RunState.CANCELLED.value}
    return await desk.runtime.call("control", {"runId": run_id, "action": action}, timeout_s=timeout_s)


async def disown(desk: Desk, run_id: str) -> None:
    """Makes sure that a run which was given up at its start does not go on in the runtime, if that took it."""
    desk.given_up.add(run_id)
    try:
        if desk.runtime.running:
            await desk.runtime.call("control", {"runId": run_id, "action": "cancel"}, timeout_s=START_S)
    except (AgentLspError, TimeoutError) as error:
        logger.info("the run %s that was given up: %s", run_id, error or "no answer in time")
    finally:
        desk.given_up.discard(run_id)


async def cancel(desk: Desk, run_id: str) -> None:
    """Cancels a run for a person who does not wait for an answer; what goes wrong is logged.

    Where its change is on offer and is only being tested again or applied, that alone is ended.
    """
    card = desk.board.cards.get(str(desk.board.runs.get(run_id, {}).get("proposalId")))
    if card is not None and card.open and desk.board.state_of(run_id) in (RunState.VALIDATING, RunState.APPLYING):
        await tell(desk, "abandon", {"proposalId": card.id})
        return
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
