"""Owns the calls of the link as the runtime answers them: arguments checked, then handed to session or review."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent_lsp.agent.session import Session, settled
from agent_lsp.agent.talk import Talks
from agent_lsp.agent.tools.submit_plan import MOST_STEPS, StepInput, steps_of
from agent_lsp.agent.validator import Reviewer
from agent_lsp.domain.errors import BadArgumentError, ToolError
from agent_lsp.domain.policy import inside_root
from agent_lsp.domain.task import Goal, LineRange, Mode, Problem
from agent_lsp.domain.tiers import Tier

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class Controls(Protocol):
    """What the session does not decide: trust and settings. Implementation: app."""

    async def trust(self, trusted: bool) -> bool:
        """Keeps the person's word for this workspace; gives what now holds."""
        ...

    async def configure(self, settings: Mapping[str, Any]) -> None:
        """A new effective configuration for runs that start from now on. Raises ConfigError."""
        ...


class Arguments(BaseModel):
    """A call's arguments; keys that are not known are left alone, since additions are additive."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Lines(Arguments):
    """Zero-based, end exclusive."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)


class ProblemArguments(Arguments):
    """A diagnostic of the editor."""

    path: str
    line: int = Field(default=0, ge=0)
    message: str = ""
    source: str | None = None
    code: str | int | None = None


class RunArguments(Arguments):
    """`run`."""

    run_id: str | None = Field(default=None, alias="runId", min_length=1)
    goal: str
    path: str | None = None
    lines: Lines | None = None
    problems: list[ProblemArguments] | None = None
    tests: list[str] | None = None
    scope: list[str] | None = None
    mode: Literal["plan", "auto"] | None = None
    tier: Tier | None = None
    background: bool = False
    nearby: list[ProblemArguments] | None = None

    @field_validator("goal")
    @classmethod
    def _says_something(cls, goal: str) -> str:
        if not goal.strip():
            raise ValueError("the goal is empty; say in a sentence what should be true afterwards")
        return goal.strip()


class OfRun(Arguments):
    """Arguments that name a run."""

    run_id: str = Field(alias="runId", min_length=1)


class ApproveArguments(OfRun):
    """`plan_approve`."""

    steps: list[StepInput] | None = Field(default=None, min_length=1, max_length=MOST_STEPS)


class RejectArguments(OfRun):
    """`plan_reject`."""

    feedback: str | None = None


class ControlArguments(OfRun):
    """`control`."""

    action: Literal["cancel", "pause", "resume", "step"]


class StatusArguments(Arguments):
    """`status`."""

    run_id: str | None = Field(default=None, alias="runId")


class SayArguments(Arguments):
    """`say`."""

    run_id: str | None = Field(default=None, alias="runId")
    text: str = Field(min_length=1)


class AnswerArguments(OfRun):
    """`answer`."""

    answer: str


class TrustArguments(Arguments):
    """`trust`."""

    trusted: bool


class ConfigureArguments(Arguments):
    """`configure`."""

    settings: dict[str, Any]


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


def handlers(session: Session, review: Reviewer, controls: Controls, talks: Talks) -> dict[str, Handler]:
    """One handler for each of `link.messages.CALLS`. They raise AgentLspError, which the link answers as an error."""

    async def run(args: Mapping[str, Any]) -> Mapping[str, Any]:
        given = checked(RunArguments, args)
        return {"runId": session.start(given.run_id or "r_" + secrets.token_hex(6), goal_of(given))}

    async def plan_approve(args: Mapping[str, Any]) -> Mapping[str, Any]:
        given = checked(ApproveArguments, args)
        steps = None if given.steps is None else steps_of(given.steps)
        state = session.approve(given.run_id, steps)
        await settled(session, given.run_id)
        return {"state": state.value}

    async def plan_reject(args: Mapping[str, Any]) -> Mapping[str, Any]:
        given = checked(RejectArguments, args)
        state = session.reject(given.run_id, given.feedback or "")
        await settled(session, given.run_id)
        return {"state": state.value}

    async def control(args: Mapping[str, Any]) -> Mapping[str, Any]:
        given = checked(ControlArguments, args)
        return {"state": (await session.control(given.run_id, given.action)).value}

    async def status(args: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"runs": [view.to_json() for view in session.views(checked(StatusArguments, args).run_id)]}

    async def trust(args: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"trusted": await controls.trust(checked(TrustArguments, args).trusted)}

    async def configure(args: Mapping[str, Any]) -> Mapping[str, Any]:
        await controls.configure(checked(ConfigureArguments, args).settings)
        return {}

    async def stop(args: Mapping[str, Any]) -> Mapping[str, Any]:
        del args
        await session.stop()
        return {}

    return {
        "run": run,
        "plan_approve": plan_approve,
        "plan_reject": plan_reject,
        "control": control,
        "status": status,
        "proposal": review.proposal,
        "apply": review.apply,
        "discard": session.discard,
        "amend": review.amend,
        "revalidate": review.revalidate,
        "abandon": review.abandon,
        "rollback": review.rollback,
        "checkpoints": review.history.checkpoints,
        "checkpoint": review.history.preview,
        **_talk(session, talks),
        "trust": trust,
        "stale": review.stale,
        "configure": configure,
        "stop": stop,
    }


def _talk(session: Session, talks: Talks) -> dict[str, Handler]:
    async def say(args: Mapping[str, Any]) -> Mapping[str, Any]:
        given = checked(SayArguments, args)
        return await talks.say(given.run_id, given.text)

    async def answer(args: Mapping[str, Any]) -> Mapping[str, Any]:
        given = checked(AnswerArguments, args)
        state = session.answer(given.run_id, given.answer)
        await settled(session, given.run_id)
        return {"state": state.value}

    return {"say": say, "answer": answer}


def checked(model: type[ArgumentsT], args: Mapping[str, Any]) -> ArgumentsT:
    """The arguments in their shape. Raises BadArgumentError that names each wrong key."""
    try:
        return model.model_validate(dict(args))
    except ValidationError as error:
        rows = [f"{'.'.join(map(str, row['loc'])) or 'argument'}: {row['msg']}" for row in error.errors()[:6]]
        known = ", ".join(field.alias or name for name, field in model.model_fields.items())
        raise BadArgumentError("; ".join(rows), hint=f"The argument takes: {known}.") from error


def goal_of(given: RunArguments) -> Goal:
    """The domain's goal. Raises BadArgumentError for a path outside of the workspace."""
    lines = given.lines
    return Goal(
        given.goal,
        None if given.path is None else _path(given.path),
        None if lines is None else LineRange(lines.start, max(lines.start, lines.end)),
        tuple(_problem(problem) for problem in given.problems or ()),
        tuple(given.tests or ()),
        tuple(given.scope or ()),
        Mode(given.mode or "auto"),
        given.tier,
        given.background,
        tuple(_problem(problem) for problem in given.nearby or ()),
    )


def _problem(given: ProblemArguments) -> Problem:
    code = "" if given.code is None else str(given.code)
    return Problem(_path(given.path), given.line, given.message, given.source or "", code)


def _path(path: str) -> str:
    try:
        return inside_root(path)
    except ToolError as error:
        raise BadArgumentError(f"path: {error.message}", hint="Paths are relative to the workspace root.") from error
