"""Owns the moment of writing: one at a time in this process and of all, and never on top of what a crash left."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

from agent_lsp.agent.recovery import take_back
from agent_lsp.agent.rollback import listed
from agent_lsp.agent.shelf import ReviewPorts
from agent_lsp.domain.errors import AgentLspError

_TOLD: Final = 20

logger = logging.getLogger(__name__)


class Writing:
    """Who changes the person's files holds this, whatever for."""

    def __init__(self, ports: ReviewPorts) -> None:
        self._ports = ports
        self.lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def alone(self, *, mend: bool = True) -> AsyncIterator[None]:
        """Nobody else writes meanwhile. Raises RefusedError where another process does so for long.

        With `mend`, what a process that is gone left half written is taken back first.
        """
        async with contextlib.AsyncExitStack() as stack:
            if self._ports.turn is not None:
                await stack.enter_async_context(self._ports.turn.taken())
            await stack.enter_async_context(self.lock)  # last: who closes waits for a writer, not for another process
            if mend:
                await self._mend()
            yield
        if mend:
            await self.tell()

    async def tell(self) -> None:
        """Publishes what can be taken back now."""
        try:
            rows = await self._ports.checkpoints.rows()
        except AgentLspError as error:
            logger.warning("the checkpoints could not be read: %s", error.message)
            return
        self._ports.publish("checkpoints", {"checkpoints": listed(rows)[:_TOLD]})

    async def _mend(self) -> None:
        found = await take_back(self._ports.hands)
        if found.message:
            logger.warning(found.message)
            self._ports.publish("message", {"level": "warning", "text": found.message})
