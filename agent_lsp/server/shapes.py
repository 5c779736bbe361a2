"""Owns the shapes of docs/protocol.md, sections 2, 4 and 5, once: what the server builds, what mypy and tests check.

Those of the commands are in command_shapes.py. `docs/protocol.schema.json` is generated from both (`python -m
tests.judge.schema`). Nothing at run time needs these: the server imports them under TYPE_CHECKING, so they cost the
edge nothing.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NotRequired

from typing_extensions import TypedDict

RunState = Literal[
    "planning",
    "awaiting_approval",
    "executing",
    "reflecting",
    "validating",
    "proposed",
    "applying",
    "applied",
    "discarded",
    "paused",
    "blocked",
    "cancelled",
    "failed",
]
Decision = Literal["proven", "passed", "regressed", "failed", "undecided", "not_run"]


# --- section 2 --------------------------------------------------------------------------------------------------


class ServerCapability(TypedDict):
    """`capabilities.experimental.agentLsp` in the answer to `initialize`."""

    version: Literal["1"]
    features: list[str]


class ClientCapability(TypedDict):
    """`capabilities.experimental.agentLsp` of a client that knows the notifications of section 5.

    `models` says that it answers `agent/model/list` and `agent/model/complete`, `shortLenses` that it shows elsewhere
    what a lens is about: its lenses then say only what they do.
    """

    version: Literal["1"]
    models: NotRequired[bool]
    shortLenses: NotRequired[bool]


# --- what sections 3 to 5 are made of ---------------------------------------------------------------------------


class Position(TypedDict):
    """LSP's."""

    line: int
    character: int


class Range(TypedDict):
    """LSP's."""

    start: Position
    end: Position


class Failure(TypedDict):
    """Why a command was not done, and what to do about it."""

    code: str
    message: str
    hint: str


class ErrorBody(TypedDict):
    """The result of a command that failed."""

    error: Failure


class Problem(TypedDict):
    """A diagnostic that a run starts from: LSP's, or as much of it as is known."""

    message: str
    range: NotRequired[Range]
    uri: NotRequired[str]
    source: NotRequired[str]
    code: NotRequired[str | int]
    severity: NotRequired[int]
    codeDescription: NotRequired[dict[str, Any]]
    tags: NotRequired[list[int]]
    relatedInformation: NotRequired[list[dict[str, Any]]]
    data: NotRequired[Any]


class EditedStep(TypedDict):
    """A step as a person sends it back."""

    title: str
    detail: NotRequired[str]
    files: NotRequired[list[str]]
    acceptance: NotRequired[str]
    state: NotRequired[str]


class Step(TypedDict):
    """A step of a plan."""

    title: str
    detail: str
    files: list[str]
    acceptance: str
    state: str


class Usage(TypedDict, total=False):
    """What a run has spent; empty before its first turn."""

    inputTokens: int
    outputTokens: int
    cacheReadTokens: int
    cacheWriteTokens: int
    cacheHitRate: float
    costUsd: float
    turns: int


class RunRow(TypedDict):
    """One run in `agent.status`. `verdict` is the decision, `model` who works on it, `checkpointId` undoes what of it
    was applied last, `root` is its workspace folder where there are several."""

    runId: str
    goal: str
    state: RunState
    step: int
    steps: int
    usage: Usage
    proposalId: NotRequired[str]
    verdict: NotRequired[Decision]
    message: NotRequired[str]
    model: NotRequired[str]
    checkpointId: NotRequired[str]
    root: NotRequired[str]


class AddedTest(TypedDict):
    """A test that the change adds."""

    id: str
    failedWithoutChange: bool


class UnrunLine(TypedDict):
    """A changed line, zero-based, that no passing test ran."""

    uri: str
    line: int


class Survivor(TypedDict):
    """A small fault that was put into a changed line, zero-based, and that no test noticed."""

    uri: str
    line: int
    text: str


class Verdict(TypedDict):
    """What the tests say of a change. `candidate` is the exact tree that was tested, empty where none was."""

    decision: Decision
    fixed: list[str]
    broken: list[str]
    stillFailing: list[str]
    flaky: list[str]
    added: list[AddedTest]
    removedOrWeakened: list[str]
    collected: int
    ran: int
    changedLines: int
    changedLinesRun: int
    unrunLines: list[UnrunLine]
    selection: Literal["impacted", "full"]
    durationS: float
    candidate: str
    reasons: list[str]
    survivors: NotRequired[list[Survivor]]


