"""Owns the making of agent_lsp/server/params_table.py: `python -m tests.judge.params_table` writes it from the model.

The table holds what the edge checks of the params that it takes, no more: editors are sloppy where nothing depends on
it, and what nobody reads cannot be wrong. `LOOSE` says where it asks for less than LSP does.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.judge.meta_model import (
    MISSING,
    Array,
    Base,
    Enumeration,
    Map,
    MetaModel,
    Or,
    Reference,
    Structure,
    Type,
    load,
)

PATH = Path(__file__).parents[2] / "agent_lsp" / "server" / "params_table.py"

METHODS = (
    "textDocument/didClose",
    "notebookDocument/didOpen",
    "textDocument/codeAction",
    "textDocument/hover",
    "textDocument/didSave",
    "codeAction/resolve",
    "textDocument/codeLens",
    "codeLens/resolve",
    "workspace/executeCommand",
    "workspace/textDocumentContent",
    "workspace/didChangeConfiguration",
    "workspace/didChangeWatchedFiles",
    "workspace/didChangeWorkspaceFolders",
    "window/workDoneProgress/cancel",
    "$/setTrace",
)
"""What the edge handles and has params. `initialize` is read key by key (server/client.py), `didOpen` and `didChange`
are judged by their feature (protocol.UNJUDGED)."""

LOOSE: dict[str, dict[str, Any]] = {
    "Diagnostic": {"range": "Range", "message": ["or", "string", "MarkupContent"]},
    "MarkupContent": {"value": "string"},
    "CodeAction": {"title": "string"},
    "CodeLens": {"range": "Range"},
    "CodeActionContext": {"diagnostics": ["array", "Diagnostic"], "only?": ["array", "string"]},
    "CodeActionParams": {"textDocument": "TextDocumentIdentifier", "range": "Range", "context": "CodeActionContext"},
    "CodeLensParams": {"textDocument": "TextDocumentIdentifier"},
    "FileEvent": {"uri": "string"},
    "WorkspaceFolder": {"uri": "string"},
    "NotebookDocument": {"uri": "string"},
    "DidOpenNotebookDocumentParams": {"notebookDocument": "NotebookDocument"},
    "DidChangeConfigurationParams": {},
}
"""Diagnostics come from other servers, by way of the editor, and go back to it as they came."""


class _Table:
    def __init__(self, model: MetaModel) -> None:
        self.model = model
        self.rows: dict[str, dict[str, Any]] = {}

    def name(self, kind: Type) -> Any:
        """A type as the table spells it; structures on the way are added to the rows."""
        match kind:
            case Base(name):
                return "string" if name in ("URI", "DocumentUri") else name
            case Array(element):
                return ["array", self.name(element)]
            case Or(items):
                return ["or", *(self.name(item) for item in items)]
            case Map(_, value):
                return ["map", self.name(value)]
            case Reference(name):
                return self.named(name)
        raise TypeError(f"a kind of type that the table cannot tell: {kind}")

    def named(self, name: str) -> Any:
        if name in ("LSPAny", "LSPObject"):
            return "any"
        found = self.model.named(Reference(name))
        if isinstance(found, Enumeration):
            return found.type.name if found.custom else ["enum", *found.values]
        if not isinstance(found, Structure):
            return self.name(found)
        if name not in self.rows:
            self.rows[name] = {}
            self.rows[name] = LOOSE[name] if name in LOOSE else self.row(name)
            for kind in _names_in(list(self.rows[name].values())):
                if kind in self.model.structures:
                    self.named(kind)
        return name

    def row(self, name: str) -> dict[str, Any]:
        properties = self.model.properties(Reference(name)) or {}
        spelt = {key: (row, self.name(row.type)) for key, row in properties.items()}
        return {f"{key}?" if row.optional else key: kind for key, (row, kind) in spelt.items() if kind != "any"}


def _names_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [name for item in value for name in _names_in(item)] if isinstance(value, list) else []


def text(model: MetaModel) -> str:
    """The module's text, as ruff formats it."""
    table = _Table(model)
    known = {**model.requests, **model.notifications}
    methods = {name: table.name(kind) for name in METHODS if (kind := known[name].params) is not None}
    source = f'''"""Owns what the edge checks of params; `python -m tests.judge.params_table` makes it.

From the meta model of LSP {model.version}, https://github.com/microsoft/language-server-protocol, copyright (c)
Microsoft Corporation, MIT licence. A key with `?` may be missing or null; keys that are not named here are not read.
"""

from typing import Any, Final

METHODS: Final[dict[str, str]] = {json.dumps(methods)}

STRUCTURES: Final[dict[str, dict[str, Any]]] = {json.dumps(dict(sorted(table.rows.items())))}
'''
    ruff = [sys.executable, "-m", "ruff", "format", "--line-length", "120", "-"]
    return subprocess.run(ruff, input=source, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    loaded = load()
    if loaded is None:
        sys.exit(MISSING)
    PATH.write_text(text(loaded), encoding="utf-8")
