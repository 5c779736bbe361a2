"""Owns the state of one editor's session: documents, folders, and a desk (board and runtime) for each folder."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError, BadArgumentError, LinkClosedError, OperatorError, UnknownIdError
from agent_lsp.domain.task import RunState
from agent_lsp.link.messages import EDGE_CALLS
from agent_lsp.link.peer import Handler
from agent_lsp.server.board import Board, Card, Json
from agent_lsp.server.client import ClientTraits, traits_of
from agent_lsp.server.documents import Document, Documents, LineChange
from agent_lsp.server.protocol import EdgeProtocol
from agent_lsp.server.runtime import Runtime, RuntimeProcess
from agent_lsp.server.uris import path_of, scheme_of, uri_of

logger = logging.getLogger(__name__)

CALL_S: Final = 1.3
"""Time-out of a call that a command waits for. Runtimes answer within 0.9 s; every command answers within two."""

START_S: Final = 60.0
"""Time-out of a call that may first have to start the runtime and that no command waits for."""

StartRuntime = Callable[[Path, Mapping[str, Any]], Awaitable[RuntimeProcess]]
EventListener = Callable[["Desk", str, Json], None]
ChangeListener = Callable[["Desk"], None]
TextListener = Callable[["Desk", Document, Sequence[LineChange]], None]
DeskHandler = Callable[["Desk", Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class Desk:
    """One workspace folder at the edge."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.board = Board()
        self.runtime: Runtime
        self.revalidate_after_s: float | None = None
        self.starting: dict[str, asyncio.Task[Any]] = {}

    def path(self, relative: str) -> Path:
        """The absolute path of a POSIX path relative to the root."""
        return self.root / PurePosixPath(relative)

    def relative(self, path: Path) -> str | None:
        """POSIX and relative to the root; None if it lies elsewhere."""
        if path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix()
        return None


