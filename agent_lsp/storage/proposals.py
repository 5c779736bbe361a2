"""Owns the proposals on offer, kept so that they outlive the runtime that made them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_lsp.domain.changes import Entry, FileEdit, FileMode
from agent_lsp.domain.keeping import KeptProposal
from agent_lsp.storage.database import Database
from agent_lsp.storage.journal import Redact, masked

if TYPE_CHECKING:
    import apsw


@dataclass(frozen=True, slots=True)
class StoredProposals:
    """`domain.keeping.ProposalKeeper` over `state.db`.

    `redact` masks secrets in what is said of a change; its own bytes are the person's files, as in checkpoints.
    """

    database: Database
    redact: Redact | None = None

    def keep(self, proposal: KeptProposal) -> None:
        """Inserts or replaces, in the order of the journal's events, without waiting for the disk."""
        text = json.dumps(proposal.data, default=str, separators=(",", ":"))
        owner, redact = self.database.owner, self.redact

        def write(connection: "apsw.Connection") -> None:
            data = text if redact is None else json.dumps(masked(json.loads(text), redact), separators=(",", ":"))
            row = (proposal.id, proposal.run_id, owner, proposal.time_s, data)
            connection.execute("DELETE FROM proposals WHERE id = ?", (proposal.id,))
            connection.execute("INSERT INTO proposals (id, run_id, owner, time_s, data) VALUES (?, ?, ?, ?, ?)", row)
            connection.executemany(
                "INSERT INTO proposal_files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (proposal.id, position, edit.path, edit.old_path, *_columns(edit.before), *_columns(edit.after))
                    for position, edit in enumerate(proposal.edits)
                ],
            )

        self.database.post(write)

    def drop(self, proposal_id: str) -> None:
        """It is no longer on offer."""

        def delete(connection: "apsw.Connection") -> None:
            connection.execute("DELETE FROM proposals WHERE id = ?", (proposal_id,))

        self.database.post(delete)

    async def runs(self) -> frozenset[str]:
        """The runs behind all that are kept, whoever keeps them."""

        def select(connection: "apsw.Connection") -> frozenset[str]:
            return frozenset(str(row[0]) for row in connection.execute("SELECT run_id FROM proposals"))

        return await self.database.run(select)

    async def adopt(self) -> Sequence[KeptProposal]:
        """Those whose process is gone, oldest first; they belong to this process from now on."""

        def take(connection: "apsw.Connection") -> list[KeptProposal]:
            others = self.database.living_owners()
            query = "SELECT id, run_id, owner, data, time_s FROM proposals ORDER BY rowid"
            left = [row for row in connection.execute(query) if row[2] not in others]
            found = []
            for name, run_id, _, data, time_s in left:
                connection.execute("UPDATE proposals SET owner = ? WHERE id = ?", (self.database.owner, name))
                found.append(KeptProposal(name, run_id, json.loads(data), _edits(connection, name), time_s))
            return found

        return await self.database.run(take)


def _edits(connection: "apsw.Connection", proposal_id: str) -> tuple[FileEdit, ...]:
    query = """
        SELECT path, before, before_mode, after, after_mode, old_path
        FROM proposal_files WHERE proposal_id = ? ORDER BY position
    """
    rows = connection.execute(query, (proposal_id,))
    return tuple(FileEdit(row[0], _entry(row[1], row[2]), _entry(row[3], row[4]), row[5]) for row in rows)


def _columns(entry: Entry | None) -> tuple[bytes | None, str | None]:
    return (None, None) if entry is None else (entry.content, entry.mode.value)


def _entry(content: bytes | None, mode: str | None) -> Entry | None:
    return None if content is None or mode is None else Entry(content, FileMode(mode))
