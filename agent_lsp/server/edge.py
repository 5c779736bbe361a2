"""Owns the edge's life: begins a session, puts its features together, and leaves without leaving anything behind."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError
from agent_lsp.server.capabilities import initialize_result
from agent_lsp.server.desk import START_S, Desk
from agent_lsp.server.early_watch import process_of
from agent_lsp.server.editor_watch import watch_process
from agent_lsp.server.edits import EditorHand
from agent_lsp.server.features import (
    agent_messages,
    code_actions,
    code_lenses,
    configuration,
    documents,
    drafts,
    editor_models,
    execute_command,
    hover,
    telling,
    virtual_documents,
)
from agent_lsp.server.features.checkpoints import checkpoint_commands
from agent_lsp.server.features.configuration import Configuration
from agent_lsp.server.features.diagnostics import Diagnostics
from agent_lsp.server.features.documents import Synchronisation
from agent_lsp.server.features.questions import Questions
from agent_lsp.server.features.review_commands import review_commands
from agent_lsp.server.features.run_commands import run_commands
from agent_lsp.server.features.virtual_documents import VirtualDocuments, register_capability
from agent_lsp.server.main import EdgeDependencies, is_initialize_params
from agent_lsp.server.polling import Polling
from agent_lsp.server.progress import Progress
from agent_lsp.server.protocol import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, EdgeServer, RequestError
from agent_lsp.server.runtime import STOP_S
from agent_lsp.server.session import Session
from agent_lsp.server.staleness import Staleness
from agent_lsp.server.threads import in_thread
from agent_lsp.server.transport import Channel, Hearing
from agent_lsp.server.uris import uri_of
from agent_lsp.server.wire import Noise, encode_frame

logger = logging.getLogger(__name__)

_FLUSH_S: Final = 1.0
"""How long an editor that said `exit` may take to read what is left."""

_HURRIED_STOP_S: Final = 0.2
"""How long runtimes may take to end their runs when the editor is gone already."""

_WATCHED_KINDS: Final = 7
_LOST_CLIENT: Final = 1
_STATE: Final = ".agent-lsp/state.db"


class Edge:
    """One editor's server."""

    def __init__(
        self,
        dependencies: EdgeDependencies,
        channel: Channel,
        *,
        watches_editor: bool = True,
        on_hurry: Callable[[], None] = lambda: None,
    ) -> None:
        self._dependencies, self._channel, self._on_hurry = dependencies, channel, on_hurry
        self._watches_editor = watches_editor
        self._server = EdgeServer(dependencies.version)
        self._client = self._server.protocol
        self._session: Session | None = None
        self._configuration: Configuration | None = None
        self._virtual: VirtualDocuments | None = None
        self._params: Mapping[str, Any] = {}
        self._status: asyncio.Future[int]
        self._stopping: asyncio.Task[None] | None = None
        self._asked_to_shut_down = False
        self._hurries = False
        self._loads = False
        self._unwatch: Callable[[], None] = lambda: None

    @property
    def begun(self) -> bool:
        """Whether `initialize` was answered."""
        return self._session is not None

    async def serve(self, params: Mapping[str, Any] | None) -> int:
        """Serves until the editor says so or is gone, or `leave` is called; the exit status.

        `params` are those of `initialize` where that was answered already.
        """
        self._status = asyncio.get_running_loop().create_future()
        end_session = self._dependencies.begin_session()
        self._client.writer = self._channel
        self._register_life_cycle()
        if params is not None:
            self._begin(params)
        self._channel.start(Hearing(self._client.take, self._noise, self._lost))
        try:
            return await self._status
        finally:
            self._unwatch()
            self._client.abandon()
            await (self._stop_runtimes(_HURRIED_STOP_S) if self._hurries else self._stopping or self._stop_runtimes())
            if self._virtual is not None:
                self._virtual.remove_files()
            await self._channel.drain(0 if self._hurries else _FLUSH_S)
            self._channel.close()
            end_session()

    def leave(self, status: int, why: str) -> None:
        """Ends the session now: runtimes get a moment and no more."""
        if not self._status.done():
            self._hurries = True
            self._on_hurry()
            logger.warning("leaving: %s", why)
            self._status.set_result(status)

    def _register_life_cycle(self) -> None:
        server = self._server

        @server.feature(types.INITIALIZE)
        def initialize(params: Any) -> Any:
            if self._session is not None:
                raise RequestError(INVALID_REQUEST, "initialize was already answered")
            if not is_initialize_params(params):
                raise RequestError(INVALID_PARAMS, "invalid params for initialize")
            self._begin(params)
            return initialize_result(params, self._dependencies.version)

        @server.feature(types.INITIALIZED)
        async def initialized(_: Any) -> None:
            await self._initialized()

        @server.feature(types.SHUTDOWN)
        def shutdown(_: Any) -> None:
            self._asked_to_shut_down = True
            self._client.begin_closing()
            self._stopping = asyncio.get_running_loop().create_task(self._stop_runtimes())

        @server.feature(types.EXIT)
        def leave(_: Any) -> None:
            if not self._status.done():
                self._status.set_result(0 if self._asked_to_shut_down else _LOST_CLIENT)

    def _begin(self, params: Mapping[str, Any]) -> None:
        """The session exists from here on; its features are registered before the next message is read."""
        self._params = params
        dependencies, server = self._dependencies, self._server
        session = Session(self._client, params, dependencies.start_runtime)
        hand = EditorHand(session)
        session.serve_calls({"buffers": hand.buffers, "edit": hand.edit, "edit_together": hand.edit_together})
        editor_models.register(session)
        staleness = Staleness(session)
        Polling(session, staleness.file_moved)
        documents.register(server, session, Synchronisation(session, staleness, Diagnostics(session)))
        code_actions.register(server, session)
        code_lenses.register(server, session)
        hover.register(server, session)
        virtual = virtual_documents.register(server, session)
        agent_messages.register(session)
        telling.register(session)
        Questions(session)
        progress = Progress(session)
        reviewing = review_commands(session, progress, virtual, drafts.register(server, session, virtual))
        commands = (
            run_commands(session, progress, dependencies.read_log) | reviewing | checkpoint_commands(session, virtual)
        )
        execute_command.register(server, session, telling.told(session, commands))
        self._configuration = configuration.register(server, session, params.get("initializationOptions"))

        @server.feature(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
        async def cancel(cancelled: types.WorkDoneProgressCancelParams) -> None:
            await progress.cancel(cancelled.token)

        self._session, self._virtual = session, virtual
        self._client.initialized = True
        process_id = process_of(params)
        if self._watches_editor and process_id is not None:
            self._unwatch = watch_process(process_id, lambda: self._lost(f"its process {process_id} ended"))

    async def _initialized(self) -> None:
        """What may be slow, now that nobody waits for it; runtimes start only after it."""
        session, config, virtual = self._session, self._configuration, self._virtual
        if session is None or config is None or virtual is None or self._loads:
            return
        self._loads = True
        roots = [desk.root for desk in session.folders.desks]
        options = self._params.get("initializationOptions")
        try:
            await in_thread(lambda: self._dependencies.on_initialized(roots, options))
        except Exception as error:
            logger.exception("loading after initialize failed")
            session.show(types.MessageType.Error, f"agent-lsp: {error}")
        names = ", ".join(str(root) for root in roots) or "no folder"
        client = (self._params.get("clientInfo") or {}).get("name", "an editor")
        logger.info("agent-lsp %s serves %s in %s", self._dependencies.version, client, names)
        session.log(types.MessageType.Info, f"agent-lsp {self._dependencies.version} serves {names}")
        await config.pull()
        session.ready.set()
        await virtual.offer()
        if session.traits.watch_files:
            watchers = [
                {"globPattern": {"baseUri": uri_of(root), "pattern": "**/*"}, "kind": _WATCHED_KINDS}
                if session.traits.relative_patterns
                else {"globPattern": f"{root}/**/*", "kind": _WATCHED_KINDS}
                for root in roots
            ]
            await register_capability(session, types.WORKSPACE_DID_CHANGE_WATCHED_FILES, {"watchers": watchers})
        for desk in session.folders.desks:
            if (desk.root / _STATE).exists():
                self._client.in_background(_mend(desk))

    async def _stop_runtimes(self, grace_s: float = STOP_S) -> None:
        if self._session is not None:
            await self._session.stop_runtimes(grace_s)

    def _noise(self, noise: Noise) -> None:
        """A request may have been among it: whoever waits for an answer hears that it was not understood."""
        logger.warning("unreadable input: %s", noise.text)
        error = {"code": PARSE_ERROR, "message": noise.text}
        self._channel.write(encode_frame({"jsonrpc": "2.0", "id": None, "error": error}))

    def _lost(self, why: str) -> None:
        self.leave(_LOST_CLIENT, f"the editor is gone: {why}")


async def _mend(desk: Desk) -> None:
    """Starts the runtime where one has worked before: what a crash left is mended now, not at the next run."""
    try:
        await desk.runtime.call("status", {}, timeout_s=START_S)
    except (AgentLspError, TimeoutError, OSError) as error:
        logger.warning("the runtime of %s did not start: %s", desk.root, error or "no answer in time")
