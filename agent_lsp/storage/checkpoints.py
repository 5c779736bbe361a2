"""Owns checkpoints: the bytes that an apply replaced and wrote, kept so that it can be taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent_lsp.domain.changes import Entry, FileMode
from agent_lsp.domain.keeping import Checkpoint, CheckpointFile, CheckpointRow, CheckpointState
from agent_lsp.storage.database import Database

if TYPE_CHECKING:
    import apsw

KEEP_COUNT: Final = 50
KEEP_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredCheckpoints:
    """`domain.ports.Checkpoints` over `state.db`.

    The newest `keep_count` are kept and no more than `keep_bytes` of files; the one saved last and unfinished
    ones stay whatever their size.
    """

    database: Database
    keep_count: int = KEEP_COUNT
    keep_bytes: int = KEEP_BYTES

    async def save(self, checkpoint: Checkpoint) -> None:
        """Inserts or replaces; on disk when it returns."""

        def write(connection: "apsw.Connection") -> None:
            self._insert(connection, checkpoint)
            self._prune(connection, checkpoint.id)

        await self.database.run(write)

    async def mark(self, checkpoint_id: str, state: CheckpointState) -> None:
        """Changes the state; on disk when it returns."""

        def write(connection: "apsw.Connection") -> None:
            connection.execute("UPDATE checkpoints SET state = ? WHERE id = ?", (state.value, checkpoint_id))

        await self.database.run(write)

    async def get(self, checkpoint_id: str) -> Checkpoint | None:
        """One checkpoint with its files, or None."""
        found = await self._select("id = ?", (checkpoint_id,))
        return found[0] if found else None

    async def unfinished(self) -> Sequence[Checkpoint]:
        """Those left INTENDED, oldest first, but not those that another living process is at work on."""

        def owners(connection: "apsw.Connection") -> list[str]:
            others = self.database.living_owners() - {self.database.owner}
            rows = connection.execute("SELECT id, owner FROM checkpoints WHERE state = 'intended' ORDER BY position")
            return [str(row[0]) for row in rows if row[1] not in others]

        ids = await self.database.run(owners)
        found = [await self.get(checkpoint_id) for checkpoint_id in ids]
        return [checkpoint for checkpoint in found if checkpoint is not None]

    async def rows(self) -> Sequence[CheckpointRow]:
        """All that are kept, newest first."""

        def select(connection: "apsw.Connection") -> list[CheckpointRow]:
            paths: dict[str, list[str]] = {}
            for name, path in connection.execute("SELECT checkpoint_id, path FROM checkpoint_files ORDER BY position"):
                if path not in paths.setdefault(name, []):
                    paths[name].append(path)
            query = "SELECT id, run_id, proposal_id, label, state, time_s, undoes, size_bytes FROM checkpoints"
            return [
                _row(row, tuple(paths.get(row[0], ()))) for row in connection.execute(f"{query} ORDER BY position DESC")
            ]

        return await self.database.run(select)

    def _insert(self, connection: "apsw.Connection", checkpoint: Checkpoint) -> None:
        connection.execute("DELETE FROM checkpoints WHERE id = ?", (checkpoint.id,))
        connection.execute(
            "INSERT INTO checkpoints "
            "(id, run_id, proposal_id, label, state, time_s, owner, position, size_bytes, undoes) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(position), 0) + 1 FROM checkpoints), ?, ?)",
            (
                checkpoint.id,
                checkpoint.run_id,
                checkpoint.proposal_id,
                checkpoint.label,
                checkpoint.state.value,
                checkpoint.time_s,
                self.database.owner,
                sum(_size_bytes(file) for file in checkpoint.files),
                checkpoint.undoes,
            ),
        )
        connection.executemany(
            "INSERT INTO checkpoint_files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (checkpoint.id, position, file.path, *_columns(file.before), *_columns(file.after), file.in_editor)
                for position, file in enumerate(checkpoint.files)
            ],
        )

    def _prune(self, connection: "apsw.Connection", newest: str) -> None:
        rows = list(connection.execute("SELECT id, state, size_bytes FROM checkpoints ORDER BY position DESC"))
        total_bytes = 0
        for number, (checkpoint_id, state, size_bytes) in enumerate(rows, 1):
            total_bytes += size_bytes
            kept = checkpoint_id == newest or state == CheckpointState.INTENDED.value
            if not kept and (number > self.keep_count or total_bytes > self.keep_bytes):
                connection.execute("DELETE FROM checkpoints WHERE id = ?", (checkpoint_id,))
                total_bytes -= size_bytes

    async def _select(self, where: str, values: tuple[Any, ...]) -> list[Checkpoint]:
        def select(connection: "apsw.Connection") -> list[Checkpoint]:
            query = f"SELECT id, run_id, proposal_id, label, state, time_s, undoes FROM checkpoints WHERE {where}"  # noqa: S608
            return [_checkpoint(row, _files(connection, row[0])) for row in list(connection.execute(query, values))]

        return await self.database.run(select)


def _checkpoint(row: tuple[Any, ...], files: tuple[CheckpointFile, ...]) -> Checkpoint:
    name, run_id, proposal_id, label, state, time_s, undoes = row
    return Checkpoint(name, run_id, proposal_id, label, CheckpointState(state), files, time_s, undoes)


def _row(row: tuple[Any, ...], paths: tuple[str, ...]) -> CheckpointRow:
    name, run_id, proposal_id, label, state, time_s, undoes, size_bytes = row
    return CheckpointRow(name, run_id, proposal_id, label, CheckpointState(state), time_s, undoes, size_bytes, paths)


def _files(connection: "apsw.Connection", checkpoint_id: str) -> tuple[CheckpointFile, ...]:
    query = """
        SELECT path, before, before_mode, after, after_mode, in_editor
        FROM checkpoint_files WHERE checkpoint_id = ? ORDER BY position
    """
    rows = connection.execute(query, (checkpoint_id,))
    return tuple(CheckpointFile(row[0], _entry(row[1], row[2]), _entry(row[3], row[4]), bool(row[5])) for row in rows)


def _columns(entry: Entry | None) -> tuple[bytes | None, str | None]:
    return (None, None) if entry is None else (entry.content, entry.mode.value)


def _entry(content: bytes | None, mode: str | None) -> Entry | None:
    return None if content is None or mode is None else Entry(content, FileMode(mode))


def _size_bytes(file: CheckpointFile) -> int:
    return sum(len(entry.content) for entry in (file.before, file.after) if entry is not None)
