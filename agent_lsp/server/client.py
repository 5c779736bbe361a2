"""Owns what the connected editor can do, read once from the parameters of `initialize`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_lsp.server.positions import Encoding

_COMMAND = "command"
_ALL_OR_NOTHING = ("transactional", "textOnlyTransactional")


@dataclass(frozen=True, slots=True)
class ClientTraits:
    """The gates of every optional message; a malformed capability counts as missing."""

    name: str = ""
    encoding: Encoding = Encoding.UTF16
    agent_messages: bool = False
    apply_edit: bool = False
    document_changes: bool = False
    configuration: bool = False
    progress: bool = False
    show_document: bool = False
    action_literals: bool = False
    action_data: bool = False
    action_resolves_command: bool = False
    action_disabled: bool = False
    action_preferred: bool = False
    action_tags: bool = False
    hover_markdown: bool = False
    lens_refresh: bool = False
    related_information: bool = False
    diagnostic_data: bool = False
    watch_files: bool = False
    relative_patterns: bool = False
    text_content: bool = False
    transactional: bool = False
    lends_models: bool = False
    short_lenses: bool = False

    @property
    def takes_document_changes(self) -> bool:
        """Neovim applies versioned edits without declaring that it does."""
        return self.document_changes or self.name.lower() in ("neovim", "nvim")


def traits_of(params: Mapping[str, Any]) -> ClientTraits:
    """Reads the raw parameters of `initialize`; nothing in them can make this fail."""
    capabilities = params.get("capabilities")

    def has(path: str) -> bool:
        return _at(capabilities, path) is True

    info = _at(params, "clientInfo.name")
    return ClientTraits(
        name=info if isinstance(info, str) else "",
        encoding=choose_encoding(_at(capabilities, "general.positionEncodings")),
        agent_messages=_at(capabilities, "experimental.agentLsp.version") == "1",
        apply_edit=has("workspace.applyEdit"),
        document_changes=has("workspace.workspaceEdit.documentChanges"),
        configuration=has("workspace.configuration"),
        progress=has("window.workDoneProgress"),
        show_document=has("window.showDocument.support"),
        action_literals=isinstance(_at(capabilities, "textDocument.codeAction.codeActionLiteralSupport"), Mapping),
        action_data=has("textDocument.codeAction.dataSupport"),
        action_resolves_command=_COMMAND
        in _list(_at(capabilities, "textDocument.codeAction.resolveSupport.properties")),
        action_disabled=has("textDocument.codeAction.disabledSupport"),
        action_preferred=has("textDocument.codeAction.isPreferredSupport"),
        action_tags=1 in _list(_at(capabilities, "textDocument.codeAction.tagSupport.valueSet")),
        hover_markdown="markdown" in _list(_at(capabilities, "textDocument.hover.contentFormat")),
        lens_refresh=has("workspace.codeLens.refreshSupport"),
        related_information=has("textDocument.publishDiagnostics.relatedInformation"),
        diagnostic_data=has("textDocument.publishDiagnostics.dataSupport"),
        watch_files=has("workspace.didChangeWatchedFiles.dynamicRegistration"),
        relative_patterns=has("workspace.didChangeWatchedFiles.relativePatternSupport"),
        text_content=has("workspace.textDocumentContent.dynamicRegistration"),
        transactional=has("workspace.workspaceEdit.documentChanges")
        and _at(capabilities, "workspace.workspaceEdit.failureHandling") in _ALL_OR_NOTHING,
        lends_models=has("experimental.agentLsp.models"),
        short_lenses=has("experimental.agentLsp.shortLenses"),
    )


def choose_encoding(offered: object) -> Encoding:
    """The first encoding of the client's list that exists; UTF-16 when it names none."""
    for name in _list(offered):
        if name in tuple(Encoding):
            return Encoding(name)
    return Encoding.UTF16


def _at(value: object, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
