"""Owns the tool edit_file."""

from dataclasses import replace
from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput, encoded, existing, numbered
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.matching import replace_text
from agent_lsp.domain.policy import Effect, inside_root
from agent_lsp.domain.text import decode, split_lines

AROUND: Final = 3
MOST_SHOWN: Final = 60


class EditFile(ToolInput):
    """One replacement in one file."""

    path: str = Field(description="Relative to the workspace root.")
    old_text: str = Field(
        description="Whole text to replace, copied from the file without line numbers; it must be found exactly once."
    )
    new_text: str = Field(description="What stands there afterwards.")
    replace_all: bool = Field(default=False, description="Replace every occurrence instead of demanding one.")


async def _run(given: EditFile, bench: Bench) -> Answer:
    path = inside_root(given.path)
    entry = await existing(bench, path)
    decoded = decode(entry.content)
    if decoded is None:
        raise ToolError(f"{path} is binary; it cannot be edited as text.")
    if not given.old_text:
        raise ToolError("old_text is empty; give the text to replace, or use write_file for the whole file.")
    if given.old_text == given.new_text:
        raise ToolError("old_text and new_text are the same; nothing would change.")
    after = replace_text(decoded.text, given.old_text, given.new_text, replace_all=given.replace_all)
    if after == decoded.text:
        raise ToolError(f"{path} already reads so; nothing was changed.")
    await bench.candidate.write(path, replace(entry, content=encoded(path, decoded, after)))
    return Answer(f"Edited {path}. It now reads:\n{_surroundings(decoded.text, after)}")


def _surroundings(before: str, after: str) -> str:
    """The changed lines of the new text with a few around them."""
    old, new = split_lines(before), split_lines(after)
    head = next(
        (at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new))
    )
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    first = max(0, head - AROUND)
    shown = new[first : min(len(new), len(new) - tail + AROUND)]
    cut = "\n…" if len(shown) > MOST_SHOWN else ""
    return numbered(shown[:MOST_SHOWN], first + 1) + cut


TOOL: Final = Tool(
    name="edit_file",
    description=(
        "Replaces text in a file. old_text must be in the file exactly once (differences in line ends, trailing "
        "blanks or uniform indent are forgiven); include enough lines around it to make it unique."
    ),
    effect=Effect.EDIT,
    input_model=EditFile,
    run=_run,
)
