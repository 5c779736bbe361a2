"""Owns the tool write_file."""

import re
from dataclasses import replace
from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput, encoded
from agent_lsp.domain.changes import Entry
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.policy import Effect, inside_root
from agent_lsp.domain.text import decode, split_lines

_BARE_LF = re.compile(r"(?<!\r)\n")


class WriteFile(ToolInput):
    """A whole file."""

    path: str = Field(description="Relative to the workspace root; folders are created.")
    content: str = Field(description="The whole new text of the file.")


async def _run(given: WriteFile, bench: Bench) -> Answer:
    path = inside_root(given.path)
    before = await bench.candidate.read(path)
    if before is None and (path == "." or await bench.candidate.paths(path)):
        raise ToolError(f"{path} is a folder; give the path of a file in it.")
    await bench.candidate.write(path, _entry(path, before, given.content))
    what = "Created" if before is None else "Overwrote"
    return Answer(f"{what} {path} ({len(split_lines(given.content))} lines).")


def _entry(path: str, before: Entry | None, text: str) -> Entry:
    """The new bytes in the encoding, with the BOM, the line ends and the mode of the file they replace."""
    if before is None:
        return Entry(text.encode("utf-8", "replace"))
    decoded = decode(before.content)
    if decoded is None:
        return replace(before, content=text.encode("utf-8", "replace"))
    if "\r\n" in decoded.text and not _BARE_LF.search(decoded.text):
        text = _BARE_LF.sub("\r\n", text)
    return replace(before, content=encoded(path, decoded, text))


TOOL: Final = Tool(
    name="write_file",
    description="Creates a file or overwrites it whole. For a small change of an existing file use edit_file.",
    effect=Effect.EDIT,
    input_model=WriteFile,
    run=_run,
)
