"""Owns where to look: how suspicious each line is, and which failing tests seem to have one cause."""

import ast
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import sqrt

from agent_lsp.agent.repair.source import Source, functions
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.python_text import parsed
from agent_lsp.domain.verdict import SuiteReport

Suspicion = Mapping[str, Mapping[int, float]]
"""For each file its one-based lines, from 0 (never run by a failing test) to 1 (run by all of them and no other)."""

_ON_IMPORT = 0.2
_RAISED = 0.5
_PLACE = re.compile(r'(?:File ")?([\w./\\-]+\.py)(?:", line |:)(\d+)')


def ochiai(report: SuiteReport, failing: Collection[CaseId]) -> Suspicion:
    """failed(line) / sqrt(all failed * all tests that ran the line): Ochiai, as Abreu and others (2007) use it."""
    found: dict[str, dict[int, float]] = {}
    for path, lines in report.executed_failing.items():
        passed = report.executed.get(path, {})
        for line, tests in lines.items():
            failed = len(tests.intersection(failing))
            if failed:
                ran = failed + len(passed.get(line, ()))
                found.setdefault(path, {})[line] = failed / sqrt(len(failing) * ran)
    return found


def weighed(suspicion: Suspicion, sources: Iterable[Source]) -> Suspicion:
    """Lines that say little by having run weigh less: those run on import, and the `raise` that tells of a failure.

    What an import runs counts as run by whichever test came first.
    """
    found = {path: dict(lines) for path, lines in suspicion.items()}
    for source in sources:
        called, raised = _called_and_raised(source)
        for line in found.get(source.path, {}):
            found[source.path][line] *= (1.0 if line in called else _ON_IMPORT) * (_RAISED if line in raised else 1.0)
    return found


def by_text(sources: Iterable[Source], said: str, tests: Iterable[str]) -> Suspicion:
    """For runs that could not tell which lines ran: functions the failure points into, then those that the tests name.

    `said` is the text of the failures, `tests` the source of the failing tests' files.
    """
    places = {(path.replace("\\", "/"), int(line)) for path, line in _PLACE.findall(said)}
    words = {word for text in tests for word in _names(text)}
    found: dict[str, dict[int, float]] = {}
    for source in sources:
        pointed = {line for path, line in places if path.endswith(source.path) or source.path.endswith(path)}
        for function, first, last in functions(source):
            lines = range(first, last + 1)
            weight = 0.9 if pointed.intersection(lines) else 0.6 if function.name in words else 0.0
            for line in lines if weight else ():
                found.setdefault(source.path, {})[line] = 1.0 if line in pointed else weight
        for line in pointed:
            found.setdefault(source.path, {}).setdefault(line, 1.0)
    return found


def groups(report: SuiteReport, failing: Sequence[CaseId], sources: Iterable[Source]) -> list[tuple[CaseId, ...]]:
    """Failing tests that ran code of a common function, in the order given: one edit is to mend a whole group.

    Tests of which nothing is known go with the first group. Code that runs on import joins nobody.
    """
    ran = _functions_run(report, sources)
    found: list[tuple[list[CaseId], set[tuple[str, int]]]] = []
    for test in failing:
        mine = ran.get(test, set())
        joined = [group for group in found if group[1] & mine] if mine else found[:1]
        merged = ([case for group in joined for case in group[0]] + [test], mine.union(*(group[1] for group in joined)))
        at = found.index(joined[0]) if joined else len(found)
        found = [group for group in found if group not in joined]
        found.insert(at, merged)
    order = {test: number for number, test in enumerate(failing)}
    return [tuple(sorted(tests, key=order.__getitem__)) for tests, _ in found]


def _functions_run(report: SuiteReport, sources: Iterable[Source]) -> dict[CaseId, set[tuple[str, int]]]:
    found: dict[CaseId, set[tuple[str, int]]] = {}
    for source in sources:
        lines = report.executed_failing.get(source.path, {})
        for _, first, last in functions(source) if lines else ():
            for line in range(first, last + 1):
                for test in lines.get(line, ()):
                    found.setdefault(test, set()).add((source.path, first))
    return found


def _called_and_raised(source: Source) -> tuple[set[int], set[int]]:
    called = {line for _, first, last in functions(source) for line in range(first, last + 1)}
    raised: set[int] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Lambda | ast.Raise):
            lines = raised if isinstance(node, ast.Raise) else called
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return called, raised


def _names(text: str) -> set[str]:
    tree = parsed(text)
    nodes = ast.walk(tree) if tree else ()
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in nodes
        if isinstance(node, ast.Name | ast.Attribute)
    }
