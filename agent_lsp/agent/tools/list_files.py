"""Owns the tool list_files."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.globs import glob_matcher
from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput, nearest
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.policy import Effect, inside_root

MOST_FILES: Final = 400


class ListFiles(ToolInput):
    """Which files to list."""

    path: str | None = Field(default=None, description="A folder relative to the workspace root; default: the root.")
    glob: str | None = Field(default=None, description="Only files that match, e.g. *.py or src/**/*.py.")


async def _run(given: ListFiles, bench: Bench) -> Answer:
    folder = inside_root(given.path or ".")
    paths = await bench.candidate.paths(folder)
    if not paths:
        if folder == ".":
            return Answer("The workspace has no files.")
        raise ToolError(f"There are no files under {folder}.{await nearest(bench, folder)}")
    if given.glob:
        matcher = glob_matcher(given.glob)
        paths = [path for path in paths if matcher.fullmatch(path)]
        if not paths:
            return Answer(f"No file under {folder} matches {given.glob}.")
    shown = [f"{path}  (private: cannot be read)" if path in bench.private else path for path in paths]
    return Answer(_listing(shown, folder))


def _listing(paths: Sequence[str], folder: str) -> str:
    if len(paths) <= MOST_FILES:
        return "\n".join(paths)
    below = 0 if folder == "." else folder.count("/") + 1
    groups = Counter("/".join(path.split("/")[: below + 1]) for path in paths)
    names = set(paths)
    rows = [name if name in names else f"{name}/  ({count} files)" for name, count in sorted(groups.items())]
    shown = rows[:MOST_FILES]
    left_out = f"\n… and {len(rows) - len(shown)} more" if len(rows) > len(shown) else ""
    note = f"{len(paths)} files, too many to list one by one; give path or glob to see more of a folder.\n"
    return note + "\n".join(shown) + left_out


TOOL: Final = Tool(
    name="list_files",
    description="Lists the files of the workspace (ignored files left out), below a folder or matching a glob.",
    effect=Effect.READ,
    input_model=ListFiles,
    run=_run,
)
