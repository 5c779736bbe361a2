"""Owns the commands about runs: start, approve, control, status, talk, answer, trust, and the log's tail."""

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError, OperatorError, UnknownIdError, UserError
from agent_lsp.domain.plan_reading import read_plan
from agent_lsp.domain.task import RunState
from agent_lsp.domain.tiers import Tier
from agent_lsp.link.peer import NeverSentError
from agent_lsp.server.arguments import Arguments, bad
from agent_lsp.server.board import Json
from agent_lsp.server.desk import CALL_S, START_S, Desk, control, disown
from agent_lsp.server.features.execute_command import Command
from agent_lsp.server.progress import Progress, Work
from agent_lsp.server.seen_problems import MOST_TOLD
from agent_lsp.server.session import Session
from agent_lsp.server.threads import in_thread
from agent_lsp.server.uris import path_of, scheme_of, uri_of

ReadLog = Callable[[Path, int, bool], tuple[str, str]]
"""`(root, lines, errors_only) -> (text, path)`; reads files, so it is called in a thread."""

_ACTIONS: Final = ("cancel", "pause", "resume", "step")
TIERS: Final = tuple(tier.value for tier in Tier)
_AGAIN_S: Final = 0.05
_TAIL_LINES: Final = 200
_TAIL_MOST_LINES: Final = 10_000


def run_commands(session: Session, progress: Progress, read_log: ReadLog) -> dict[str, Command]:
    """The commands by name."""
    return {
        "agent.run": partial(_run, session, progress),
        "agent.plan.approve": partial(_approve, session),
        "agent.plan.reject": partial(_reject, session),
        "agent.control": partial(_control, session),
        "agent.status": partial(_status, session),
        "agent.say": partial(_say, session),
        "agent.answer": partial(_answer, session),
        "agent.models": partial(_models, session),
        "agent.trust": partial(_trust, session),
        "agent.log.tail": partial(_log_tail, session, read_log),
    }


async def _run(session: Session, progress: Progress, args: Arguments) -> Mapping[str, Any]:
    call: Json = {"runId": "r_" + os.urandom(6).hex(), "goal": args.text("goal")}
    desk, origin = _place_of_run(session, args)
    lines = args.lines("range")
    call |= {
        "path": origin,
        "lines": None if lines is None else {"start": lines[0], "end": lines[1]},
        "problems": _problems(session, desk, origin, args),
        "nearby": _nearby(session, desk),
        "tests": args.texts("tests"),
        "scope": args.texts("scope"),
        "mode": args.choice("mode", ("plan", "auto")),
        "tier": args.choice("tier", TIERS),
        "background": args.flag("background", default=False) or None,
    }
    call = {key: value for key, value in call.items() if value is not None}
    desk.board.open_run(call["runId"], call["goal"], origin)
    starting = session.client.in_background(_start(desk, call))
    desk.starting[call["runId"]] = starting
    starting.add_done_callback(lambda _: desk.starting.pop(call["runId"], None))
    progress.begin(Work(desk, "run", call["goal"], call["runId"]), args.token(), RunState.PLANNING.value)
    try:
        await asyncio.wait([starting], timeout=CALL_S)
    except asyncio.CancelledError:
        starting.cancel()
        raise
    finally:
        if not starting.done():
            starting.add_done_callback(partial(_settle_late, session, desk, call))
    if starting.cancelled():
        _settle_late(session, desk, call, starting)
    elif starting.done() and (error := starting.result()) is not None:
        progress.end_run(call["runId"], f"refused: {error.message}")
        desk.board.drop_run(call["runId"])
        session.listeners.changed(desk)
        raise error
    return {"runId": call["runId"]}


async def _start(desk: Desk, call: Json) -> AgentLspError | None:
    """Gives the run to the runtime, which may have to start first; why it was refused, if it was.

    When it is given up, by whatever end, a runtime that has it in its pipe does not begin it.
    """
    try:
        async with asyncio.timeout(START_S):
            await _hand_over(desk, call)
    except AgentLspError as error:
        return error
    except TimeoutError:
        return OperatorError("The runtime did not take the run in time.", hint="See agent-lsp log.")
    return None


