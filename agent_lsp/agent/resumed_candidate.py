"""Owns the candidate of a resumed run: as it was at each moment that is told again, and from then on a real one."""

from collections.abc import Sequence

from agent_lsp.agent.ledger import Ledger
from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.ports import Candidate, Command, CommandResult, SandboxKind


class ResumedCandidate:
    """A `domain.ports.Candidate`. Nothing is written to the real one before all deeds of the ledger are told again."""

    def __init__(self, candidate: Candidate, ledger: Ledger) -> None:
        self._real, self._ledger = candidate, ledger

    @property
    def tree(self) -> str:
        return self._real.tree

    @property
    def kind(self) -> SandboxKind:
        return self._real.kind

    @property
    def root(self) -> str:
        return self._real.root

    @property
    def scratch(self) -> str:
        return self._real.scratch

    async def read(self, path: str) -> Entry | None:
        """A file as the candidate sees it, or None."""
        await self._ledger.caught_up()
        return await self._real.read(path)

    async def write(self, path: str, entry: Entry | None) -> None:
        """Writes, creates with folders, or (None) deletes."""
        await self._ledger.caught_up()
        await self._real.write(path, entry)

    async def paths(self, under: str = ".") -> Sequence[str]:
        """Files that are not ignored, sorted."""
        await self._ledger.caught_up()
        return await self._real.paths(under)

    async def run(self, command: Command) -> CommandResult:
        """Runs in the sandbox."""
        await self._ledger.caught_up()
        return await self._real.run(command)

    async def harvest(self) -> tuple[FileEdit, ...]:
        """What differed at this moment; what differs now once the run goes on for real."""
        await self._ledger.caught_up()
        return await self._real.harvest() if self._ledger.live else self._ledger.edits

    async def close(self) -> None:
        """Closes the real one."""
        await self._real.close()
