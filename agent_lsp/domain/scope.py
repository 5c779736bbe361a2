"""Owns what a piece of work belongs to (run, request, operation), so that every log line can say so."""

from contextvars import ContextVar, Token

RUN_ID: ContextVar[str] = ContextVar("agent_lsp_run_id", default="")
"""The run that the current task works for; empty outside of runs."""

REQUEST_ID: ContextVar[str] = ContextVar("agent_lsp_request_id", default="")
"""The request of the editor that is being answered; empty outside of requests."""

OPERATION: ContextVar[str] = ContextVar("agent_lsp_operation", default="")
"""What is being done, in a few words for a person: `running the tests of step 2`."""


class scope:  # noqa: N801
    """Names the work inside the block; None leaves what surrounds it. Tasks started inside inherit the names."""

    __slots__ = ("_given", "_tokens")

    def __init__(
        self, *, run_id: str | None = None, request_id: str | int | None = None, operation: str | None = None
    ) -> None:
        self._given = ((RUN_ID, run_id), (REQUEST_ID, request_id), (OPERATION, operation))
        self._tokens: list[tuple[ContextVar[str], Token[str]]] = []

    def __enter__(self) -> None:
        self._tokens = [(variable, variable.set(str(value))) for variable, value in self._given if value is not None]

    def __exit__(self, *_: object) -> None:
        for variable, token in reversed(self._tokens):
            variable.reset(token)
