"""Owns reading what linters and type checkers print, and which of their findings a change is the cause of."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_MYPY_LINE: Final = re.compile(r"^(?P<path>[^:\n]+\.pyi?):(?P<line>\d+):(?:\d+:)? error: (?P<text>.+)$")
_LINE_NUMBER: Final = re.compile(r"\bline \d+")
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class CheckerFinding:
    """One finding; `line` is one-based, `path` relative to the root where the tool's was below it."""

    tool: str
    path: str
    line: int
    text: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same of it when lines move."""
        return (self.tool, self.path, _LINE_NUMBER.sub("line", self.text))


@dataclass(frozen=True, slots=True)
class NewFindings:
    """What checkers find with a change and did not find without it."""

    rows: tuple[CheckerFinding, ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """A reason per tool."""
        tools = dict.fromkeys(row.tool for row in self.rows)
        return tuple(_sentence(tool, [row for row in self.rows if row.tool == tool]) for tool in tools)


def new_findings(before: Iterable[CheckerFinding], after: Sequence[CheckerFinding]) -> NewFindings:
    """By tool, file and text: a finding that only moved to another line is none."""
    known = Counter(row.key for row in before)
    fresh = []
    for row in after:
        if known[row.key]:
            known[row.key] -= 1
        else:
            fresh.append(row)
    return NewFindings(tuple(fresh))


def read_ruff(output: str, root: str) -> list[CheckerFinding] | None:
    """None for what is not ruff's JSON: the tool failed, which says nothing of the change."""
    start = output.find("[")
    try:
        rows = json.JSONDecoder().raw_decode(output[max(start, 0) :])[0]
        return [
            CheckerFinding(
                "ruff",
                _relative(row["filename"], root),
                int(row["location"]["row"]),
                f"{row['code'] or 'error'} {row['message']}",
            )
            for row in rows
        ]
    except (ValueError, KeyError, TypeError):
        return None


def read_mypy(output: str, root: str) -> list[CheckerFinding] | None:
    """The error lines; None where mypy broke down."""
    if "INTERNAL ERROR" in output or "usage: mypy" in output:
        return None
    found = []
    for line in output.splitlines():
        if match := _MYPY_LINE.match(line):
            place = _relative(match["path"], root)
            found.append(CheckerFinding("mypy", place, int(match["line"]), match["text"].strip()))
    return found


def read_pyright(output: str, root: str) -> list[CheckerFinding] | None:
    """The errors of its JSON; None for anything else."""
    start = output.find("{")
    try:
        table: Mapping[str, Any] = json.JSONDecoder().raw_decode(output[max(start, 0) :])[0]
        return [
            CheckerFinding(
                "pyright",
                _relative(row["file"], root),
                int(row["range"]["start"]["line"]) + 1,
                " ".join(row["message"].split()),
            )
            for row in table["generalDiagnostics"]
            if row["severity"] == "error"
        ]
    except (ValueError, KeyError, TypeError):
        return None


READERS: Final[Mapping[str, Callable[[str, str], list[CheckerFinding] | None]]] = {
    "ruff": read_ruff,
    "mypy": read_mypy,
    "pyright": read_pyright,
}


def _sentence(tool: str, rows: Sequence[CheckerFinding]) -> str:
    named = "; ".join(f"{row.path}:{row.line} {row.text}" for row in rows[:_NAMED])
    more = f"; and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    count = "one new problem" if len(rows) == 1 else f"{len(rows)} new problems"
    return f"{tool} finds {count}: {named}{more}."


def _relative(path: str, root: str) -> str:
    return path.removeprefix(root.rstrip("/") + "/")
