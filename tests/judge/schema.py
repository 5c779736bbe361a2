"""Owns docs/protocol.schema.json: `python -m tests.judge.schema` writes it anew from the shapes of agent_lsp/server."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from agent_lsp.server.command_shapes import COMMANDS, REQUESTS
from agent_lsp.server.model_shapes import EDITOR_REQUESTS
from agent_lsp.server.shapes import NOTIFICATIONS, ClientCapability, ErrorBody, ServerCapability

PATH = Path(__file__).parents[2] / "docs" / "protocol.schema.json"


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of every message of ours; `$defs` holds the shapes, the rest says where each is used.

    Unlike the judge it lets unknown keys pass: later versions may add some.
    """
    pairs = [*COMMANDS.values(), *EDITOR_REQUESTS.values()]
    shapes = [*(shape for pair in pairs for shape in pair), *NOTIFICATIONS.values()]
    definitions: dict[str, Any] = {}
    for shape in [ServerCapability, ClientCapability, ErrorBody, *shapes]:
        definitions |= TypeAdapter(list[shape]).json_schema()["$defs"]  # type: ignore[valid-type]
    for definition in definitions.values():
        for key in definition.get("properties", {}).values():
            key.pop("title", None)

    def refer(shape: Any) -> dict[str, str]:
        return {"$ref": f"#/$defs/{shape.__name__}"}

    def either(shape: Any) -> dict[str, Any]:
        return {"anyOf": [refer(shape), refer(ErrorBody)]}

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agent-lsp, protocol version 1",
        "capabilities": {"server": refer(ServerCapability), "client": refer(ClientCapability)},
        "commands": {name: {"argument": refer(a), "result": either(r)} for name, (a, r) in COMMANDS.items()},
        "requests": {name: {"params": refer(a), "result": either(r)} for name, (a, r) in REQUESTS.items()},
        "editorRequests": {name: {"params": refer(a), "result": either(r)} for name, (a, r) in EDITOR_REQUESTS.items()},
        "notifications": {name: {"params": refer(shape)} for name, shape in NOTIFICATIONS.items()},
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }


def text() -> str:
    """The file's text."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
