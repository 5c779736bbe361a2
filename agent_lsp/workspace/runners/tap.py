"""Owns reading TAP, the Test Anything Protocol, with the subtests of version 14."""

import re
from dataclasses import dataclass, field, replace
from typing import Final

from agent_lsp.domain.verdict import CaseResult, Outcome

_TEST: Final = re.compile(r"(not )?ok\b ?(\d*)\s*(?:- )?(.*)")
_PLAN: Final = re.compile(r"1\.\.(\d+)\s*(#.*)?")
_SUBTEST: Final = re.compile(r"# Subtest: (.*)")
_DIRECTIVE: Final = re.compile(r"(?<!\\)#\s*(SKIP|TODO)\b.*", re.IGNORECASE)
_MESSAGE_CHARACTERS: Final = 4_000


@dataclass(slots=True)
class Tap:
    """What a TAP stream says: its tests in order (`parent::child` for subtests), and why it is not whole."""

    cases: list[CaseResult] = field(default_factory=list)
    trouble: str = ""
    _planned: int | None = None
    _top: int = 0
    _names: dict[int, str] = field(default_factory=dict)
    _details: list[str] | None = None

    def take(self, line: str) -> None:
        """Reads one line."""
        text = line.strip()
        depth = (len(line) - len(line.lstrip(" "))) // 4
        if self._details is not None:
            self._detail(text)
        elif text == "---" and self.cases:
            self._details = []
        elif named := _SUBTEST.fullmatch(text):
            self._names[depth] = named[1].strip()
        elif planned := _PLAN.fullmatch(text):
            self._planned = int(planned[1]) if depth == 0 else self._planned
        elif text.startswith("Bail out!"):
            self.trouble = f"the tests gave up: {text.removeprefix('Bail out!').strip() or 'no reason was given'}"
        elif test := _TEST.fullmatch(text):
            self._test(test, depth)

    def _detail(self, text: str) -> None:
        assert self._details is not None
        if text != "...":
            self._details.append(text)
            return
        last = self.cases[-1]
        if last.outcome.bad:
            self.cases[-1] = replace(last, message="\n".join(self._details)[-_MESSAGE_CHARACTERS:])
        self._details = None

    def _test(self, test: re.Match[str], depth: int) -> None:
        directive = _DIRECTIVE.search(test[3])
        name = _DIRECTIVE.sub("", test[3]).replace("\\#", "#").strip() or f"test {test[2] or self._top + 1}"
        self._top += depth == 0
        kind = directive[1].upper() if directive else ""
        good = test[1] is None
        outcome = Outcome.PASSED if good else Outcome.FAILED
        if kind == "SKIP":
            outcome = Outcome.SKIPPED
        elif kind == "TODO":
            outcome = Outcome.XPASSED if good else Outcome.XFAILED
        above = [self._names.get(level, "") for level in range(depth)]
        self.cases.append(CaseResult("::".join([*filter(None, above), name]), outcome))

    def end(self) -> None:
        """Compares what came with the plan."""
        if self.trouble:
            return
        if self._planned is None:
            self.trouble = "its TAP has no plan, so it may have ended early"
        elif self._planned != self._top:
            self.trouble = f"only {self._top} of {self._planned} tests of its TAP came"


def is_tap(text: str) -> bool:
    """Whether a text has TAP's own lines: a version or plan, and a test or an empty plan."""
    lines = [line.rstrip() for line in text.splitlines()]
    plan = any(_PLAN.fullmatch(line) or line.startswith("TAP version ") for line in lines)
    return plan and any(_TEST.match(line) or line.startswith(("1..0", "Bail out!")) for line in lines)


def read_tap(text: str) -> Tap:
    """The tests of a TAP stream; other lines are passed over."""
    tap = Tap()
    for line in text.splitlines():
        tap.take(line)
    tap.end()
    return tap
