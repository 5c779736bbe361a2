"""Owns what the console log tells of runs: a line for every fact of the journal, a block for every failing test."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.events import Event
from agent_lsp.storage.journal import StoredJournal
from agent_lsp.storage.replay import told

logger = logging.getLogger("agent_lsp.run")

_AROUND_LINES: Final = 12
_MOST_BYTES: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class ToldJournal:
    """`domain.ports.Journal` that says every fact in the console log as it is stored."""

    stored: StoredJournal

    def append(self, event: Event) -> None:
        """Stores one event, in order, without waiting for the disk."""
        self.stored.append(event)
        for line in told(event):
            logger.info("%s  %s", event.kind.value, line, extra={"run_id": event.run_id})

    async def flush(self) -> None:
        """Returns once everything appended so far is on disk."""
        await self.stored.flush()

    async def read(self, run_id: str | None = None) -> Sequence[Event]:
        """Events in order; all of them without a run id."""
        return await self.stored.read(run_id)


def log_failures(root: Path, data: Mapping[str, Any]) -> None:
    """One error block per failing test of a `problems` event, with its assertion and its source."""
    for row in data.get("problems", ()):
        if row.get("severity") != "error":
            continue
        path, line = str(row.get("path", "")), int(row.get("line") or 0)
        case = {
            "id": row.get("code") or path,
            "path": path,
            "line": line,
            "message": row.get("message", ""),
            "source": _source(root / path, line),
        }
        extra = {"case": case, "run_id": data.get("runId", ""), "operation": "running the tests on the change"}
        logger.error("%s", row.get("message", ""), extra=extra)


def _source(path: Path, line: int) -> str:
    """The lines of a test around a failure; nothing where it cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return ""
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return "\n".join(lines[max(0, line - _AROUND_LINES) : line + 2])
