"""Owns the check of our own messages against the shapes of agent_lsp/server, unknown keys forbidden."""

import functools
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from agent_lsp.server.command_shapes import COMMANDS
from agent_lsp.server.command_shapes import REQUESTS as CLIENT_REQUESTS
from agent_lsp.server.model_shapes import EDITOR_REQUESTS
from agent_lsp.server.shapes import NOTIFICATIONS, ErrorBody, ServerCapability

REQUESTS = {**CLIENT_REQUESTS, **EDITOR_REQUESTS}
_STRICT = ConfigDict(extra="forbid", strict=True)


@functools.cache
def adapter(shape: Any) -> TypeAdapter[Any]:
    """The validator of a list of one shape: inside a list a TypedDict takes the strict configuration over."""
    return TypeAdapter(list[shape], config=_STRICT)


def problems(shape: Any, value: Any) -> list[str]:
    """What is wrong with a value of a shape, each with its place."""
    try:
        adapter(shape).validate_python([value])
    except ValidationError as error:
        return [
            f"{'.'.join(str(part) for part in row['loc'][1:]) or 'value'}: {row['input']!r:.80}: {row['msg']}"
            for row in error.errors(include_url=False)
        ]
    return []


def capability_problems(value: Any) -> list[str]:
    """Of `capabilities.experimental.agentLsp` in the answer to `initialize`."""
    return problems(ServerCapability, value)


def argument_problems(command: str, arguments: Any) -> list[str]:
    """Of the arguments of a command."""
    if command not in COMMANDS:
        return [f"{command}: there is no such command"]
    if not isinstance(arguments, list) or len(arguments) > 1:
        return [f"{command}: one object is the only argument"]
    return problems(COMMANDS[command][0], arguments[0] if arguments else {})


def result_problems(command: str, result: Any) -> list[str]:
    """Of the result of a command."""
    if command not in COMMANDS:
        return [f"{command}: there is no such command, and yet it has a result"]
    return _answer_problems(COMMANDS[command][1], result)


def params_problems(method: str, params: Any) -> list[str]:
    """Of the params of our own requests and notifications."""
    shape = REQUESTS[method][0] if method in REQUESTS else NOTIFICATIONS.get(method)
    return [f"{method}: there is no such message"] if shape is None else problems(shape, params)


def request_result_problems(method: str, result: Any) -> list[str]:
    """Of the result of our own requests."""
    return _answer_problems(REQUESTS[method][1], result)


def _answer_problems(shape: Any, result: Any) -> list[str]:
    failed = isinstance(result, dict) and "error" in result
    return problems(ErrorBody if failed else shape, result)
