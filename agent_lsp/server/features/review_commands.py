"""Owns the commands about proposals: read, apply, discard, test again, roll back, show."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError, LinkClosedError, UnknownIdError
from agent_lsp.domain.task import WORKING
from agent_lsp.link.peer import PeerError
from agent_lsp.server.arguments import Arguments, bad
from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import CALL_S, START_S, Desk, tell
from agent_lsp.server.features.drafts import Drafts
from agent_lsp.server.features.execute_command import Command
from agent_lsp.server.features.virtual_documents import VirtualDocuments
from agent_lsp.server.progress import Bar, Progress, Token, Work, stop_call
from agent_lsp.server.public import public_proposal, public_verdict
from agent_lsp.server.session import Session

_PENDING: Final = "The runtime is still at it; a message tells how it ends."
_NOT: Final = {"apply": "not applied", "rollback": "not rolled back"}
_TITLES: Final = {"apply": "accept", "discard": "discard", "revalidate": "test again"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A call to a runtime, and the work behind it as a bar shows it."""

    name: str
    call: Json
    work: Work
    token: Token | None


def review_commands(
    session: Session, progress: Progress, documents: VirtualDocuments, drafts: Drafts
) -> dict[str, Command]:
    """The commands by name."""
    return {
        "agent.proposal": partial(_proposal, session),
        "agent.apply": partial(_apply, session, progress),
        "agent.discard": partial(_discard, session, progress),
        "agent.edit": partial(_edit, session),
        "agent.revalidate": partial(_revalidate, session, progress),
        "agent.rollback": partial(_rollback, session, progress),
        "agent.show": partial(_show, session, documents, drafts),
    }


async def _proposal(session: Session, args: Arguments) -> Mapping[str, Any]:
    desk, card = await _find(session, args.text("proposalId"))
    return public_proposal(session, desk, card)


async def _apply(session: Session, progress: Progress, args: Arguments) -> Mapping[str, Any]:
    desk, card, call = await _meant(session, args)
    answer = await _in_time(session, progress, _asked("apply", desk, card, call, args))
    verdict = answer.get("verdict") or card.verdict
    return {**answer, "verdict": public_verdict(session, desk, verdict)}


async def _discard(session: Session, progress: Progress, args: Arguments) -> Mapping[str, Any]:
    desk, card, call = await _meant(session, args)
    feedback = args.free_text("feedback")
    if feedback:
        call["feedback"] = feedback
    asked = _asked("discard", desk, card, call, args)
    bar = progress.begin(asked.work, asked.token) if asked.token is not None else None
    outcome = "no answer in time"
    try:
        answer = await desk.runtime.call("discard", call, timeout_s=CALL_S)
        outcome = str(answer.get("state"))
    except AgentLspError as error:
        outcome = error.message
        raise
    finally:
        if outcome not in WORKING:  # else the run goes on, and its own events end the bar
            progress.end(bar, outcome)
    return answer


async def _edit(session: Session, args: Arguments) -> Mapping[str, Any]:
    desk, card = await _find(session, args.text("proposalId"))
    call: Json = {"proposalId": card.id, "text": args.any_text("text")}
    uri = args.text_or_none("uri")
    if uri is None:
        call["hunk"] = args.text("hunk")
    else:
        call["path"] = session.folders.locate(uri)[1]
    return await desk.runtime.call("amend", call, timeout_s=CALL_S)


async def _revalidate(session: Session, progress: Progress, args: Arguments) -> Mapping[str, Any]:
    desk, card = await _find(session, args.text("proposalId"))
    asked = _asked("revalidate", desk, card, {"proposalId": card.id}, args)
    answer = await _in_time(session, progress, asked)
    verdict = answer.get("verdict") or card.verdict
    return {**answer, "verdict": public_verdict(session, desk, verdict)}


def _asked(name: str, desk: Desk, card: Card, call: Json, args: Arguments) -> Asked:
    title = f"{_TITLES[name]} {card.data.get('summary') or desk.board.runs.get(card.run_id, {}).get('goal', '')}"
    stop = None if name == "discard" else partial(tell, desk, "abandon", {"proposalId": card.id})
    return Asked(name, call, Work(desk, name, title, card.run_id, card.id, stop), args.token())


