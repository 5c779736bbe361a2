"""Owns what the edge checks of params; `python -m tests.judge.params_table` makes it.

From the meta model of LSP 3.18.0, https://github.com/microsoft/language-server-protocol, copyright (c)
Microsoft Corporation, MIT licence. A key with `?` may be missing or null; keys that are not named here are not read.
"""

from typing import Any, Final

METHODS: Final[dict[str, str]] = {
    "textDocument/didClose": "DidCloseTextDocumentParams",
    "notebookDocument/didOpen": "DidOpenNotebookDocumentParams",
    "textDocument/codeAction": "CodeActionParams",
    "textDocument/hover": "HoverParams",
    "textDocument/didSave": "DidSaveTextDocumentParams",
    "codeAction/resolve": "CodeAction",
    "textDocument/codeLens": "CodeLensParams",
    "codeLens/resolve": "CodeLens",
    "workspace/executeCommand": "ExecuteCommandParams",
    "workspace/textDocumentContent": "TextDocumentContentParams",
    "workspace/didChangeConfiguration": "DidChangeConfigurationParams",
    "workspace/didChangeWatchedFiles": "DidChangeWatchedFilesParams",
    "workspace/didChangeWorkspaceFolders": "DidChangeWorkspaceFoldersParams",
    "window/workDoneProgress/cancel": "WorkDoneProgressCancelParams",
    "$/setTrace": "SetTraceParams",
}

STRUCTURES: Final[dict[str, dict[str, Any]]] = {
    "CodeAction": {"title": "string"},
    "CodeActionContext": {"diagnostics": ["array", "Diagnostic"], "only?": ["array", "string"]},
    "CodeActionParams": {"textDocument": "TextDocumentIdentifier", "range": "Range", "context": "CodeActionContext"},
    "CodeLens": {"range": "Range"},
    "CodeLensParams": {"textDocument": "TextDocumentIdentifier"},
    "Diagnostic": {"range": "Range", "message": ["or", "string", "MarkupContent"]},
    "DidChangeConfigurationParams": {},
    "DidChangeWatchedFilesParams": {"changes": ["array", "FileEvent"]},
    "DidChangeWorkspaceFoldersParams": {"event": "WorkspaceFoldersChangeEvent"},
    "DidCloseTextDocumentParams": {"textDocument": "TextDocumentIdentifier"},
    "DidOpenNotebookDocumentParams": {"notebookDocument": "NotebookDocument"},
    "DidSaveTextDocumentParams": {"textDocument": "TextDocumentIdentifier", "text?": "string"},
    "ExecuteCommandParams": {
        "workDoneToken?": ["or", "integer", "string"],
        "command": "string",
        "arguments?": ["array", "any"],
    },
    "FileEvent": {"uri": "string"},
    "HoverParams": {
        "textDocument": "TextDocumentIdentifier",
        "position": "Position",
        "workDoneToken?": ["or", "integer", "string"],
    },
    "MarkupContent": {"value": "string"},
    "NotebookDocument": {"uri": "string"},
    "Position": {"line": "uinteger", "character": "uinteger"},
    "Range": {"start": "Position", "end": "Position"},
    "SetTraceParams": {"value": ["enum", "off", "messages", "verbose"]},
    "TextDocumentContentParams": {"uri": "string"},
    "TextDocumentIdentifier": {"uri": "string"},
    "WorkDoneProgressCancelParams": {"token": ["or", "integer", "string"]},
    "WorkspaceFolder": {"uri": "string"},
    "WorkspaceFoldersChangeEvent": {"added": ["array", "WorkspaceFolder"], "removed": ["array", "WorkspaceFolder"]},
}
