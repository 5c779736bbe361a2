"""Owns what can be done at a place of a document: the offers behind code actions, in no protocol's words."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agent_lsp.domain.task import WORKING, RunState
from agent_lsp.server.board import Card, Json
from agent_lsp.server.documents import Document
from agent_lsp.server.public import hunk_title, refusal, shorten, verdict_title
from agent_lsp.server.session import Desk

QUICKFIX: Final = "quickfix"
REWRITE: Final = "refactor.rewrite"
SOURCE: Final = "source.agent"

_GOAL_LINES: Final = 50
_GOAL: Final = re.compile(
    r"""(?:^\s*["*]+|(?:^|\s)(?:\#+|//+!?|--+|;+|/\*+|<!--|%+|\(\*|\{-|'))\s*agent:\s*(?P<goal>\S.*?)
        \s*(?:\*+/|--+>|\*\)|-\}|"+)?\s*$""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing to do. `kinds` are tried in order against the client's filter; `refused` says why it cannot be done."""

    title: str
    kinds: tuple[str, ...]
    command: str
    argument: Mapping[str, Any]
    refused: str | None = None
    preferred: bool = False
    diagnostics: Sequence[Any] = field(default=())


@dataclass(frozen=True, slots=True)
class Spot:
    """Where the person is: whole lines `[start, end]`, both inclusive, and whether something is selected.

    `problems` pairs each diagnostic of another source with its problem text; `hunks` pairs the ids in our own
    diagnostics with them. `range` is the LSP range as plain data.
    """

    desk: Desk
    path: str
    uri: str
    document: Document | None
    start: int
    end: int
    selected: bool
    range: Json
    problems: Sequence[tuple[str, Any]]
    plain_problems: Sequence[Json]
    hunks: Mapping[str, Any]


def offers_at(spot: Spot) -> list[Offer]:
    """Everything that can be done here, the likeliest first."""
    sources: Sequence[Callable[[Spot], Iterator[Offer]]] = (_reviews, _approvals, _goals, _fixes, _selections, _runs)
    return [offer for source in sources for offer in source(spot)]


def goal_of(line: str) -> str | None:
    """The goal in a comment `agent: <goal>`, in any usual comment syntax."""
    found = _GOAL.search(line.rstrip("\r\n"))
    return found["goal"] if found else None


def accept(card: Card, state: str, hunks: Sequence[str], what: str) -> Offer:
    """The offer to apply hunks of a proposal, or all of it."""
    argument: Json = {"proposalId": card.id}
    title = f"Accept all: {what} ({verdict_title(card)})"
    if hunks:
        argument["hunks"] = list(hunks)
        title = f"Accept change: {what} ({verdict_title(card)})"
    return Offer(title, (QUICKFIX, SOURCE), "agent.apply", argument, refusal(card, state), preferred=bool(hunks))


def discard(card: Card, hunks: Sequence[str], what: str) -> Offer:
    """The offer to drop hunks of a proposal, or all of it."""
    argument: Json = {"proposalId": card.id}
    if hunks:
        argument["hunks"] = list(hunks)
        return Offer(f"Discard change: {what}", (QUICKFIX, SOURCE), "agent.discard", argument)
    return Offer(f"Discard all: {what}", (QUICKFIX, SOURCE), "agent.discard", argument)


def show(card: Card, path: str | None, what: str) -> Offer:
    """The offer to open the diff."""
    argument: Json = {"proposalId": card.id}
    if path is not None:
        argument["path"] = path
    return Offer(f"Show diff: {what} ({verdict_title(card)})", (QUICKFIX, SOURCE), "agent.show", argument)


def summary_of(card: Card) -> str:
    """The proposal in a few words."""
    count = sum(1 for _ in card.hunks())
    changes = "1 change" if count == 1 else f"{count} changes"
    return f"{shorten(str(card.data.get('summary') or 'proposal'))}, {changes}"


def plan_offers(row: Json) -> list[Offer]:
    """What can be done with a plan that waits for approval."""
    goal, run_id = shorten(str(row.get("goal", ""))), row["runId"]
    return [
        Offer(f"Approve plan: {goal}", (SOURCE, REWRITE), "agent.plan.approve", {"runId": run_id}),
        Offer(f"Reject plan: {goal}", (SOURCE, REWRITE), "agent.plan.reject", {"runId": run_id}),
        Offer(f"Show plan: {goal}", (SOURCE, REWRITE), "agent.show", {"runId": run_id}),
    ]


def cancel_offer(row: Json) -> Offer:
    """The offer to cancel a run."""
    goal = shorten(str(row.get("goal", "")))
    argument = {"runId": row["runId"], "action": "cancel"}
    return Offer(f"Cancel run: {goal} ({row.get('state')})", (SOURCE,), "agent.control", argument)


def _reviews(spot: Spot) -> Iterator[Offer]:
    board = spot.desk.board
    for card in board.open_cards():
        state = board.state_of(card.run_id)
        touching = [hunk for row, hunk in card.hunks() if row.get("path") == spot.path and _touches(card, hunk, spot)]
        for hunk in touching:
            what, ids = hunk_title(hunk), [str(hunk["id"])]
            shown = [spot.hunks[ids[0]]] if ids[0] in spot.hunks else []
            for offer in (accept(card, state, ids, what), discard(card, ids, what)):
                yield _with_diagnostics(offer, shown)
        for offer in (accept(card, state, (), summary_of(card)), discard(card, (), summary_of(card))):
            yield _placed(offer, here=bool(touching))
        yield _placed(show(card, None, summary_of(card)), here=bool(touching))


def _touches(card: Card, hunk: Json, spot: Spot) -> bool:
    place = card.places.get(str(hunk.get("id")))
    if place is None:
        return False
    if str(hunk.get("id")) in spot.hunks:
        return True
    return place.start <= spot.end and spot.start <= max(place.end - 1, place.start)


def _with_diagnostics(offer: Offer, diagnostics: Sequence[Any]) -> Offer:
    return Offer(
        offer.title, offer.kinds, offer.command, offer.argument, offer.refused, offer.preferred, tuple(diagnostics)
    )


def _placed(offer: Offer, *, here: bool) -> Offer:
    """Away from its hunks a proposal is offered as a source action only, so that it is not in the way."""
    return Offer(offer.title, offer.kinds if here else (SOURCE,), offer.command, offer.argument, offer.refused)


def _approvals(spot: Spot) -> Iterator[Offer]:
    for row in spot.desk.board.unfinished():
        if row.get("state") == RunState.AWAITING_APPROVAL:
            yield from plan_offers(row)


def _goals(spot: Spot) -> Iterator[Offer]:
    if spot.document is None:
        return
    for number in range(spot.start, min(spot.end + 1, spot.start + _GOAL_LINES, len(spot.document.lines))):
        goal = goal_of(spot.document.lines[number])
        if goal is not None:
            line = {"start": {"line": number, "character": 0}, "end": {"line": number, "character": 0}}
            argument = {"goal": goal, "uri": spot.uri, "range": line}
            yield Offer(f'Agent: run "{shorten(goal)}"', (REWRITE, SOURCE), "agent.run", argument)


def _fixes(spot: Spot) -> Iterator[Offer]:
    for (message, diagnostic), plain in zip(spot.problems, spot.plain_problems, strict=True):
        argument = {
            "goal": f"Fix: {shorten(message, 300)}",
            "uri": spot.uri,
            "range": plain.get("range", spot.range),
            "diagnostics": [plain],
        }
        title = "Agent: fix this" if len(spot.problems) == 1 else f"Agent: fix this: {shorten(message)}"
        yield Offer(title, (QUICKFIX,), "agent.run", argument, diagnostics=(diagnostic,))


def _selections(spot: Spot) -> Iterator[Offer]:
    if spot.selected:
        goal = f"Look at the selected lines of {spot.path}, find what is wrong with them and put it right."
        argument = {"goal": goal, "uri": spot.uri, "range": spot.range, "askGoal": True}
        yield Offer("Agent: work on the selection…", (REWRITE,), "agent.run", argument)


def _runs(spot: Spot) -> Iterator[Offer]:
    board = spot.desk.board
    for row in board.unfinished():
        if row.get("state") in WORKING or row.get("state") in (RunState.PAUSED, RunState.BLOCKED):
            yield cancel_offer(row)
    applied = [(checkpoint, run_id) for checkpoint, run_id in board.checkpoints.items() if run_id in board.runs]
    if applied:
        checkpoint, run_id = applied[-1]
        goal = shorten(str(board.runs[run_id].get("goal", "")))
        yield Offer(f"Roll back: {goal}", (SOURCE,), "agent.rollback", {"checkpointId": checkpoint})
