"""Owns `textDocument/codeLens`: what to do above each proposed hunk, and on the first line for the whole proposal."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.task import WORKING, RunState
from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.offer import Offer
from agent_lsp.server.offers import cancel_offer, plan_offers, resume_offers
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.public import in_conflict, shorten, verdict_title
from agent_lsp.server.review_offers import accept, discard, fitting, grouped, retest, show
from agent_lsp.server.session import Session

_SHORT_CHARS: Final = 60


class CodeLenses:
    """Everything comes from the board; the client is asked to come again when it changed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shown: dict[Desk, Any] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._again = False
        session.listeners.on_change(self._on_change)

    def lenses(self, params: types.CodeLensParams) -> list[types.CodeLens] | None:
        """The lenses of a document."""
        located = self._session.folders.try_locate(params.text_document.uri)
        if located is None:
            return None
        desk, path = located
        lenses = [self._lens(0, offer) for offer in self._for_document(desk, path)]
        for card in desk.board.open_cards():
            for row, hunk in card.hunks():
                if row.get("path") == path:
                    line = self._line(desk, card, path, hunk)
                    lenses += [self._lens(line, offer) for offer in _for_hunk(desk, card, hunk)]
        return lenses

    def _lens(self, line: int, offer: Offer) -> types.CodeLens:
        title = offer.short if self._session.traits.short_lenses and offer.short else offer.title
        place = types.Position(line=line, character=0)
        argument = dict(offer.argument)
        return types.CodeLens(
            range=types.Range(start=place, end=place),
            command=types.Command(title=title, command=offer.command, arguments=[argument]),
            data={"title": title, "command": offer.command, "argument": argument},
        )

    def resolve(self, lens: types.CodeLens) -> types.CodeLens:
        """Fills in the command of a lens that a client sent back without it."""
        data: Any = lens.data
        if lens.command is None and isinstance(data, Mapping) and isinstance(data.get("command"), str):
            lens.command = types.Command(
                title=str(data.get("title", "")), command=data["command"], arguments=[data.get("argument") or {}]
            )
        return lens

    def _for_document(self, desk: Desk, path: str) -> Iterator[Offer]:
        board = desk.board
        for card in board.open_cards():
            if any(row.get("path") == path for row in card.files) or board.origins.get(card.run_id) == path:
                yield from _for_card(desk, card, None)
                yield from (offer for offer in grouped(card, board.state_of(card.run_id), path) if not offer.refused)
                yield show(card)
        for row in board.unfinished():
            if board.origins.get(row["runId"]) == path:
                if row.get("state") == RunState.AWAITING_APPROVAL:
                    yield from plan_offers(row)
                elif row.get("state") == RunState.PAUSED:
                    yield from (*resume_offers(row), cancel_offer(row))
                elif row.get("state") in WORKING:
                    yield cancel_offer(row)

    def _line(self, desk: Desk, card: Card, path: str, hunk: Json) -> int:
        place = card.places.get(str(hunk.get("id")))
        document = self._session.document(desk, path)
        line = place.start if place is not None else int(hunk.get("startLine", 0))
        return line if document is None else min(line, len(document.lines) - 1)

    def _on_change(self, desk: Desk) -> None:
        if not self._session.traits.lens_refresh:
            return
        shown = _signature(desk)
        if self._shown.get(desk) == shown:
            return
        self._shown[desk] = shown
        if self._refreshing is not None and not self._refreshing.done():
            self._again = True
            return
        self._refreshing = self._session.client.in_background(self._refresh())

    async def _refresh(self) -> None:
        while True:
            self._again = False
            try:
                await self._session.client.ask(types.WORKSPACE_CODE_LENS_REFRESH, None)
            except (AgentLspError, TimeoutError):
                return
            if not self._again:
                return


def register(server: EdgeServer, session: Session) -> None:
    """Registers the feature."""
    lenses = CodeLenses(session)

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS)
    def code_lens(params: types.CodeLensParams) -> list[types.CodeLens] | None:
        return lenses.lenses(params)

    @server.feature(types.CODE_LENS_RESOLVE)
    def resolve(lens: types.CodeLens) -> types.CodeLens:
        return lenses.resolve(lens)


def _for_hunk(desk: Desk, card: Card, hunk: Json) -> Iterator[Offer]:
    yield from _for_card(desk, card, hunk)
    yield show(card)


def _for_card(desk: Desk, card: Card, hunk: Json | None) -> Iterator[Offer]:
    """Accept and discard; where accepting is refused, a lens that says why takes its place."""
    state = desk.board.state_of(card.run_id)
    offer = accept(card, state, hunk)
    if hunk is not None and offer.refused is not None:  # the typing is in its way, and a lens far above is not seen
        yield from (fits for fits in fitting(card, state) if not fits.refused)
    if offer.refused is None:
        yield offer
    elif in_conflict(card) or not card.stale:
        title = "Not acceptable" if in_conflict(card) else f"Not acceptable ({verdict_title(card)})"
        why = f"{title}: {offer.refused}"
        yield Offer(why, (), "agent.show", offer.argument, short=shorten(why, _SHORT_CHARS))
    if card.stale and offer.refused is not None and (hunk is None or not in_conflict(card)):
        yield retest(card)
    dropping = discard(card, state, hunk)
    if dropping.refused is None:
        yield dropping


def _signature(desk: Desk) -> Any:
    """What lenses are made of; a refresh is worth its cost only when this changed."""
    runs = [(row["runId"], row.get("state")) for row in desk.board.unfinished()]
    cards = [(card.id, card.stale, verdict_title(card), id(card.data)) for card in desk.board.open_cards()]
    return runs, cards
