"""Owns the early look at `[log]`: what the edge needs before the settings, and their library, are loaded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_lsp.domain.errors import ConfigError
from agent_lsp.settings.layers import WORKSPACE_FILE, environment_layer, read_file, user_file


@dataclass(frozen=True, slots=True)
class LogChoice:
    """How the console log is kept."""

    max_bytes: int = 5_000_000
    backups: int = 5
    level: str = "info"


def log_choice(root: Path, environ: Mapping[str, str]) -> LogChoice:
    """The log settings of files and environment. What is wrong counts as not set: the loader tells the person."""
    values: dict[str, Any] = {}
    for path in (user_file(environ), root / WORKSPACE_FILE):
        try:
            values |= read_file(path).values
        except ConfigError:
            continue
    values |= environment_layer(environ).values
    max_mb = _number(values.get("log.max_mb"), 0, 1000)
    backups = _number(values.get("log.backups"), 0, 99)
    level = values.get("log.level")
    return LogChoice(
        int(max_mb * 1_000_000) if max_mb else 5_000_000,
        int(backups) if backups and backups == int(backups) else 5,
        level if level in ("debug", "info", "warning", "error") else "info",
    )


def _number(value: Any, above: float, most: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and above < number <= most else None
