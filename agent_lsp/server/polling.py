"""Owns the watch over files for editors that watch none: what verdicts rest on is looked at every few seconds."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from agent_lsp.server.board import Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.session import Session
from agent_lsp.server.threads import in_thread

POLL_S: Final = 2.0

Stamp = tuple[int, int, int] | None


class Polling:
    """Works only while proposals are on offer, and only where the client does not watch files itself."""

    def __init__(self, session: Session, on_move: Callable[[Path], None]) -> None:
        self._session, self._on_move = session, on_move
        self._known: dict[Path, Stamp] = {}
        self._works = False
        if not session.traits.watch_files:
            session.listeners.on_event(self._on_event)

    def _on_event(self, _desk: Desk, event: str, _data: Json) -> None:
        if event == "proposal" and not self._works:
            self._works = True
            self._session.client.in_background(self._watch())

    async def _watch(self) -> None:
        try:
            while wanted := self._wanted():
                found = await in_thread(partial(_stamps, wanted))
                for path, stamp in found.items():
                    if path in self._known and self._known[path] != stamp:
                        self._on_move(path)
                self._known = dict(found)
                await asyncio.sleep(POLL_S)
        finally:
            self._works = False
            self._known = {}

    def _wanted(self) -> list[Path]:
        """Files of open proposals, without open documents: of these the editor tells."""
        desks = self._session.folders.desks
        paths = {desk.path(name) for desk in desks for card in desk.board.open_cards() for name in card.witness}
        return [path for path in paths if self._session.documents.at(path) is None] if paths else []


def _stamps(paths: list[Path]) -> Mapping[Path, Stamp]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path) -> Stamp:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