# The key `class` is a word of Python. `tests` ran the hunk's lines, of `testCount` in all; `unrun` are those of its
# lines in the changed file, zero-based, that no passing test ran.
Hunk = TypedDict(
    "Hunk",
    {
        "id": str,
        "range": Range,
        "oldText": str,
        "newText": str,
        "class": Literal["source", "test", "config"],
        "tests": NotRequired[list[str]],
        "testCount": NotRequired[int],
        "unrun": NotRequired[list[int]],
    },
)


class ChangedFile(TypedDict):
    """One file of a proposal. `baseVersion` is null for a file that was not open, `baseSha256` for one that is new.

    `steps` are the titles of the steps of the plan that name it.
    """

    uri: str
    kind: Literal["modify", "create", "delete", "rename"]
    oldUri: str | None
    baseVersion: int | None
    baseSha256: str | None
    hunks: list[Hunk]
    steps: NotRequired[list[str]]


class Overlap(TypedDict):
    """Another proposal on the same text. `places` are relative paths, with lines of the base where that is told."""

    proposalId: str
    runId: str
    places: list[str]


class Proposal(TypedDict):
    """A change with its evidence. `state` is what its run rests in, `stalePaths` what moved since the tests ran.

    `verdictTitle` is the verdict in a line, `refused` why it cannot be accepted now.
    `suggestion` are the hunks of the smallest part found to pass after a smaller one was refused; while the proposal is
    in conflict with the text, those that still fit it.
    """

    proposalId: str
    runId: str
    summary: str
    stale: bool
    files: list[ChangedFile]
    diff: str
    verdict: Verdict
    state: RunState
    stalePaths: list[str]
    acceptable: bool
    checkpointId: NotRequired[str]
    overlaps: NotRequired[list[Overlap]]
    verdictTitle: NotRequired[str]
    refused: NotRequired[str]
    suggestion: NotRequired[list[str]]


class Checkpoint(TypedDict):
    """What an apply, or a rollback of one, wrote. `undoes` is the checkpoint that a rollback undoes."""

    checkpointId: str
    runId: str
    proposalId: str
    summary: str
    files: list[str]
    timeS: float
    sizeBytes: int
    state: Literal["applied", "rolled_back", "taken_back", "unfinished"]
    undoes: NotRequired[str]


class RollbackPreview(TypedDict):
    """What rolling a checkpoint back would do to the text as it is; where it cannot be done, why, and what it wrote."""

    diff: str
    possible: bool
    reason: NotRequired[str]


# --- section 5 --------------------------------------------------------------------------------------------------


class PlanMessage(TypedDict):
    """`agent/plan`."""

    runId: str
    steps: list[Step]


class ProgressMessage(TypedDict):
    """`agent/progress`."""

    runId: str
    state: RunState
    step: int
    message: str
    percentage: int | None


Tier = Literal["tiny", "mid", "thinker"]


class DayUse(TypedDict):
    """What models were used today by all runs of this person; `answerS` is the time of their answers."""

    tokens: int
    costUsd: float
    turns: int
    answerS: float


class EndpointRow(TypedDict):
    """An endpoint of a language model. `asked` and `failed` count its last questions, `answerS` is the median time of
    its answers, `restS` how long it is left alone after `trouble`."""

    endpoint: str
    provider: str
    model: str
    tiers: list[Tier]
    state: Literal["closed", "open", "half_open"]
    asked: int
    failed: int
    address: NotRequired[str]
    answerS: NotRequired[float]
    restS: NotRequired[float]
    trouble: NotRequired[str]
    root: NotRequired[str]


class BlockedMessage(TypedDict):
    """`agent/blocked`."""

    runId: str
    question: str
    options: list[str]


class VerdictMessage(TypedDict):
    """`agent/verdict`; with `hunks` it is of these alone."""

    proposalId: str
    verdict: Verdict
    hunks: NotRequired[list[str]]


class ModelsMessage(TypedDict):
    """`agent/models`: how the endpoints of a folder's models are, and what was used today, whenever that changed."""

    models: list[EndpointRow]
    day: DayUse
    root: NotRequired[str]


class SaidMessage(TypedDict):
    """`agent/said`: the reply to `agent.say` that was answered `pending`."""

    runId: str
    text: str
    reply: str


NOTIFICATIONS: Final[Mapping[str, Any]] = {
    "agent/plan": PlanMessage,
    "agent/progress": ProgressMessage,
    "agent/blocked": BlockedMessage,
    "agent/proposal": Proposal,
    "agent/verdict": VerdictMessage,
    "agent/models": ModelsMessage,
    "agent/said": SaidMessage,
}
"""Params of what the server tells of its own."""
