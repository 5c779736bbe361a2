"""Owns who is told what inside the edge: features listen here and do not know each other."""

import logging
from collections.abc import Callable, Sequence
from typing import ParamSpec

from agent_lsp.server.board import Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.documents import Document, LineChange

P = ParamSpec("P")

logger = logging.getLogger(__name__)

EventListener = Callable[[Desk, str, Json], None]
ChangeListener = Callable[[Desk], None]
TextListener = Callable[[Desk, Document, Sequence[LineChange]], None]


class Listeners:
    """Called in the order of registration. What one of them raises is logged, and keeps it from none of the others."""

    def __init__(self) -> None:
        self._on_event: list[EventListener] = []
        self._on_change: list[ChangeListener] = []
        self._on_text: list[TextListener] = []

    def on_event(self, listener: EventListener) -> None:
        """Called for every event of a runtime, after the board has taken it, in the order of registration."""
        self._on_event.append(listener)

    def on_change(self, listener: ChangeListener) -> None:
        """Called when what is shown of a folder may have changed."""
        self._on_change.append(listener)

    def on_text(self, listener: TextListener) -> None:
        """Called when an open document of a folder was opened, changed (with its changes) or closed."""
        self._on_text.append(listener)

    def changed(self, desk: Desk) -> None:
        """Tells the listeners that the board of a folder changed."""
        for listener in self._on_change:
            _tell(listener, desk)

    def announce(self, desk: Desk, event: str, data: Json) -> None:
        """An event for the listeners, from the runtime or in its place; `gone` says that the runtime has ended."""
        for listener in self._on_event:
            _tell(listener, desk, event, data)

    def text_changed(self, desk: Desk, document: Document, changes: Sequence[LineChange]) -> None:
        """Tells the listeners that a document was opened, changed or closed."""
        for listener in self._on_text:
            _tell(listener, desk, document, changes)


def _tell(listener: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    try:
        listener(*args, **kwargs)
    except Exception:
        logger.exception("a listener of the edge failed, the others go on")