class Session:
    """Changed by handlers on the event loop only; features listen to what changes."""

    def __init__(self, client: EdgeProtocol, params: Mapping[str, Any], start: StartRuntime) -> None:
        self.client = client
        self.traits: ClientTraits = traits_of(params)
        self.documents = Documents(self.traits.encoding, self._home)
        self.settings: Json = {}
        self.ready: asyncio.Event = asyncio.Event()
        self._start = start
        self._desks: dict[Path, Desk] = {}
        self._handlers: dict[str, DeskHandler] = {}
        self._on_event: list[EventListener] = []
        self._on_change: list[ChangeListener] = []
        self._on_text: list[TextListener] = []
        for root in folders_of(params):
            self.add_root(root)

    # --- folders ---------------------------------------------------------------------------------------------------

    @property
    def desks(self) -> list[Desk]:
        """One for each workspace folder, in the client's order."""
        return list(self._desks.values())

    def add_root(self, root: Path) -> None:
        """A workspace folder; its runtime starts with the first run."""
        if root not in self._desks:
            desk = Desk(root)
            handlers: dict[str, Handler] = {name: partial(self._serve, desk, name) for name in EDGE_CALLS}
            desk.runtime = Runtime(
                partial(self._start_runtime, root), handlers, partial(self._take, desk), partial(self._died, desk)
            )
            self._desks[root] = desk

    def remove_root(self, root: Path) -> Desk | None:
        """The desk that is no longer served; its runtime is the caller's to stop."""
        return self._desks.pop(root, None)

    def desk_of(self, path: Path) -> Desk | None:
        """The folder that holds the path, the innermost one where they are nested."""
        holding = [desk for desk in self._desks.values() if path.is_relative_to(desk.root)]
        return max(holding, key=lambda desk: len(desk.root.parts), default=None)

    def locate(self, uri: str) -> tuple[Desk, str]:
        """The folder of a document and its path there. Raises BadArgumentError for what is not ours."""
        path = path_of(uri)
        if path is None:
            scheme = scheme_of(uri) or "no scheme"
            raise BadArgumentError(
                f"{uri} is not a file ({scheme}); agent-lsp works on files of a workspace folder.",
                hint="Save the document inside a workspace folder first.",
            )
        path = self._home(path)
        desk = self.desk_of(path)
        if desk is None:
            raise BadArgumentError(
                f"{path} is in no workspace folder.", hint="Open the folder that holds it, then try again."
            )
        return desk, desk.relative(path) or "."

    def try_locate(self, uri: str) -> tuple[Desk, str] | None:
        """Like `locate`, with None for what is not ours."""
        try:
            return self.locate(uri)
        except BadArgumentError:
            return None

    def only_desk(self) -> Desk:
        """The only workspace folder. Raises BadArgumentError when there is none or more than one."""
        if len(self._desks) == 1:
            return next(iter(self._desks.values()))
        if not self._desks:
            raise BadArgumentError("No workspace folder is open.", hint="Open a folder, then try again.")
        names = ", ".join(str(root) for root in self._desks)
        raise BadArgumentError(
            f"There are several workspace folders: {names}.", hint="Give a `uri` in the folder that is meant."
        )

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
            if document.path is not None and self.desk_of(document.path) is desk
        ]

    def _home(self, path: Path) -> Path:
        """The path as its workspace folder spells it, where one of the two goes through a symlink."""
        if self.desk_of(path) is not None:
            return path
        resolved = path.resolve()
        for root in self._desks:
            if resolved.is_relative_to(root.resolve()):
                return root / resolved.relative_to(root.resolve())
        return path

    # --- ids -------------------------------------------------------------------------------------------------------

    def desk_of_run(self, run_id: str) -> Desk:
        """The folder of a run. Raises UnknownIdError."""
        for desk in self._desks.values():
            if run_id in desk.board.runs:
                return desk
        raise UnknownIdError(f"There is no run {run_id}.", hint="agent.status lists the runs of this session.")

    def card_of(self, proposal_id: str) -> tuple[Desk, Card]:
        """A proposal with its folder. Raises UnknownIdError."""
        for desk in self._desks.values():
            if proposal_id in desk.board.cards:
                return desk, desk.board.cards[proposal_id]
        raise UnknownIdError(
            f"There is no proposal {proposal_id}.", hint="agent.status shows the proposalId of every run."
        )

    # --- listeners -------------------------------------------------------------------------------------------------

    def on_event(self, listener: EventListener) -> None:
        """Called for every event of a runtime, after the board has taken it, in the order of registration."""
        self._on_event.append(listener)

    def on_change(self, listener: ChangeListener) -> None:
        """Called when what is shown of a folder may have changed."""
        self._on_change.append(listener)

    def on_text(self, listener: TextListener) -> None:
        """Called when an open document of a folder was opened, changed (with its changes) or closed."""
        self._on_text.append(listener)

    def serve_calls(self, handlers: Mapping[str, DeskHandler]) -> None:
        """What runtimes may ask of the edge."""
        self._handlers.update(handlers)

    def changed(self, desk: Desk) -> None:
        """Tells the listeners that the board of a folder changed."""
        for listener in self._on_change:
            listener(desk)

    def text_changed(self, document: Document, changes: Sequence[LineChange]) -> None:
        """Tells the listeners that a document was opened, changed or closed."""
        desk = None if document.path is None else self.desk_of(document.path)
        if desk is not None:
            for listener in self._on_text:
                listener(desk, document, changes)

    def announce(self, desk: Desk, event: str, data: Json) -> None:
        """An event for the listeners, from the runtime or in its place."""
        for listener in self._on_event:
            listener(desk, event, data)

    def show(self, kind: types.MessageType, text: str) -> None:
        """One message in front of the person; rare."""
        self.client.notify(types.WINDOW_SHOW_MESSAGE, types.ShowMessageParams(type=kind, message=text))

    def log(self, kind: types.MessageType, text: str) -> None:
        """One line in the editor's own log of the server; sparing, since the console log has everything."""
        self.client.notify(types.WINDOW_LOG_MESSAGE, types.LogMessageParams(type=kind, message=text))

    # --- runtimes --------------------------------------------------------------------------------------------------

    async def stop_runtimes(self) -> None:
        """Ends every runtime; none is left when this returns."""
        await asyncio.gather(*(desk.runtime.stop() for desk in self.desks))

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
        try:
            desk.board.take(event, data)
            self.announce(desk, event, dict(data))
            if event in ("run", "plan", "proposal", "verdict", "proposal_closed", "problems"):
                self.changed(desk)
        except Exception:
            logger.exception("the event %s could not be shown", event)

    def _died(self, desk: Desk, status: int) -> None:
        """Runs that were open are over: says so once, and leaves the next start to the next need."""
        rows = desk.board.unfinished()
        desk.board.close_all()
        if not rows and status == 0:
            self.changed(desk)
            return
        how = f"by signal {-status}" if status < 0 else f"with exit status {status}"
        reason = f"The runtime of {desk.root.name} ended {how}"
        logger.error("%s; %d open runs are marked failed", reason, len(rows))
        for row in rows:
            desk.board.end_run(row["runId"], RunState.FAILED, reason + ".")
            self.announce(desk, "run", desk.board.runs[row["runId"]])
        self.changed(desk)
        ended = f" {len(rows)} run(s) ended with it." if rows else ""
        self.show(types.MessageType.Error, f"agent-lsp: {reason}.{ended} It starts again with the next run.")


async def control(desk: Desk, run_id: str, action: str, *, timeout_s: float) -> Mapping[str, Any]:
    """Steers a run. One that still waits for its runtime to start is cancelled here."""
    starting = desk.starting.get(run_id)
    if starting is not None and action == "cancel" and not desk.runtime.running:
        starting.cancel()
        return {"state": RunState.CANCELLED.value}
    return await desk.runtime.call("control", {"runId": run_id, "action": action}, timeout_s=timeout_s)


async def cancel(desk: Desk, run_id: str) -> None:
    """Cancels a run for a person who does not wait for an answer; what goes wrong is logged."""
    try:
        await control(desk, run_id, "cancel", timeout_s=START_S)
    except (AgentLspError, TimeoutError) as error:
        logger.warning("the run %s could not be cancelled: %s", run_id, error or "no answer in time")


async def tell(desk: Desk, name: str, args: Mapping[str, Any]) -> None:
    """Calls a running runtime for its effect alone; what goes wrong is logged."""
    if not desk.runtime.running:
        return
    try:
        await desk.runtime.call(name, args, timeout_s=START_S)
    except LinkClosedError:
        pass
    except (AgentLspError, TimeoutError) as error:
        logger.warning("the runtime did not take %s: %s", name, error or "no answer in time")


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