async def _hand_over(desk: Desk, call: Json) -> None:
    while True:
        try:
            await desk.runtime.call("run", call, timeout_s=2 * START_S)
        except NeverSentError:
            await asyncio.sleep(_AGAIN_S)  # a runtime has just ended; the next call starts another
        else:
            return


def _settle_late(session: Session, desk: Desk, call: Json, starting: asyncio.Task[AgentLspError | None]) -> None:
    """Nobody hears it as the command's answer: how the start ended shows in the run itself."""
    run_id = call["runId"]
    if starting.cancelled():
        desk.board.end_run(run_id, RunState.CANCELLED, "cancelled before it began")
        session.client.in_background(disown(desk, run_id))
    elif (error := starting.result()) is not None:
        reason = f"{error.message} {error.hint}".strip()
        desk.board.end_run(run_id, RunState.FAILED, reason)
        session.show(types.MessageType.Error, f"agent-lsp: {reason}")
    else:
        return
    if run_id in desk.board.runs:
        session.listeners.announce(desk, "run", desk.board.runs[run_id])
    session.listeners.changed(desk)


def _place_of_run(session: Session, args: Arguments) -> tuple[Desk, str | None]:
    uri = args.text_or_none("uri")
    if uri is None:
        return session.folders.only_desk(), None
    desk, path = session.folders.locate(uri)
    return desk, None if path == "." else path


def _problems(session: Session, desk: Desk, origin: str | None, args: Arguments) -> list[Json] | None:
    diagnostics = args.objects("diagnostics")
    if diagnostics is None:
        return None
    problems = []
    for row in diagnostics:
        place = Arguments({"range": row.get("range")}).lines("range")
        uri = row.get("uri")
        located = session.folders.try_locate(uri) if isinstance(uri, str) else None
        path = located[1] if located is not None and located[0] is desk else origin
        if path is None:
            raise bad("`diagnostics` need the `uri` of the document that they are in.")
        problems.append(
            {
                "path": path,
                "line": place[0] if place else 0,
                "message": str(row.get("message", "")),
                "source": str(row.get("source") or ""),
                "code": str(row.get("code") if row.get("code") is not None else ""),
            }
        )
    return problems


def _nearby(session: Session, desk: Desk) -> list[Json] | None:
    """What other servers say of open files, as far as the editor has told."""
    opened = [(path, document) for path, document in session.documents_of(desk) if path != "."]
    rows = [row for path, document in opened for row in session.seen_problems.of(path, document)]
    return rows[:MOST_TOLD] or None


async def _approve(session: Session, args: Arguments) -> Mapping[str, Any]:
    run_id = args.text("runId")
    call: Json = {"runId": run_id}
    steps = args.objects("steps")
    if steps is not None:
        if not steps:
            raise bad("`steps` must hold at least one step; reject the plan to stop it.")
        call["steps"] = [_step(row) for row in steps]
    elif (markdown := args.text_or_none("markdown")) is not None:
        call["steps"] = [step.to_json() for step in read_plan(markdown)]
    elif (edited := session.folders.desk_of_run(run_id).board.plans.get(run_id, {}).get("edited")) is not None:
        call["steps"] = edited
    answer = await _call_run(session, run_id, "plan_approve", call)
    if args.flag("stepwise", default=False):
        return await _call_run(session, run_id, "control", {"runId": run_id, "action": "step"})
    return answer


def _step(row: Mapping[str, Any]) -> Json:
    step = Arguments(row)
    return {
        "title": step.text("title"),
        "detail": step.free_text("detail"),
        "files": step.texts("files") or [],
        "acceptance": step.free_text("acceptance"),
    }


async def _reject(session: Session, args: Arguments) -> Mapping[str, Any]:
    run_id = args.text("runId")
    return await _call_run(session, run_id, "plan_reject", {"runId": run_id, "feedback": args.free_text("feedback")})


async def _control(session: Session, args: Arguments) -> Mapping[str, Any]:
    run_id = args.text("runId")
    action = args.choice("action", _ACTIONS)
    if action is None:
        raise bad(f"`action` is missing: one of {', '.join(_ACTIONS)}.")
    return await control(session.folders.desk_of_run(run_id), run_id, action, timeout_s=CALL_S)


