"""Owns the tool read_file."""

from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput, existing, numbered
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.policy import Effect, inside_root
from agent_lsp.domain.text import decode, split_lines

MOST_LINES: Final = 1500
MOST_CHARACTERS: Final = 60_000
LONGEST_LINE: Final = 2000


class ReadFile(ToolInput):
    """Which part of which file."""

    path: str = Field(description="Relative to the workspace root.")
    start_line: int | None = Field(default=None, ge=1, description="First line, counted from 1.")
    end_line: int | None = Field(default=None, ge=1, description="Last line, included.")


async def _run(given: ReadFile, bench: Bench) -> Answer:
    path = inside_root(given.path)
    entry = await existing(bench, path)
    decoded = decode(entry.content)
    if decoded is None:
        return Answer(f"{path} is binary ({len(entry.content)} bytes); it cannot be shown as text.")
    lines = split_lines(decoded.text)
    if not lines:
        return Answer(f"{path} is empty.")
    first = given.start_line or 1
    last = min(given.end_line or len(lines), len(lines))
    if first > len(lines):
        raise ToolError(f"{path} has {len(lines)} lines; start_line {first} is past its end.")
    if last < first:
        raise ToolError(f"end_line {given.end_line} lies before start_line {first}.")
    shown = _bounded(lines[first - 1 : last])
    ended = first + len(shown) - 1
    head = f"{path}, lines {first}-{ended} of {len(lines)}{_line_ends(decoded.text)}:"
    more = f"\n(cut here; go on with start_line {ended + 1})" if ended < last else ""
    return Answer(f"{head}\n{numbered(shown, first)}{more}")


def _bounded(lines: list[str]) -> list[str]:
    shown: list[str] = []
    size = 0
    for line in lines[:MOST_LINES]:
        text = line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + f" … ({len(line)} characters)"
        size += len(text) + 7
        if shown and size > MOST_CHARACTERS:
            break
        shown.append(text)
    return shown


def _line_ends(text: str) -> str:
    return " (its lines end with CRLF)" if "\r\n" in text else ""


TOOL: Final = Tool(
    name="read_file",
    description=(
        "Reads a text file as the person sees it now (unsaved text included, and your own edits), with line numbers. "
        "The number and the tab after it are not part of the file."
    ),
    effect=Effect.READ,
    input_model=ReadFile,
    run=_run,
)
