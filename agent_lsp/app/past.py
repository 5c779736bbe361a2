"""Owns what looks back: `agent-lsp log` and `agent-lsp replay`."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.storage.database import Database
from agent_lsp.storage.journal import StoredJournal
from agent_lsp.storage.log_reader import follow, read_tail
from agent_lsp.storage.replay import describe
from agent_lsp.workspace.layout import STATE_FOLDER

LOG_NAME: Final = "copilot_console.log"
DATABASE_NAME: Final = "state.db"
_EXIT_NOTHING: Final = 1


def log_path(root: Path) -> Path:
    """Where a workspace's console log lies."""
    return root / STATE_FOLDER / LOG_NAME


def show_log(root: Path, *, lines: int, follow_it: bool, errors: bool) -> int:
    """Prints the log's end, or follows it until Ctrl-C; exit status 1 when there is no log yet."""
    path = log_path(root)
    if follow_it:
        for line in follow(path, lines=lines, errors_only=errors):
            print(line, flush=True)
        return 0
    if not path.exists():
        print(f"agent-lsp log: there is no {path} yet; it is written by the first server or run", file=sys.stderr)
        return _EXIT_NOTHING
    sys.stdout.write(read_tail(path, lines, errors))
    return 0


def replay(root: Path, run_id: str | None) -> int:
    """Prints one run, or the list of runs; exit status 1 when there is no such run."""
    path = root / STATE_FOLDER / DATABASE_NAME
    if not path.exists():
        print(f"agent-lsp replay: there is no {path} yet; it is written by the first run", file=sys.stderr)
        return _EXIT_NOTHING
    try:
        return asyncio.run(_replay(path, run_id))
    except AgentLspError as error:
        print(f"agent-lsp replay: {error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return _EXIT_NOTHING


async def _replay(path: Path, run_id: str | None) -> int:
    database = Database(path, on_trouble=lambda text: print(text, file=sys.stderr))
    try:
        events = await StoredJournal(database).read(run_id)
    finally:
        await database.close()
    if run_id is None:
        _list_runs(list(events))
        return 0
    if not events:
        print(f"agent-lsp replay: no run {run_id} here; without an id the runs are listed", file=sys.stderr)
        return _EXIT_NOTHING
    for line in describe(events):
        print(line)
    return 0


def _list_runs(events: list[Event]) -> None:
    goals = {event.run_id: event.data.get("goal", "") for event in events if event.kind is EventKind.RUN_STARTED}
    states = {event.run_id: event.data.get("state", "") for event in events if event.kind is EventKind.RUN_STATE}
    states |= {event.run_id: event.data.get("state", "") for event in events if event.kind is EventKind.RUN_ENDED}
    for run_id, goal in goals.items():
        print(f"{run_id}  {states.get(run_id, ''):18} {goal}")
