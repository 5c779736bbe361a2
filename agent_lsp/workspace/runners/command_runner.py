"""Owns running any test command, and reading the JUnit XML that it writes."""

import shlex
import tempfile
from collections.abc import Iterable
from math import inf
from pathlib import Path
from typing import Any

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import Candidate, Command, CommandResult, SuiteRequest
from agent_lsp.domain.verdict import CaseResult, Outcome, SuiteReport
from agent_lsp.workspace.runners.injected import OnCase

_NOT_STARTED = (126, 127)


class CommandRunner:
    """Runs the setting `tests.command` in a shell. `{junit}` in it is where the command writes its XML (a file, or a
    folder of files); `{tests}` the tests that are asked for. Without XML only the exit status is known, and the whole
    command counts as one test.
    """

    def __init__(self, command: str, timeout_s: float = inf) -> None:
        self._command, self._timeout_s = command, timeout_s

    @property
    def name(self) -> str:
        return f"command {self._command}"

    def describe(self) -> str:
        """A line for doctor."""
        told = "its JUnit XML is read" if "{junit}" in self._command else "only its exit status is known"
        return f"`{self._command}`: {told}"

    async def run(self, candidate: Candidate, request: SuiteRequest, on_case: OnCase | None = None) -> SuiteReport:
        """See SuiteRunner. Lines and loaded files are not seen."""
        junit = Path(tempfile.mkdtemp(prefix="tests-", dir=candidate.scratch)) / "junit.xml"
        line = self._command.replace("{junit}", shlex.quote(str(junit)))
        line = line.replace("{tests}", " ".join(shlex.quote(test) for test in request.tests))
        result = await candidate.run(Command(("sh", "-c", line), timeout_s=min(request.timeout_s, self._timeout_s)))
        if result.exit_status in _NOT_STARTED:
            raise RunnerUnavailableError(
                f"`{self._command}` could not be started: {result.output.strip()[-300:]}", hint="Set tests.command."
            )
        trouble, cases = self._read(junit, result)
        if on_case is not None:
            for case_id in cases:
                on_case(case_id, len(cases))
        return SuiteReport(
            runner=self.name,
            cases=cases,
            collected=len(cases),
            finished=not trouble,
            timed_out=result.timed_out,
            trouble=trouble,
            exit_status=result.exit_status,
            duration_s=result.duration_s,
            output=result.output,
        )

    def _read(self, junit: Path, result: CommandResult) -> tuple[str, dict[CaseId, CaseResult]]:
        if result.timed_out:
            return f"`{self._command}` did not end within {result.duration_s:.0f} s", {}
        whole = Outcome.PASSED if result.exit_status == 0 else Outcome.FAILED
        status = CaseResult(self._command, whole, result.output.strip()[-4000:] if whole.bad else "")
        if "{junit}" not in self._command:
            return "", {status.id: status}
        files = sorted(junit.rglob("*.xml")) if junit.is_dir() else [junit] if junit.is_file() else []
        if not files:
            return f"`{self._command}` wrote no JUnit XML (exit status {result.exit_status})", {}
        try:
            cases = _numbered(case for file in files for case in _cases(file))
        except (ValueError, SyntaxError) as error:
            return f"the JUnit XML of `{self._command}` cannot be read: {error}", {}
        if whole.bad and not any(case.outcome.bad for case in cases.values()):
            cases[status.id] = status
        return "", cases


def _cases(file: Path) -> Iterable[CaseResult]:
    """The tests of one file. Raises ValueError or SyntaxError (of the XML parser)."""
    from junitparser import JUnitXml  # type: ignore[import-untyped, unused-ignore]
    from junitparser.junitparser import JUnitXmlError  # type: ignore[import-untyped, unused-ignore]

    try:
        tree: Any = JUnitXml.fromfile(str(file))
    except JUnitXmlError as error:
        raise ValueError(str(error)) from error
    yield from _walk(tree)


def _walk(node: Any) -> Iterable[CaseResult]:
    from junitparser import TestCase, TestSuite

    for child in node:
        if isinstance(child, TestSuite):
            yield from _walk(child)
        elif isinstance(child, TestCase):
            yield _case(child)
    nested: Any = getattr(node, "testsuites", tuple)
    for suite in nested():
        yield from _walk(suite)


def _case(row: Any) -> CaseResult:
    file = row._elem.attrib.get("file", "")
    line = row._elem.attrib.get("line", "")
    name = "::".join(part for part in (file, row.classname or "", row.name or "") if part)
    outcome, message = Outcome.PASSED, ""
    kinds = {"Failure": Outcome.FAILED, "Error": Outcome.ERROR, "Skipped": Outcome.SKIPPED}
    for entry in row.result:
        found = kinds.get(type(entry).__name__)
        if found is not None and not outcome.bad:
            outcome = found
            message = "\n".join(part for part in (entry.message or "", entry.text or "") if part)[-4000:]
    place = int(line) - 1 if line.isdigit() and line != "0" else None
    return CaseResult(name, outcome, message, file, place, float(row.time or 0.0))


def _numbered(cases: Iterable[CaseResult]) -> dict[CaseId, CaseResult]:
    """By id; the second test of the same name gets `#2`."""
    found: dict[CaseId, CaseResult] = {}
    for case in cases:
        name, number = case.id, 1
        while name in found:
            number += 1
            name = f"{case.id}#{number}"
        found[name] = CaseResult(name, case.outcome, case.message, case.path, case.line, case.duration_s)
    return found
