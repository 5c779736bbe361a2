"""Owns the tool delete_file."""

from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput, existing
from agent_lsp.domain.policy import Effect, inside_root


class DeleteFile(ToolInput):
    """Which file goes."""

    path: str = Field(description="Relative to the workspace root.")


async def _run(given: DeleteFile, bench: Bench) -> Answer:
    path = inside_root(given.path)
    await existing(bench, path)
    await bench.candidate.write(path, None)
    return Answer(f"Deleted {path}.")


TOOL: Final = Tool(
    name="delete_file",
    description="Deletes one file.",
    effect=Effect.EDIT,
    input_model=DeleteFile,
    run=_run,
)
