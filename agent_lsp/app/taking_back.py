"""Owns looking at checkpoints and taking one back without an editor: `agent-lsp checkpoints`, `agent-lsp rollback`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from agent_lsp.app.past import DATABASE_NAME
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.workspace.layout import STATE_FOLDER

_EXIT_NOT_DONE: Final = 1

_WORDS: Final = {
    "applied": "",
    "rolled_back": "rolled back",
    "taken_back": "never completed",
    "unfinished": "unfinished",
}


def show_checkpoints(root: Path, checkpoint_id: str | None) -> int:
    """Prints the list, or what rolling one back would change; exit status 1 when there is none."""
    if checkpoint_id is None:
        return _call(root, "checkpoints", {}, _print_list)
    return _call(root, "checkpoint", {"checkpointId": checkpoint_id}, _print_preview)


def roll_back(root: Path, checkpoint_id: str) -> int:
    """Takes one back on disk; exit status 1 where that cannot be done, with the reason."""
    return _call(root, "rollback", {"checkpointId": checkpoint_id}, _print_rollback)


def _call(root: Path, name: str, args: Mapping[str, Any], show: Callable[[Mapping[str, Any]], int]) -> int:
    command = "rollback" if name == "rollback" else "checkpoints"
    if not (root / STATE_FOLDER / DATABASE_NAME).exists():
        print(f"agent-lsp {command}: nothing was applied in {root} yet", file=sys.stderr)
        return _EXIT_NOT_DONE
    try:
        return show(asyncio.run(_asked(root, name, args)))
    except AgentLspError as error:
        print(f"agent-lsp {command}: {error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return _EXIT_NOT_DONE


async def _asked(root: Path, name: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
    from agent_lsp.app.runtime import open_runtime
    from agent_lsp.app.terminal import NoBuffers

    def tell(event: str, data: Mapping[str, Any]) -> None:
        if event == "message":
            print(str(data["text"]), file=sys.stderr)

    runtime = await open_runtime(root, publish=tell, editor=NoBuffers(), process="cli")
    try:
        call: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]] = runtime.handlers[name]
        return await call(args)
    finally:
        await runtime.close()


def _print_list(answer: Mapping[str, Any]) -> int:
    for row in answer["checkpoints"]:
        when = datetime.fromtimestamp(row["timeS"]).astimezone().strftime("%Y-%m-%d %H:%M")
        state = _WORDS.get(row["state"], row["state"])
        print(f"{row['checkpointId']}  {when}  {row['summary']}{f'  ({state})' if state else ''}")
        print(f"    {', '.join(row['files'])}")
    return 0


def _print_preview(answer: Mapping[str, Any]) -> int:
    if not answer["possible"]:
        print(f"{answer['summary']} is not possible: {answer.get('reason', '')}. What it wrote:", file=sys.stderr)
    print(answer["diff"], end="")
    return 0 if answer["possible"] else _EXIT_NOT_DONE


def _print_rollback(answer: Mapping[str, Any]) -> int:
    if not answer["applied"]:
        print(f"not rolled back: {answer.get('reason', '')}", file=sys.stderr)
        return _EXIT_NOT_DONE
    print(f"rolled back; bring it forward again with agent-lsp rollback {answer['checkpointId']}")
    return 0
