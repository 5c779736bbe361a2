"""Owns the synchronisation of documents and folders, and `$/setTrace`."""

from lsprotocol import types

from agent_lsp.server.features.diagnostics import Diagnostics
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.session import Session
from agent_lsp.server.staleness import Staleness
from agent_lsp.server.uris import path_of


class Synchronisation:
    """Takes what the editor tells of its documents and folders."""

    def __init__(self, session: Session, staleness: Staleness, diagnostics: Diagnostics) -> None:
        self._session, self._staleness, self._diagnostics = session, staleness, diagnostics

    def opened(self, params: types.DidOpenTextDocumentParams) -> None:
        """A document is in the editor's hands."""
        item = params.text_document
        self._session.text_changed(self._session.documents.open(item.uri, item.version, item.text), ())

    def changed(self, params: types.DidChangeTextDocumentParams) -> None:
        """The person, or an edit of ours, changed a document."""
        changed = self._session.documents.change(params)
        if changed is not None:
            self._session.text_changed(*changed)

    def closed(self, params: types.DidCloseTextDocumentParams) -> None:
        """What is on disk counts again."""
        document = self._session.documents.close(params.text_document.uri)
        if document is not None:
            self._session.text_changed(document, ())

    def files_changed(self, params: types.DidChangeWatchedFilesParams) -> None:
        """Files moved on disk."""
        for change in params.changes:
            path = path_of(change.uri)
            if path is not None:
                self._staleness.file_moved(path)

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


def register(server: EdgeServer, session: Session, synchronisation: Synchronisation) -> None:
    """Registers the feature."""

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        synchronisation.opened(params)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        synchronisation.changed(params)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        synchronisation.closed(params)

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_watched_files(params: types.DidChangeWatchedFilesParams) -> None:
        synchronisation.files_changed(params)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def did_change_workspace_folders(params: types.DidChangeWorkspaceFoldersParams) -> None:
        await synchronisation.folders_changed(params)

    @server.feature(types.SET_TRACE)
    def set_trace(params: types.SetTraceParams) -> None:
        session.client.trace = params.value
