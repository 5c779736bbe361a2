"""Owns running a workspace's tests with the vitest that is installed in it."""

import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.languages import JAVASCRIPT
from agent_lsp.domain.ports import Candidate, Command, SuiteRequest
from agent_lsp.domain.verdict import CaseResult, Outcome, SuiteReport
from agent_lsp.workspace.runners.injected import OnCase, existing
from agent_lsp.workspace.runners.jest_json import read_jest_json
from agent_lsp.workspace.runners.watched_run import (
    NOT_STARTED,
    Told,
    Watched,
    last_words,
    run_watched,
    suite_report,
    with_local_tools,
)

_WITH_VALUE: Final = ("--reporter", "--outputFile", "--bail")
_OWN: Final = (*_WITH_VALUE, "--coverage", "--watch", "--ui", "--run")
"""Options of the project's script that would hide results, stop early or write into the workspace."""


class VitestRunner:
    """Reads vitest's JSON. Ids read `src/add.test.ts::suite::test`. Options of the project's script hold."""

    def __init__(self, script: str = "", arguments: tuple[str, ...] = (), timeout_s: float = inf) -> None:
        self._options = (*_options(script), *arguments)
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        return "vitest"

    def describe(self) -> str:
        """A line for doctor."""
        return " ".join(["vitest run", *self._options])

    async def lacks(self, candidate: Candidate) -> RunnerUnavailableError | None:
        """What is missing to run it in this candidate, for doctor."""
        result = await candidate.run(Command(("sh", "-c", with_local_tools("vitest --version")), timeout_s=20.0))
        return None if result.exit_status == 0 else _unavailable(result.output)

    async def run(self, candidate: Candidate, request: SuiteRequest, on_case: OnCase | None = None) -> SuiteReport:
        """See SuiteRunner. Whole files are run, and the asked tests are picked from what they tell."""
        files = [path for path in await existing(candidate, request.tests) if path != "."]
        if request.tests and not files and "." not in request.tests:
            missing = ", ".join(request.tests)
            return SuiteReport(self.name, trouble=f"not found: {missing}", not_found=request.tests)
        report = Path(tempfile.mkdtemp(prefix="tests-", dir=candidate.scratch)) / "report.json"
        own = ("--reporter=json", f"--outputFile={report}", "--coverage.enabled=false", "--passWithNoTests")
        line = with_local_tools(shlex.join(["vitest", "run", *own, *self._options, *files]))
        watched = await run_watched(candidate, line, request, self._timeout_s)
        if watched.result.exit_status in NOT_STARTED:
            raise _unavailable(watched.result.output)
        found = suite_report(self.name, _told(report, candidate, watched), request, watched, JAVASCRIPT)
        if on_case is not None:
            for case_id in found.cases:
                on_case(case_id, found.collected)
        return found


def _unavailable(output: str) -> RunnerUnavailableError:
    return RunnerUnavailableError(
        f"vitest could not be started: {last_words(output)}",
        hint="Install the project's packages (`npm install`) with Node.js on PATH, or set tests.command.",
    )


def _told(report: Path, candidate: Candidate, watched: Watched) -> Told:
    result = watched.result
    if result.timed_out:
        return Told(trouble=f"the tests did not end within {result.duration_s:.0f} s")
    if not report.is_file():
        words = last_words(result.output)
        return Told(trouble=f"vitest ended with status {result.exit_status} before its report was written: {words}")
    try:
        told = read_jest_json(report.read_text(errors="replace"), candidate)
    except ValueError as error:
        return Told(trouble=f"the report of vitest cannot be read: {error}")
    bad = bool(told.broken) or any(case.outcome.bad for case in told.cases)
    if result.exit_status == 0 or bad:
        return told
    unhandled = CaseResult("vitest run", Outcome.ERROR, result.output.strip()[-4000:])
    return replace(told, cases=(*told.cases, unhandled))


def _options(script: str) -> Sequence[str]:
    """What a script gives vitest besides the choice of its mode; none where it cannot be taken apart."""
    try:
        words = shlex.split(script)
    except ValueError:
        return ()
    if "vitest" not in words:
        return ()
    kept: list[str] = []
    before = ""
    for word in words[words.index("vitest") + 1 :]:
        if word in ("&&", ";", "||", "|"):
            break
        value = before in _WITH_VALUE and not word.startswith("-")
        if not value and word not in ("run", "watch", "dev") and not word.startswith(_OWN):
            kept.append(word)
        before = word
    return kept
