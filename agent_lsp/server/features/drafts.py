"""Owns drafts: what is proposed, or planned, as a file that a person edits in any editor; saving it is what counts.

They lie in `.agent-lsp/drafts/`, inside the workspace folder, so that an editor opens them with the same server.
"""

import logging
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError, UnknownIdError
from agent_lsp.domain.plan_reading import read_plan
from agent_lsp.domain.task import RunState
from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import CALL_S, Desk
from agent_lsp.server.features.virtual_documents import VirtualDocuments
from agent_lsp.server.proposed_text import proposed_text
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.session import Session
from agent_lsp.server.threads import in_thread

logger = logging.getLogger(__name__)

STATE_FOLDER: Final = ".agent-lsp"
FOLDER: Final = f"{STATE_FOLDER}/drafts"
_PLAN: Final = "plan.md"


@dataclass(slots=True)
class Draft:
    """A file of a proposal, or the plan of a run; `drawn` is the text that the person began with."""

    owner: str
    path: str
    drawn: str


class Drafts:
    """Writes them, hears of their saving, and takes them away with what they are drafts of."""

    def __init__(self, session: Session, documents: VirtualDocuments) -> None:
        self._session, self._documents = session, documents
        self._open: dict[Path, Draft] = {}
        session.listeners.on_event(self._on_event)

    async def open_file(self, desk: Desk, card: Card, path: str) -> str:
        """Opens a proposed file as a draft; its URI. Raises UnknownIdError."""
        text = await proposed_text(self._session, desk, card, path)
        return await self._begin(desk, Draft(card.id, path, text))

    async def open_plan(self, run_id: str) -> str:
        """Opens a plan as a draft; its URI. Raises UnknownIdError."""
        desk = self._session.folders.desk_of_run(run_id)
        return await self._begin(desk, Draft(run_id, _PLAN, self._documents.plan_text(run_id)))

    async def saved(self, uri: str) -> None:
        """The person saved a document; a draft is taken up."""
        located = self._session.folders.try_locate(uri)
        if located is None or not located[1].startswith(f"{FOLDER}/"):
            return
        desk, path = located
        place, document = desk.path(path), self._session.documents.get(uri)
        draft = self._open.get(place)
        text = document.text if document is not None else await in_thread(partial(_read, place))
        if draft is None or text is None:
            self._tell(types.MessageType.Warning, f"What {place.name} is a draft of is over; it does nothing.")
        elif draft.owner in desk.board.plans:
            self._take_plan(desk, draft, text)
        elif text != draft.drawn:
            await self._take_file(desk, draft, text)

    async def _take_file(self, desk: Desk, draft: Draft, text: str) -> None:
        call = {"proposalId": draft.owner, "path": draft.path, "text": text, "from": draft.drawn}
        try:
            await desk.runtime.call("amend", call, timeout_s=CALL_S)
        except (AgentLspError, TimeoutError) as error:
            said = f"{error.message} {error.hint}".strip() if isinstance(error, AgentLspError) else "No answer in time."
            self._tell(types.MessageType.Warning, f"Your edit of {draft.path} was not taken: {said}")
            return
        draft.drawn = text
        self._tell(types.MessageType.Info, f"Your edit of {draft.path} is part of the proposal; it is being tested.")

    def _take_plan(self, desk: Desk, draft: Draft, text: str) -> None:
        """The edited plan is what an approval approves from now on."""
        row = desk.board.runs.get(draft.owner, {})
        if row.get("state") != RunState.AWAITING_APPROVAL:
            self._tell(types.MessageType.Warning, "This plan waits for approval no more; the edit does nothing.")
            return
        try:
            steps = [step.to_json() for step in read_plan(text)]
        except AgentLspError as error:
            self._tell(types.MessageType.Warning, f"The edited plan cannot be read: {error.message} {error.hint}")
            return
        desk.board.plans[draft.owner] |= {"steps": steps, "edited": steps, "markdown": text}
        self._session.listeners.changed(desk)
        count = "1 step" if len(steps) == 1 else f"{len(steps)} steps"
        self._tell(types.MessageType.Info, f"The edited plan has {count}; approve it to begin.")

    async def _begin(self, desk: Desk, draft: Draft) -> str:
        place = desk.root / FOLDER / draft.owner / draft.path
        if not place.resolve().is_relative_to((desk.root / FOLDER).resolve()):
            raise UnknownIdError(f"There is no draft of {draft.path}.")
        known = self._open.get(place)
        if known is None or not self._is_open(place):
            await in_thread(partial(_write, desk.root, place, draft.drawn))
            self._open[place] = draft
        return self._documents.show_file(place, "Edit and save it:")

    def _is_open(self, place: Path) -> bool:
        """Whether the person has it before them: what they typed there is not overwritten."""
        return self._session.documents.at(place) is not None

    def _on_event(self, desk: Desk, event: str, data: Json) -> None:
        if event == "proposal_closed":
            self._forget(desk, str(data.get("proposalId")))
        elif event == "run" and data.get("state") != RunState.AWAITING_APPROVAL:
            self._forget(desk, str(data.get("runId")))

    def _forget(self, desk: Desk, owner: str) -> None:
        gone = [place for place, draft in self._open.items() if draft.owner == owner]
        if not gone:
            return
        kept = [place for place in gone if self._is_open(place)]
        for place in gone:
            del self._open[place]
        if not kept:
            self._session.client.in_background(in_thread(partial(_remove, desk.root / FOLDER / owner)))

    def _tell(self, kind: types.MessageType, text: str) -> None:
        self._session.show(kind, f"agent-lsp: {text}")


def register(server: EdgeServer, session: Session, documents: VirtualDocuments) -> Drafts:
    """Registers the feature."""
    drafts = Drafts(session, documents)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    async def did_save(params: types.DidSaveTextDocumentParams) -> None:
        await drafts.saved(params.text_document.uri)

    return drafts


def _write(root: Path, place: Path, text: str) -> None:
    state = root / STATE_FOLDER
    state.mkdir(exist_ok=True)
    ignore = state / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8", newline="", errors="surrogatepass")


def _read(place: Path) -> str | None:
    try:
        return place.read_bytes().decode("utf-8", "surrogatepass")
    except (OSError, UnicodeDecodeError) as error:
        logger.warning("the draft %s could not be read: %s", place, error)
        return None


def _remove(folder: Path) -> Any:
    shutil.rmtree(folder, ignore_errors=True)
