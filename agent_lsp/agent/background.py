"""Owns work that goes on behind proposals: one piece for each, bound to the tree that was tested."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Tasks by proposal. One that ended is forgotten."""

    def __init__(self) -> None:
        self._by_proposal: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def tree_of(self, proposal_id: str) -> str | None:
        """The tree that the work for this proposal is about; None where nothing goes on."""
        known = self._by_proposal.get(proposal_id)
        return None if known is None else known[0]

    def begin(self, proposal_id: str, tree: str, work: Coroutine[Any, Any, None]) -> None:
        """Starts work, in the place of what goes on for this proposal."""
        self.cancel(proposal_id)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        self._by_proposal[proposal_id] = (tree, task)
        task.add_done_callback(lambda done: self._forget(proposal_id, done))

    def cancel(self, proposal_id: str) -> None:
        """Stops what goes on for it."""
        if (known := self._by_proposal.pop(proposal_id, None)) is not None:
            known[1].cancel()

    async def over(self, proposal_id: str, within_s: float | None = None) -> None:
        """Returns once the work for it has ended, at once where there is none, and after this time in any case."""
        if (known := self._by_proposal.get(proposal_id)) is not None:
            await asyncio.wait({known[1]}, timeout=within_s)

    async def close(self) -> None:
        """Stops everything."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, proposal_id: str, done: "asyncio.Task[None]") -> None:
        self._tasks.discard(done)
        if (known := self._by_proposal.get(proposal_id)) is not None and known[1] is done:
            del self._by_proposal[proposal_id]
