"""Owns editors/vscode/src/protocol.ts: `python -m tests.editors.protocol_ts` writes it anew from the shapes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.judge.schema import schema

PATH = Path(__file__).parents[2] / "editors" / "vscode" / "src" / "protocol.ts"

_HEAD = """// Owns the types of our own messages. Made from docs/protocol.schema.json by `make schema`; do not edit.
"""
_WORDS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def text() -> str:
    """The file's text."""
    whole = schema()
    parts = [_HEAD]
    parts += [_interface(name, shape) for name, shape in whole["$defs"].items()]
    parts.append(_table("Commands", whole["commands"], "argument"))
    parts.append(_table("Requests", whole["requests"], "params"))
    parts.append(_table("EditorRequests", whole["editorRequests"], "params"))
    rows = [f'  "{name}": {_type(row["params"])};' for name, row in whole["notifications"].items()]
    parts.append("\n".join(["export interface Notifications {", *rows, "}\n"]))
    parts.append('export type RunState = RunRow["state"];\n')
    return "\n".join(parts)


def _interface(name: str, shape: Mapping[str, Any]) -> str:
    lines = _comment(shape.get("description"), "")
    lines.append(f"export interface {name} {{")
    required = set(shape.get("required", ()))
    for key, kind in shape.get("properties", {}).items():
        mark = "" if key in required else "?"
        lines.append(f"  {key}{mark}: {_type(kind)};")
    lines.append("}\n")
    return "\n".join(lines)


def _comment(words: str | None, indent: str) -> list[str]:
    if not words:
        return []
    lines = words.splitlines()
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


def _table(name: str, rows: Mapping[str, Any], key: str) -> str:
    lines = [f"export interface {name} {{"]
    for row, kinds in rows.items():
        lines.append(f'  "{row}": {{ {key}: {_type(kinds[key])}; result: {_type(kinds["result"])} }};')
    return "\n".join([*lines, "}\n"])


def _type(kind: Mapping[str, Any]) -> str:
    """One type of JSON Schema, as far as the shapes use it."""
    if "$ref" in kind:
        return str(kind["$ref"]).rpartition("/")[2]
    if "const" in kind:
        return json.dumps(kind["const"])
    if "enum" in kind:
        return " | ".join(json.dumps(value) for value in kind["enum"])
    for key in ("anyOf", "oneOf"):
        if key in kind:
            return " | ".join(_type(part) for part in kind[key])
    match kind.get("type"):
        case "array":
            inner = _type(kind.get("items", {}))
            return f"Array<{inner}>"
        case "object":
            more = kind.get("additionalProperties", {})
            return f"Record<string, {_type(more) if isinstance(more, dict) else 'unknown'}>"
        case None:
            return "unknown"
        case word:
            return _WORDS[word]


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
