"""Owns the seam of what all runtimes of a person share: how many of their runs work at the same time."""

from collections.abc import Callable
from typing import Protocol

Release = Callable[[], None]
"""Gives a slot back; safe to repeat."""


class Slots(Protocol):
    """The slots of one machine. Adapter: workspace/slots.py."""

    def try_take(self) -> Release | None:
        """A slot, if one is free and nobody waits for it."""
        ...

    async def take(self) -> Release:
        """A slot, once it is this runtime's turn; each runtime waits for one at a time."""
        ...
