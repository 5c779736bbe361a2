"""Owns editors/nvim/lua/agent_lsp/protocol.lua: `python -m tests.judge.lua_types` writes it anew from the schema."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.judge.schema import schema

PATH = Path(__file__).parents[2] / "editors" / "nvim" / "lua" / "agent_lsp" / "protocol.lua"

_HEAD = """---@meta
-- The shapes of docs/protocol.md as annotations, made from docs/protocol.schema.json by `make schema`. Never loaded.
"""
_PLAIN = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean", "null": "vim.NIL"}


def text() -> str:
    """The file's text."""
    described = schema()
    parts = [_HEAD]
    parts += ["\n".join(_class(name, shape)) for name, shape in described["$defs"].items()]
    parts.append("\n".join(_commands(described["commands"])))
    return "\n\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def _class(name: str, shape: Mapping[str, Any]) -> Iterator[str]:
    for line in str(shape.get("description", "")).splitlines():
        yield f"--- {line}".rstrip()
    yield f"---@class agent_lsp.{name}"
    required = shape.get("required", ())
    for key, value in shape.get("properties", {}).items():
        yield f"---@field {key}{'' if key in required else '?'} {_type(value)}"


def _commands(commands: Mapping[str, Any]) -> Iterator[str]:
    yield "--- What each command takes and answers."
    for name, shapes in commands.items():
        answers = "|".join(_type(shape) for shape in shapes["result"]["anyOf"])
        yield f"--- `{name}`: {_type(shapes['argument'])} -> {answers}"


def _type(value: Mapping[str, Any]) -> str:
    if "$ref" in value:
        return "agent_lsp." + str(value["$ref"]).rpartition("/")[2]
    if "anyOf" in value:
        return "|".join(_type(choice) for choice in value["anyOf"])
    if "const" in value or "enum" in value:
        return "|".join(json.dumps(choice) for choice in value.get("enum", [value.get("const")]))
    kind = value.get("type")
    if kind == "array":
        inner = _type(value["items"])
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if kind == "object":
        more = value.get("additionalProperties")
        return f"table<string, {_type(more)}>" if isinstance(more, Mapping) else "table<string, any>"
    return _PLAIN.get(str(kind), "any")


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
