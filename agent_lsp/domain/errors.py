"""Owns the error tree, sorted by who can act on an error.

AgentLspError
├── UserError            the person can mend it; the message says how
│   ├── ConfigError      a setting is unknown, of a wrong type, or not allowed where it stands
│   ├── NoModelError     the goal needs a language model and none is configured
│   ├── UnknownIdError   no such run, proposal, hunk or checkpoint
│   ├── StaleError       the text changed since it was tested
│   └── RefusedError     policy or verdict does not allow it
├── ToolError            the model can mend it; the text goes back as the tool's result
├── OperatorError        retry, reroute, log
│   ├── ModelUnavailableError    no answer now; may be retried
│   ├── ModelRejectedError       the endpoint said no for good (400, 401, 403, 404)
│   ├── ModelBrokenError         a stream ended before its message did
│   ├── ModelRefusedError        the model declined to go on
│   ├── CandidateError           a copy of the workspace could not be made or was lost
│   ├── RunnerUnavailableError   the tests could not be started at all
│   ├── SnapshotError            the workspace could not be read as it stands
│   └── LinkClosedError          the other process is gone
├── StuckError           a model goes round in circles; the step ends, reflection may judge
└── BudgetSpentError     a limit that the person set was reached
"""

from dataclasses import dataclass


class AgentLspError(Exception):
    """Base of every error this product raises on purpose.

    `code` is stable and machine-readable (PROTOCOL.md section 3 `error.code`); `hint` says what to do.
    """

    code = "internal"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class UserError(AgentLspError):
    """The person can mend it; the message says how."""

    code = "user_error"


class ConfigError(UserError):
    """A setting is unknown, of a wrong type, or not allowed where it stands."""

    code = "bad_configuration"


class NoModelError(UserError):
    """The goal needs a language model and none is configured."""

    code = "no_model"


class UnknownIdError(UserError):
    """No such run, proposal, hunk or checkpoint."""

    code = "unknown_id"


class BadArgumentError(UserError):
    """A command's argument has a wrong shape."""

    code = "bad_argument"


class StaleError(UserError):
    """The text changed since it was tested."""

    code = "stale"


class RefusedError(UserError):
    """Policy, state or verdict does not allow it."""

    code = "refused"


class ToolError(AgentLspError):
    """The model can mend it; the text goes back as the tool's result."""

    code = "tool_error"


class OperatorError(AgentLspError):
    """Retry, reroute, log."""

    code = "operator_error"


class ModelUnavailableError(OperatorError):
    """The endpoint gave no answer now (down, 429, 5xx, 529, time-out); it may be retried.

    `retry_after_s` is the endpoint's own wish, if it said one.
    """

    code = "model_unavailable"

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class ModelRejectedError(OperatorError):
    """The endpoint said no for good (400, 401, 403, 404, 413).

    `elsewhere` tells that another endpoint may well say yes: no money, no right to the model, or no such model here.
    """

    code = "model_rejected"

    def __init__(self, message: str, *, hint: str = "", elsewhere: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.elsewhere = elsewhere


class PromptTooLongError(ModelRejectedError):
    """The request has more tokens than the model takes; a shorter one may do."""

    code = "prompt_too_long"


class ModelBrokenError(OperatorError):
    """A stream ended, stalled or made no sense before its message was whole; nothing of it may be used."""

    code = "model_broken"


class ModelRefusedError(OperatorError):
    """The model declined to go on; the message holds its words."""

    code = "model_refused"


class CandidateError(OperatorError):
    """A copy of the workspace could not be made, or was lost."""

    code = "candidate"


class RunnerUnavailableError(OperatorError):
    """The tests could not be started at all (no interpreter, no pytest)."""

    code = "runner_unavailable"


class SnapshotError(OperatorError):
    """The workspace could not be read as it stands."""

    code = "snapshot"


class LinkClosedError(OperatorError):
    """The other process is gone."""

    code = "link_closed"


class StuckError(AgentLspError):
    """A conversation cannot usefully go on: the same call failed again and again, or answers stay cut short."""

    code = "stuck"


class ResumeError(UserError):
    """A run that was interrupted cannot go on; the message says why."""

    code = "resume"


class BudgetSpentError(AgentLspError):
    """A limit that the person set was reached."""

    code = "budget"


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What a command answers instead of its result: `{"error": {"code", "message", "hint"}}`."""

    code: str
    message: str
    hint: str

    def to_json(self) -> dict[str, object]:
        """The exact shape of PROTOCOL.md section 3."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


def error_body(error: AgentLspError) -> ErrorBody:
    """The public face of an error; never holds a traceback."""
    return ErrorBody(error.code, error.message, error.hint)
