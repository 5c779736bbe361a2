"""Owns the state of one editor's session: its documents, its folders and their runtimes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError, OperatorError
from agent_lsp.domain.task import RunState
from agent_lsp.link.messages import EDGE_CALLS
from agent_lsp.link.peer import Handler
from agent_lsp.server.board import Json
from agent_lsp.server.client import ClientTraits, traits_of
from agent_lsp.server.desk import START_S, Desk
from agent_lsp.server.documents import Document, Documents, LineChange
from agent_lsp.server.folders import Folders
from agent_lsp.server.listeners import Listeners
from agent_lsp.server.protocol import EdgeProtocol
from agent_lsp.server.runtime import Runtime, RuntimeProcess
from agent_lsp.server.seen_problems import SeenProblems
from agent_lsp.server.uris import path_of, uri_of

logger = logging.getLogger(__name__)

_NEXT_START = "It starts again with the next run."
_SHOWN_EVENTS = ("run", "plan", "proposal", "verdict", "proposal_closed", "problems", "checkpoints")

StartRuntime = Callable[[Path, Mapping[str, Any]], Awaitable[RuntimeProcess]]
DeskHandler = Callable[["Desk", Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class Session:
    """Changed by handlers on the event loop only; features listen to what changes."""

    def __init__(self, client: EdgeProtocol, params: Mapping[str, Any], start: StartRuntime) -> None:
        self.client = client
        self.traits: ClientTraits = traits_of(params)
        self.folders = Folders()
        self.listeners = Listeners()
        self.documents = Documents(self.traits.encoding, self.folders.home)
        self.seen_problems = SeenProblems()
        self.settings: Json = {}
        self.ready = asyncio.Event()
        self._start = start
        self._handlers: dict[str, DeskHandler] = {}
        for root in folders_of(params):
            self.add_root(root)

    def add_root(self, root: Path) -> None:
        """A workspace folder; its runtime starts with the first run."""
        if self.folders.at(root) is None:
            desk = Desk(root)
            handlers: dict[str, Handler] = {name: partial(self._serve, desk, name) for name in EDGE_CALLS}
            desk.runtime = Runtime(
                partial(self._start_runtime, root), handlers, partial(self._take, desk), partial(self._died, desk)
            )
            self.folders.add(desk)

    def serve_calls(self, handlers: Mapping[str, DeskHandler]) -> None:
        """What runtimes may ask of the edge."""
        self._handlers.update(handlers)

    def uri(self, desk: Desk, relative: str) -> str:
        """The URI of a file, in the client's own spelling while it is open."""
        path = desk.path(relative)
        document = self.documents.at(path)
        return uri_of(path) if document is None else document.uri

    def document(self, desk: Desk, relative: str) -> Document | None:
        """The open document of a file."""
        return self.documents.at(desk.path(relative))

    def documents_of(self, desk: Desk) -> list[tuple[str, Document]]:
        """The open documents of a folder, without those of a folder inside it."""
        return [
            (desk.relative(document.path) or ".", document)
            for document in self.documents
            if document.path is not None and self.folders.desk_of(document.path) is desk
        ]

    def text_changed(self, document: Document, changes: Sequence[LineChange]) -> None:
        """Tells the listeners of a document in one of the folders that it was opened, changed or closed."""
        desk = None if document.path is None else self.folders.desk_of(document.path)
        if desk is not None:
            self.listeners.text_changed(desk, document, changes)

    def show(self, kind: types.MessageType, text: str) -> None:
        """One message in front of the person; rare."""
        self.client.notify(types.WINDOW_SHOW_MESSAGE, types.ShowMessageParams(type=kind, message=text))

    def log(self, kind: types.MessageType, text: str) -> None:
        """One line in the editor's own log of the server; sparing, since the console log has everything."""
        self.client.notify(types.WINDOW_LOG_MESSAGE, types.LogMessageParams(type=kind, message=text))

    async def stop_runtimes(self, grace_s: float) -> None:
        """Ends every runtime; none is left when this returns."""
        await asyncio.gather(*(desk.runtime.stop(grace_s) for desk in self.folders.desks))

    async def _start_runtime(self, root: Path) -> RuntimeProcess:
        await self.ready.wait()
        try:
            return await self._start(root, self.settings)
        except AgentLspError:
            raise
        except Exception as error:
            logger.exception("the runtime for %s could not be started", root)
            raise OperatorError(
                f"The runtime for {root} could not be started: {error}", hint="Run agent-lsp doctor."
            ) from error

    async def _serve(self, desk: Desk, name: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._handlers[name](desk, args)

    def _take(self, desk: Desk, event: str, data: Mapping[str, Any]) -> None:
        if data.get("runId") in desk.given_up:
            return
        try:
            desk.board.take(event, data)
            self.listeners.announce(desk, event, dict(data))
            if event in _SHOWN_EVENTS:
                self.listeners.changed(desk)
        except Exception:
            logger.exception("the event %s could not be shown", event)

    def _died(self, desk: Desk, status: int) -> None:
        """What was at work goes on and what was on offer comes back with the next runtime, which is started at once.

        Not one that dies over and over: what was at work counts as failed then, until the next start takes it up.
        """
        restarts = desk.may_restart()
        offered = len(desk.board.waiting())
        rows = desk.board.unfinished()
        desk.board.close_all()
        if not rows and status == 0:
            self.listeners.announce(desk, "gone", {})
            self.listeners.changed(desk)
            return
        how = f"by signal {-status}" if status < 0 else f"with exit status {status}"
        reason = f"The runtime of {desk.root.name} ended {how}"
        logger.error("%s; %d open runs", reason, len(rows))
        if not restarts:
            self._fail(desk, [row["runId"] for row in rows], reason)
        self.listeners.announce(desk, "gone", {})
        self.listeners.changed(desk)
        if rows and restarts:
            what = [f"{len(rows) - offered} run(s) at work"] if len(rows) > offered else []
            what += [f"{offered} change(s) on offer"] if offered else []
            again = f"It is started again, for {' and '.join(what)}."
            self.client.in_background(self._bring_back(desk, [row["runId"] for row in rows], reason))
        else:
            again = f"{len(rows)} run(s) stand still. {_NEXT_START}" if rows else _NEXT_START
        self.show(types.MessageType.Error, f"agent-lsp: {reason}. {again}")

    async def _bring_back(self, desk: Desk, waiting: Sequence[str], reason: str) -> None:
        """Starts the runtime that goes on with what there was; runs that it knows nothing of have ended."""
        try:
            await desk.runtime.call("checkpoints", {}, timeout_s=START_S)  # answered when everything has come back
            answer = await desk.runtime.call("status", {}, timeout_s=START_S)
        except (AgentLspError, TimeoutError) as error:
            logger.error("the runtime of %s did not start again: %s", desk.root, error or "no answer in time")
            answer = {"runs": ()}
        back = {row["runId"] for row in answer.get("runs", ())}
        open_runs = {row["runId"] for row in desk.board.unfinished()}
        self._fail(desk, [run_id for run_id in waiting if run_id in open_runs - back], reason)
        self.listeners.changed(desk)

    def _fail(self, desk: Desk, run_ids: Sequence[str], reason: str) -> None:
        for run_id in run_ids:
            desk.board.end_run(run_id, RunState.FAILED, reason + ".")
            self.listeners.announce(desk, "run", desk.board.runs[run_id])


def folders_of(params: Mapping[str, Any]) -> list[Path]:
    """The workspace folders of `initialize`; `rootUri` and `rootPath` for older clients."""
    folders = params.get("workspaceFolders")
    uris = [row.get("uri") for row in folders if isinstance(row, Mapping)] if isinstance(folders, list) else []
    if not uris and isinstance(params.get("rootUri"), str):
        uris = [params["rootUri"]]
    paths = [path_of(uri) for uri in uris if isinstance(uri, str)]
    root_path = params.get("rootPath")
    if not paths and isinstance(root_path, str) and root_path.startswith("/"):
        paths = [path_of(uri_of(Path(root_path)))]
    return [path for path in paths if path is not None]
