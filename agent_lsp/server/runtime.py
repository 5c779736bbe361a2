"""Owns the edge's end of one runtime process: started at need, watched, told to stop, killed if it must be."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from agent_lsp.domain.errors import AgentLspError, LinkClosedError
from agent_lsp.link.peer import EventHandler, Handler, Peer

logger = logging.getLogger(__name__)

_DRAIN_S: Final = 1.0
"""How long what a dead process has written may take to be read."""

STOP_S: Final = 1.2
"""How long a runtime may take to end its runs before it is killed."""

_REAP_S: Final = 0.1
"""How long a killed process may take to be gone. `wait` of asyncio also waits for whoever holds its pipes."""


class RuntimeProcess(Protocol):
    """A started runtime. `reader` must have `peer.LINE_LIMIT_BYTES` as its limit. Adapter: app/edge.py."""

    @property
    def reader(self) -> asyncio.StreamReader: ...

    @property
    def writer(self) -> asyncio.StreamWriter: ...

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int:
        """The exit status, negative for a signal; may be awaited by several."""
        ...

    def kill(self) -> None:
        """Ends it at once; nothing happens when it is gone already."""
        ...


class Runtime:
    """One workspace folder's runtime, running or not."""

    def __init__(
        self,
        start: Callable[[], Awaitable[RuntimeProcess]],
        handlers: Mapping[str, Handler],
        on_event: EventHandler,
        on_death: Callable[[int], None],
    ) -> None:
        self._start, self._handlers = start, handlers
        self._on_event, self._on_death = on_event, on_death
        self._peer: Peer | None = None
        self._process: RuntimeProcess | None = None
        self._starting: asyncio.Task[Peer] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def running(self) -> bool:
        """Whether there is a process to talk to."""
        return self._peer is not None

    async def call(self, name: str, args: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        """Starts the runtime if it is not running, and calls it; the time-out covers both.

        Raises what Peer.call raises, or what starting raised.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        async with asyncio.timeout_at(until):
            peer = await self._reach()
        return await peer.call(name, args, timeout_s=max(until - loop.time(), 0.05))

    async def stop(self, grace_s: float = STOP_S) -> None:
        """Tells the runtime to end, waits so long, then kills it; may be called again to hurry.

        No runtime is left when this returns, whoever else may hold its pipes.
        """
        self._stopping = True
        until = asyncio.get_running_loop().time() + grace_s
        if self._starting is not None:
            await asyncio.wait([self._starting], timeout=grace_s)
        process, peer = self._process, self._peer
        if process is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                if peer is not None:
                    with contextlib.suppress(AgentLspError):
                        await peer.call("stop", {}, timeout_s=grace_s)
                await process.wait()
        process.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _REAP_S)
        if self._watching is not None:
            await asyncio.wait([self._watching], timeout=min(grace_s, _DRAIN_S))

    async def _reach(self) -> Peer:
        if self._stopping:
            raise LinkClosedError("the server is shutting down")
        if self._peer is not None:
            return self._peer
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._launch())
            self._starting.add_done_callback(self._launched)
        return await asyncio.shield(self._starting)

    async def _launch(self) -> Peer:
        process = await self._start()
        peer = Peer(process.reader, process.writer, self._handlers, self._on_event)
        self._process, self._peer = process, peer
        logger.info("started a runtime, process %d", process.pid)
        self._watching = asyncio.get_running_loop().create_task(self._watch(process, peer))
        return peer

    def _launched(self, task: asyncio.Task[Peer]) -> None:
        self._starting = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the runtime could not be started: %s", error)

    async def _watch(self, process: RuntimeProcess, peer: Peer) -> None:
        serving = asyncio.ensure_future(peer.serve())
        waiting = asyncio.ensure_future(process.wait())
        await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([serving, waiting], timeout=_DRAIN_S)
        if not waiting.done():  # it closed the link and stays
            process.kill()
        status = await waiting
        peer.close()
        serving.cancel()
        await asyncio.wait([serving])
        self._peer = self._process = None
        if not self._stopping:
            self._on_death(status)
