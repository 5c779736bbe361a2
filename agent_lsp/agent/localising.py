"""Owns finding out, for a language model, which lines failing tests ran: one more run, with the sources watched."""

import ast
import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from agent_lsp.agent.repair.source import functions, parse
from agent_lsp.domain.changes import HunkClass, classify
from agent_lsp.domain.errors import RunnerUnavailableError, ToolError
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.text import decode
from agent_lsp.domain.verdict import SuiteReport

logger = logging.getLogger(__name__)

WatchedRun = Callable[[Sequence[str], Sequence[str]], Awaitable[SuiteReport]]
"""Runs tests (ids or paths) in the candidate, and tells which lines of the watched files they ran."""

MOST_WATCHED_FILES: Final = 2000
"""Sources that are watched at once; of a larger project only those that the run before had loaded."""

WORTH_S: Final = 20.0
"""Tests that took longer than this together are not run once more: the model waits for it."""

_AT_MOST_S: Final = 60.0
_MOST_TESTS: Final = 20

Lines = Mapping[str, Mapping[int, frozenset[CaseId]]]


async def localised(
    report: SuiteReport, candidate: Candidate, run: WatchedRun, failing: Collection[CaseId] = ()
) -> SuiteReport:
    """The report, with the lines that these failing tests (all of them, if none are given) and their neighbours ran.

    Import-time lines and the `raise` that tells of the failure are left out: they accuse nobody; so are files that the
    candidate does not show. The report as it is where no more can be found out, or where that would take too long.
    """
    accused = [name for name in sorted(failing or report.failing()) if name in report.failing()][:_MOST_TESTS]
    tests = _selection(report, accused)
    if not tests or report.tampered:
        return report
    watch = await _sources(candidate, report)
    if not watch:
        return report
    try:
        async with asyncio.timeout(_AT_MOST_S):
            again = await run(tests, watch)
    except (RunnerUnavailableError, TimeoutError) as error:
        logger.info("the failing tests could not be run once more to see what they run: %s", error)
        return report
    if not again.executed_failing or again.tampered:
        return report
    telling = await _telling(candidate, again.executed_failing)
    return replace(report, executed=again.executed, executed_failing=telling)


def _selection(report: SuiteReport, accused: Sequence[CaseId]) -> tuple[str, ...]:
    """The files of the failing tests, whose other tests tell suspicious lines from others; else those tests alone."""
    files = tuple(dict.fromkeys(name.partition("::")[0] for name in accused))
    beside = [case.id for case in report.cases.values() if case.id.partition("::")[0] in files]
    for chosen, names in ((files, beside), (tuple(accused), accused)):
        if accused and sum(report.cases[name].duration_s for name in names) <= WORTH_S:
            return chosen
    return ()


async def _sources(candidate: Candidate, report: SuiteReport) -> tuple[str, ...]:
    paths = await candidate.paths()
    found = tuple(path for path in paths if path.endswith(".py") and classify(path) is HunkClass.SOURCE)
    if len(found) <= MOST_WATCHED_FILES:
        return found
    return tuple(path for path in found if path in report.touched)[:MOST_WATCHED_FILES]


async def _telling(candidate: Candidate, ran: Lines) -> Lines:
    """What ran inside of functions, without their `raise` statements where anything else is left."""
    found: dict[str, Mapping[int, frozenset[CaseId]]] = {}
    for path, lines in ran.items():
        text = await _text(candidate, path)
        source = parse(path, text) if text is not None else None
        if source is None:
            continue
        inside = {line for _, first, last in functions(source) for line in range(first, last + 1)}
        raised = _raised(ast.walk(source.tree))
        kept = {line: tests for line, tests in lines.items() if line in inside and line not in raised}
        kept = kept or {line: tests for line, tests in lines.items() if line in inside}
        if kept:
            found[path] = kept
    return found


def _raised(nodes: Iterable[ast.AST]) -> set[int]:
    return {
        line
        for node in nodes
        if isinstance(node, ast.Raise)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


async def _text(candidate: Candidate, path: str) -> str | None:
    try:
        entry = await candidate.read(path)
    except ToolError:
        return None
    decoded = decode(entry.content) if entry is not None else None
    return None if decoded is None else decoded.text
