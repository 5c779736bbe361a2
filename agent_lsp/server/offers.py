"""Owns what can be done at a place of a document: the offers behind code actions, in no protocol's words."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from agent_lsp.domain.task import WORKING, RunState
from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.documents import Document
from agent_lsp.server.history_offers import history_offers
from agent_lsp.server.offer import HERE, QUICKFIX, REWRITE, SOURCE, Offer
from agent_lsp.server.public import shorten
from agent_lsp.server.review_offers import accept, discard, drafting, grouped, moves, retest, selected, show, try_again
from agent_lsp.server.uris import is_cell, refusal_of

_WAITING: Final = (SOURCE, REWRITE, QUICKFIX)

_WAITS: Final = (RunState.AWAITING_APPROVAL, RunState.PAUSED, RunState.BLOCKED)
_GOAL_LINES: Final = 50
_GOAL_LINE_CHARS: Final = 2000
_GOAL: Final = re.compile(
    r"""(?:^\s*["*]+|(?:^|\s)(?:\#+|//+!?|--+|;+|/\*+|<!--|%+|\(\*|\{-|'))\s*agent:\s*(?P<goal>\S.*?)
        \s*(?:\*+/|--+>|\*\)|-\}|"+)?\s*$""",
    re.IGNORECASE | re.VERBOSE,
)


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
    sources: Sequence[Callable[[Spot], Iterator[Offer]]] = (
        _reviews,
        _questions,
        _approvals,
        _goals,
        _fixes,
        _selections,
        _runs,
        _logs,
    )
    return [offer for source in sources for offer in source(spot)]


def offers_outside(uri: str) -> list[Offer]:
    """What a document that is no file of a folder gets: a cell the reason why it gets nothing, any other nothing."""
    if not is_cell(uri):
        return []
    message, hint = refusal_of(uri)
    kinds = (SOURCE, REWRITE, QUICKFIX)
    return [Offer("Agent: not in the cells of a notebook", kinds, "agent.run", {}, refused=f"{message} {hint}")]


def goal_of(line: str) -> str | None:
    """The goal in a comment `agent: <goal>`, in any usual comment syntax; a minified line is not searched."""
    if len(line) > _GOAL_LINE_CHARS:
        return None
    if "agent:" not in line.lower():  # the expression costs 3 µs a line, this a tenth of one
        return None
    found = _GOAL.search(line.rstrip("\r\n"))
    return found["goal"] if found else None


def answers(row: Json, question: Json) -> list[Offer]:
    """The options of a question as offers: the way to answer where an editor shows no buttons."""
    asked = shorten(str(question.get("question", "")))
    return [
        Offer(f"Answer “{shorten(str(option))}”: {asked}", HERE, "agent.answer", _answer(row, str(option)))
        for option in question.get("options") or ()
    ]


def plan_offers(row: Json) -> list[Offer]:
    """What can be done with a plan that waits for approval."""
    goal, run_id = shorten(str(row.get("goal", ""))), row["runId"]
    rows: Sequence[tuple[str, str, Json, str]] = (
        (f"Approve plan of {goal}", "agent.plan.approve", {}, ""),
        (f"Approve step by step: {goal}", "agent.plan.approve", {"stepwise": True}, "Approve step by step"),
        (f"Reject plan of {goal}", "agent.plan.reject", {}, "Reject plan"),
        (f"Show plan of {goal}", "agent.show", {}, "Show plan"),
        (f"Edit plan of {goal}", "agent.show", {"edit": True}, "Edit plan"),
    )
    return [
        Offer(title, _WAITING, command, {"runId": run_id, **more}, short=short) for title, command, more, short in rows
    ]


