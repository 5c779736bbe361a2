"""Owns the runtime's view of the models that the editor lends: `domain.ports.EditorModels` over the pipe."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent_lsp.domain.errors import AgentLspError, LinkClosedError
from agent_lsp.domain.model_ports import LentModel
from agent_lsp.link.peer import Peer

logger = logging.getLogger(__name__)

_LIST_TIMEOUT_S: Final = 6.0
"""Longer than the edge waits for the editor."""

_GRACE_S: Final = 5.0


class LinkModels:
    """Asks the edge, which asks the editor."""

    def __init__(self) -> None:
        self._peer: Peer | None = None
        self._known: tuple[LentModel, ...] = ()

    def connect(self, peer: Peer) -> None:
        """Names the peer to ask; before that there are no models."""
        self._peer = peer

    @property
    def known(self) -> Sequence[LentModel]:
        """What there was when the editor was last asked."""
        return self._known

    async def refresh(self) -> None:
        """Asks again. An edge that does not answer has none."""
        if self._peer is None:
            return
        try:
            answer = await self._peer.call("model_list", {}, timeout_s=_LIST_TIMEOUT_S)
        except (AgentLspError, TimeoutError) as error:
            logger.info("the editor did not list its models: %s", error or "no answer in time")
            self._known = ()
            return
        rows = answer.get("models")
        self._known = tuple(_lent(row) for row in rows if _names_one(row)) if isinstance(rows, list) else ()

    async def complete(self, params: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        """One whole answer. Raises PeerError, LinkClosedError or TimeoutError; cancelling it ends the editor's work."""
        if self._peer is None:
            raise LinkClosedError("no editor is connected")
        wanted = {"params": params, "timeoutS": timeout_s}
        return await self._peer.call("model_complete", wanted, timeout_s=timeout_s + _GRACE_S)


def _names_one(row: Any) -> bool:
    return isinstance(row, Mapping) and isinstance(row.get("id"), str) and bool(row["id"])


def _lent(row: Mapping[str, Any]) -> LentModel:
    def text(key: str) -> str:
        value = row.get(key)
        return value if isinstance(value, str) else ""

    return LentModel(row["id"], text("name") or row["id"], text("vendor"), text("family"))
