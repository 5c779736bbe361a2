"""Owns what can be done with a proposal and its hunks: taken, dropped, looked at, edited, walked through."""

from collections.abc import Iterator, Sequence

from agent_lsp.domain.task import RunState
from agent_lsp.server.board import Card, Json
from agent_lsp.server.offer import HERE, SOURCE, Offer
from agent_lsp.server.public import (
    fitting_title,
    hunk_title,
    hunk_verdict,
    in_conflict,
    refusal,
    refusal_of_fitting,
    shorten,
    still_fits,
    verdict_title,
)


def accept(card: Card, state: str, hunk: Json | None) -> Offer:
    """The offer to apply one hunk of a proposal, or all of it."""
    first = ", tested first" if hunk is not None and still_fits(card, hunk) else ""
    verdict = f"({_verdict(card, hunk)}{first})"
    refused = refusal(card, state, hunk)
    return Offer(
        f"Accept {_what(card, hunk)} {verdict}",
        HERE,
        "agent.apply",
        _meant(card, hunk),
        refused,
        preferred=hunk is not None,
        short=f"Accept {_which(card, hunk)} {verdict}",
    )


def discard(card: Card, state: str, hunk: Json | None) -> Offer:
    """The offer to drop one hunk of a proposal, or all of it; not while it is being written."""
    title = f"Discard {_what(card, hunk)} ({_verdict(card, hunk)})"
    refused = "It is being applied; roll it back afterwards." if state == RunState.APPLYING else None
    short = f"Discard {_which(card, hunk)}"
    return Offer(title, HERE, "agent.discard", _meant(card, hunk), refused, short=short)


def show(card: Card) -> Offer:
    """The offer to open the diff."""
    title = f"Show diff of {_count(card)} ({verdict_title(card)})"
    return Offer(title, HERE, "agent.show", _meant(card, None), short="Show diff")


def _what(card: Card, hunk: Json | None) -> str:
    if hunk is not None:
        return f"change {hunk_title(hunk)}"
    return f"all ({_count(card)}): {shorten(str(card.data.get('summary') or 'proposal'))}"


def _which(card: Card, hunk: Json | None) -> str:
    if hunk is not None:
        return "change"
    count = sum(1 for _ in card.hunks())
    return "all" if count == 1 else f"all {count}"


def _verdict(card: Card, hunk: Json | None) -> str:
    return verdict_title(card) if hunk is None else hunk_verdict(card, hunk)


def _meant(card: Card, hunk: Json | None) -> Json:
    return {"proposalId": card.id} if hunk is None else {"proposalId": card.id, "hunks": [str(hunk["id"])]}


def _count(card: Card) -> str:
    count = sum(1 for _ in card.hunks())
    return "1 change" if count == 1 else f"{count} changes"


def retest(card: Card) -> Offer:
    """The offer to test a stale proposal again now."""
    title = f"Test again ({verdict_title(card)})"
    return Offer(title, HERE, "agent.revalidate", _meant(card, None), short="Test again (stale)")


def grouped(card: Card, state: str, path: str) -> Iterator[Offer]:
    """Parts that belong together: what was found to pass, and the changes of this file where there are more."""
    refused, title = refusal(card, state), verdict_title(card)
    if in_conflict(card):
        yield from fitting(card, state)
    elif card.suggestion:
        argument = {"proposalId": card.id, "hunks": card.suggestion}
        what = f"{len(card.suggestion)} changes that pass together ({title})"
        short = f"Accept the {len(card.suggestion)} that pass together"
        yield Offer(f"Accept the {what}", HERE, "agent.apply", argument, refused, short=short)
    mine = [str(hunk["id"]) for row, hunk in card.hunks() if row.get("path") == path]
    if len(mine) > 1 and len(mine) < sum(1 for _ in card.hunks()):
        argument = {"proposalId": card.id, "hunks": mine}
        name = path.rpartition("/")[2]
        which = f"file {name} ({len(mine)} changes"
        yield Offer(f"Accept {which}, {title})", HERE, "agent.apply", argument, refused, short=f"Accept {which})")
        dropping = discard(card, state, None).refused
        short = f"Discard file {name}"
        yield Offer(f"Discard {which}, {title})", HERE, "agent.discard", argument, dropping, short=short)


def selected(card: Card, state: str, hunks: Sequence[Json]) -> Iterator[Offer]:
    """The changes that stand in a selection, as one part: where they are several, and not all."""
    if 1 < len(hunks) < sum(1 for _ in card.hunks()):
        argument = {"proposalId": card.id, "hunks": [str(hunk["id"]) for hunk in hunks]}
        what = f"the {len(hunks)} changes of these lines ({verdict_title(card)})"
        yield Offer(f"Accept {what}", HERE, "agent.apply", argument, refusal(card, state))
        yield Offer(f"Discard {what}", HERE, "agent.discard", argument, discard(card, state, None).refused)


def fitting(card: Card, state: str) -> Iterator[Offer]:
    """What of a proposal in conflict with the text still fits it."""
    if in_conflict(card) and card.suggestion:
        argument = {"proposalId": card.id, "hunks": card.suggestion}
        title = f"Accept the {fitting_title(card)} (tested first)"
        yield Offer(title, HERE, "agent.apply", argument, refusal_of_fitting(card, state))


def try_again(card: Card, state: str, hunk: Json, words: str) -> Offer:
    """The offer to drop a hunk with words about it, after which the agent tries again."""
    title = f'Discard change {hunk_title(hunk)} and try again: "{shorten(words)}"'
    argument = {**_meant(card, hunk), "feedback": words}
    return Offer(title, HERE, "agent.discard", argument, discard(card, state, hunk).refused)


def drafting(card: Card, state: str, hunk: Json) -> Iterator[Offer]:
    """The offer to open the proposed file as text that can be edited; saving it changes the proposal."""
    row = next((row for row, known in card.hunks() if known is hunk), None)
    if row is not None and row.get("kind") != "delete" and (hunk.get("oldText") or hunk.get("newText")):
        argument = {"proposalId": card.id, "path": row["path"], "edit": True}
        refused = discard(card, state, hunk).refused
        yield Offer(f"Edit change {hunk_title(hunk)} before accepting", HERE, "agent.show", argument, refused)


def moves(card: Card, hunk: Json) -> Iterator[Offer]:
    """The ways to the neighbours of a hunk, round the end."""
    ids = [str(known["id"]) for _, known in card.hunks()]
    if len(ids) > 1:
        here = ids.index(str(hunk["id"]))
        for title, step in (("Next change", 1), ("Previous change", -1)):
            there = (here + step) % len(ids)
            argument = {"proposalId": card.id, "at": ids[there]}
            yield Offer(f"{title} ({there + 1} of {len(ids)})", (SOURCE,), "agent.show", argument)
