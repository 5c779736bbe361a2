"""Owns the settings in editors/vscode/package.json: `python -m tests.editors.vscode_manifest` writes them anew."""

import json
from pathlib import Path
from typing import Any

from agent_lsp.settings.catalogue import Key, catalogue

PATH = Path(__file__).parents[2] / "editors" / "vscode" / "package.json"

_ENDPOINTS = "agentLsp.endpoints"
_OF_AN_ENDPOINT = "endpoints.NAME."

_OWN: dict[str, dict[str, Any]] = {
    "agentLsp.server.path": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "scope": "machine-overridable",
        "markdownDescription": "Program that starts the server, with its arguments before `serve`. Empty: looked "
        "for in the Python extension's interpreter, the PATH and the extension's own environment.",
    },
    "agentLsp.server.package": {
        "type": "string",
        "default": "agent-lsp-server",
        "scope": "machine",
        "markdownDescription": "What pip installs when the server is missing and you agree: a name, or a wheel's path.",
    },
}


def properties() -> dict[str, Any]:
    """`contributes.configuration.properties`: the extension's own settings, then all of the server.

    Endpoints have names of the person's, so they are one setting: an object of objects.
    """
    found = dict(_OWN)
    for key in catalogue().values():
        if key.key.startswith(_OF_AN_ENDPOINT):
            found.setdefault(_ENDPOINTS, _endpoints())
        else:
            found[f"agentLsp.{key.key}"] = _property(key)
    return found


def _endpoints() -> dict[str, Any]:
    keys = [key for key in catalogue().values() if key.key.startswith(_OF_AN_ENDPOINT)]
    each = {key.key.removeprefix(_OF_AN_ENDPOINT): _property(key) for key in keys}
    return {
        "type": "object",
        "default": {},
        "scope": "machine-overridable",
        "markdownDescription": "More endpoints, each under a name of yours, for the tiers to name.",
        "additionalProperties": {"type": "object", "properties": each, "additionalProperties": False},
    }


def restricted() -> list[str]:
    """What a workspace that is not trusted may not set: all that waits for trust in agent-lsp.toml too."""
    waiting = [key.key for key in catalogue().values() if key.workspace != "yes"]
    named = (_ENDPOINTS if key.startswith(_OF_AN_ENDPOINT) else f"agentLsp.{key}" for key in waiting)
    return list(dict.fromkeys([*_OWN, *named]))


def _property(key: Key) -> dict[str, Any]:
    kind = _kind(key.adapter.json_schema())
    if '"unlimited"' in key.type_name:
        kind = {**kind, "type": sorted({*_types(kind), "string"})}
    default = list(key.value) if isinstance(key.value, tuple) else key.value
    return {**kind, "default": default, "markdownDescription": key.description}


def _kind(schema: dict[str, Any]) -> dict[str, Any]:
    """As much of the JSON Schema as VS Code's settings editor shows."""
    if "anyOf" in schema:
        merged: dict[str, Any] = {}
        for part in schema["anyOf"]:
            merged |= _kind(part)
        return {**merged, "type": [name for part in schema["anyOf"] for name in _types(_kind(part))]}
    kept = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "pattern", "minLength")
    kind = {name: schema[name] for name in kept if name in schema}
    if schema.get("type") == "array":
        kind["items"] = {"type": "string"}
    return kind


def _types(kind: dict[str, Any]) -> list[str]:
    types = kind.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def text() -> str:
    """The manifest with these settings."""
    manifest = json.loads(PATH.read_text(encoding="utf-8"))
    manifest["contributes"]["configuration"]["properties"] = properties()
    manifest["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"] = restricted()
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
