"""Owns what a server may not do to a client that did not declare it, beyond what tests/judge sees.

The judge knows requests; here are the optional parts of results, notifications and registrations.
"""

from collections.abc import Iterator
from typing import Any

from tests.profiles.editor import Editor, ProfiledClient, has
from tests.server.raw_client import Json

_REGISTERED = {
    "workspace/didChangeWatchedFiles": "workspace.didChangeWatchedFiles.dynamicRegistration",
    "workspace/textDocumentContent": "workspace.textDocumentContent.dynamicRegistration",
}


def breaches(client: ProfiledClient) -> list[str]:
    """Everything of the conversation so far that this client never asked for."""
    capabilities = client.editor.profile["capabilities"]
    found: list[str] = []
    created: set[Any] = set()
    for message in client.messages:
        params: Any = message.get("params")
        match message.get("method"):
            case "window/workDoneProgress/create":
                created.add(params["token"])
            case "$/progress":
                found += [] if params["token"] in created else [f"$/progress on the unknown token {params['token']}"]
            case "client/registerCapability":
                found += _registrations(capabilities, params)
            case "workspace/applyEdit":
                found += _edit(client.editor, capabilities, params["edit"])
            case "window/showDocument":
                found += _shown(capabilities, params)
            case "textDocument/publishDiagnostics":
                found += _diagnostics(capabilities, params)
            case str() as method if method.startswith(("agent/", "memory/")):
                found.append(f"{method} to a client that does not know it")
            case _:
                pass
        if "id" in message and isinstance(message.get("method"), str) and message["method"] not in client.handlers:
            found += [] if message["method"] == "window/showMessageRequest" else [f"{message['method']} is not known"]
    return found


def action_breaches(client: ProfiledClient, actions: list[Json]) -> list[str]:
    """What in the answer to textDocument/codeAction this client did not declare."""
    support = client.editor.profile["capabilities"].get("textDocument", {}).get("codeAction", {})
    gates = {
        "disabled": support.get("disabledSupport") is True,
        "isPreferred": support.get("isPreferredSupport") is True,
        "tags": "tagSupport" in support,
        "data": support.get("dataSupport") is True
        and "command" in support.get("resolveSupport", {}).get("properties", ()),
    }
    found = []
    for action in actions:
        if "codeActionLiteralSupport" not in support and not isinstance(action.get("command"), str):
            found.append(f"{action['title']}: a literal to a client of commands")
        found += [f"{action['title']}: {key}" for key, declared in gates.items() if key in action and not declared]
    return found


def _registrations(capabilities: Json, params: Json) -> Iterator[str]:
    for row in params["registrations"]:
        if not has(capabilities, _REGISTERED.get(row["method"], "nowhere")):
            yield f"{row['method']} is registered with a client that does not take it dynamically"
        for watcher in row.get("registerOptions", {}).get("watchers", ()):
            relative = "workspace.didChangeWatchedFiles.relativePatternSupport"
            if not isinstance(watcher["globPattern"], str) and not has(capabilities, relative):
                yield "a relative pattern to a client that takes only texts"


def _edit(editor: Editor, capabilities: Json, edit: Json) -> Iterator[str]:
    declared = has(capabilities, "workspace.workspaceEdit.documentChanges")
    if "documentChanges" in edit and not declared and not editor.name.startswith("neovim"):
        yield "documentChanges to a client that takes changes"  # Neovim applies them without declaring that it does
    parts = edit.get("documentChanges") or list((edit.get("changes") or {}).items())
    handling = capabilities.get("workspace", {}).get("workspaceEdit", {}).get("failureHandling")
    whole = handling in ("transactional", "textOnlyTransactional")
    if len(parts) != 1 and not (whole and declared):
        yield f"{len(parts)} documents in one edit"


def _shown(capabilities: Json, params: Json) -> Iterator[str]:
    content = has(capabilities, "workspace.textDocumentContent.dynamicRegistration")
    if params["uri"].startswith("agent-lsp:") and not content:
        yield f"{params['uri']} to a client that cannot read it"


def _diagnostics(capabilities: Json, params: Json) -> Iterator[str]:
    support = capabilities.get("textDocument", {}).get("publishDiagnostics", {})
    for row in params["diagnostics"]:
        if "relatedInformation" in row and support.get("relatedInformation") is not True:
            yield "relatedInformation is not taken"
        if "data" in row and support.get("dataSupport") is not True:
            yield "data of a diagnostic is not kept"
        if "tags" in row and "tagSupport" not in support:
            yield "tags of a diagnostic are not taken"
