"""Owns running a workspace's tests with Node's own test runner, `node --test`."""

import json
import re
import shlex
import tempfile
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.languages import JAVASCRIPT
from agent_lsp.domain.ports import Candidate, Command, SuiteRequest
from agent_lsp.domain.verdict import CaseResult, Outcome, SuiteReport
from agent_lsp.workspace.runners.injected import OnCase, existing
from agent_lsp.workspace.runners.watched_run import (
    NOT_STARTED,
    Told,
    Watched,
    last_words,
    relative,
    run_watched,
    suite_report,
    with_local_tools,
)

_REPORTER: Final = Path(__file__).parent / "reporters" / "node_reporter.mjs"
_BAD_OPTION: Final = 9
_NODE: Final = re.compile(r"(?<![\w/.-])node(?=\s)")

TEST_FILE: Final = re.compile(r"(?:.*/)?(?:test|test-[^/]+|[^/]+[._-]test)\.[cm]?[jt]s|(?:.*/)?test/.*\.[cm]?[jt]s")
"""What `node --test` takes for a test file by itself."""


class NodeRunner:
    """Each test file is a process of its own, and the reporter of ours is in none of them. Ids read
    `tests/add.test.js::suite::test`. `script` is the project's own command, where it has one; what comes before
    `node … --test` in it (a build) is run too.
    """

    def __init__(self, script: str = "", arguments: tuple[str, ...] = (), timeout_s: float = inf) -> None:
        self._script, self._arguments, self._timeout_s = script, arguments, timeout_s

    @property
    def name(self) -> str:
        return "node --test"

    def describe(self) -> str:
        """A line for doctor."""
        return f"node --test as in `{self._script}`" if self._script else "node --test"

    async def lacks(self, candidate: Candidate) -> RunnerUnavailableError | None:
        """What is missing to run it in this candidate, for doctor."""
        result = await candidate.run(Command(("sh", "-c", with_local_tools("node --version")), timeout_s=20.0))
        return None if result.exit_status == 0 else _unavailable(result.output)

    async def run(self, candidate: Candidate, request: SuiteRequest, on_case: OnCase | None = None) -> SuiteReport:
        """See SuiteRunner. Whole files are run, and the asked tests are picked from what they tell."""
        files = await self._files(candidate, request.tests)
        if request.tests and not files:
            missing = ", ".join(request.tests)
            return SuiteReport(self.name, trouble=f"not found: {missing}", not_found=request.tests)
        folder = Path(tempfile.mkdtemp(prefix="tests-", dir=candidate.scratch))
        reporter, report = folder / _REPORTER.name, folder / "report.jsonl"
        reporter.write_bytes(_REPORTER.read_bytes())
        line = with_local_tools(self._line(shlex.quote(reporter.as_uri()), shlex.quote(str(report)), files))
        watched = await run_watched(candidate, line, request, self._timeout_s)
        text = report.read_text(errors="replace") if report.is_file() else ""
        told = _read(text, candidate, watched)
        if not text and watched.result.exit_status in (*NOT_STARTED, _BAD_OPTION):
            raise _unavailable(watched.result.output)
        found = suite_report(self.name, told, request, watched, JAVASCRIPT)
        if on_case is not None:
            for case_id in found.cases:
                on_case(case_id, found.collected)
        return found

    async def _files(self, candidate: Candidate, tests: Sequence[str]) -> list[str]:
        """The asked files; of a folder, those in it that are test files."""
        found: list[str] = []
        for place in await existing(candidate, tests):
            inside = [] if await candidate.read(place) is not None else await candidate.paths(place)
            found += [path for path in inside if TEST_FILE.fullmatch(path)] if inside else [place]
        return list(dict.fromkeys(found))

    def _line(self, reporter: str, report: str, files: Sequence[str]) -> str:
        options = f"--test-reporter={reporter} --test-reporter-destination={report}"
        options = " ".join([options, *map(shlex.quote, self._arguments)])
        if self._script:
            head, step, tail = _split(self._script)
            return head + _NODE.sub(f"node {options}", step, count=1) + tail
        return " ".join(["node", "--test", options, *map(shlex.quote, files)])


def _unavailable(output: str) -> RunnerUnavailableError:
    return RunnerUnavailableError(
        f"`node --test` could not be started: {last_words(output)}",
        hint="Put Node.js 20 or newer on PATH and install what the test script needs, or set tests.command.",
    )


def runs_node_tests(script: str) -> bool:
    """Whether a line of shell starts `node … --test`."""
    return bool(_split(script)[1])


def _split(script: str) -> tuple[str, str, str]:
    """A script as what comes before its `node … --test`, that step, and what comes after it."""
    parts = re.split(r"(&&|;|\|\|)", script)
    for number, part in enumerate(parts):
        if _NODE.search(part) and re.search(r"\s--test(?=[\s=]|$)", part):
            return "".join(parts[:number]), part, "".join(parts[number + 1 :])
    return script, "", ""


def _read(text: str, candidate: Candidate, watched: Watched) -> Told:
    rows: list[dict[str, Any]] = []
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    cases = [row for row in rows if row.get("kind") == "case"]
    end = next((row for row in rows if row.get("kind") == "end"), None)
    alive = {row["file"] for row in cases if row["names"]}
    broken, found = [], []
    for row in cases:
        case = _case(row, candidate)
        if not row["names"] and case.outcome.bad and row["file"] not in alive:
            broken.append((case.id, case.message))
        else:
            found.append(case)
    return Told(found, broken, _trouble(end, len(cases), watched))


def _case(row: dict[str, Any], candidate: Candidate) -> CaseResult:
    path = relative(candidate, row["file"])
    line = row["line"] - 1 if row["line"] else None
    case_id = "::".join([path, *row["names"]])
    return CaseResult(case_id, Outcome(row["outcome"]), row["message"], path, line, row["seconds"])


def _trouble(end: dict[str, Any] | None, count: int, watched: Watched) -> str:
    result = watched.result
    if result.timed_out:
        return f"the tests did not end within {result.duration_s:.0f} s"
    if end is None:
        words = last_words(result.output)
        return f"`node --test` ended with status {result.exit_status} before its report was complete: {words}"
    if end["cases"] != count:
        return f"the report was changed: it holds {count} results and its end marker says {end['cases']}"
    return ""