def resume_offers(row: Json) -> list[Offer]:
    """How a paused run goes on: to its end, or by one step of its plan."""
    goal = shorten(str(row.get("goal", "")))
    ways = (("Go on with", "resume"), ("Do the next step of", "step"))
    return [
        Offer(f"{way} {goal}", _WAITING, "agent.control", {"runId": row["runId"], "action": action})
        for way, action in ways
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
            for offer in (accept(card, state, hunk), discard(card, state, hunk)):
                yield replace(offer, diagnostics=tuple(shown))
            yield from (*drafting(card, state, hunk), *moves(card, hunk))
        yield from selected(card, state, touching)
        below = replace(spot, end=spot.end + 1)  # words about a change stand above it
        for words in _words(spot):
            for row, hunk in card.hunks():
                if row.get("path") == spot.path and _touches(card, hunk, below):
                    yield try_again(card, state, hunk, words)
        again = [retest(card)] if card.stale else []
        whole = (accept(card, state, None), *grouped(card, state, spot.path), discard(card, state, None), show(card))
        for offer in (*whole, *again):
            yield offer if touching else replace(offer, kinds=(SOURCE,))


def _words(spot: Spot) -> Iterator[str]:
    """What a person says of the change here: comments `agent: ...` on these lines."""
    for _, words in _stated(spot):
        yield words


def _touches(card: Card, hunk: Json, spot: Spot) -> bool:
    place = card.places.get(str(hunk.get("id")))
    if place is None:
        return False
    if str(hunk.get("id")) in spot.hunks:
        return True
    return place.start <= spot.end and spot.start <= max(place.end - 1, place.start)


def _asking(spot: Spot) -> Iterator[tuple[Json, Json]]:
    board = spot.desk.board
    for row in board.unfinished():
        if row.get("state") == RunState.BLOCKED and row["runId"] in board.questions:
            yield row, board.questions[row["runId"]]


def _answer(row: Json, text: str) -> Json:
    return {"runId": row["runId"], "answer": text}


def _questions(spot: Spot) -> Iterator[Offer]:
    for row, question in _asking(spot):
        yield from answers(row, question)
    board = spot.desk.board
    if board.trust_wanted is not None:
        title = f"Trust this workspace: {shorten(str(board.trust_wanted.get('text') or 'its settings'))}"
        yield Offer(title, (SOURCE,), "agent.trust", {"root": str(spot.desk.root), "trusted": True})


def _approvals(spot: Spot) -> Iterator[Offer]:
    for row in spot.desk.board.unfinished():
        if row.get("state") == RunState.AWAITING_APPROVAL:
            yield from plan_offers(row)


def _goals(spot: Spot) -> Iterator[Offer]:
    for number, goal in _stated(spot):
        for row, _ in _asking(spot):
            title = f'Agent: answer "{shorten(goal)}" to {shorten(str(row.get("goal", "")))}'
            yield Offer(title, (REWRITE, SOURCE), "agent.answer", _answer(row, goal))
        line = {"start": {"line": number, "character": 0}, "end": {"line": number, "character": 0}}
        argument = {"goal": goal, "uri": spot.uri, "range": line}
        yield Offer(f'Agent: run "{shorten(goal)}"', (REWRITE, SOURCE), "agent.run", argument)
        title = f'Agent: plan "{shorten(goal)}" first'
        yield Offer(title, (REWRITE, SOURCE), "agent.run", {**argument, "mode": "plan"})


def _stated(spot: Spot) -> Iterator[tuple[int, str]]:
    """The goals that stand in comments on these lines."""
    lines = spot.document.lines if spot.document is not None else []
    for number in range(spot.start, min(spot.end + 1, spot.start + _GOAL_LINES, len(lines))):
        goal = goal_of(lines[number])
        if goal is not None:
            yield number, goal


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
        if row.get("state") in WORKING or row.get("state") in _WAITS:
            yield cancel_offer(row)
        if row.get("state") == RunState.PAUSED:
            yield from resume_offers(row)
    applied = [(checkpoint, run_id) for checkpoint, run_id in board.checkpoints.items() if run_id in board.runs]
    if applied:
        checkpoint, run_id = applied[-1]
        goal = shorten(str(board.runs[run_id].get("goal", "")))
        yield Offer(f"Roll back {goal}", (SOURCE,), "agent.rollback", {"checkpointId": checkpoint})
    yield from history_offers(board)


def _logs(spot: Spot) -> Iterator[Offer]:
    """Where a goal is stated, and after a run that failed."""
    newest = next(reversed(spot.desk.board.runs.values()), None)
    failed = newest is not None and newest.get("state") == RunState.FAILED
    if failed or next(_stated(spot), None) is not None:
        yield Offer("Agent: show the log", (SOURCE,), "agent.show", {"log": True, "uri": spot.uri})
