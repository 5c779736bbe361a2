"""Owns what a model is told at first: the prompts' templates filled, and the goal with what surrounds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Final

from agent_lsp.agent.findings import shortened
from agent_lsp.agent.private_files import GuardedCandidate, PrivateFiles
from agent_lsp.agent.tools.tool import numbered
from agent_lsp.domain.changes import FileEdit, unified_diff
from agent_lsp.domain.errors import ConfigError
from agent_lsp.domain.plan import Plan, StepState
from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.task import Goal, Problem
from agent_lsp.domain.text import decode, split_lines

REQUIRED: Final = frozenset(
    {"planning", "execution", "reflection", "goal", "replan", "step", "retry", "judge", "chat", "talk"}
)
AROUND_LINES: Final = 40
WHOLE_FILE_LINES: Final = 150
MOST_TOP_ENTRIES: Final = 100
MOST_DIFF_CHARACTERS: Final = 40_000
MOST_PROBLEMS: Final = 20
MOST_OPEN: Final = 20

_MARKS: Final = {
    StepState.PENDING: "to do",
    StepState.RUNNING: "now",
    StepState.DONE: "done",
    StepState.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Prompts:
    """The templates by name (a file's name without `.md`), and who the agent is (domain/identity.py)."""

    texts: Mapping[str, str]
    identity: str = ""

    def __post_init__(self) -> None:
        missing = sorted(REQUIRED - self.texts.keys())
        if missing:
            raise ConfigError(f"prompts are missing: {', '.join(missing)}", hint="Install the package again.")

    def fill(self, name: str, **values: object) -> str:
        """A template with its `$names` filled; what is filled in is never read as a template."""
        return Template(self.texts[name]).safe_substitute({key: str(value) for key, value in values.items()}).strip()

    def system_prompt(self, name: str) -> str:
        """The template, then who the agent is; the same for as long as a run lasts."""
        return f"{self.fill(name)}\n\n{self.identity}".strip()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a goal: the map of what is where, and the files that the editor has open."""

    repository_map: str = ""
    open_files: tuple[str, ...] = ()


async def goal_text(
    prompts: Prompts,
    goal: Goal,
    candidate: GuardedCandidate,
    around: Surroundings = Surroundings(),
) -> str:
    """The first message: the goal, where it comes from, and what a newcomer looks at first."""
    private = candidate.private
    shown = [path for path in around.open_files if path != goal.path and path not in private]
    nearby = [row for row in goal.nearby if row not in goal.problems and row.path not in private]
    sections = [
        await _focus(goal, candidate),
        _problems("Diagnostics that the goal is about", goal.problems, private),
        _problems("Other diagnostics in open files, as the editor showed them", nearby, private),
        _bullets("Open in the editor", shown[:MOST_OPEN]),
        _bullets("Tests that must pass at the end", goal.tests),
        _bullets("Tests to run are limited to", goal.scope),
        await _top_level(candidate),
        _what_is_where(around.repository_map),
    ]
    context = "\n\n".join(section for section in sections if section)
    return prompts.fill("goal", goal=goal.text, context="\n" + context if context else "")


def plan_text(plan: Plan) -> str:
    """The plan in as many words as a model needs."""
    rows = []
    for number, step in enumerate(plan.steps, 1):
        row = f"{number}. [{_MARKS[step.state]}] {step.title}"
        row += f"\n   {step.detail}" if step.detail else ""
        row += f"\n   Files: {', '.join(step.files)}" if step.files else ""
        row += f"\n   Done when: {step.acceptance}" if step.acceptance else ""
        rows.append(row)
    return "\n".join(rows)


def step_text(prompts: Prompts, plan: Plan, index: int) -> str:
    """The message that starts a step."""
    step = plan.steps[index]
    detail = [step.detail, f"Files: {', '.join(step.files)}" if step.files else ""]
    detail.append(f"Done when: {step.acceptance}" if step.acceptance else "")
    told = "\n".join(row for row in detail if row)
    count = len(plan.steps)
    return prompts.fill("step", number=index + 1, count=count, title=step.title, detail=told, plan=plan_text(plan))


def diff_text(edits: Sequence[FileEdit]) -> str:
    """The change as a bounded diff."""
    return shortened(unified_diff(edits), MOST_DIFF_CHARACTERS) if edits else "No file was changed."


async def _focus(goal: Goal, candidate: GuardedCandidate) -> str:
    """The file that the goal was stated in, whole if it is short, else the lines around the selection."""
    if goal.path is None:
        return ""
    if goal.path in candidate.private:
        return f"# Where: {goal.path} (private: it cannot be shown)"
    entry = await candidate.read(goal.path)
    decoded = decode(entry.content) if entry is not None else None
    if decoded is None:
        return f"# Where: {goal.path}"
    lines = split_lines(decoded.text)
    first, last = 0, min(len(lines), WHOLE_FILE_LINES)
    place = f"# Where: {goal.path}"
    if goal.lines is not None:
        start, end = goal.lines.start_line, max(goal.lines.end_line, goal.lines.start_line + 1)
        place += f", line {start + 1}" if end == start + 1 else f", lines {start + 1}-{end}"
        if len(lines) > WHOLE_FILE_LINES:
            first, last = max(0, min(start, len(lines)) - AROUND_LINES), min(len(lines), end + AROUND_LINES)
            last = min(last, first + 4 * WHOLE_FILE_LINES)
    shown = [line[:500] for line in lines[first:last]]
    if not shown:
        return f"{place} (the file is empty)"
    return f"{place}\n\n{numbered(shown, first + 1)}" + ("" if last >= len(lines) else "\n…")


def _problems(title: str, problems: Sequence[Problem], private: PrivateFiles) -> str:
    rows = [
        f"- {problem.path}:{problem.line + 1}: "
        + ("(private: it cannot be shown)" if problem.path in private else shortened(problem.message, 1500))
        + (f" ({' '.join(part for part in (problem.source, problem.code) if part)})" if problem.source else "")
        for problem in problems[:MOST_PROBLEMS]
    ]
    return "\n".join([f"# {title}", "", *rows]) if rows else ""


def _bullets(title: str, names: Sequence[str]) -> str:
    return "\n".join([f"# {title}", "", *(f"- {name}" for name in names[:MOST_TOP_ENTRIES])]) if names else ""


def _what_is_where(repository_map: str) -> str:
    if not repository_map:
        return ""
    head = "# What is where\n\nThe files that seem to matter most, with lines where some of their definitions start."
    return f"{head}\n\n{repository_map}"


async def _top_level(candidate: Candidate) -> str:
    names = sorted({path.split("/", 1)[0] + ("/" if "/" in path else "") for path in await candidate.paths()})
    more = [f"… and {len(names) - MOST_TOP_ENTRIES} more"] if len(names) > MOST_TOP_ENTRIES else []
    return "# The workspace's top level\n\n" + "  ".join([*names[:MOST_TOP_ENTRIES], *more]) if names else ""
