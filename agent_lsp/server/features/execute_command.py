"""Owns `workspace/executeCommand` and the custom requests: errors are results, answers quick."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError, ErrorBody, error_body
from agent_lsp.server.arguments import Arguments, arguments_of
from agent_lsp.server.protocol import INVALID_PARAMS, EdgeServer, RequestError
from agent_lsp.server.session import Session

logger = logging.getLogger(__name__)

Command = Callable[[Arguments], Awaitable[Mapping[str, Any]]]


def register(server: EdgeServer, session: Session, commands: Mapping[str, Command]) -> None:
    """Registers the feature."""

    @server.feature(types.WORKSPACE_EXECUTE_COMMAND)
    async def execute_command(params: types.ExecuteCommandParams) -> Mapping[str, Any]:
        if params.command not in commands:
            raise RequestError(INVALID_PARAMS, f"unknown command {params.command:.100}")
        if session.client.trace is not types.TraceValue.Off:
            session.client.notify(types.LOG_TRACE, types.LogTraceParams(message=f"command {params.command}"))
        raw: Any = list(params.arguments or ())
        logger.info("%s %.500s", params.command, raw)
        if params.work_done_token is not None and len(raw) <= 1:
            raw = _with_token(raw, params.work_done_token)
        return await answer(commands[params.command], raw)

    @server.feature("agent/status")
    async def status(params: Any) -> Mapping[str, Any]:
        return await answer(commands["agent.status"], params)

    @server.feature("agent/control")
    async def control(params: Any) -> Mapping[str, Any]:
        return await answer(commands["agent.control"], params)


async def answer(command: Command, raw: Any) -> Mapping[str, Any]:
    """The command's result, or `{"error": {code, message, hint}}`."""
    try:
        return await command(arguments_of(raw))
    except AgentLspError as error:
        return error_body(error).to_json()
    except TimeoutError:
        hint = "It may still happen; agent.status shows how the run stands."
        return ErrorBody("timeout", "The runtime did not answer in time.", hint).to_json()
    except Exception as error:
        logger.exception("a command failed")
        return ErrorBody("internal", f"It failed with {type(error).__name__}.", "See agent-lsp log.").to_json()


def _with_token(raw: list[Any], token: int | str) -> list[Any]:
    """The token of the request's own params, unless the object has a sound one."""
    argument = raw[0] if raw else {}
    while isinstance(argument, list) and len(argument) == 1:
        argument = argument[0]
    if not isinstance(argument, Mapping) or Arguments(argument).token() is not None:
        return raw
    return [{**argument, "workDoneToken": token}]
