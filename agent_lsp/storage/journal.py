"""Owns the journal: the append-only table of events of one workspace."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_lsp.domain.events import SCHEMA_VERSION, Event, EventKind
from agent_lsp.storage.database import Database

if TYPE_CHECKING:
    import apsw

Redact = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class StoredJournal:
    """`domain.ports.Journal` over `state.db`.

    `redact` masks secrets in every text of an event; it runs on the database's thread, before the disk sees it.
    `now` gives seconds since the epoch, for events that carry no time.
    """

    database: Database
    redact: Redact | None = None
    now: Callable[[], float] = time.time

    def append(self, event: Event) -> None:
        """Stores one event, in order, without waiting; what the data hold later does not matter."""
        data = json.dumps(event.data, default=str, separators=(",", ":"))
        time_s = event.time_s or self.now()
        owner, redact = self.database.owner, self.redact

        def insert(connection: "apsw.Connection") -> None:
            text = data if redact is None else json.dumps(masked(json.loads(data), redact), separators=(",", ":"))
            connection.execute(
                "INSERT INTO events (run_id, kind, time_s, version, owner, data) VALUES (?, ?, ?, ?, ?, ?)",
                (event.run_id, event.kind.value, time_s, SCHEMA_VERSION, owner, text),
            )

        self.database.post(insert)

    async def flush(self) -> None:
        """Returns once everything appended so far is on disk. Raises StorageError where it cannot be."""
        await self.database.flush()

    async def read(self, run_id: str | None = None) -> Sequence[Event]:
        """Events in order; all of them without a run id. Kinds of later versions are left out."""

        def select(connection: "apsw.Connection") -> list[tuple[Any, ...]]:
            where, values = ("", ()) if run_id is None else (" WHERE run_id = ?", (run_id,))
            query = f"SELECT run_id, kind, data, time_s, seq FROM events{where} ORDER BY seq"  # noqa: S608
            return list(connection.execute(query, values))

        kinds = set(EventKind)
        rows = await self.database.run(select)
        return [Event(row[0], EventKind(row[1]), json.loads(row[2]), row[3], row[4]) for row in rows if row[1] in kinds]

    async def run_ids(self) -> Sequence[str]:
        """Every run of this workspace, newest first."""

        def select(connection: "apsw.Connection") -> list[str]:
            query = "SELECT run_id FROM events WHERE run_id != '' GROUP BY run_id ORDER BY min(seq) DESC"
            return [str(row[0]) for row in connection.execute(query)]

        return await self.database.run(select)

    async def abandoned_runs(self) -> Sequence[str]:
        """Runs that started and never ended, and whose process is gone; oldest first."""

        def select(connection: "apsw.Connection") -> list[str]:
            query = """
                SELECT run_id, (SELECT owner FROM events WHERE run_id = started.run_id ORDER BY seq DESC LIMIT 1)
                FROM events AS started WHERE kind = ? AND NOT EXISTS (
                    SELECT 1 FROM events AS ended
                    WHERE ended.run_id = started.run_id AND ended.kind = ? AND ended.seq > started.seq)
                GROUP BY run_id ORDER BY min(seq)
            """
            living = self.database.living_owners()
            kinds = (EventKind.RUN_STARTED.value, EventKind.RUN_ENDED.value)
            return [str(row[0]) for row in connection.execute(query, kinds) if row[1] not in living]

        return await self.database.run(select)


def masked(value: Any, redact: Redact) -> Any:
    """JSON-ready data with secrets masked in every text of it."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: masked(item, redact) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item, redact) for item in value]
    return value