async def _call_run(session: Session, run_id: str, name: str, call: Json) -> Mapping[str, Any]:
    desk = session.folders.desk_of_run(run_id)
    return await desk.runtime.call(name, call, timeout_s=CALL_S)


async def _status(session: Session, args: Arguments) -> Mapping[str, Any]:
    run_id = args.text_or_none("runId")
    if run_id is not None:
        return {"runs": [_row(session, session.folders.desk_of_run(run_id), run_id)]}
    rows = [_row(session, desk, run_id) for desk in session.folders.desks for run_id in desk.board.runs]
    models = [_placed(session, desk, row) for desk in session.folders.desks for row in desk.board.models]
    day = next((desk.board.day for desk in session.folders.desks if desk.board.day), None)
    return {"runs": rows, "models": models, "day": day} if models and day else {"runs": rows}


def _row(session: Session, desk: Desk, run_id: str) -> Json:
    return _placed(session, desk, desk.board.row_of(run_id))


def _placed(session: Session, desk: Desk, row: Json) -> Json:
    """With its folder where there are several."""
    return {**row, "root": uri_of(desk.root)} if len(session.folders.desks) > 1 else row


async def _say(session: Session, args: Arguments) -> Mapping[str, Any]:
    call: Json = {"text": args.text("text")}
    run_id = args.text_or_none("runId")
    if run_id is None:
        return await session.folders.only_desk().runtime.call("say", call, timeout_s=CALL_S)
    return await _call_run(session, run_id, "say", {**call, "runId": run_id})


async def _answer(session: Session, args: Arguments) -> Mapping[str, Any]:
    run_id = args.text("runId")
    desk = session.folders.desk_of_run(run_id)
    if desk.board.state_of(run_id) != RunState.BLOCKED and not desk.runtime.running:
        raise UserError(f"The run {session.folders.name_of(run_id)} asks nothing.")
    return await _call_run(session, run_id, "answer", {"runId": run_id, "answer": args.text("answer")})


async def _models(session: Session, args: Arguments) -> Mapping[str, Any]:
    call: Json = {"tier": args.choice("tier", (*TIERS, "auto")), "probe": args.flag("probe", default=False)}
    run_id = args.text_or_none("runId")
    if call["tier"] is not None and run_id is None:
        raise bad("`tier` is of a run: give its `runId`; `tiers` are for all.")
    tiers = args.table("tiers")
    if tiers is not None:
        asked = Arguments(tiers)
        call["tiers"] = {name: asked.texts(name) for name in tiers}
    desk = _desk_named(session, args) if run_id is None else session.folders.desk_of_run(run_id)
    return await desk.runtime.call("models", {**call, "runId": run_id}, timeout_s=CALL_S)


def _desk_named(session: Session, args: Arguments) -> Desk:
    """The folder of `root` or `uri`, else the only one."""
    uri = args.text_or_none("root") or args.text_or_none("uri")
    return session.folders.only_desk() if uri is None else session.folders.locate(uri)[0]


async def _trust(session: Session, args: Arguments) -> Mapping[str, Any]:
    root, trusted = args.text("root"), args.flag("trusted")
    path = path_of(root) if scheme_of(root) == "file" else Path(root)
    for desk in session.folders.desks:
        if desk.root == path:
            desk.board.trust_wanted = None
            return await desk.runtime.call("trust", {"trusted": trusted}, timeout_s=CALL_S)
    raise UnknownIdError(f"{root} is not a workspace folder.", hint="Give the URI or the path of an open folder.")


async def _log_tail(session: Session, read_log: ReadLog, args: Arguments) -> Mapping[str, Any]:
    lines = min(args.number("lines", default=_TAIL_LINES), _TAIL_MOST_LINES)
    errors_only = args.flag("errorsOnly", default=False)
    uri = args.text_or_none("uri")
    desks = session.folders.desks
    root = (
        session.folders.locate(uri)[0] if uri is not None else desks[0] if desks else session.folders.only_desk()
    ).root
    async with asyncio.timeout(CALL_S):
        text, path = await in_thread(lambda: read_log(root, lines, errors_only))
    return {"text": text, "path": str(path)}
