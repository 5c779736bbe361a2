"""Owns what can be done at a place of a document: the offers behind code actions, in no protocol's words."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agent_lsp.domain.task import WORKING, RunState
from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.documents import Document
from agent_lsp.server.public import hunk_title, refusal, shorten, verdict_title

QUICKFIX: Final = "quickfix"
REWRITE: Final = "refactor.rewrite"
SOURCE: Final = "source.agent"
_HERE: Final = (QUICKFIX, SOURCE)

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


def accept(card: Card, state: str, hunk: Json | None) -> Offer:
    """The offer to apply one hunk of a proposal, or all of it."""
    title = f"Accept {_what(card, hunk)} ({verdict_title(card)})"
    return Offer(title, _HERE, "agent.apply", _meant(card, hunk), refusal(card, state), preferred=hunk is not None)


def discard(card: Card, hunk: Json | None) -> Offer:
    """The offer to drop one hunk of a proposal, or all of it."""
    return Offer(f"Discard {_what(card, hunk)} ({verdict_title(card)})", _HERE, "agent.discard", _meant(card, hunk))


def show(card: Card) -> Offer:
    """The offer to open the diff."""
    return Offer(f"Show diff of {_count(card)} ({verdict_title(card)})", _HERE, "agent.show", _meant(card, None))


def _what(card: Card, hunk: Json | None) -> str:
    if hunk is not None:
        return f"change {hunk_title(hunk)}"
    return f"all ({_count(card)}): {shorten(str(card.data.get('summary') or 'proposal'))}"


def _meant(card: Card, hunk: Json | None) -> Json:
    return {"proposalId": card.id} if hunk is None else {"proposalId": card.id, "hunks": [str(hunk["id"])]}


def _count(card: Card) -> str:
    count = sum(1 for _ in card.hunks())
    return "1 change" if count == 1 else f"{count} changes"


def plan_offers(row: Json) -> list[Offer]:
    """What can be done with a plan that waits for approval."""
    goal, run_id = shorten(str(row.get("goal", ""))), row["runId"]
    return [
        Offer(f"Approve plan of {goal}", (SOURCE, REWRITE), "agent.plan.approve", {"runId": run_id}),
        Offer(f"Reject plan of {goal}", (SOURCE, REWRITE), "agent.plan.reject", {"runId": run_id}),
        Offer(f"Show plan of {goal}", (SOURCE, REWRITE), "agent.show", {"runId": run_id}),
    ]


def cancel_offer(row: Json) -> Offer:
    """The offer to cancel a run."""
    goal = shorten(str(row.get("goal", "")))
    argument = {"runId": row["runId"], "action": "cancel"}
    return Offer(f"Cancel run {goal} ({row.get('state')})", (SOURCE,), "agent.control", argument)


def _reviews(spot: Spot) -> Iterator[Offer]:
    board = spot.desk.board
    for card in board.open_cards():
        state = board.state_of(card.run_id)
        touching = [hunk for row, hunk in card.hunks() if row.get("path") == spot.path and _touches(card, hunk, spot)]
        for hunk in touching:
            shown = [spot.hunks[str(hunk["id"])]] if str(hunk["id"]) in spot.hunks else []
            for offer in (accept(card, state, hunk), discard(card, hunk)):
                yield replace(offer, diagnostics=tuple(shown))
        for offer in (accept(card, state, None), discard(card, None), show(card)):
            yield offer if touching else replace(offer, kinds=(SOURCE,))


def _touches(card: Card, hunk: Json, spot: Spot) -> bool:
    place = card.places.get(str(hunk.get("id")))
    if place is None:
        return False
    if str(hunk.get("id")) in spot.hunks:
        return True
    return place.start <= spot.end and spot.start <= max(place.end - 1, place.start)


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
        yield Offer(f"Roll back {goal}", (SOURCE,), "agent.rollback", {"checkpointId": checkpoint})
