"""Owns what a model gets to see of a text: secrets stand in it as placeholders, which come back as they were.

Every request to a model goes through `Veil.respond`, and nothing else calls a model (a test holds that). History and
tools work with the real text. The model's own words are sent back to it as it said them.
"""

import asyncio
import hashlib
import hmac
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from agent_lsp.domain.conversation import Block, Message, ModelRequest, ModelTurn, Text, ToolResult, ToolSpec
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.ports import Model

PLACEHOLDER: Final = re.compile(r"<secret-[0-9a-f]{8}>")
_ALONE: Final = 50_000
"""From so many new characters on, a request is masked in a thread."""

_MOST_KEPT: Final = 30_000_000
_LEAST_KNOWN: Final = 8
_LONG_ENOUGH: Final = 16

SecretFinder = Callable[[str, Callable[[str], str]], str]
"""A text with each secret replaced by what the function says of it (storage/redaction.py)."""

Lines = Callable[[], Awaitable[Iterable[str]]]
"""Reads the lines of private files."""


async def _no_lines() -> Iterable[str]:
    return ()


class Veil:
    """The secrets of one run, by placeholder. The same secret has the same placeholder under the same key."""

    def __init__(self, finder: SecretFinder, key: bytes, private_lines: Lines = _no_lines) -> None:
        """`private_lines` is asked once, before the first request."""
        self._finder, self._key, self._private_lines = finder, key, private_lines
        self._values: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._literal: set[str] = set()
        self._everywhere: set[str] = set()
        self._lines: set[str] = set()
        self._masked: dict[str, str] = {}
        self._kept = 0
        self._lock = threading.Lock()
        self._prepared = False

    async def respond(self, model: Model, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """The model's answer to the masked request; see `domain.ports.Model`. Placeholders stand in it as written."""
        await self._prepare()
        if sum(len(text) for text in _texts(request) if text not in self._masked) < _ALONE:
            hidden = self.hidden(request)
        else:
            hidden = await asyncio.to_thread(self.hidden, request)
        return await model.respond(hidden, on_text)

    def hidden(self, request: ModelRequest) -> ModelRequest:
        """The request with every secret of it masked."""
        for text in _texts(request):
            self.mask(text)  # what one text shows to be a secret is masked in all of them
        return replace(
            request,
            system=self.mask(request.system),
            messages=tuple(self._message(message) for message in request.messages),
            tools=tuple(self._tool(tool) for tool in request.tools),
        )

    def mask(self, text: str) -> str:
        """A text as a model may see it."""
        with self._lock:
            known = self._masked.get(text)
            if known is None:
                known = self._masked[text] = self._fresh(text)
                self._kept += len(text)
                if self._kept > _MOST_KEPT:
                    self._masked, self._kept = {}, 0
            return known

    def put_back(self, value: Any) -> Any:
        """What a model wrote, with the real bytes for placeholders. Raises ToolError for one that was never given."""
        match value:
            case str():
                return PLACEHOLDER.sub(self._real, value)
            case Mapping():
                return {key: self.put_back(item) for key, item in value.items()}
            case list():
                return [self.put_back(item) for item in value]
        return value

    async def _prepare(self) -> None:
        if self._prepared:
            return
        self._prepared = True
        lines = {line.strip() for line in await self._private_lines()}
        self._lines = {line for line in lines if len(line) >= _LEAST_KNOWN}
        for line in self._lines:
            _, mark, value = line.partition("=")
            if mark and _looks_made(value := value.strip().strip("\"'")):
                self._everywhere.add(value)
            elif _looks_made(line) and " " not in line:
                self._everywhere.add(line)

    def _fresh(self, text: str) -> str:
        self._literal.update(found for found in PLACEHOLDER.findall(text) if found not in self._values)
        masked = self._without_known(text)
        before = len(self._everywhere)
        masked = self._finder(masked, self._name)
        if len(self._everywhere) != before:
            self._masked, self._kept = {}, 0  # what stands in older texts too is masked there from now on
            masked = self._without_known(masked)
        return masked

    def _without_known(self, text: str) -> str:
        parts = [re.escape(secret) for secret in _longest_first(self._everywhere) if secret in text]
        if lines := [re.escape(line) for line in _longest_first(self._lines) if line in text]:
            parts.insert(0, rf"(?:(?<=[\s:|\"'+\-])|(?<![\s\S]))(?:{'|'.join(lines)})(?=[\s\"']|\Z)")
        if not parts:
            return text
        return re.sub("|".join((PLACEHOLDER.pattern, *parts)), self._by_name, text)

    def _by_name(self, match: re.Match[str]) -> str:
        return match[0] if PLACEHOLDER.fullmatch(match[0]) else self._name(match[0])

    def _name(self, secret: str) -> str:
        """The placeholder of a secret; what holds one already is left as it is."""
        if PLACEHOLDER.search(secret):
            return secret
        name = self._names.get(secret)
        if name is None:
            digest = hmac.new(self._key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
            names = (f"<secret-{digest[at : at + 8]}>" for at in range(len(digest) - 8))
            name = next(name for name in names if name not in self._values)
            self._names[secret], self._values[name] = name, secret
            if _looks_made(secret):
                self._everywhere.add(secret)
        return name

    def _real(self, match: re.Match[str]) -> str:
        name = match[0]
        if name in self._values:
            return self._values[name]
        if name in self._literal:
            return name
        raise ToolError(
            f"{name} stands for nothing: it was never given out. Copy placeholders as they stand in the file, or write "
            "what you mean without one. Nothing was done."
        )

    def _message(self, message: Message) -> Message:
        if message.role == "assistant":
            return message
        return replace(message, blocks=tuple(self._block(block) for block in message.blocks))

    def _block(self, block: Block) -> Block:
        if isinstance(block, Text | ToolResult):
            return replace(block, text=self.mask(block.text))
        return block

    def _tool(self, tool: ToolSpec) -> ToolSpec:
        return replace(tool, description=self.mask(tool.description))


def _texts(request: ModelRequest) -> Iterable[str]:
    yield request.system
    for message in request.messages:
        if message.role == "user":
            yield from (block.text for block in message.blocks if isinstance(block, Text | ToolResult))


def _looks_made(secret: str) -> bool:
    """Whether a secret is none of the words that stand everywhere."""
    if len(secret) < _LEAST_KNOWN:
        return False
    return len(secret) >= _LONG_ENOUGH or (any(map(str.isdigit, secret)) and any(map(str.isalpha, secret)))


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: (-len(text), text))
