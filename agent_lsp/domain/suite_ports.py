"""Owns the seams of what the gate remembers: kept runs, what runs showed of the tests, and who imports what."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from agent_lsp.domain.baseline import Baseline, BaselineKey
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.impact import SuiteFacts
from agent_lsp.domain.import_graph import ImportGraph
from agent_lsp.domain.ports import SuiteRequest
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
