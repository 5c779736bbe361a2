"""Owns the watch over what a verdict rests on: which files moved, told at once, tested again after a pause."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.task import RunState
from agent_lsp.domain.text import encode_like
from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import Desk, tell
from agent_lsp.server.documents import Document, LineChange
from agent_lsp.server.session import Session
from agent_lsp.server.threads import in_thread

_DEBOUNCE_S: Final = 0.1
_REVALIDATE_AFTER_S: Final = 1.0
_SEARCH_LINES: Final = 2000

_WATCHED_STATES: Final = (RunState.PROPOSED, RunState.VALIDATING, RunState.BLOCKED, RunState.PAUSED, RunState.FAILED)
"""While a run applies its change, the files move because of it."""


class Staleness:
    """Compares hashes in threads, off the path of keystrokes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pending: dict[tuple[Path, str], set[str]] = {}
        self._checks: dict[tuple[Path, str], asyncio.TimerHandle] = {}
        self._retests: dict[tuple[Path, str], asyncio.TimerHandle] = {}
        self._held: set[tuple[Path, str]] = set()
        session.listeners.on_text(self._on_text)
        session.listeners.on_event(self._on_event)

    def file_moved(self, path: Path) -> None:
        """A file changed on disk, or may have."""
        desk = self._session.folders.desk_of(path)
        if desk is not None and self._session.documents.at(path) is None:
            relative = desk.relative(path) or "."
            for card in desk.board.open_cards():
                if relative in card.witness:
                    self._held.discard((desk.root, card.id))
            self._touch(desk, [relative])

    def _on_text(self, desk: Desk, document: Document, changes: Sequence[LineChange]) -> None:
        path = desk.relative(document.path) if document.path is not None else None
        if path is None:
            return
        for card in desk.board.open_cards():
            if changes and path in card.witness:
                self._held.discard((desk.root, card.id))
            inside = [place.follow_all(changes) for place in card.places.values() if place.path == path]
            if any(inside):
                self._session.listeners.changed(desk)  # an edit inside a change is shown at once
        self._touch(desk, [path])

    def _on_event(self, desk: Desk, event: str, data: Json) -> None:
        if event == "ready" and isinstance(data.get("revalidateAfterS"), int | float):
            desk.revalidate_after_s = float(data["revalidateAfterS"])
        elif event == "proposal":
            card = desk.board.cards.get(str(data.get("proposalId")))
            if card is not None:
                self._relocate(desk, card)
                self._touch_open(desk, card)
        elif event == "work_over" and data.get("work") == "revalidate" and data.get("cancelled") is True:
            self._hold((desk.root, str(data.get("proposalId"))))
        elif event == "proposal_closed":
            key = (desk.root, str(data.get("proposalId")))
            self._cancel(key)
            self._pending.pop(key, None)
            self._held.discard(key)
        elif event == "gone":
            self._forget(desk)
        elif event == "run" and data.get("state") == RunState.PROPOSED:
            for card in desk.board.open_cards():
                if card.run_id == data.get("runId"):
                    self._touch_open(desk, card)

    def _touch_open(self, desk: Desk, card: Card) -> None:
        self._touch(desk, [path for path, _ in self._session.documents_of(desk)], only=card)

    def _touch(self, desk: Desk, paths: Collection[str], *, only: Card | None = None) -> None:
        loop = asyncio.get_running_loop()
        for card in [only] if only is not None else desk.board.open_cards():
            witnessed = [path for path in paths if path in card.witness]
            if not witnessed:
                continue
            key = (desk.root, card.id)
            self._pending.setdefault(key, set()).update(witnessed)
            _drop(self._checks, key)
            self._checks[key] = loop.call_later(_DEBOUNCE_S, self._check_soon, desk, card.id)
            if only is not None and only.data.get("trouble"):
                continue  # what does not fit is tried again once the text moves, not because that was told
            _drop(self._retests, key)
            after_s = self._revalidate_after_s(desk)
            if after_s > 0 and key not in self._held:
                delay_s = max(after_s, _DEBOUNCE_S)
                self._retests[key] = loop.call_later(delay_s, self._retest_soon, desk, card.id)

    def _cancel(self, key: tuple[Path, str]) -> None:
        for handles in (self._checks, self._retests):
            _drop(handles, key)

    def _hold(self, key: tuple[Path, str]) -> None:
        """The person stopped the test: it is not begun again by itself until something moves again."""
        self._held.add(key)
        _drop(self._retests, key)

    def _forget(self, desk: Desk) -> None:
        """The proposals of a runtime end with it."""
        for key in [key for key in {*self._checks, *self._retests, *self._pending, *self._held} if key[0] == desk.root]:
            self._cancel(key)
            self._pending.pop(key, None)
            self._held.discard(key)

    def _check_soon(self, desk: Desk, proposal_id: str) -> None:
        self._checks.pop((desk.root, proposal_id), None)
        self._session.client.in_background(self._check(desk, proposal_id))

    def _retest_soon(self, desk: Desk, proposal_id: str) -> None:
        self._retests.pop((desk.root, proposal_id), None)
        self._session.client.in_background(self._retest(desk, proposal_id))

    async def _retest(self, desk: Desk, proposal_id: str) -> None:
        await self._check(desk, proposal_id)
        card = desk.board.cards.get(proposal_id)
        if card is None or not card.open or not card.moved or (desk.root, proposal_id) in self._held:
            return
        if desk.board.state_of(card.run_id) == RunState.PROPOSED:
            await tell(desk, "revalidate", {"proposalId": proposal_id})

    async def _check(self, desk: Desk, proposal_id: str) -> None:
        card = desk.board.cards.get(proposal_id)
        paths = self._pending.pop((desk.root, proposal_id), set())
        if card is None or not card.open or not paths or desk.board.state_of(card.run_id) not in _WATCHED_STATES:
            return
        texts = {path: self._text(desk, path) for path in paths}
        witness = dict(card.witness)
        moved = await in_thread(lambda: _moved(desk.root, texts, witness))
        card = desk.board.cards.get(proposal_id)
        if card is None or card.witness != witness:
            return  # another proposal took its place; its own event has asked for a check
        card.moved = (card.moved - paths) | moved
        shown = any(place.touched for place in card.places.values())
        if not card.moved:
            card.reset_places()
            if shown and card.moved == card.told:  # taken back before anybody was told
                self._session.listeners.changed(desk)
        if card.moved != card.told:
            card.told = card.moved
            card.data = {**card.data, "stale": bool(card.moved)}
            self._session.listeners.changed(desk)
            await tell(desk, "stale", {"proposalId": proposal_id, "paths": sorted(card.moved)})
        elif not card.moved and card.data.get("stale"):  # the runtime found that by itself, and sees whether it is over
            await tell(desk, "stale", {"proposalId": proposal_id, "paths": []})

    def _text(self, desk: Desk, path: str) -> str | None:
        document = self._session.document(desk, path)
        return None if document is None else document.text

    def _revalidate_after_s(self, desk: Desk) -> float:
        section = self._session.settings.get("proposal")
        value: Any = section.get("revalidate_after_s") if isinstance(section, Mapping) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        return _REVALIDATE_AFTER_S if desk.revalidate_after_s is None else desk.revalidate_after_s

    def _relocate(self, desk: Desk, card: Card) -> None:
        """The person may have typed since the base was taken: finds the hunks in the text as it is."""
        for row, hunk in card.hunks():
            document = self._session.document(desk, str(row.get("path")))
            place = card.places.get(str(hunk.get("id")))
            if document is not None and place is not None and not place.touched:
                found = find_lines(document.lines, str(hunk.get("oldText", "")), place.start, place.end - place.start)
                if found is not None:
                    place.start, place.end = found, found + place.end - place.start


