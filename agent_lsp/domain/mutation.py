"""Owns mutants: small deliberate faults in the changed lines of a change, ordered so that a few tell most.

A suite that notices them looks at what the lines do, and does not merely run them.
"""

import ast
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.coverage import changed_lines, python_sources, runnable_changes
from agent_lsp.domain.mutation_faults import Fault
from agent_lsp.domain.mutation_operators import faults
from agent_lsp.domain.mutation_sites import Site, sites
from agent_lsp.domain.python_text import PythonText, one_line, python_text, syntax
from agent_lsp.domain.verdict import SuiteReport

_SHOWN_CHARS: Final = 60
_TELLS_LITTLE: Final = 30
_LONGEST_FILE: Final = 400_000
"""Characters; a longer file takes too long to compile again for each mutant."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One file of a change with one small fault in it. `line` is zero-based, in the changed file.

    `text` says what became of what: "`a < b` became `a <= b`".
    """

    path: str
    line: int
    text: str
    content: bytes


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A fault with its place among those of its statement, the best first."""

    place: int
    path: str
    source: PythonText
    fault: Fault


def mutants(edits: Collection[FileEdit], report: SuiteReport) -> Iterator[Mutant]:
    """Mutants of the changed lines that ran under a passing test, the most telling first. Made one by one."""
    ranked: list[_Ranked] = []
    for edit in python_sources(edits):
        if edit.after is None or edit.path in report.unmeasured or len(edit.after.content) > _LONGEST_FILE:
            continue
        executed = report.executed.get(edit.path, {})
        ran = {line for line in runnable_changes(edit, report) if executed.get(line)}
        source = python_text(edit.after.content) if ran else None
        if source is not None:
            ranked += _ranked(edit.path, source, ran, changed_lines(edit))
    return _made(_in_order(ranked))


def mutants_of(content: bytes, lines: Collection[int], path: str = "") -> Iterator[Mutant]:
    """Mutants of these lines (one-based) of one file; none for what is no Python."""
    source = python_text(content)
    ranked = [] if source is None else list(_ranked(path, source, lines, lines))
    return _made(_in_order(ranked))


def _ranked(path: str, source: PythonText, start_in: Collection[int], within: Collection[int]) -> Iterator[_Ranked]:
    by_statement: dict[ast.stmt, list[Fault]] = {}
    for site in sites(source.tree):
        if not _is_near(site, start_in):
            continue
        for fault in faults(source, site):
            first, last = source.line_of(fault.start), source.line_of(max(fault.start, fault.end - 1))
            if first in start_in and all(line in within for line in range(first, last + 1)):
                by_statement.setdefault(site.statement, []).append(fault)
    for found in by_statement.values():
        found.sort(key=lambda fault: (fault.weight, fault.start, fault.end, fault.new))
        for place, fault in enumerate(found):
            yield _Ranked(place, path, source, fault)


def _in_order(ranked: Sequence[_Ranked]) -> list[_Ranked]:
    """The best of each statement come first, and among those every kind of fault that tells much before any again."""
    seen: Counter[tuple[int, int]] = Counter()
    found = []
    for row in sorted(ranked, key=_telling):
        kind = (row.place, row.fault.weight)
        found.append((row.place, seen[kind] + (row.fault.weight >= _TELLS_LITTLE) * len(ranked), _telling(row), row))
        seen[kind] += 1
    return [row for *_, row in sorted(found, key=lambda entry: entry[:3])]


def _telling(row: _Ranked) -> tuple[int, int, str, int, int, str]:
    fault = row.fault
    return row.place, fault.weight, row.path, fault.start, fault.end, fault.new


def _is_near(site: Site, lines: Collection[int]) -> bool:
    node = site.node
    return any(line in lines for line in range(node.lineno, (node.end_lineno or node.lineno) + 1))


def _made(ranked: Sequence[_Ranked]) -> Iterator[Mutant]:
    """Those that compile and are another program than the file, each program once."""
    seen: set[bytes] = set()
    programs: dict[str, str] = {}
    for row in ranked:
        source, fault = row.source, row.fault
        content = source.edited(fault.start, fault.end, fault.new)
        if content is None or content in seen:
            continue
        seen.add(content)
        tree = syntax(source.text[: fault.start] + fault.new + source.text[fault.end :])
        if row.path not in programs:
            programs[row.path] = ast.dump(source.tree)
        if tree is None or ast.dump(tree) == programs[row.path]:
            continue
        yield Mutant(row.path, source.line_of(fault.start) - 1, _told(source, fault), content)


def _told(source: PythonText, fault: Fault) -> str:
    """What became of what, in code as short as tells it."""
    text = source.text
    start, end = source.span(fault.shown)
    if fault.removes:
        return f"`{one_line(text[start:end], _SHOWN_CHARS)}` was removed"
    before = text[start:end]
    after = text[start : fault.start] + fault.new + text[fault.end : end]
    if max(len(one_line(before, len(before))), len(one_line(after, len(after) + 1))) <= _SHOWN_CHARS:
        return f"`{one_line(before, _SHOWN_CHARS)}` became `{one_line(after, _SHOWN_CHARS)}`"
    old, new = one_line(text[fault.start : fault.end], _SHOWN_CHARS), one_line(fault.new, _SHOWN_CHARS)
    return f"`{old.strip(', ')}` became `{new}`" if new else f"`{old.strip(', ')}` was removed"