async def _in_time(session: Session, progress: Progress, asked: Asked, within_s: float = CALL_S) -> Mapping[str, Any]:
    """The answer, or that it is pending: what takes longer goes on, is shown as work, and is told of at its end.

    Cancelling the request ends the work, unless that has begun to write.
    """
    work = asked.work
    task = asyncio.ensure_future(work.desk.runtime.call(asked.name, asked.call, timeout_s=START_S))
    if asked.name == "rollback":
        work = replace(work, stop=partial(stop_call, work.desk, asked.call, task))
        task.add_done_callback(partial(_forget_undone, session, work.desk, str(asked.call["checkpointId"])))
    bar = progress.begin(work, asked.token) if asked.token is not None else None
    try:
        await asyncio.wait({task}, timeout=within_s)
    except asyncio.CancelledError:
        task.cancel()
        progress.end(bar, "cancelled")
        raise
    if not task.done():
        bar = bar or _own_bar(progress, work)
        task.add_done_callback(partial(_tell_late, session, progress, bar, asked.name))
        return {"applied": False, "pending": True, "reason": _PENDING}
    try:
        answer = task.result()
    except asyncio.CancelledError:
        answer = {"applied": False, "reason": "It was cancelled."}
    except (AgentLspError, TimeoutError) as error:
        progress.end(bar, str(error) or "no answer in time")
        raise
    if not answer.get("pending"):
        progress.end(bar, _outcome(asked.name, answer))
    elif bar is None:
        _own_bar(progress, work)
    return answer


def _own_bar(progress: Progress, work: Work) -> Bar | None:
    """Work that goes on after its answer is always seen, if only as a run that works again."""
    return None if progress.shows(work.run_id) and work.run_id else progress.begin(work, None)


def _outcome(name: str, answer: Mapping[str, Any]) -> str:
    if name == "revalidate":
        verdict = answer.get("verdict")
        return f"tested again: {verdict.get('decision')}" if isinstance(verdict, Mapping) else "over"
    done = "applied" if name == "apply" else "rolled back"
    return done if answer.get("applied") else f"not {done}: {answer.get('reason') or 'no reason was given'}"


async def _rollback(session: Session, progress: Progress, args: Arguments) -> Mapping[str, Any]:
    checkpoint_id = args.text("checkpointId")
    call = {"checkpointId": checkpoint_id}
    knowing = [desk for desk in session.folders.desks if checkpoint_id in desk.board.checkpoints]
    if not knowing and len(session.folders.desks) == 1:
        knowing = session.folders.desks
    candidates = knowing or [desk for desk in session.folders.desks if desk.runtime.running]
    for desk in candidates[:-1]:
        answer = await _try(desk, "rollback", call, timeout_s=CALL_S / len(candidates))
        if answer is not None:
            return answer
    if not candidates:
        raise UnknownIdError(
            f"There is no checkpoint {checkpoint_id}.", hint="agent.apply answers with the id of its checkpoint."
        )
    work = Work(candidates[-1], "rollback", "roll back")
    asked = Asked("rollback", call, work, args.token())
    return await _in_time(session, progress, asked, CALL_S / len(candidates))


def _forget_undone(session: Session, desk: Desk, checkpoint_id: str, task: "asyncio.Future[Mapping[str, Any]]") -> None:
    """What was rolled back is not offered again; the change before it is."""
    if not task.cancelled() and task.exception() is None and task.result().get("applied"):
        desk.board.checkpoints.pop(checkpoint_id, None)
        session.listeners.changed(desk)


