"""Owns the runs at work, kept so that they outlive the process that carries them out."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_lsp.domain.changes import Entry, FileEdit, FileMode
from agent_lsp.domain.keeping import KeptDeed, KeptRun
from agent_lsp.storage.database import Database
from agent_lsp.storage.journal import Redact, masked

if TYPE_CHECKING:
    import apsw


@dataclass(frozen=True, slots=True)
class StoredRuns:
    """`domain.keeping.RunKeeper` over `state.db`, which only its owner can read.

    `redact` masks secrets in what was said and answered; the bytes of files are the person's own, as in checkpoints.
    """

    database: Database
    redact: Redact | None = None

    def begin(self, run_id: str, data: Mapping[str, Any]) -> None:
        """A run starts, or starts anew: what was kept of it is dropped."""
        text, owner = _text(data), self.database.owner

        def write(connection: "apsw.Connection") -> None:
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
            row = (run_id, owner, time.time(), 0, 0, self._masked(text))
            connection.execute(
                "INSERT INTO runs (id, owner, time_s, place, starts, data) VALUES (?, ?, ?, ?, ?, ?)", row
            )

        self.database.post(write)

    def add(self, run_id: str, position: int, deed: KeptDeed) -> None:
        """Its next deed; what stands at this position and after it is replaced."""
        text = _text(deed.data)
        contents: dict[str, bytes] = {}
        edits = None if deed.edits is None else _text([_row(edit, contents) for edit in deed.edits])

        def write(connection: "apsw.Connection") -> None:
            if next(connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)), None) is None:
                return
            connection.execute("DELETE FROM run_deeds WHERE run_id = ? AND position >= ?", (run_id, position))
            row = (run_id, position, deed.kind, self._masked(text), edits)
            connection.execute(
                "INSERT INTO run_deeds (run_id, position, kind, data, edits) VALUES (?, ?, ?, ?, ?)", row
            )
            connection.executemany(
                "INSERT OR IGNORE INTO run_bytes (run_id, sha256, content) VALUES (?, ?, ?)",
                [(run_id, sha256, content) for sha256, content in contents.items()],
            )

        self.database.post(write)

    def note(self, run_id: str, data: Mapping[str, Any]) -> None:
        """These keys of what was told at its beginning are otherwise now."""
        text = _text(data)

        def write(connection: "apsw.Connection") -> None:
            for row in list(connection.execute("SELECT data FROM runs WHERE id = ?", (run_id,))):
                now = {**json.loads(str(row[0])), **json.loads(self._masked(text))}
                connection.execute("UPDATE runs SET data = ? WHERE id = ?", (_text(now), run_id))

        self.database.post(write)

    def rest(self, run_id: str) -> None:
        """It waits for a person, or was left in order: the starts that find it so are no failures."""
        self.database.post(lambda connection: connection.execute("UPDATE runs SET starts = 0 WHERE id = ?", (run_id,)))

    def drop(self, run_id: str) -> None:
        """It came to its end."""
        self.database.post(lambda connection: connection.execute("DELETE FROM runs WHERE id = ?", (run_id,)))

    async def flush(self) -> None:
        """Returns once all of this is on disk. Raises StorageError where it cannot be."""
        await self.database.flush()

    async def left(self) -> Mapping[str, Mapping[str, Any]]:
        """What was told at their beginning of the runs whose process is gone, oldest first."""

        def select(connection: "apsw.Connection") -> dict[str, Mapping[str, Any]]:
            return {str(row[0]): _told(row[1]) or {} for row in _abandoned(connection, self.database)}

        return await self.database.run(select)

    async def adopt(self, run_id: str | None = None) -> Sequence[KeptRun]:
        """Those, or this one of them; they belong to this process from now on."""

        def take(connection: "apsw.Connection") -> list[KeptRun]:
            found = []
            for name, data, time_s, place, starts in _abandoned(connection, self.database):
                if run_id not in (None, name):
                    continue
                told, deeds = _told(data), _readable_deeds(connection, str(name))
                count = len(deeds or ())
                now_starts = starts + 1 if count == place else 1
                now = (self.database.owner, count, now_starts, name)
                connection.execute("UPDATE runs SET owner = ?, place = ?, starts = ? WHERE id = ?", now)
                readable = told is not None and deeds is not None
                found.append(KeptRun(str(name), told or {}, deeds or (), now_starts, time_s, readable))
            return found

        return await self.database.run(take)

    def _masked(self, text: str) -> str:
        return text if self.redact is None else _text(masked(json.loads(text), self.redact))


def _abandoned(connection: "apsw.Connection", database: Database) -> list[tuple[Any, ...]]:
    living = database.living_owners()
    query = "SELECT id, data, time_s, place, starts, owner FROM runs ORDER BY rowid"
    return [row[:5] for row in connection.execute(query) if row[5] not in living]


def _told(text: object) -> Mapping[str, Any] | None:
    """What was told at a run's beginning; None where that is not what any version writes."""
    try:
        data = json.loads(str(text))
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _readable_deeds(connection: "apsw.Connection", run_id: str) -> tuple[KeptDeed, ...] | None:
    try:
        return _deeds(connection, run_id)
    except (ValueError, TypeError, KeyError):
        return None


def _deeds(connection: "apsw.Connection", run_id: str) -> tuple[KeptDeed, ...]:
    contents = {
        str(row[0]): bytes(row[1])
        for row in connection.execute("SELECT sha256, content FROM run_bytes WHERE run_id = ?", (run_id,))
    }
    query = "SELECT kind, data, edits FROM run_deeds WHERE run_id = ? ORDER BY position"
    return tuple(
        KeptDeed(kind, json.loads(data), None if edits is None else _edits(json.loads(edits), contents))
        for kind, data, edits in connection.execute(query, (run_id,))
    )


def _text(data: object) -> str:
    return json.dumps(data, default=str, separators=(",", ":"))


def _row(edit: FileEdit, contents: dict[str, bytes]) -> list[Any]:
    return [edit.path, edit.old_path, *_columns(edit.before, contents), *_columns(edit.after, contents)]


def _columns(entry: Entry | None, contents: dict[str, bytes]) -> tuple[str | None, str | None]:
    if entry is None:
        return None, None
    sha256 = hashlib.sha256(entry.content).hexdigest()
    contents[sha256] = entry.content
    return sha256, entry.mode.value


def _edits(rows: Sequence[Sequence[Any]], contents: Mapping[str, bytes]) -> tuple[FileEdit, ...]:
    def entry(sha256: str | None, mode: str | None) -> Entry | None:
        return None if sha256 is None or mode is None else Entry(contents[sha256], FileMode(mode))

    return tuple(FileEdit(path, entry(*rest[:2]), entry(*rest[2:]), old) for path, old, *rest in rows)
