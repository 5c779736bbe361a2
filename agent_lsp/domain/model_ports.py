"""Owns the seams around language models besides the model itself: what an editor lends, and what a day has used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent_lsp.domain.task import DayUse


class Daybook(Protocol):
    """What models were used today, by every run of this person. Adapter: storage/daybook.py."""

    def used(self) -> DayUse:
        """All of today so far."""
        ...

    def add(self, use: DayUse) -> None:
        """Counts one answer."""
        ...


@dataclass(frozen=True, slots=True)
class LentModel:
    """A language model that the editor lends. `family` and `vendor` are the editor's words."""

    id: str
    name: str
    vendor: str = ""
    family: str = ""


class EditorModels(Protocol):
    """The language models of the editor. Adapter: link/editor_models.py."""

    @property
    def known(self) -> Sequence[LentModel]:
        """What there was when the editor was last asked; empty where it lends none."""
        ...

    async def refresh(self) -> None:
        """Asks the editor again. An editor that does not answer has none."""
        ...

    async def complete(self, params: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        """The editor's answer to `agent/model/complete` (docs/protocol.md). Raises AgentLspError or TimeoutError."""
        ...
