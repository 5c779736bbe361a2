"""Owns the start of `copilot_console.log` in a process."""

import os
from pathlib import Path

from agent_lsp.settings.log_choice import log_choice
from agent_lsp.storage.console_log import ConsoleLog, configure_logging
from agent_lsp.workspace.layout import STATE_FOLDER


def start_log(root: Path, process: str) -> ConsoleLog:
    """Sends this process's log to the workspace's console log; `process` names it in every line."""
    chosen = log_choice(root, os.environ)
    return configure_logging(
        root / STATE_FOLDER,
        max_bytes=chosen.max_bytes,
        backups=chosen.backups,
        level=chosen.level,
        process=process,
    )
