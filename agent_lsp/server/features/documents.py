"""Owns the synchronisation of documents and folders, and `$/setTrace`.

`didOpen` and `didChange` come as plain data (protocol.UNJUDGED): what is said wrongly in them must not lose a text.
"""

import logging
from typing import Any

from lsprotocol import types

from agent_lsp.server.features.diagnostics import Diagnostics
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.session import Session
from agent_lsp.server.staleness import Staleness
from agent_lsp.server.uris import path_of

logger = logging.getLogger(__name__)


class Synchronisation:
    """Takes what the editor tells of its documents and folders."""

    def __init__(self, session: Session, staleness: Staleness, diagnostics: Diagnostics) -> None:
        self._session, self._staleness, self._diagnostics = session, staleness, diagnostics
        self._refused_notebook = False

    def opened(self, params: Any) -> None:
        """A document is in the editor's hands."""
        item = params.get("textDocument") if isinstance(params, dict) else None
        uri, text = (item.get("uri"), item.get("text")) if isinstance(item, dict) else (None, None)
        if not isinstance(uri, str) or not isinstance(text, str):
            logger.warning("ignored a malformed didOpen: it needs a uri and a text")
            return
        version = item.get("version") if isinstance(item, dict) else None
        counted = version if isinstance(version, int) and not isinstance(version, bool) else 0
        self._session.text_changed(self._session.documents.open(uri, counted, text), ())

    def changed(self, params: Any) -> None:
        """The person, or an edit of ours, changed a document."""
        changed = self._session.documents.change(params)
        if changed is not None:
            self._session.text_changed(*changed)

    def closed(self, params: types.DidCloseTextDocumentParams) -> None:
        """What is on disk counts again."""
        document = self._session.documents.close(params.text_document.uri)
        if document is None:
            logger.info("%s was closed and was not open", params.text_document.uri)
        else:
            self._session.text_changed(document, ())

    def files_changed(self, params: types.DidChangeWatchedFilesParams) -> None:
        """Files moved on disk."""
        for change in params.changes:
            path = path_of(change.uri)
            if path is not None:
                self._staleness.file_moved(self._session.folders.home(path))

    async def folders_changed(self, params: types.DidChangeWorkspaceFoldersParams) -> None:
        """Folders came and went; the runtime of one that went is stopped."""
        for folder in params.event.added:
            path = path_of(folder.uri)
            if path is not None:
                self._session.add_root(path)
        for folder in params.event.removed:
            path = path_of(folder.uri)
            desk = None if path is None else self._session.folders.remove(path)
            if desk is not None:
                self._diagnostics.clear(desk.root)
                await desk.runtime.stop()
                self._session.listeners.announce(desk, "gone", {})
        self._session.documents.find_homes()

    def notebook_opened(self, params: types.DidOpenNotebookDocumentParams) -> None:
        """Notebooks are not among our capabilities; an editor that sends one all the same is told once."""
        if not self._refused_notebook:
            self._refused_notebook = True
            self._session.log(
                types.MessageType.Warning,
                f"agent-lsp works on files, not on cells: {params.notebook_document.uri} is left alone. "
                "Move the code to a .py file of the workspace folder and start from there.",
            )


def register(server: EdgeServer, session: Session, synchronisation: Synchronisation) -> None:
    """Registers the feature."""

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: Any) -> None:
        synchronisation.opened(params)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: Any) -> None:
        synchronisation.changed(params)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        synchronisation.closed(params)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def did_open_notebook(params: types.DidOpenNotebookDocumentParams) -> None:
        synchronisation.notebook_opened(params)

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_watched_files(params: types.DidChangeWatchedFilesParams) -> None:
        synchronisation.files_changed(params)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def did_change_workspace_folders(params: types.DidChangeWorkspaceFoldersParams) -> None:
        await synchronisation.folders_changed(params)

    @server.feature(types.SET_TRACE)
    def set_trace(params: types.SetTraceParams) -> None:
        session.client.trace = params.value
