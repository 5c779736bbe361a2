"""Owns the commands about proposals: read, apply, discard, test again, roll back, show."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from lsprotocol import types

from agent_lsp.domain.errors import LinkClosedError, UnknownIdError
from agent_lsp.link.peer import PeerError
from agent_lsp.server.arguments import Arguments, bad
from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import CALL_S, START_S, Desk
from agent_lsp.server.features.execute_command import Command
from agent_lsp.server.features.virtual_documents import VirtualDocuments
from agent_lsp.server.public import public_proposal, public_verdict
from agent_lsp.server.session import Session


def review_commands(session: Session, documents: VirtualDocuments) -> dict[str, Command]:
    """The commands by name."""
    return {
        "agent.proposal": partial(_proposal, session),
        "agent.apply": partial(_apply, session),
        "agent.discard": partial(_discard, session),
        "agent.revalidate": partial(_revalidate, session),
        "agent.rollback": partial(_rollback, session),
        "agent.show": partial(_show, session, documents),
    }


async def _proposal(session: Session, args: Arguments) -> Mapping[str, Any]:
    desk, card = await _find(session, args.text("proposalId"))
    return public_proposal(session, desk, card)


async def _apply(session: Session, args: Arguments) -> Mapping[str, Any]:
    desk, card, call = await _meant(session, args)
    try:
        answer = await desk.runtime.call("apply", call, timeout_s=CALL_S)
    except TimeoutError:
        answer = {"applied": False, "pending": True, "reason": "The runtime is still at it."}
    verdict = answer.get("verdict") or card.verdict
    return {**answer, "verdict": public_verdict(session, desk, verdict)}


async def _discard(session: Session, args: Arguments) -> Mapping[str, Any]:
    desk, _, call = await _meant(session, args)
    feedback = args.free_text("feedback")
    if feedback:
        call["feedback"] = feedback
    return await desk.runtime.call("discard", call, timeout_s=CALL_S)


async def _revalidate(session: Session, args: Arguments) -> Mapping[str, Any]:
    desk, card = await _find(session, args.text("proposalId"))
    try:
        answer = await desk.runtime.call("revalidate", {"proposalId": card.id}, timeout_s=CALL_S)
    except TimeoutError:
        answer = {"applied": False, "pending": True}
    verdict = answer.get("verdict") or card.verdict
    return {**answer, "verdict": public_verdict(session, desk, verdict)}


async def _rollback(session: Session, args: Arguments) -> Mapping[str, Any]:
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
    return await _roll_back_in_time(session, candidates[-1], call, CALL_S / len(candidates))


async def _roll_back_in_time(session: Session, desk: Desk, call: Json, within_s: float) -> Mapping[str, Any]:
    """The answer, or that it is pending: a runtime that must start first takes its time, and is told of at the end."""
    task = asyncio.ensure_future(desk.runtime.call("rollback", call, timeout_s=START_S))
    await asyncio.wait({task}, timeout=within_s)
    if not task.done():
        task.add_done_callback(partial(_tell_rollback, session))
        return {"applied": False, "pending": True, "reason": "The runtime is still at it; a message tells how it ends."}
    return task.result()


def _tell_rollback(session: Session, task: "asyncio.Future[Mapping[str, Any]]") -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is None and task.result().get("applied"):
        session.show(types.MessageType.Info, "agent-lsp: the change was rolled back.")
        return
    reason = str(error) if error is not None else str(task.result().get("reason", ""))
    session.show(types.MessageType.Warning, f"agent-lsp: the change was not rolled back. {reason}")


async def _show(session: Session, documents: VirtualDocuments, args: Arguments) -> Mapping[str, Any]:
    run_id = args.text_or_none("runId")
    if run_id is not None:
        return {"uri": await documents.show_plan(run_id)}
    _, card = await _find(session, args.text("proposalId"))
    return {"uri": await documents.show_proposal(card, args.text_or_none("path"))}


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
