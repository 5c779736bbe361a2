"""Owns what a run is asked for and the states it can be in."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from agent_lsp.domain.ids import CaseId

_NAME_CHARS: Final = 60


class RunState(StrEnum):
    """The states of PROTOCOL.md section 3."""

    PLANNING = "planning"
    AWAITING_APPROVAL = "awaiting_approval"
    EXECUTING = "executing"
    REFLECTING = "reflecting"
    VALIDATING = "validating"
    PROPOSED = "proposed"
    APPLYING = "applying"
    APPLIED = "applied"
    DISCARDED = "discarded"
    PAUSED = "paused"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED: Final = frozenset({RunState.APPLIED, RunState.DISCARDED, RunState.CANCELLED, RunState.FAILED})
"""States that a run never leaves by itself."""

WORKING: Final = frozenset(
    {RunState.PLANNING, RunState.EXECUTING, RunState.REFLECTING, RunState.VALIDATING, RunState.APPLYING}
)
"""States in which a run uses the machine; the others wait for a person or are over."""


class Mode(StrEnum):
    """`auto` goes on by itself up to the proposal; `plan` stops for approval of the plan."""

    AUTO = "auto"
    PLAN = "plan"


@dataclass(frozen=True, slots=True)
class LineRange:
    """Zero-based lines, end exclusive; an empty range is a cursor."""

    start_line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A diagnostic of the editor that a run was started from."""

    path: str
    line: int
    message: str
    source: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """What the person asked for. Paths are POSIX and relative to the workspace root; `tier` is a wish (tiers.Tier)."""

    text: str
    path: str | None = None
    lines: LineRange | None = None
    problems: tuple[Problem, ...] = ()
    tests: tuple[CaseId, ...] = ()
    scope: tuple[str, ...] = ()
    mode: Mode = Mode.AUTO
    tier: str | None = None
    background: bool = False
    """Nobody waits for it: it works when no other run wants to."""
    nearby: tuple[Problem, ...] = ()
    """What the editor showed in open files, whatever the goal is about."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one run; None means no limit. Money is in US dollars."""

    tokens: int | None = 2_000_000
    cost_usd: float | None = 5.0
    wall_clock_s: float | None = 1800.0
    turns: int | None = 100
    tries: int = 3


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run or one model turn has used; adds up."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0
    turns: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cost_usd + other.cost_usd,
            self.turns + other.turns,
        )

    @property
    def tokens(self) -> int:
        """All tokens that were paid for, cached ones included."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def prompt_tokens(self) -> int:
        """What was sent, read from the provider's cache or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def cache_hit_rate(self) -> float:
        """The part of what was sent that came from the provider's cache, from 0 to 1."""
        return self.cache_read_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    def to_json(self) -> dict[str, object]:
        """The `usage` of `agent.status`."""
        return {
            "inputTokens": self.input_tokens,
            "outputTokens": self.output_tokens,
            "cacheReadTokens": self.cache_read_tokens,
            "cacheWriteTokens": self.cache_write_tokens,
            "cacheHitRate": round(self.cache_hit_rate, 3),
            "costUsd": round(self.cost_usd, 6),
            "turns": self.turns,
        }


@dataclass(frozen=True, slots=True)
class DayUse:
    """What models were used in one day, by all runs together; adds up. `answer_s` is the time of their answers."""

    tokens: int = 0
    cost_usd: float = 0.0
    turns: int = 0
    answer_s: float = 0.0

    def __add__(self, other: "DayUse") -> "DayUse":
        return DayUse(
            self.tokens + other.tokens,
            self.cost_usd + other.cost_usd,
            self.turns + other.turns,
            self.answer_s + other.answer_s,
        )

    def over(self, limits: Budget) -> str:
        """The limit of the day that is reached, in words; empty while there is none."""
        for limit, used, what in (
            (limits.turns, self.turns, "turns"),
            (limits.tokens, self.tokens, "tokens"),
            (limits.cost_usd, self.cost_usd, "US dollars"),
            (limits.wall_clock_s, self.answer_s, "seconds of answers"),
        ):
            if limit is not None and used >= limit:
                return f"{limit:g} {what}"
        return ""

    def to_json(self) -> dict[str, object]:
        """The `day` of `agent.status`."""
        return {
            "tokens": self.tokens,
            "costUsd": round(self.cost_usd, 6),
            "turns": self.turns,
            "answerS": round(self.answer_s, 3),
        }


@dataclass(frozen=True, slots=True)
class RunView:
    """One row of `agent.status`: a snapshot of a run, safe to hand to anybody."""

    run_id: str
    goal: str
    state: RunState
    step: int = 0
    steps: int = 0
    proposal_id: str | None = None
    verdict: str | None = None
    usage: Usage = field(default_factory=Usage)
    message: str = ""
    model: str = ""

    def to_json(self) -> dict[str, object]:
        """The row's public shape; optional fields are left out when they are empty."""
        row: dict[str, object] = {
            "runId": self.run_id,
            "goal": self.goal,
            "state": self.state.value,
            "step": self.step,
            "steps": self.steps,
            "usage": self.usage.to_json(),
        }
        if self.proposal_id:
            row["proposalId"] = self.proposal_id
        if self.verdict:
            row["verdict"] = self.verdict
        if self.message:
            row["message"] = self.message
        if self.model:
            row["model"] = self.model
        return row


def run_name(run_id: str, goal: str, others: Iterable[str]) -> str:
    """A run as a person knows it: by its goal, with its id where the goal of another run reads the same."""
    name = _short(goal)
    return f"“{name}” ({run_id})" if name in {_short(other) for other in others} else f"“{name}”"


def _short(goal: str) -> str:
    line = " ".join(goal.split())
    return line if len(line) <= _NAME_CHARS else line[: _NAME_CHARS - 1] + "…"
