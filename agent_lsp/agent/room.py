"""Owns how long a conversation may grow: what it measures in tokens, and how it is made shorter when that is too much.

No tokenizer is loaded: how many characters make a token is learnt from the counts that the provider sends back. Old
results of tools go first, then older turns become a digest. The first message, what the person and the gate said
(the plan, each step, the verdicts) and the last turns stay as they are; calls and their results stay together.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from agent_lsp.agent.findings import shortened
from agent_lsp.domain.conversation import Block, Message, ModelRequest, Text, ToolCall, ToolResult
from agent_lsp.domain.task import Usage

DEFAULT_CONTEXT_TOKENS: Final = 200_000
FULL: Final = 0.7
"""The part of the context from which a conversation is made shorter, and what it is then brought down to."""

ROOMY: Final = 0.45
FIRST_GUESS: Final = 3.5
KEPT_WHOLE: Final = 6
DIGEST: Final = "Earlier in this conversation, in short:"
_SMALL_RESULT: Final = 300
_MOST_DIGEST: Final = 12_000
_CUT_TO: Final = (20_000, 4_000, 1_000)
_COUNT: Final = re.compile(r"\b\d{1,3}(?:,\d{3})+\b|\b\d{4,8}\b")
_LEFT_OUT: Final = "(left out to save room; call the tool again if you need it)"


_Way = Callable[[list[Message]], list[Message]]


@dataclass(frozen=True, slots=True)
class Shortened:
    """What was done, in estimated tokens."""

    before_tokens: int
    after_tokens: int
    before_messages: int
    after_messages: int

    def to_json(self) -> dict[str, int]:
        """For the journal."""
        return {
            "beforeTokens": self.before_tokens,
            "afterTokens": self.after_tokens,
            "beforeMessages": self.before_messages,
            "afterMessages": self.after_messages,
        }


class Room:
    """The measure of one conversation."""

    def __init__(self, context_tokens: int = DEFAULT_CONTEXT_TOKENS) -> None:
        self._context_tokens = context_tokens
        self._characters_per_token = FIRST_GUESS
        self._around = 0

    def asked(self, request: ModelRequest) -> None:
        """Notes what a request has besides its messages."""
        tools = sum(
            len(tool.name) + len(tool.description) + len(json.dumps(tool.input_schema, default=str))
            for tool in request.tools
        )
        self._around = len(request.system) + tools

    def answered(self, messages: Sequence[Message], usage: Usage) -> None:
        """Learns from what the provider counted; counts that make no sense are passed over."""
        tokens = usage.prompt_tokens
        characters = self._around + sum(map(size, messages))
        if tokens >= 500 and 1.0 <= characters / tokens <= 10.0:
            self._characters_per_token += 0.5 * (characters / tokens - self._characters_per_token)

    def tokens(self, messages: Sequence[Message]) -> int:
        """How many tokens a request with these messages is estimated to have."""
        return int((self._around + sum(map(size, messages))) / self._characters_per_token)

    def is_full(self, messages: Sequence[Message]) -> bool:
        """Whether the next request would come near the context's end."""
        return self.tokens(messages) > FULL * self._context_tokens

    def refused(self, messages: Sequence[Message], words: str) -> None:
        """The provider found it too long: the context is smaller, or a token shorter, than thought.

        `words` mostly say both: how many tokens it takes, and how many there were.
        """
        told = [int(number.replace(",", "")) for number in _COUNT.findall(words)]
        takes, had = (min(told), max(told)) if len(told) > 1 else (told[0], 0) if told else (0, 0)
        if had > takes >= 1000:
            characters = self._around + sum(map(size, messages))
            self._characters_per_token = min(10.0, max(1.0, characters / had))
        self._context_tokens = min(self._context_tokens, takes or self.tokens(messages), self.tokens(messages))

    def shorter(self, messages: Sequence[Message]) -> tuple[list[Message], Shortened] | None:
        """The messages brought down as far as wished, or as far as it goes; None where nothing can go."""
        before = self.tokens(messages)
        wanted = int(ROOMY * self._context_tokens)
        now = list(messages)
        ways: tuple[_Way, ...] = (_without_old_results, _digested, *(partial(_cut, most) for most in _CUT_TO))
        for way in ways:
            if self.tokens(now) <= wanted:
                break
            now = way(now)
        if sum(map(size, now)) >= sum(map(size, messages)):
            return None
        return now, Shortened(before, self.tokens(now), len(messages), len(now))


def size(message: Message) -> int:
    """Characters of a message."""
    return sum(
        len(block.text) if isinstance(block, Text | ToolResult) else len(json.dumps(dict(block.input), default=str))
        for block in message.blocks
    )


def _without_old_results(messages: list[Message]) -> list[Message]:
    """Old results of tools as one line each."""
    tail = max(1, len(messages) - KEPT_WHOLE)
    return [_lined(message) for message in messages[:tail]] + messages[tail:]


def _lined(message: Message) -> Message:
    blocks = tuple(
        replace(block, text=f"{_line(block.text)} {_LEFT_OUT}")
        if isinstance(block, ToolResult) and len(block.text) > _SMALL_RESULT
        else block
        for block in message.blocks
    )
    return replace(message, blocks=blocks)


def _digested(messages: list[Message]) -> list[Message]:
    """Everything before the last turns as one message: what was said stays, what was done is told in short."""
    start = max(1, len(messages) - KEPT_WHOLE)
    while start < len(messages) and messages[start].role != "assistant":
        start += 1
    if start >= len(messages) or start < 3:
        return messages
    blocks: list[Block] = []
    done: list[str] = []
    answers = (block for message in messages[:start] for block in message.blocks if isinstance(block, ToolResult))
    results = {block.call_id: block for block in answers}
    for message in messages[:start]:
        if message.role == "assistant":
            done += _told(message.blocks, results)
            continue
        for block in message.blocks:
            if not isinstance(block, Text):
                continue
            if block.text.startswith(DIGEST):
                done += block.text.splitlines()[1:]
                continue
            blocks += _digest(done)
            done = []
            blocks.append(block)
    return [Message("user", (*blocks, *_digest(done))), *messages[start:]]


def _told(blocks: Iterable[Block], results: dict[str, ToolResult]) -> list[str]:
    rows = []
    for block in blocks:
        match block:
            case Text(text) if text.strip():
                rows.append(f"- You said: {_line(text)}")
            case ToolCall(call_id, name, given):
                what = next((str(given[key]) for key in ("path", "pattern", "command", "tests") if given.get(key)), "")
                answer = results.get(call_id)
                end = "" if answer is None else f" -> {'failed: ' if answer.failed else ''}{_line(answer.text)}"
                rows.append(f"- {name} {_line(what)}".rstrip() + end)
    return rows


def _digest(rows: list[str]) -> list[Block]:
    return [Text(f"{DIGEST}\n{shortened(chr(10).join(rows), _MOST_DIGEST)}")] if rows else []


def _cut(most: int, messages: list[Message]) -> list[Message]:
    """The middle of every result that is longer than this goes, of the last turns too."""
    return [
        replace(
            message,
            blocks=tuple(
                replace(block, text=shortened(block.text, most)) if isinstance(block, ToolResult) else block
                for block in message.blocks
            ),
        )
        for message in messages
    ]


def _line(text: str) -> str:
    first = " ".join(text.strip().splitlines()[:1])
    return first if len(first) <= 160 else first[:159] + "…"
