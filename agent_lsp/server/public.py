"""Owns the public face of proposals and verdicts: the link's paths and lines as URIs and ranges, and their titles."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from agent_lsp.domain.text import split_lines
from agent_lsp.server.board import Card
from agent_lsp.server.desk import Desk
from agent_lsp.server.positions import content_of, units_of
from agent_lsp.server.session import Session

if TYPE_CHECKING:
    from agent_lsp.server import shapes

_TITLE_CHARS = 60
_NOT_YET = "The tests have not run on this change yet."


def public_verdict(session: Session, desk: Desk, verdict: Mapping[str, Any] | None) -> "shapes.Verdict":
    """PROTOCOL.md section 4, with URIs for paths; every key but `survivors` is there, whatever was left out."""
    said: Mapping[str, Any] = verdict or {"reasons": [_NOT_YET]}
    answer: shapes.Verdict = {
        "decision": said.get("decision", "not_run"),
        "fixed": list(said.get("fixed", ())),
        "broken": list(said.get("broken", ())),
        "stillFailing": list(said.get("stillFailing", ())),
        "flaky": list(said.get("flaky", ())),
        "added": list(said.get("added", ())),
        "removedOrWeakened": list(said.get("removedOrWeakened", ())),
        "collected": said.get("collected", 0),
        "ran": said.get("ran", 0),
        "changedLines": said.get("changedLines", 0),
        "changedLinesRun": said.get("changedLinesRun", 0),
        "unrunLines": [
            {"uri": session.uri(desk, str(row.get("path"))), "line": int(row.get("line") or 0)}
            for row in said.get("unrunLines", ())
            if isinstance(row, Mapping)
        ],
        "selection": said.get("selection", "full"),
        "durationS": said.get("durationS", 0.0),
        "candidate": said.get("candidate", ""),
        "reasons": list(said.get("reasons", ())),
    }
    if "survivors" in said:
        answer["survivors"] = [
            {
                "uri": session.uri(desk, str(row.get("path"))),
                "line": int(row.get("line") or 0),
                "text": str(row.get("text", "")),
            }
            for row in said["survivors"]
            if isinstance(row, Mapping)
        ]
    return answer


def public_proposal(session: Session, desk: Desk, card: Card) -> "shapes.Proposal":
    """PROTOCOL.md section 4. Ranges are in the base, in the client's units."""
    stale_paths = {*card.moved, *(str(path) for path in card.data.get("stalePaths", ()))}
    answer: shapes.Proposal = {
        "proposalId": card.id,
        "runId": card.run_id,
        "summary": card.data.get("summary", ""),
        "stale": card.stale,
        "files": [_public_file(session, desk, card, row) for row in card.files],
        "diff": card.data.get("diff", ""),
        "verdict": public_verdict(session, desk, card.verdict),
        "state": cast("shapes.RunState", desk.board.state_of(card.run_id) or card.data.get("state", "proposed")),
        "stalePaths": sorted(stale_paths),
        "acceptable": card.acceptable,
        "verdictTitle": verdict_title(card),
    }
    if (refused := refusal(card, "")) is not None:  # what its run does now passes, and is told by the run's state
        answer["refused"] = refused
    if overlaps := [dict(row) for row in card.data.get("overlaps") or () if isinstance(row, Mapping)]:
        answer["overlaps"] = cast("list[shapes.Overlap]", overlaps)
    if card.data.get("checkpointId"):
        answer["checkpointId"] = card.data["checkpointId"]
    if card.suggestion and (in_conflict(card) or not card.stale):
        answer["suggestion"] = card.suggestion
    return answer


def steps_of(desk: Desk, card: Card, row: Mapping[str, Any]) -> list[str]:
    """The steps of the plan that name a file, numbered."""
    steps = desk.board.plans.get(card.run_id, {}).get("steps") or ()
    return [
        f"{number}. {step.get('title', '')}"
        for number, step in enumerate(steps, 1)
        if row.get("path") in (step.get("files") or ())
    ]


def _public_file(session: Session, desk: Desk, card: Card, row: Mapping[str, Any]) -> "shapes.ChangedFile":
    old_path = row.get("oldPath")
    answer: shapes.ChangedFile = {
        "uri": session.uri(desk, str(row.get("path"))),
        "kind": row.get("kind", "modify"),
        "oldUri": session.uri(desk, old_path) if isinstance(old_path, str) else None,
        "baseVersion": row.get("baseVersion"),
        "baseSha256": row.get("baseSha256"),
        "hunks": [_public_hunk(session, hunk) for hunk in row.get("hunks", ())],
    }
    if steps := steps_of(desk, card, row):
        answer["steps"] = steps
    return answer


