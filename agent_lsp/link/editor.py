"""Owns the runtime's view of the editor behind the edge: `domain.ports.Editor` over the pipe."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.ports import Buffer, BufferChange, BufferOutcome
from agent_lsp.link.peer import Peer

logger = logging.getLogger(__name__)

_BUFFERS_TIMEOUT_S: Final = 10.0
_EDIT_TIMEOUT_S: Final = 20.0
"""Longer than the edge waits for the editor, so that the edge's own reason arrives first."""


class LinkEditor:
    """Asks the edge; texts that did not change since the last time are not sent again."""

    def __init__(self) -> None:
        self._peer: Peer | None = None
        self._seen: dict[str, tuple[Any, Buffer]] = {}

    def connect(self, peer: Peer) -> None:
        """Names the peer to ask; before that there are no buffers."""
        self._peer = peer

    async def buffers(self) -> Sequence[Buffer]:
        """All open documents under the root. Raises LinkClosedError or TimeoutError, never a stale answer."""
        if self._peer is None:
            return ()
        seen = self._seen
        known = {path: revision for path, (revision, _) in seen.items()}
        answer = await self._peer.call("buffers", {"known": known}, timeout_s=_BUFFERS_TIMEOUT_S)
        current: dict[str, tuple[Any, Buffer]] = {}
        for row in answer["buffers"]:
            path, revision, text = row["path"], row.get("revision"), row.get("text")
            current[path] = seen[path] if text is None else (revision, Buffer(path, row["version"], text))
        self._seen = current
        return tuple(buffer for _, buffer in current.values())

    async def edit(self, change: BufferChange) -> BufferOutcome:
        """One versioned edit of one document. A dead or silent edge is a refusal with its reason."""
        if self._peer is None:
            return BufferOutcome(False, reason="no editor is connected")
        try:
            answer = await self._peer.call("edit", _asked(change), timeout_s=_EDIT_TIMEOUT_S)
        except (AgentLspError, TimeoutError) as error:
            logger.warning("the editor did not answer an edit of %s: %s", change.path, error)
            return BufferOutcome(False, reason=f"the editor did not answer: {error or 'time-out'}")
        return _outcome(answer)

    async def edit_together(self, changes: Sequence[BufferChange]) -> Sequence[BufferOutcome] | None:
        """All in one request; None where the editor is not transactional. A silent edge is a refusal of all."""
        if self._peer is None:
            return None
        asked = {"edits": [_asked(change) for change in changes]}
        try:
            answer = await self._peer.call("edit_together", asked, timeout_s=_EDIT_TIMEOUT_S)
        except (AgentLspError, TimeoutError) as error:
            logger.warning("the editor did not answer an edit of %d documents: %s", len(changes), error)
            return [BufferOutcome(False, reason=f"the editor did not answer: {error or 'time-out'}")] * len(changes)
        outcomes = answer["outcomes"]
        return None if outcomes is None else [_outcome(row) for row in outcomes]


def _asked(change: BufferChange) -> dict[str, Any]:
    return {
        "path": change.path,
        "version": change.version,
        "oldText": change.old_text,
        "newText": change.new_text,
        "label": change.label,
    }


def _outcome(answer: Mapping[str, Any]) -> BufferOutcome:
    return BufferOutcome(answer["applied"], answer["version"], answer["text"], answer.get("reason") or "")
