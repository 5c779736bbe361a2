"""Owns what the loop says of one attempt at a step: what it left, what follows, and the words for it."""

from dataclasses import dataclass
from typing import Final

from agent_lsp.agent.engines import StepOutcome
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.verdict import Evidence


@dataclass(frozen=True, slots=True)
class Work:
    """What one attempt at a step left. `evidence` is None when no file differs from the base.

    `failures` is what a model should read of it.
    """

    outcome: StepOutcome
    edits: tuple[FileEdit, ...]
    evidence: Evidence | None
    failures: str = ""

    @property
    def good(self) -> bool:
        """Whether there is nothing to judge: the step was finished and the tests accept the change."""
        tested = self.evidence is not None and self.evidence.verdict.decision.acceptable
        return self.outcome.finished and tested

    @property
    def trouble(self) -> str:
        """Why it is not good, in one sentence."""
        if not self.outcome.finished:
            return self.outcome.reason or "the step was not finished"
        if self.evidence is None:
            return f"no change was made: {self.outcome.summary}" if self.outcome.summary else "no change was made"
        verdict = self.evidence.verdict
        return f"{verdict.title()}. {' '.join(verdict.reasons)}".strip()


@dataclass(frozen=True, slots=True)
class Stop:
    """How carrying out the plan came to its end; `given_up` when it was not by being carried out.

    `spent` when nobody can work on: a budget is used up, or there is no model.
    """

    reason: str = ""
    given_up: bool = False
    spent: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """The next attempt: at which step, what the engine is told, and how many attempts at the step were not good.

    A person's words are no failure: what follows them begins to count anew.
    """

    index: int
    feedback: str = ""
    failed_tries: int = 0


LATE_WORDS: Final = (
    "The person said something after you had finished; it stands at the end of this message. Do what they want."
)


def newly(edits: tuple[FileEdit, ...], before: tuple[FileEdit, ...]) -> list[str]:
    """The files that an attempt changed further."""
    known = {edit.path: edit.after for edit in before}
    return [edit.path for edit in edits if edit.path not in known or known[edit.path] != edit.after]


def no_change(stop: Stop, summary: str) -> str:
    if stop.reason and stop.given_up:
        return stop.reason
    if stop.reason:
        return stop.reason if "no change was made" in stop.reason else f"{stop.reason} (no change was made)"
    return f"no change was made: {summary}"


def feedback_text(feedback: str, lost: tuple[str, ...]) -> str:
    text = (
        f"The person looked at the change and did not take it. They say: {feedback}\n\n"
        "The files now hold the person's present text with your change laid over it."
    )
    return text + (f" It did not fit any more in: {', '.join(lost)}; do it again there." if lost else "")