def _drop(handles: dict[tuple[Path, str], asyncio.TimerHandle], key: tuple[Path, str]) -> None:
    handle = handles.pop(key, None)
    if handle is not None:
        handle.cancel()


def find_lines(lines: Sequence[str], old_text: str, start: int, count: int) -> int | None:
    """Where `count` lines that make `old_text` are, nearest to `start`; None if they are not there."""
    if not count:
        return min(start, len(lines))
    for distance in range(_SEARCH_LINES):
        for at in {start - distance, start + distance}:
            if 0 <= at <= len(lines) - count and "".join(lines[at : at + count]) == old_text:
                return at
    return None


def _moved(root: Path, texts: Mapping[str, str | None], witness: Mapping[str, str]) -> frozenset[str]:
    return frozenset(path for path, text in texts.items() if witness.get(path) not in _hashes(root / path, text))


def _hashes(path: Path, text: str | None) -> set[str]:
    """What a witness of this file may be now: of the buffer if it is open, else of what is on disk."""
    disk: bytes | None = None
    with contextlib.suppress(OSError):
        disk = path.read_bytes()
    if text is not None:
        return {_sha256(encode_like(text, disk))}
    hashes = {"", _sha256(b"")} if disk is None else {_sha256(disk)}
    with contextlib.suppress(OSError):
        hashes.add(_sha256(os.fsencode(path.readlink())))
    return hashes


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
