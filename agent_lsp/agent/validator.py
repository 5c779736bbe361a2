"""Owns what the loop needs of its neighbours in this folder: who judges a change, and who carries it to the person."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import Candidate, Snapshot
from agent_lsp.domain.task import Goal
from agent_lsp.domain.verdict import Evidence, SuiteReport


class Judge(Protocol):
    """Runs tests before and after a change and judges. Implementation: agent/validation.py."""

    async def validate(
        self,
        base_tree: str,
        edits: tuple[FileEdit, ...],
        *,
        goal_tests: tuple[CaseId, ...] = (),
        scope: tuple[str, ...] = (),
        on_progress: Callable[[str, float | None], None] | None = None,
    ) -> Evidence:
        """The tests before and after the change, and the verdict. A failing test is a result, not an error."""
        ...


class Validator(Judge, Protocol):
    """A judge that also runs tests alone, for a tool or a search."""

    async def run_once(self, candidate: Candidate, tests: Sequence[str], watch: Sequence[str] = ()) -> SuiteReport:
        """One run of tests (ids or paths; none: the whole suite) in a candidate as it is now."""
        ...


class Past(Protocol):
    """What was applied before. Implementation: agent/history.py."""

    async def checkpoints(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def preview(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...


class Reviewer(Protocol):
    """Owns proposals once they are made, and everything a person does with them. Implementation: agent/review.py."""

    @property
    def history(self) -> Past: ...

    async def offer(
        self, run_id: str, goal: Goal, summary: str, base: Snapshot, edits: Sequence[FileEdit], evidence: Evidence
    ) -> str:
        """Publishes the proposal and gives its id; all of it can be served when this returns."""
        ...

    async def proposal(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def apply(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def discard(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def amend(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def revalidate(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def abandon(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def rollback(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def stale(self, args: Mapping[str, Any]) -> Mapping[str, Any]: ...
