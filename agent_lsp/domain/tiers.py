"""Owns the rules that choose how strong a model is asked: three tiers, what is known of the work, and why.

Which work belongs to which tier is a rule of this product and of nobody else's; the numbers are its guesses.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agent_lsp.domain.conversation import Phase
from agent_lsp.domain.task import Goal


class Tier(StrEnum):
    """`tiny` for what is said about a run: what it means, and short answers from the journal; `mid` for everything by
    default; `thinker` for what is hard or long."""

    TINY = "tiny"
    MID = "mid"
    THINKER = "thinker"


FAILED_TRIES: Final = 2
"""From so many failed tries of one step on, the thinker is asked."""

REJECTED_PLANS: Final = 2
_LONG_GOAL_CHARACTERS: Final = 1_200
_MANY_FILES: Final = 4
_FILE: Final = re.compile(
    r"(?<![\w/.-])(?:[\w.-]+/)*[\w-]+\.(?:py|pyi|jsx?|tsx?|go|rs|java|rb|c|h|cc|cpp|hpp|cs|php|toml|ya?ml|json|md|cfg|"
    r"ini|sql|html|css|vue|svelte|sh)\b"
)
_DEEP: Final = re.compile(
    r"\b(?:re-?design|re-?architect|architecture|migrat(?:e|ion)|re-?write|"
    r"(?:across|throughout) the (?:\w+ )?(?:code ?base|project|repository))\b",
    re.IGNORECASE,
)
_PROSE: Final = re.compile(
    r"\b(?:write|draft|compose|re-?write)\b(?: (?!(?:for|of|tests?)\b)[\w-]+){0,3} "
    r"(?:guide|tutorial|handbook|manual|documentation|specification|report|article|essay)\b"
    r"(?=\W*$|[.,;:]| (?:for|of|on|about|to|that|which|in|and)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Tiers that somebody asked for: `run` for one run, `phases` for a phase of all; else the rules hold."""

    run: Tier | None = None
    phases: Mapping[Phase, Tier] | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of the work that a model is asked for now.

    `deep` says why the goal is a hard one, `prose` why much is to be written for it; either may be empty.
    """

    phase: Phase
    failed_tries: int = 0
    rejected_plans: int = 0
    deep: str = ""
    prose: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A tier, with the reason in words."""

    tier: Tier
    why: str


def choose(situation: Situation, wishes: Wishes) -> Choice:
    """The tier for this work: a wish of the run, else of the phase, else by the rules."""
    if wishes.run is not None:
        return Choice(wishes.run, "asked for this run")
    phase = situation.phase
    if wishes.phases and (wished := wishes.phases.get(phase)) is not None:
        return Choice(wished, f"set for {phase.value} (tiers.{phase.value})")
    if phase is Phase.PLANNING:
        return _planning(situation)
    if phase is Phase.CHAT:
        return Choice(Tier.TINY, "a question about a run")
    if situation.failed_tries >= FAILED_TRIES:
        return Choice(Tier.THINKER, f"{situation.failed_tries} tries of this step failed")
    if situation.prose and phase is Phase.EXECUTION:
        return Choice(Tier.THINKER, f"long writing: {situation.prose}")
    return Choice(Tier.MID, "the default")


def _planning(situation: Situation) -> Choice:
    if situation.rejected_plans >= REJECTED_PLANS:
        return Choice(Tier.THINKER, f"{situation.rejected_plans} plans were rejected")
    if situation.deep:
        return Choice(Tier.THINKER, f"a plan for a hard goal: {situation.deep}")
    return Choice(Tier.MID, "the default")


def depth(goal: Goal) -> str:
    """Why a goal is hard to plan, from its words alone; empty where nothing says so."""
    if len(goal.text) > _LONG_GOAL_CHARACTERS:
        return "it is long"
    files = sorted(set(_FILE.findall(goal.text)))
    if len(files) >= _MANY_FILES:
        return f"it names {len(files)} files"
    found = _DEEP.search(goal.text)
    return f'it says "{found.group().lower()}"' if found else ""


def writing(goal: Goal) -> str:
    """Why a goal is one of long writing, from its words alone; empty where nothing says so."""
    found = _PROSE.search(goal.text)
    return f'the goal says "{found.group().lower()}"' if found else ""


@dataclass(frozen=True, slots=True)
class TierTable:
    """The endpoints of each tier by name, in the order in which they are asked."""

    tiers: Mapping[Tier, Sequence[str]]

    def order(self, tier: Tier) -> tuple[str, ...]:
        """Endpoints to ask, first to last: the tier's own, then those of `mid`."""
        own = tuple(self.tiers.get(tier, ()))
        return tuple(dict.fromkeys((*own, *self.tiers.get(Tier.MID, ()))))

    def of(self, name: str) -> list[str]:
        """The tiers that name this endpoint."""
        return [tier.value for tier in Tier if name in self.tiers.get(tier, ())]

    def to_json(self) -> dict[str, list[str]]:
        """The `tiers` of `agent.models`."""
        return {tier.value: list(self.tiers.get(tier, ())) for tier in Tier}

    def is_set(self, tier: Tier) -> bool:
        """Whether the tier has endpoints of its own."""
        return bool(self.tiers.get(tier))
