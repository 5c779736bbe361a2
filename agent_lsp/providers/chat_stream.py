"""Owns how the chunks of a chat completion read as the events that Assembly puts together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Event = Mapping[str, Any]

_STOPS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_TEXT, _REFUSAL = "text", "refusal"


@dataclass(slots=True)
class _Open:
    """A block that is being written: `index` is ours, `call_id` what the server calls it."""

    index: int
    call_id: str = ""


class ChatStream:
    """Takes chunks in order. Servers differ: calls come in pieces or whole, with numbers of their own or all with 0."""

    def __init__(self) -> None:
        self._open: dict[str | int, _Open] = {}
        self._count = 0
        self._stop = ""
        self._refused = False
        self._begun = False

    @property
    def whole(self) -> bool:
        """Whether the server has said why the message ended."""
        return bool(self._stop)

    def events(self, chunk: Event) -> Iterator[Event]:
        """The events of one chunk. Raises KeyError, TypeError or AttributeError for one that makes no sense."""
        if not self._begun:
            self._begun = True
            yield {"type": "message_start", "message": {"model": chunk.get("model")}}
        if chunk.get("usage"):
            yield {"type": "message_delta", "delta": {}, "usage": _usage(chunk["usage"])}
        for choice in (chunk.get("choices") or ())[:1]:
            yield from self._delta(choice.get("delta") or {})
            if choice.get("finish_reason"):
                self._stop = choice["finish_reason"]

    def end(self) -> Iterator[Event]:
        """What closes the message, once the stream is over and `whole`."""
        for block in self._open.values():
            yield {"type": "content_block_stop", "index": block.index}
        stop = "refusal" if self._refused else _STOPS.get(self._stop, self._stop)
        yield {"type": "message_delta", "delta": {"stop_reason": stop}}
        yield {"type": "message_stop"}

    def _delta(self, delta: Event) -> Iterator[Event]:
        if delta.get("content"):
            yield from self._say(_TEXT, delta["content"])
        if delta.get("refusal"):
            self._refused = True
            yield from self._say(_REFUSAL, delta["refusal"])
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)

    def _say(self, kind: str, text: str) -> Iterator[Event]:
        block = self._open.get(kind)
        if block is None:
            block = self._begin(kind)
            yield {"type": "content_block_start", "index": block.index, "content_block": {"type": "text", "text": ""}}
        yield {"type": "content_block_delta", "index": block.index, "delta": {"type": "text_delta", "text": text}}

    def _call(self, call: Event) -> Iterator[Event]:
        number, function = call.get("index") or 0, call.get("function") or {}
        block = self._open.get(number)
        if block is None or (call.get("id") and call["id"] != block.call_id):
            while number in self._open:  # another call under a number that is taken
                number += 1
            block = self._begin(number)
            block.call_id = call.get("id") or f"call_{block.index}"
            start = {"type": "tool_use", "id": block.call_id, "name": function["name"]}
            yield {"type": "content_block_start", "index": block.index, "content_block": start}
        if arguments := function.get("arguments"):
            piece = {"type": "input_json_delta", "partial_json": arguments}
            yield {"type": "content_block_delta", "index": block.index, "delta": piece}

    def _begin(self, key: str | int) -> _Open:
        self._open[key] = block = _Open(self._count)
        self._count += 1
        return block


def _usage(usage: Event) -> dict[str, int]:
    """Cached tokens are among the prompt's here, and beside them there."""
    prompt, answer = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {"input_tokens": prompt - cached, "output_tokens": answer, "cache_read_input_tokens": cached}
