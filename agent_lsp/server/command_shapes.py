"""Owns the shapes of docs/protocol.md, section 3: the argument and the result of every command and request of ours.

As in shapes.py, nothing at run time needs these.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NotRequired

from typing_extensions import TypedDict

from agent_lsp.server.shapes import (
    Checkpoint,
    DayUse,
    EditedStep,
    EndpointRow,
    Problem,
    Proposal,
    Range,
    RollbackPreview,
    RunRow,
    RunState,
    Tier,
    Verdict,
)

# --- arguments -------------------------------------------------------------------------------------------------------


class RunArgument(TypedDict):
    """`agent.run`."""

    goal: str
    uri: NotRequired[str]
    range: NotRequired[Range]
    diagnostics: NotRequired[list[Problem]]
    tests: NotRequired[list[str]]
    scope: NotRequired[list[str]]
    mode: NotRequired[Literal["plan", "auto"]]
    tier: NotRequired[Tier]
    background: NotRequired[bool]
    workDoneToken: NotRequired[int | str]
    askGoal: NotRequired[bool]


class ApproveArgument(TypedDict):
    """`agent.plan.approve`."""

    runId: str
    steps: NotRequired[list[EditedStep]]
    markdown: NotRequired[str]
    stepwise: NotRequired[bool]


class RejectArgument(TypedDict):
    """`agent.plan.reject`."""

    runId: str
    feedback: NotRequired[str]


class ControlArgument(TypedDict):
    """`agent.control`, as command and as request."""

    runId: str
    action: Literal["cancel", "pause", "resume", "step"]


class StatusArgument(TypedDict, total=False):
    """`agent.status`, as command and as request."""

    runId: str


class ProposalArgument(TypedDict):
    """`agent.proposal`."""

    proposalId: str


class RevalidateArgument(TypedDict):
    """`agent.revalidate`."""

    proposalId: str
    workDoneToken: NotRequired[int | str]


class ApplyArgument(TypedDict):
    """`agent.apply`."""

    proposalId: str
    hunks: NotRequired[list[str]]
    workDoneToken: NotRequired[int | str]


class DiscardArgument(TypedDict):
    """`agent.discard`."""

    proposalId: str
    hunks: NotRequired[list[str]]
    feedback: NotRequired[str]
    workDoneToken: NotRequired[int | str]


class EditArgument(TypedDict):
    """`agent.edit`: the new text of a hunk, or of a whole proposed file."""

    proposalId: str
    text: str
    hunk: NotRequired[str]
    uri: NotRequired[str]


class RollbackArgument(TypedDict):
    """`agent.rollback`."""

    checkpointId: str
    workDoneToken: NotRequired[int | str]


class CheckpointsArgument(TypedDict, total=False):
    """`agent.checkpoints`: of one folder, of one run, or one with its preview, which `show` opens."""

    root: str
    uri: str
    runId: str
    checkpointId: str
    show: bool


class SayArgument(TypedDict):
    """`agent.say`."""

    text: str
    runId: NotRequired[str]


class ModelsArgument(TypedDict, total=False):
    """`agent.models`: endpoints of tiers (null: as configured), the tier of one run, and whether all are probed now."""

    tiers: dict[Tier, list[str] | None]
    runId: str
    tier: Tier | Literal["auto"]
    probe: bool
    root: str
    uri: str


class AnswerArgument(TypedDict):
    """`agent.answer`."""

    runId: str
    answer: str


class TrustArgument(TypedDict):
    """`agent.trust`."""

    root: str
    trusted: bool


class LogTailArgument(TypedDict, total=False):
    """`agent.log.tail`."""

    lines: int
    errorsOnly: bool
    uri: str


class ShowArgument(TypedDict, total=False):
    """`agent.show`: a proposal, whole or one file of it, a run's plan, or the log of the folder of `uri`.

    `at` goes to a hunk; `edit` opens the proposed file, or the plan, as text that counts once it is saved.
    """

    proposalId: str
    path: str
    runId: str
    hunks: list[str]
    at: str
    edit: bool
    log: bool
    uri: str


# --- results ---------------------------------------------------------------------------------------------------------


class RunStarted(TypedDict):
    """`agent.run`."""

    runId: str


class StateNow(TypedDict):
    """`agent.plan.*`, `agent.control`, `agent.discard`, `agent.answer`."""

    state: RunState


class Edited(TypedDict):
    """`agent.edit`: the hunks that the proposal now has."""

    state: RunState
    hunks: list[str]


class Status(TypedDict):
    """`agent.status`."""

    runs: list[RunRow]
    models: NotRequired[list[EndpointRow]]
    day: NotRequired[DayUse]


class Applied(TypedDict):
    """`agent.apply`."""

    applied: bool
    verdict: Verdict
    checkpointId: NotRequired[str]
    reason: NotRequired[str]
    pending: NotRequired[bool]


class Revalidated(TypedDict):
    """`agent.revalidate`; with `pending`, `applied` is there and false."""

    verdict: Verdict
    applied: NotRequired[bool]
    pending: NotRequired[bool]
    reason: NotRequired[str]


class RolledBack(TypedDict):
    """`agent.rollback`; `checkpointId` undoes the undoing."""

    applied: bool
    checkpointId: NotRequired[str]
    reason: NotRequired[str]
    pending: NotRequired[bool]


class CheckpointList(TypedDict):
    """`agent.checkpoints`, newest first; `preview` and `uri` where one was asked for."""

    checkpoints: list[Checkpoint]
    preview: NotRequired[RollbackPreview]
    uri: NotRequired[str]


class Said(TypedDict, total=False):
    """`agent.say`; with `pending` the reply comes as `agent/said`, or as a message."""

    reply: str
    pending: bool


class ModelsNow(TypedDict):
    """`agent.models`."""

    tiers: dict[Tier, list[str]]
    endpoints: list[EndpointRow]
    day: DayUse


class Trusted(TypedDict):
    """`agent.trust`."""

    trusted: bool


class LogTail(TypedDict):
    """`agent.log.tail`."""

    text: str
    path: str


class Shown(TypedDict):
    """`agent.show`."""

    uri: str


COMMANDS: Final[Mapping[str, tuple[Any, Any]]] = {
    "agent.run": (RunArgument, RunStarted),
    "agent.plan.approve": (ApproveArgument, StateNow),
    "agent.plan.reject": (RejectArgument, StateNow),
    "agent.control": (ControlArgument, StateNow),
    "agent.status": (StatusArgument, Status),
    "agent.proposal": (ProposalArgument, Proposal),
    "agent.apply": (ApplyArgument, Applied),
    "agent.discard": (DiscardArgument, StateNow),
    "agent.edit": (EditArgument, Edited),
    "agent.revalidate": (RevalidateArgument, Revalidated),
    "agent.rollback": (RollbackArgument, RolledBack),
    "agent.checkpoints": (CheckpointsArgument, CheckpointList),
    "agent.say": (SayArgument, Said),
    "agent.answer": (AnswerArgument, StateNow),
    "agent.models": (ModelsArgument, ModelsNow),
    "agent.trust": (TrustArgument, Trusted),
    "agent.log.tail": (LogTailArgument, LogTail),
    "agent.show": (ShowArgument, Shown),
}
"""Argument and result of every command; each may answer with an ErrorBody instead."""

REQUESTS: Final[Mapping[str, tuple[Any, Any]]] = {
    "agent/status": COMMANDS["agent.status"],
    "agent/control": COMMANDS["agent.control"],
}
"""Params and result of our own requests; each may answer with an ErrorBody instead."""
