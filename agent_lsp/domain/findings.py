"""Owns the finding: one thing that a change did to the tests."""

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What a finding means for the verdict: WEAKENED never counts as green, CONFIG caps it at passed."""

    REMOVED = "removed"
    WEAKENED = "weakened"
    CONFIG = "config"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a change did to the tests. `id` is a test's or file's, without parameters; `line` zero-based.

    The line is one of the changed file; of what was removed, one of the base.
    """

    kind: FindingKind
    id: str
    text: str
    path: str
    line: int | None = None

    @property
    def placed(self) -> str:
        """The text with its place."""
        if self.line is None:
            return self.text if self.path in self.text else f"{self.text} ({self.path})"
        before = " before" if self.kind is FindingKind.REMOVED else ""
        return f"{self.text} ({self.path}:{self.line + 1}{before})"

    def concerns(self, case_id: str) -> bool:
        """Whether a test is the one that was weakened, or lies in the class or file that was."""
        return case_id == self.id or case_id.startswith((self.id + "::", self.id + "["))
