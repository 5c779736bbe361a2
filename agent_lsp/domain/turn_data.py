"""Owns a model's answer as plain data, for whoever keeps answers, and back."""

from collections.abc import Mapping
from typing import Any

from agent_lsp.domain.conversation import Answerer, Block, ModelTurn, StopReason, Text, ToolCall
from agent_lsp.domain.task import Usage


def turn_data(turn: ModelTurn) -> dict[str, Any]:
    """A model's whole answer."""
    blocks = [_block_data(block) for block in turn.blocks]
    data = {"blocks": blocks, "stop": turn.stop.value, "model": turn.model, "usage": turn.usage.to_json()}
    return data if turn.by is None else {**data, "by": {"name": turn.by.name, **turn.by.to_json()}}


def turn_of(data: Mapping[str, Any]) -> ModelTurn:
    """Raises ValueError, KeyError or TypeError for what was written otherwise."""
    blocks = tuple(_block(row) for row in data["blocks"])
    usage, by = usage_of(data["usage"]), answerer_of(data)
    return ModelTurn(blocks, StopReason(data["stop"]), str(data["model"]), usage, by)


def answerer_of(data: Mapping[str, Any]) -> Answerer | None:
    """Who gave the answer; None where that was not kept, as in older data."""
    by = data.get("by")
    if not isinstance(by, Mapping) or not by.get("endpoint") or not by.get("name"):
        return None
    instead_of = by.get("insteadOf")
    passed = tuple(str(row) for row in instead_of) if isinstance(instead_of, list) else ()
    return Answerer(str(by["endpoint"]), str(by["name"]), str(by.get("tier", "")), str(by.get("why", "")), passed)


def usage_of(data: Mapping[str, Any]) -> Usage:
    """The usage that `Usage.to_json` wrote."""
    return Usage(
        int(data["inputTokens"]),
        int(data["outputTokens"]),
        int(data["cacheReadTokens"]),
        int(data["cacheWriteTokens"]),
        float(data["costUsd"]),
        int(data["turns"]),
    )


def _block_data(block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"text": block.text}
    if isinstance(block, ToolCall):
        return {"call": block.id, "name": block.name, "input": dict(block.input)}
    return {}


def _block(row: Mapping[str, Any]) -> Block:
    if "call" in row:
        return ToolCall(str(row["call"]), str(row["name"]), row["input"])
    return Text(str(row.get("text", "")))
