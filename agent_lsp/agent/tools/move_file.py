"""Owns the tool move_file."""

from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput, existing
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.policy import Effect, inside_root


class MoveFile(ToolInput):
    """From where to where."""

    path: str = Field(description="The file as it is now, relative to the workspace root.")
    new_path: str = Field(description="Where it goes; nothing may be there yet.")


async def _run(given: MoveFile, bench: Bench) -> Answer:
    path, new_path = inside_root(given.path), inside_root(given.new_path)
    entry = await existing(bench, path)
    if path == new_path:
        raise ToolError("path and new_path are the same.")
    if new_path == "." or await bench.candidate.paths(new_path):
        raise ToolError(f"There already is something at {new_path}; delete it first or choose another name.")
    if await bench.candidate.read(new_path) is not None:
        raise ToolError(f"There already is an ignored file at {new_path}; choose another name.")
    await bench.candidate.write(new_path, entry)
    await bench.candidate.write(path, None)
    return Answer(f"Moved {path} to {new_path}. Imports and references to it are yours to change.")


TOOL: Final = Tool(
    name="move_file",
    description="Moves or renames one file.",
    effect=Effect.EDIT,
    input_model=MoveFile,
    run=_run,
)
