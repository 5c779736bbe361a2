"""Owns quick looks at many edits: which tests are asked, how long they may take, and what came of each edit."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice

from agent_lsp.agent.repair.edits import SmallEdit
from agent_lsp.agent.repair.localise import Suspicion
from agent_lsp.agent.repair.survey import Survey
from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.suite_ports import Screened, Screening, ScreeningRunner

_MOST_TARGETS = 12
_MOST_OTHERS = 60
_OTHERS_S = 2.0
_LEAST_CPU_S, _MOST_CPU_S = 0.3, 10.0
_FACTOR = 10.0
_FIRST, _THEN = 120, 400
"""So many edits go to one process. The first look is to be short, since the likeliest come first."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one edit did to the tests that were asked."""

    edit: SmallEdit
    passed: frozenset[CaseId]
    broken: frozenset[CaseId]
    late: bool
    duration_s: float


@dataclass(slots=True)
class Sieve:
    """Quick looks for one group of failing tests. `trouble` is why there are none; then edits are tried one by one."""

    runner: ScreeningRunner
    candidate: Candidate
    survey: Survey
    tests: tuple[CaseId, ...]
    asked: tuple[CaseId, ...] = ()
    others: tuple[CaseId, ...] = ()
    cpu_s: float = _LEAST_CPU_S
    trouble: str = ""
    left: list[SmallEdit] = field(default_factory=list)

    def prepare(self, suspicion: Suspicion) -> None:
        """Chooses the tests: the failing ones, the quickest first, and those others that run what is suspicious."""
        cases = self.survey.report.cases
        ended = [cases[test] for test in self.tests if not self.survey.hangs(test)]
        order = sorted(self.tests, key=lambda test: (self.survey.hangs(test), cases[test].duration_s))
        self.asked = tuple(order[:_MOST_TARGETS])
        self.others = tuple(self._near(suspicion))
        slowest_s = max(
            [case.duration_s for case in ended if case.id in self.asked]
            + [cases[test].duration_s for test in self.others],
            default=0.0,
        )
        self.cpu_s = min(_MOST_CPU_S, max(_LEAST_CPU_S, _FACTOR * slowest_s))

    @property
    def whole(self) -> bool:
        """Whether every test of the first run is asked, so that a look needs no run of all of them after it."""
        return set(self.asked) >= set(self.tests) and set(self.others) >= self.survey.report.passing()

    def _near(self, suspicion: Suspicion) -> list[CaseId]:
        report = self.survey.report
        weight: dict[CaseId, float] = dict.fromkeys(report.passing(), 0.0)
        for path, lines in suspicion.items():
            for line, tests in report.executed.get(path, {}).items():
                for test in tests if line in lines else ():
                    weight[test] = weight.get(test, 0.0) + lines[line]
        found: list[CaseId] = []
        left_s = _OTHERS_S
        for test in sorted(weight, key=lambda name: (-weight[name], name)):
            duration_s = report.cases[test].duration_s if test in report.cases else 0.0
            if duration_s <= left_s and len(found) < _MOST_OTHERS:
                found.append(test)
                left_s -= duration_s
        return found

    async def looks(self, queue: Iterator[SmallEdit], texts: Mapping[str, str]) -> AsyncGenerator[Look, None]:
        """Of each edit of the queue, about in its order; ends early with `trouble` where it cannot go on."""
        size = _FIRST
        while chunk := await asyncio.to_thread(self._next, queue, size):
            size = _THEN
            seen: set[int] = set()
            paths = dict.fromkeys(part.path for edit in chunk for part in edit.parts)
            wall_s = 5.0 + 4.0 * self.cpu_s * (len(self.asked) + 1)
            request = Screening(
                self.asked,
                self.others,
                {path: texts[path] for path in paths},
                [_plain(edit) for edit in chunk],
                self.cpu_s,
                wall_s,
                {number: _plain(edit.also) for number, edit in enumerate(chunk) if edit.also is not None},
            )
            try:
                async with aclosing(self.runner.screen(self.candidate, request)) as rows:
                    async for row in rows:
                        seen.add(row.number)
                        yield _look(chunk, row)
            except RunnerUnavailableError as error:
                self.trouble = error.message
                return
            finally:
                self.left = [edit for number, edit in enumerate(chunk) if number not in seen]
            if not seen:
                self.trouble = "looking at many edits ended before its end"
                return

    def _next(self, queue: Iterator[SmallEdit], count: int) -> list[SmallEdit]:
        """What the last look left over goes first."""
        left, self.left = self.left, []
        return left + list(islice(queue, max(0, count - len(left))))


def _plain(edit: SmallEdit) -> tuple[str, int, int, str]:
    return edit.path, edit.start, edit.end, edit.text


def _look(chunk: Sequence[SmallEdit], row: Screened) -> Look:
    return Look(chunk[row.number], row.passed, row.broken, row.late, row.duration_s)
