"""Owns running any test command, known by the JUnit XML or TAP that it writes, or by its exit status alone."""

import shlex
import tempfile
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ports import Candidate, CommandResult, SuiteRequest
from agent_lsp.domain.verdict import CaseResult, Outcome, SuiteReport
from agent_lsp.workspace.runners.injected import OnCase
from agent_lsp.workspace.runners.junit_xml import read_junit
from agent_lsp.workspace.runners.tap import is_tap, read_tap
from agent_lsp.workspace.runners.watched_run import NOT_STARTED, Told, last_words, run_watched, suite_report

_FILES: Final = {"junit": "junit.xml", "tap": "report.tap"}


class CommandRunner:
    """Runs the setting `tests.command` in a shell.

    `{junit}` in it is where the command writes its XML (a file, or a folder of files), `{tap}` a file for its TAP,
    `{tests}` the tests that are asked for. Without them TAP is taken from the output, and without any only the exit
    status is known: the whole command counts as one test.
    """

    def __init__(self, command: str, timeout_s: float = inf) -> None:
        self._command, self._timeout_s = command, timeout_s

    @property
    def name(self) -> str:
        return f"command {self._command}"

    def describe(self) -> str:
        """A line for doctor."""
        told = "its TAP is read, or only its exit status is known"
        if "{junit}" in self._command:
            told = "its JUnit XML is read"
        elif "{tap}" in self._command:
            told = "its TAP is read"
        return f"`{self._command}`: {told}; a change can be passed at best"

    async def run(self, candidate: Candidate, request: SuiteRequest, on_case: OnCase | None = None) -> SuiteReport:
        """See SuiteRunner. Which files were opened is seen, lines are not."""
        folder = Path(tempfile.mkdtemp(prefix="tests-", dir=candidate.scratch))
        line = self._command
        values = {name: shlex.quote(str(folder / file)) for name, file in _FILES.items()}
        values["tests"] = " ".join(shlex.quote(test) for test in request.tests)
        for name, value in values.items():
            line = line.replace(f"'{{{name}}}'", value).replace(f"{{{name}}}", value)
        watched = await run_watched(candidate, line, request, self._timeout_s)
        result = watched.result
        if result.exit_status in NOT_STARTED:
            raise RunnerUnavailableError(
                f"`{self._command}` could not be started: {last_words(result.output)}", hint="Set tests.command."
            )
        told = self._read(folder, result)
        report = suite_report(self.name, told, replace(request, tests=()), watched)
        if on_case is not None:
            for case_id in report.cases:
                on_case(case_id, len(report.cases))
        return report

    def _read(self, folder: Path, result: CommandResult) -> Told:
        if result.timed_out:
            return Told(trouble=f"`{self._command}` did not end within {result.duration_s:.0f} s")
        whole = Outcome.PASSED if result.exit_status == 0 else Outcome.FAILED
        status = CaseResult(self._command, whole, result.output.strip()[-4000:] if whole.bad else "")
        try:
            told = self._from_files(folder, result) or self._from_output(result)
        except ValueError as error:
            return Told(trouble=f"the JUnit XML of `{self._command}` cannot be read: {error}")
        if told is None:
            return Told([status])
        if whole.bad and not told.trouble and not any(case.outcome.bad for case in told.cases):
            return replace(told, cases=[*told.cases, status])
        return told

    def _from_files(self, folder: Path, result: CommandResult) -> Told | None:
        if "{junit}" in self._command:
            cases = read_junit(folder / _FILES["junit"])
            if cases is None:
                return Told(trouble=f"`{self._command}` wrote no JUnit XML (exit status {result.exit_status})")
            return Told(cases)
        if "{tap}" in self._command:
            file = folder / _FILES["tap"]
            if not file.is_file():
                return Told(trouble=f"`{self._command}` wrote no TAP (exit status {result.exit_status})")
            tap = read_tap(file.read_text(errors="replace"))
            return Told(tap.cases, trouble=tap.trouble)
        return None

    @staticmethod
    def _from_output(result: CommandResult) -> Told | None:
        if not is_tap(result.output):
            return None
        tap = read_tap(result.output)
        return Told(tap.cases, trouble=tap.trouble)
