"""Owns what a tool is: its name, its input's shape, its effect, and what it works with."""

import difflib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from agent_lsp.agent.engines import Desk
from agent_lsp.agent.private_files import PrivateFiles
from agent_lsp.agent.rules import Rules
from agent_lsp.domain.changes import Entry
from agent_lsp.domain.conversation import ToolSpec
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.policy import Effect
from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.text import Decoded
from agent_lsp.domain.verdict import SuiteReport

RunSuite = Callable[[Candidate, Sequence[str]], Awaitable[SuiteReport]]


class ToolInput(BaseModel):
    """What a model writes for a tool; unknown keys are refused, so that a misspelt option is noticed."""

    model_config = ConfigDict(extra="forbid")


@dataclass(slots=True)
class Bench:
    """What tools work with in one run. `searcher` is found by the first search and kept.

    `run_suite` tells of failing tests which lines they ran, where that can be found out. The candidate refuses what is
    `private`, which tools name and never show. `rules` are those of the conversation.
    """

    candidate: Candidate
    run_suite: RunSuite
    desk: Desk | None = None
    searcher: tuple[str, ...] | None = None
    private: PrivateFiles = field(default_factory=PrivateFiles)
    rules: Rules | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A tool's result. `trouble` tells that the effect was not the wished one; `ends` ends the phase with a value."""

    text: str
    trouble: bool = False
    ends: Any = None


InputT = TypeVar("InputT", bound=ToolInput)


@dataclass(frozen=True, slots=True)
class Tool(Generic[InputT]):
    """One tool. `run` raises ToolError for whatever the model can mend."""

    name: str
    description: str
    effect: Effect
    input_model: type[InputT]
    run: Callable[[InputT, Bench], Awaitable[Answer]]

    def spec(self) -> ToolSpec:
        """The tool as it is offered to a model."""
        return ToolSpec(self.name, self.description, plain_schema(self.input_model))


@cache
def plain_schema(model: type[BaseModel]) -> Mapping[str, Any]:
    """A model's JSON Schema without titles and references, which not every endpoint reads.

    It is made once: each takes pydantic a good part of a millisecond, and every request offers them all.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return plain(definitions[node["$ref"].rsplit("/", 1)[-1]])
        return {
            key: {name: plain(value) for name, value in item.items()} if key == "properties" else plain(item)
            for key, item in node.items()
            if key != "title" or not isinstance(item, str)
        }

    result: dict[str, Any] = plain(schema)
    result.pop("description", None)
    return result


async def existing(bench: Bench, path: str) -> Entry:
    """The file at a clean path. Raises ToolError naming the nearest paths, or that it is a folder."""
    entry = await bench.candidate.read(path)
    if entry is not None:
        return entry
    if path == "." or await bench.candidate.paths(path):
        raise ToolError(f"{path} is a folder, not a file; list_files shows what is in it.")
    raise ToolError(f"There is no file {path}.{await nearest(bench, path)}")


def encoded(path: str, like: Decoded, text: str) -> bytes:
    """The text in the encoding of the file that it goes into. Raises ToolError where that lacks a character."""
    if like.can_hold(text):
        return like.encode(text)
    lacking = sorted({char for char in text if not like.can_hold(char)})[:5]
    raise ToolError(
        f"{path} is encoded in {like.encoding}, which has no {' '.join(lacking)}; write it without. "
        "To have the file in UTF-8, delete it and write it anew."
    )


async def nearest(bench: Bench, path: str) -> str:
    """` Did you mean …?` with up to three paths that look alike, or nothing."""
    paths = await bench.candidate.paths()
    name = path.rsplit("/", 1)[-1]
    same_name = [other for other in paths if other.rsplit("/", 1)[-1] == name]
    near = (same_name or difflib.get_close_matches(path, list(paths)[:5000], n=3, cutoff=0.6))[:3]
    return f" Did you mean {' or '.join(near)}?" if near else " list_files shows what is there."


def numbered(lines: Sequence[str], first: int) -> str:
    """Lines (with or without their ends) as a person and a model read them, with one-based numbers."""
    return "\n".join(f"{number:>5}\t" + line.rstrip("\r\n") for number, line in enumerate(lines, first))
