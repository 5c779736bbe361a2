"""Owns the diagnostics that a change is to make go away: their names among the goal tests, and what became of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.checker_output import CheckerFinding
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.staging import told_also
from agent_lsp.domain.task import Problem
from agent_lsp.domain.verdict import Decision, Evidence

_NAME: Final = re.compile(
    r"diagnostic (?P<source>[^\[\]]*)\[(?P<code>[^\]]*)\] (?P<path>.+?):(?P<line>\d+): (?P<text>.*)"
)
_TOOLS: Final = {"ruff": "ruff", "mypy": "mypy", "pyright": "pyright", "pylance": "pyright"}
_REFUSED: Final = (Decision.REGRESSED, Decision.FAILED, Decision.NOT_RUN)
_SILENCING: Final = re.compile(rb"#.*?\b(?:noqa|type:\s*ignore|pyright:\s*ignore)")

Findings = Sequence[CheckerFinding] | None
"""What a checker found on one side; None where it broke down."""


class Fate(Enum):
    """What became of a diagnostic; UNKNOWN where nobody could be asked."""

    GONE = auto()
    STAYS = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class GoalFinding:
    """A diagnostic that a run was started from, with what the project's own checker says of it now."""

    problem: Problem
    fate: Fate = Fate.UNKNOWN
    note: str = ""

    @property
    def tool(self) -> str:
        """The checker that could tell of it; empty if there is none that is known here."""
        return _TOOLS.get(self.problem.source.lower(), "")

    def sentence(self) -> str:
        """The reason of a verdict."""
        problem = self.problem
        what = f"{problem.path}:{problem.line + 1} {problem.source or 'a diagnostic'}: {problem.message}"
        if self.fate is Fate.STAYS:
            return f"The problem that this was started from is still there: {what}."
        if self.fate is Fate.GONE:
            return f"The problem that this was started from is gone{self.note}: {what}."
        return f"Whether the problem that this was started from is gone was not checked ({self.note}): {what}."


def names_of(problems: Iterable[Problem]) -> tuple[CaseId, ...]:
    """Names under which diagnostics go among the goal tests: of a failing test the test itself."""
    return tuple(problem.code if "::" in problem.code else _name(problem) for problem in problems if _counts(problem))


def is_diagnostic(goal: CaseId) -> bool:
    """Whether a goal is no test but a diagnostic."""
    return _NAME.fullmatch(goal) is not None


def split_goals(goals: Iterable[CaseId]) -> tuple[tuple[CaseId, ...], tuple[GoalFinding, ...]]:
    """The tests among the goals, and the diagnostics."""
    tests: list[CaseId] = []
    found: list[GoalFinding] = []
    for goal in goals:
        if match := _NAME.fullmatch(goal):
            place = match["path"], int(match["line"]) - 1
            found.append(GoalFinding(Problem(*place, match["text"], match["source"], match["code"])))
        else:
            tests.append(goal)
    return tuple(tests), tuple(found)


def settled(
    goals: Iterable[GoalFinding], asked: Mapping[str, tuple[Findings, Findings]], edits: Sequence[FileEdit]
) -> tuple[GoalFinding, ...]:
    """The diagnostics with their fates; `asked` has what each checker found without the change and with it."""
    return tuple(_settled(goal, asked, edits) for goal in goals)


def with_fates(evidence: Evidence, goals: Sequence[GoalFinding]) -> Evidence:
    """A change that leaves the diagnostic where it was is not what was asked for, whatever the tests say."""
    verdict = evidence.verdict
    left = tuple(goal.sentence() for goal in goals if goal.fate is Fate.STAYS)
    if left and verdict.decision not in _REFUSED:
        reasons = tuple(dict.fromkeys([*left, *verdict.reasons]))
        evidence = replace(evidence, verdict=replace(verdict, decision=Decision.FAILED, reasons=reasons))
    return told_also(evidence, [goal.sentence() for goal in goals])


def _counts(problem: Problem) -> bool:
    return bool(problem.path and problem.message) and (problem.source != "agent-lsp" or "::" in problem.code)


def _name(problem: Problem) -> CaseId:
    source, code = (re.sub(r"[\[\]]", "", text) for text in (problem.source, problem.code))
    return f"diagnostic {source}[{code}] {problem.path}:{problem.line + 1}: {_flat(problem.message)}"


def _settled(
    goal: GoalFinding, asked: Mapping[str, tuple[Findings, Findings]], edits: Sequence[FileEdit]
) -> GoalFinding:
    if not goal.tool:
        return replace(goal, note="none of the project's own checkers reports it")
    if goal.tool not in asked:
        return replace(goal, note=f"{goal.tool} was not found beside the project's Python")
    before, after = asked[goal.tool]
    if before is None or after is None:
        return replace(goal, note=f"{goal.tool} broke down")
    row = _row_of(goal.problem, before)
    if row is None:
        return replace(goal, note=f"{goal.tool} does not report it without the change either")
    edit = next((edit for edit in edits if edit.base_path == row.path), None)
    if _stays(row, before, after, edit):
        return replace(goal, fate=Fate.STAYS)
    return replace(goal, fate=Fate.GONE, note=", by a comment that silences it" if _silences(edit) else "")


def _stays(
    row: CheckerFinding, before: Sequence[CheckerFinding], after: Sequence[CheckerFinding], edit: FileEdit | None
) -> bool:
    """Whether it is still told, as often as it was; of several with the same words, that about the same line."""
    was = [other.line for other in before if other.key == row.key]
    moved = row if edit is None else replace(row, path=edit.path)
    now = [other.line for other in after if other.key == moved.key]
    old, new = ({}, {}) if edit is None else (_lines(edit.before), _lines(edit.after))
    text = old.get(row.line, "")
    about = [sum(side.get(line, "") == text for line in lines) for side, lines in ((old, was), (new, now))]
    return len(now) >= len(was) or (bool(text) and about[1] >= about[0])


def _lines(entry: Entry | None) -> dict[int, str]:
    """The lines of a side by their numbers, without their indent."""
    text = entry.content.decode("utf-8", "replace") if entry is not None else ""
    return {number: line.strip() for number, line in enumerate(text.splitlines(), 1)}


def _row_of(problem: Problem, rows: Sequence[CheckerFinding]) -> CheckerFinding | None:
    """The finding that the editor showed: by its words, nearest to its line; else by its code on that very line."""
    words = _flat(problem.message)
    own = [row for row in rows if row.path == problem.path]
    same = [row for row in own if words in _flat(row.text) or _flat(row.text) in words]
    here = [row for row in own if row.line == problem.line + 1 and problem.code and problem.code in row.text]
    return min(same, key=lambda row: abs(row.line - problem.line - 1), default=None) or next(iter(here), None)


def _silences(edit: FileEdit | None) -> bool:
    if edit is None:
        return False
    was, now = (len(_SILENCING.findall(entry.content)) if entry else 0 for entry in (edit.before, edit.after))
    return now > was


def _flat(text: str) -> str:
    return " ".join(text.split())
