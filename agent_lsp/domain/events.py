"""Owns the journal's vocabulary: every fact of a run, as plain data, in one stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

SCHEMA_VERSION: Final = 1
"""Raised when the meaning of an event's data changes."""


class EventKind(StrEnum):
    """What happened. `*_INTENT` is written before an effect, its fact after."""

    RUN_STARTED = "run.started"
    RUN_STATE = "run.state"
    RUN_ENDED = "run.ended"
    SNAPSHOT = "snapshot"
    PLAN = "plan"
    STEP_STARTED = "step.started"
    STEP_ENDED = "step.ended"
    MODEL_TURN = "model.turn"
    MODEL_CHOSEN = "model.chosen"
    MODEL_TROUBLE = "model.trouble"
    CONTEXT_SHORTENED = "context.shortened"
    POLICY = "policy"
    TOOL_CALLED = "tool.called"
    TOOL_ANSWERED = "tool.answered"
    REFLECTION = "reflection"
    VALIDATION = "validation"
    PROPOSAL = "proposal"
    PROPOSAL_STALE = "proposal.stale"
    DISCARDED = "discarded"
    APPLY_INTENT = "apply.intent"
    APPLY_DONE = "apply.done"
    APPLY_UNDONE = "apply.undone"
    ROLLBACK_INTENT = "rollback.intent"
    ROLLBACK_DONE = "rollback.done"
    QUESTION = "question"
    ANSWER = "answer"
    SAID = "said"
    TALK = "talk"
    SEARCH_TRY = "search.try"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. `data` is JSON-ready; `time_s` is seconds since the epoch; `seq` is 0 until it is stored."""

    run_id: str
    kind: EventKind
    data: Mapping[str, Any] = field(default_factory=dict)
    time_s: float = 0.0
    seq: int = 0
