"""Owns the seams of what the gate remembers: kept runs, what runs showed of the tests, and who imports what."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from agent_lsp.domain.baseline import Baseline, BaselineKey
from agent_lsp.domain.flakiness import Flakiness
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.impact import SuiteFacts
from agent_lsp.domain.import_graph import ImportGraph
from agent_lsp.domain.ports import Candidate, SuiteRequest
from agent_lsp.domain.verdict import SuiteReport


class Baselines(Protocol):
    """Runs of unchanged trees, kept over restarts. Adapter: storage/baselines.py."""

    async def find(self, key: BaselineKey) -> Baseline | None:
        """What was kept of this tree in this environment, if it is whole."""
        ...

    async def keep(self, key: BaselineKey, baseline: Baseline) -> None:
        """Adds a finished run to what is kept."""
        ...


class SuiteMemory(Protocol):
    """What runs showed of the tests, whatever the tree: durations, who runs what. Adapter: storage/suite_memory.py."""

    async def facts(self) -> SuiteFacts: ...

    async def learn(self, request: SuiteRequest, report: SuiteReport) -> None:
        """Takes what a run showed."""
        ...

    def glimpse(self, durations_s: Mapping[CaseId, float]) -> None:
        """Takes what a run showed that was stopped before its end."""
        ...

    async def audit(self, paths: Sequence[str], missed: Sequence[CaseId]) -> None:
        """A whole run checked a selection for changes of `paths`; `missed` broke and had not been selected."""
        ...


class Imports(Protocol):
    """Import graphs of trees. Adapter: workspace/import_graph.py."""

    async def graph(self, base_tree: str, tree: str) -> ImportGraph | None:
        """The files of `tree` and those that only `base_tree` has; None where they could not be read in time."""
        ...


class SuiteHistory(Protocol):
    """What verdicts learned of the tests for good. Adapter: storage/suite_history.py."""

    async def flaky(self) -> Mapping[CaseId, Flakiness]:
        """The tests that were seen flaky and have not been steady for long since."""
        ...

    async def saw(self, flaky: Collection[CaseId], steady: Collection[CaseId]) -> None:
        """A verdict found some tests flaky and some steady."""
        ...

    async def in_one_piece(self, environment: str) -> str:
        """Why a suite must not be run in parts in an environment; empty where nothing speaks against it."""
        ...

    async def keep_in_one_piece(self, environment: str, why: str) -> None:
        """Remembers that running in parts made a difference."""
        ...


@runtime_checkable
class RecallingRunner(Protocol):
    """A runner that knows the runs of unchanged trees. Adapter: workspace/runners/remembered.py."""

    @property
    def splits(self) -> bool:
        """Whether it can run a part of the tests (SuiteRequest.shard)."""
        ...

    @property
    def environment(self) -> str | None:
        """A name for all that a run depends on besides the tree, as it was last seen; None where nobody can tell."""
        ...

    async def learn(self, request: SuiteRequest, report: SuiteReport) -> None:
        """Takes what a run showed that was put together from parts."""
        ...

    async def recalled(self, candidate: Candidate, request: SuiteRequest) -> SuiteReport | None:
        """A kept run of the candidate's tree, if there is one that answers the request."""
        ...


@dataclass(frozen=True, slots=True)
class Screening:
    """Which edits to look at. `tests` shall pass, in the order in which they run; `others` passed before.

    `texts` are whole files as they shall be taken, whatever the candidate has there; an edit is a path of `texts`, a
    start, an end and the characters for what lies between; `also` holds second halves, in another file, by the edit's
    place. `others` run where one of `tests` passes. A test may use
    `cpu_s` of the processor, all tests of one edit may take `wall_s`.
    """

    tests: tuple[CaseId, ...]
    others: tuple[CaseId, ...]
    texts: Mapping[str, str]
    edits: Sequence[tuple[str, int, int, str]]
    cpu_s: float = 1.0
    wall_s: float = 20.0
    also: Mapping[int, tuple[str, int, int, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Screened:
    """What one edit did, by its place among those asked. `late`: it ran out of its time. Never a verdict."""

    number: int
    passed: frozenset[CaseId] = field(default_factory=frozenset)
    broken: frozenset[CaseId] = field(default_factory=frozenset)
    late: bool = False
    duration_s: float = 0.0


@runtime_checkable
class ScreeningRunner(Protocol):
    """A runner that can look at many edits quickly. Adapter: workspace/runners/screening.py."""

    def screen(self, candidate: Candidate, asked: Screening) -> AsyncGenerator[Screened, None]:
        """Tells of each edit about in the order asked, and ends; closing it earlier leaves no process behind.

        Raises RunnerUnavailableError where this kind of tests cannot be run so; then they can be run one by one.
        """
        ...
