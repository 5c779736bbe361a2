"""Owns which features take and give plain data, so that no object of lsprotocol is built for their messages."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

_MARK: Final = "takes_plain_data"

Handler = TypeVar("Handler", bound=Callable[..., Any])


def plain(handler: Handler) -> Handler:
    """Marks a handler that takes its params as plain data, checked by params_schema, and gives plain data back.

    Checking a `codeAction` costs 2 µs, structuring it 12. Goes below `@server.feature(…)`.
    """
    vars(handler)[_MARK] = True
    return handler


def is_plain(handler: object) -> bool:
    """Whether a handler is marked."""
    return _MARK in getattr(handler, "__dict__", ())
