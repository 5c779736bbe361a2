"""Owns the seams of what the gate remembers: kept runs, what runs showed of the tests, and who imports what."""

from collections.abc import Collection, Mapping, Sequence
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