def _public_hunk(session: Session, hunk: Mapping[str, Any]) -> "shapes.Hunk":
    start, end, old = int(hunk["startLine"]), int(hunk["endLine"]), str(hunk.get("oldText", ""))
    stop: shapes.Position = {"line": end, "character": 0}
    if end > start and not old.endswith(("\n", "\r")):
        last = (split_lines(old) or [""])[-1]
        stop = {"line": end - 1, "character": units_of(content_of(last), session.traits.encoding)}
    answer: shapes.Hunk = {
        "id": hunk["id"],
        "range": {"start": {"line": start, "character": 0}, "end": stop},
        "oldText": old,
        "newText": hunk.get("newText", ""),
        "class": hunk.get("class", "source"),
    }
    if hunk.get("tests"):
        answer["tests"], answer["testCount"] = list(hunk["tests"]), int(hunk.get("testCount") or 0)
    if hunk.get("unrun"):
        answer["unrun"] = [int(line) for line in hunk["unrun"]]
    return answer


def verdict_title(card: Card) -> str:
    """One line for a lens or an action, as domain.verdict.Verdict.title spells it, with staleness first."""
    verdict = card.verdict
    decision = verdict.get("decision", "not_run")
    if card.stale:
        why = "it no longer fits the text" if in_conflict(card) else "the files changed since the tests ran"
        return f"stale: {why}"
    if decision == "not_run":
        return "not tested"
    parts = [f"{len(verdict.get('fixed', ()))} fixed", f"{len(verdict.get('broken', ()))} broken"]
    if verdict.get("stillFailing"):
        parts.append(f"{len(verdict['stillFailing'])} as before")
    if others := len(card.data.get("overlaps") or ()):
        parts.append(f"overlaps {others} other" if others == 1 else f"overlaps {others} others")
    untested = ", untested" if decision == "undecided" else ""
    return f"{decision}{untested}: {', '.join(parts)}"


def in_conflict(card: Card) -> bool:
    """Whether the text was changed where the proposal changes it, so that it cannot be carried over."""
    return card.stale and bool(card.data.get("inConflict"))


def still_fits(card: Card, hunk: Mapping[str, Any]) -> bool:
    """Whether the text is as this hunk needs it, in a proposal of which another hunk is in conflict."""
    return in_conflict(card) and str(hunk.get("id")) in card.suggestion


def hunk_verdict(card: Card, hunk: Mapping[str, Any]) -> str:
    """The verdict in a line, as it is of one hunk."""
    return "still fits" if still_fits(card, hunk) else verdict_title(card)


def refusal_of_fitting(card: Card, state: str) -> str | None:
    """Why what still fits of a proposal in conflict cannot be accepted now; None if it can."""
    if not card.open:
        return "This proposal is closed."
    return f"Its run is {state}; wait until that is over." if state in ("applying", "validating") else None


def refusal(card: Card, state: str, hunk: Mapping[str, Any] | None = None) -> str | None:
    """Why the proposal, or one hunk of it, cannot be accepted now; None if it can."""
    if (refused := refusal_of_fitting(card, state)) is not None:
        return refused
    if hunk is not None and still_fits(card, hunk):
        return None
    if in_conflict(card):
        others = f" You can accept the {fitting_title(card)}." if card.suggestion else ""
        way = f"Discard it, or take your edit back.{others}"
        return f"It does not fit the text as it now is: {card.data['trouble']} {way}"
    if card.stale and card.data.get("trouble"):
        return str(card.data["trouble"])
    if card.stale:
        return "Files changed since the tests ran; it is tested again when you pause."
    if not card.acceptable:
        reasons = card.verdict.get("reasons") or ()
        detail = f" {reasons[0]}" if reasons else ""
        return f"The tests do not allow it ({card.verdict.get('decision', 'not_run')}).{detail}"
    return None


def fitting_title(card: Card) -> str:
    """`1 change that still fits`."""
    count = len(card.suggestion)
    return "1 change that still fits" if count == 1 else f"{count} changes that still fit"


def hunk_title(hunk: Mapping[str, Any]) -> str:
    """What one hunk does, in a few words of its own text."""
    new, old = _first_line(hunk.get("newText")), _first_line(hunk.get("oldText"))
    if new:
        return f"`{shorten(new)}`"
    return f"remove `{shorten(old)}`" if old else "this file"


def shorten(text: str, limit: int = _TITLE_CHARS) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _first_line(text: Any) -> str:
    return next((line.strip() for line in str(text or "").splitlines() if line.strip()), "")
