"""Owns which files no model may see, and the candidate as a model's tools have it: with those files shut.

Tests and commands in the sandbox still read them; what they print of them is masked (agent/veil.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.policy import inside_root
from agent_lsp.domain.ports import Candidate, Command, CommandResult, SandboxKind

if TYPE_CHECKING:
    import pathspec

_MOST_LINKS: Final = 8


@dataclass(frozen=True, slots=True)
class PrivateFiles:
    """Patterns as in a .gitignore; the last one that matches decides."""

    patterns: tuple[str, ...] = ()

    def __contains__(self, path: object) -> bool:
        """Whether a path, POSIX and relative to the root, is private."""
        return isinstance(path, str) and bool(self.patterns) and _matches(self.patterns, path)


@lru_cache(maxsize=16)
def _spec(patterns: tuple[str, ...]) -> "pathspec.GitIgnoreSpec":
    import pathspec

    return pathspec.GitIgnoreSpec.from_lines(patterns)


@lru_cache(maxsize=100_000)
def _matches(patterns: tuple[str, ...], path: str) -> bool:
    return _spec(patterns).match_file(path)


@dataclass(frozen=True, slots=True)
class GuardedCandidate:
    """A `domain.ports.Candidate` whose private files have names and nothing else."""

    inner: Candidate
    private: PrivateFiles = field(default_factory=PrivateFiles)

    @property
    def tree(self) -> str:
        """As the candidate's own."""
        return self.inner.tree

    @property
    def kind(self) -> SandboxKind:
        """As the candidate's own."""
        return self.inner.kind

    @property
    def root(self) -> str:
        """As the candidate's own."""
        return self.inner.root

    @property
    def scratch(self) -> str:
        """As the candidate's own."""
        return self.inner.scratch

    async def read(self, path: str) -> Entry | None:
        """Raises ToolError for a private file, or a link that the workspace has to one."""
        self._check(path)
        return await self.inner.read(path)

    async def write(self, path: str, entry: Entry | None) -> None:
        """Raises ToolError for a private file."""
        self._check(path)
        await self.inner.write(path, entry)

    async def paths(self, under: str = ".") -> Sequence[str]:
        """All names, those of private files too."""
        return await self.inner.paths(under)

    async def run(self, command: Command) -> CommandResult:
        """As the candidate's own."""
        return await self.inner.run(command)

    async def harvest(self) -> tuple[FileEdit, ...]:
        """What differs, without private files."""
        edits = await self.inner.harvest()
        return tuple(edit for edit in edits if edit.path not in self.private and edit.base_path not in self.private)

    async def close(self) -> None:
        """As the candidate's own."""
        await self.inner.close()

    def _check(self, path: str) -> None:
        clean = inside_root(path)
        if clean in self.private:
            raise ToolError(
                f"{clean} is private: the person lets no model read or change it (context.private). "
                "Work without it; if the goal needs it changed, say so in your summary."
            )
