"""Owns `agent.checkpoints`: what was applied in a folder, and what rolling one of it back would do."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agent_lsp.domain.errors import BadArgumentError, UnknownIdError
from agent_lsp.link.peer import PeerError
from agent_lsp.server.arguments import Arguments
from agent_lsp.server.desk import CALL_S, Desk
from agent_lsp.server.features.execute_command import Command
from agent_lsp.server.features.virtual_documents import VirtualDocuments
from agent_lsp.server.session import Session
from agent_lsp.server.uris import path_of

if TYPE_CHECKING:
    from agent_lsp.server import command_shapes, shapes


def checkpoint_commands(session: Session, documents: VirtualDocuments) -> dict[str, Command]:
    """The command by its name."""
    return {"agent.checkpoints": partial(_checkpoints, session, documents)}


async def _checkpoints(session: Session, documents: VirtualDocuments, args: Arguments) -> Mapping[str, Any]:
    checkpoint_id, run_id = args.text_or_none("checkpointId"), args.text_or_none("runId")
    desks = _asked(session, args, run_id)
    rows: list[shapes.Checkpoint] = []
    previews: list[tuple[Desk, Mapping[str, Any]]] = []
    for desk in desks:
        call = {} if run_id is None else {"runId": run_id}
        answer = await desk.runtime.call("checkpoints", call, timeout_s=CALL_S / len(desks))
        found = [_public(session, desk, row) for row in answer["checkpoints"]]
        if checkpoint_id is not None:
            found = [row for row in found if row["checkpointId"] == checkpoint_id]
            if found:
                previews.append((desk, await _preview(desk, checkpoint_id)))
        rows += found
    result: command_shapes.CheckpointList = {"checkpoints": rows}
    if checkpoint_id is not None:
        if not previews:
            hint = "agent.checkpoints without checkpointId lists them; only the newest are kept."
            raise UnknownIdError(f"There is no checkpoint {checkpoint_id}.", hint=hint)
        _, told = previews[0]
        result["preview"] = {"diff": str(told["diff"]), "possible": bool(told["possible"])}
        if told.get("reason"):
            result["preview"]["reason"] = str(told["reason"])
        if args.flag("show", default=False):
            result["uri"] = await documents.show_checkpoint(checkpoint_id, _text(told))
    return cast("Mapping[str, Any]", result)


def _asked(session: Session, args: Arguments, run_id: str | None) -> list[Desk]:
    """The folder that is named, or of the run, or all."""
    named = args.text_or_none("root") or args.text_or_none("uri")
    if named is not None:
        path = path_of(named) or Path(named)
        desk = session.folders.desk_of(session.folders.home(path))
        if desk is None:
            raise BadArgumentError(f"{named} is in no workspace folder.", hint="Give the root of a workspace folder.")
        return [desk]
    if run_id is not None:
        known = [desk for desk in session.folders.desks if run_id in desk.board.runs]
        if known:
            return known
    if not session.folders.desks:
        raise BadArgumentError("No workspace folder is open.", hint="Open a folder, then try again.")
    return session.folders.desks


async def _preview(desk: Desk, checkpoint_id: str) -> Mapping[str, Any]:
    try:
        return await desk.runtime.call("checkpoint", {"checkpointId": checkpoint_id}, timeout_s=CALL_S)
    except PeerError as error:
        if error.code != UnknownIdError.code:
            raise
        raise UnknownIdError(error.message, hint=error.hint) from error


def _public(session: Session, desk: Desk, row: Mapping[str, Any]) -> "shapes.Checkpoint":
    told: shapes.Checkpoint = {
        "checkpointId": str(row["checkpointId"]),
        "runId": str(row["runId"]),
        "proposalId": str(row["proposalId"]),
        "summary": str(row["summary"]),
        "files": [session.uri(desk, str(path)) for path in row["files"]],
        "timeS": float(row["timeS"]),
        "sizeBytes": int(row["sizeBytes"]),
        "state": row["state"],
    }
    if row.get("undoes"):
        told["undoes"] = str(row["undoes"])
    return told


def _text(told: Mapping[str, Any]) -> str:
    """The read-only document: what rolling back does, or why it cannot be done and what was written."""
    if told["possible"]:
        head = [f"{told['summary']} (checkpoint {told['checkpointId']})", "Rolling it back would change:"]
    else:
        head = [
            f"{told['summary']} (checkpoint {told['checkpointId']}) is not possible: {told.get('reason', '')}",
            "What it wrote:",
        ]
    return "\n".join(head) + "\n\n" + str(told["diff"])
