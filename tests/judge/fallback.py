"""Owns the check of LSP's messages where its meta model is not present: whether lsprotocol can structure them."""

import functools
from typing import Any

from lsprotocol import converters, types


@functools.cache
def _converter() -> Any:
    return converters.get_converter()


def params_problems(method: str, params: Any) -> list[str]:
    """Of the params of a request or notification."""
    known = types.METHOD_TO_TYPES.get(method)
    if known is None:
        return ["lsprotocol has no such method"]
    body = {"jsonrpc": "2.0", "id": 1, "method": method, **({} if params is None else {"params": params})}
    return _problems(body, known[0])


def result_problems(method: str, result: Any) -> list[str]:
    """Of the result of a request."""
    known = types.METHOD_TO_TYPES.get(method)
    if known is None or known[1] is None:
        return ["lsprotocol has no such request"]
    return _problems({"jsonrpc": "2.0", "id": 1, "result": result}, known[1])


def _problems(body: Any, kind: Any) -> list[str]:
    try:
        _converter().structure(body, kind)
    except Exception as error:  # cattrs raises whatever the shape provokes
        return [f"lsprotocol cannot take it: {type(error).__name__}: {error}"]
    return []
