"""Owns what a piece of work belongs to (run, request, operation), so that every log line can say so."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

RUN_ID: ContextVar[str] = ContextVar("agent_lsp_run_id", default="")
"""The run that the current task works for; empty outside of runs."""

REQUEST_ID: ContextVar[str] = ContextVar("agent_lsp_request_id", default="")
"""The request of the editor that is being answered; empty outside of requests."""

OPERATION: ContextVar[str] = ContextVar("agent_lsp_operation", default="")
"""What is being done, in a few words for a person: `running the tests of step 2`."""


@contextmanager
def scope(
    *, run_id: str | None = None, request_id: str | int | None = None, operation: str | None = None
) -> Iterator[None]:
    """Names the work inside the block; None leaves what surrounds it. Tasks started inside inherit the names."""
    set_here: list[tuple[ContextVar[str], Token[str]]] = []
    for variable, value in ((RUN_ID, run_id), (REQUEST_ID, request_id), (OPERATION, operation)):
        if value is not None:
            set_here.append((variable, variable.set(str(value))))
    try:
        yield
    finally:
        for variable, token in reversed(set_here):
            variable.reset(token)