def _tell_late(
    session: Session, progress: Progress, bar: Bar | None, name: str, task: "asyncio.Future[Mapping[str, Any]]"
) -> None:
    """The person was told `pending`: neither an end nor a refusal is silent."""
    if task.cancelled():
        progress.end(bar, "cancelled")
        return
    error = task.exception()
    if error is None and task.result().get("pending"):
        return  # the runtime goes on with it, and its events tell the rest
    if error is not None:
        outcome = f"no end was heard of: {error}" if str(error) else "no answer in time"
    else:
        outcome = _outcome(name, task.result())
    progress.end(bar, outcome)
    applied = error is None and bool(task.result().get("applied"))
    if name == "rollback" or (not applied and name == "apply"):
        what = "the change was rolled back." if applied else f"the change was {_NOT[name]}. {outcome}"
        kind = types.MessageType.Info if applied else types.MessageType.Warning
        session.show(kind, f"agent-lsp: {what}")


async def _show(session: Session, documents: VirtualDocuments, drafts: Drafts, args: Arguments) -> Mapping[str, Any]:
    run_id, edits = args.text_or_none("runId"), args.flag("edit", default=False)
    if run_id is not None:
        return {"uri": await (drafts.open_plan(run_id) if edits else documents.show_plan(run_id))}
    if args.flag("log", default=False):
        uri = args.text_or_none("uri")
        desk = session.folders.only_desk() if uri is None else session.folders.locate(uri)[0]
        return {"uri": await documents.show_log(desk)}
    desk, card = await _find(session, args.text("proposalId"))
    if edits:
        return {"uri": await drafts.open_file(desk, card, args.text("path"))}
    if (at := args.text_or_none("at")) is not None:
        return {"uri": _go_to(documents, desk, card, at)}
    return {"uri": await documents.show_proposal(card, args.text_or_none("path"))}


def _go_to(documents: VirtualDocuments, desk: Desk, card: Card, hunk_id: str) -> str:
    """Opens the file of a hunk there; a file that is not there yet is shown as it is proposed."""
    for row, hunk in card.hunks():
        if hunk.get("id") == hunk_id:
            path, place = str(row.get("path")), card.places.get(hunk_id)
            line = place.start if place is not None else int(hunk.get("startLine", 0))
            here = types.Position(line=line, character=0)
            name = path if row.get("kind") != "rename" else str(row.get("oldPath"))
            return documents.show_file(desk.path(name), "The change is in", types.Range(start=here, end=here))
    raise UnknownIdError(f"The proposal {card.id} has no hunk {hunk_id}.", hint="agent.proposal lists its hunks.")


async def _meant(session: Session, args: Arguments) -> tuple[Desk, Card, Json]:
    """The proposal with the call for it: all hunks, or those that were named."""
    desk, card = await _find(session, args.text("proposalId"))
    call: Json = {"proposalId": card.id}
    hunks = args.texts("hunks")
    if hunks is not None:
        if not hunks:
            raise bad("`hunks` must name at least one hunk; leave it out for all.")
        known = {str(hunk.get("id")) for _, hunk in card.hunks()}
        unknown = [hunk for hunk in hunks if hunk not in known]
        if unknown:
            raise UnknownIdError(
                f"The proposal {card.id} has no hunk {', '.join(unknown)}.", hint="agent.proposal lists its hunks."
            )
        call["hunks"] = hunks
    return desk, card, call


async def _find(session: Session, proposal_id: str) -> tuple[Desk, Card]:
    """From the board; runtimes that run are asked for what it has not seen. Raises UnknownIdError."""
    try:
        return session.folders.card_of(proposal_id)
    except UnknownIdError:
        running = [desk for desk in session.folders.desks if desk.runtime.running]
        for desk in running:
            call = {"proposalId": proposal_id}
            data = await _try(desk, "proposal", call, timeout_s=CALL_S / 2 / len(running))
            if data is not None:
                desk.board.take("proposal", data)
                found = session.folders.card_of(proposal_id)
                found[1].open = found[1].run_id in desk.board.runs
                return found
        raise


async def _try(desk: Desk, name: str, call: Json, *, timeout_s: float) -> Mapping[str, Any] | None:
    """The runtime's answer; None if it does not know the id, or does not answer."""
    try:
        return await desk.runtime.call(name, call, timeout_s=timeout_s)
    except PeerError as error:
        if error.code != UnknownIdError.code:
            raise
        return None
    except (TimeoutError, LinkClosedError):
        return None
