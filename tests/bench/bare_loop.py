"""Owns the baseline of turns: the least loop around the SDK, which streams and hands out tool results from memory."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anthropic

_PATIENCE_S = 60.0


def main() -> None:
    """Goes through the conversation that the file holds (`turns.said`), until the model ends or the results do."""
    kept = json.loads(Path(sys.argv[1]).read_text())
    request: dict[str, Any] = kept["request"]
    client = anthropic.Anthropic(max_retries=0, timeout=_PATIENCE_S)
    messages = request.pop("messages")
    results = iter(kept["results"])
    while True:
        with client.messages.create(**request, messages=messages, stream=True) as stream:
            content = read(stream)
        asked = [block for block in content if block["type"] == "tool_use"]
        answers = next(results, None)
        if not asked or answers is None:
            return
        for block, answer in zip(asked, answers, strict=True):
            answer["tool_use_id"] = block["id"]
        messages += [{"role": "assistant", "content": content}, {"role": "user", "content": answers}]


def read(events: Iterable[Any]) -> list[dict[str, Any]]:
    """The blocks of one streamed message of prose and calls."""
    blocks: list[dict[str, Any]] = []
    parts: list[list[str]] = []
    for event in events:
        if event.type == "content_block_start":
            blocks.append(event.content_block.to_dict())
            parts.append([])
        elif event.type == "content_block_delta":
            delta = event.delta
            parts[-1].append(delta.partial_json if delta.type == "input_json_delta" else delta.text)
    for block, said in zip(blocks, parts, strict=True):
        if block["type"] == "tool_use":
            block["input"] = json.loads("".join(said))
        else:
            block["text"] = "".join(said)
    return blocks


if __name__ == "__main__":
    main()
