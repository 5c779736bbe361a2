"""Owns running the tests of any language in a candidate while it is seen which of the workspace's files they open."""

import json
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from agent_lsp.domain.comparison import within
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.languages import is_code, suffix
from agent_lsp.domain.ports import Candidate, Command, CommandResult, SuiteRequest
from agent_lsp.domain.verdict import CaseResult, LoadedFile, SuiteReport

_PROGRAM: Final = Path(__file__).parent / "watch_reads.py"
_MOST_FOLDERS: Final = 4_000
NOT_STARTED: Final = (126, 127)
"""What a shell ends with that cannot find or start a program."""

OUTPUT_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Watched:
    """How a command ended, and which files of the workspace were opened while it ran."""

    result: CommandResult
    opened: frozenset[str] = frozenset()
    blind: str = ""
    """Why it could not be seen, or not all of it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a runner's own report says: its tests in order, files that could not be run, and why it is not whole."""

    cases: Sequence[CaseResult] = ()
    broken: Sequence[tuple[str, str]] = ()
    trouble: str = ""


async def run_watched(candidate: Candidate, line: str, request: SuiteRequest, timeout_s: float) -> Watched:
    """Runs a line of shell. The changed files are watched first, then every folder that has files of the workspace."""
    folder = Path(tempfile.mkdtemp(prefix="watch-", dir=candidate.scratch))
    program, config, report = folder / _PROGRAM.name, folder / "config.json", folder / "opened.json"
    program.write_bytes(_PROGRAM.read_bytes())
    folders = dict.fromkeys(_parent(path) for path in (*request.changed, *await candidate.paths()))
    rows = [path for path in folders if path is not None][:_MOST_FOLDERS]
    config.write_text(json.dumps({"root": candidate.root, "folders": rows, "report": str(report)}))
    argv = (sys.executable, "-I", "-S", str(program), str(config), "--", "sh", "-c", line)
    env = {"CI": "1", "NO_COLOR": "1"}
    limit_s = min(request.timeout_s, timeout_s)
    result = await candidate.run(Command(argv, env=env, timeout_s=limit_s, output_limit_bytes=OUTPUT_BYTES))
    try:
        told = json.loads(report.read_text())
        return Watched(result, frozenset(told["opened"]), str(told["blind"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Watched(result, blind="there is no report of the files that were opened")


def with_local_tools(line: str, depth: int = 4) -> str:
    """The line with the tools of `node_modules` on its PATH, as npm has them: of the folder and of those above it."""
    places = ":".join(f"$PWD/{'../' * up}node_modules/.bin" for up in range(depth))
    return f'PATH="{places}:$PATH"; export PATH; {line}'


def relative(candidate: Candidate, path: str) -> str:
    """A path that a tool told, from the candidate's root; as it is where it lies elsewhere."""
    for root in dict.fromkeys((candidate.root, str(Path(candidate.root).resolve()))):
        if path.startswith(root + "/"):
            return path[len(root) + 1 :]
    return path


def suite_report(
    name: str, told: Told, request: SuiteRequest, watched: Watched, languages: Collection[str] | None = None
) -> SuiteReport:
    """The report of a run. Of files of these suffixes (None: all code) it tells whether they were opened, not lines.

    Tests that were not asked for are left out.
    """
    cases = _numbered([case for case in told.cases if _asked(case.id, request.tests)])
    errors = {place: text for place, text in told.broken if _asked(place, request.tests)}
    known = [*cases, *errors]
    missing = [test for test in request.tests if not any(within(row, test) or within(test, row) for row in known)]
    followed = [path for path in request.changed if is_code(path) and (languages is None or suffix(path) in languages)]
    return SuiteReport(
        runner=name,
        cases=cases,
        collected=len(cases),
        collection_errors=errors,
        finished=not told.trouble,
        timed_out=watched.result.timed_out,
        trouble=told.trouble or (f"not found: {', '.join(missing)}" if missing else ""),
        exit_status=watched.result.exit_status,
        duration_s=watched.result.duration_s,
        loaded=tuple(LoadedFile(path, path) for path in followed if path in watched.opened),
        touched=watched.opened,
        output=watched.result.output,
        not_found=tuple(missing),
        unmeasured=frozenset(followed),
        blind=watched.blind,
    )


def last_words(output: str, limit: int = 300) -> str:
    """The end of what a command wrote, for a sentence."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-limit:] or "it said nothing"


def _asked(case_id: CaseId, tests: Sequence[str]) -> bool:
    return not tests or any(within(case_id, test) or within(test, case_id) for test in tests)


def _numbered(cases: Sequence[CaseResult]) -> dict[CaseId, CaseResult]:
    """By id; the second test of the same name gets `#2`."""
    found: dict[CaseId, CaseResult] = {}
    for case in cases:
        name, number = case.id, 1
        while name in found:
            number += 1
            name = f"{case.id}#{number}"
        found[name] = replace(case, id=name)
    return found


def _parent(path: str) -> str | None:
    """The folder of a file, `.` for the root; None for a path that a shell could not name."""
    return None if "\0" in path else str(PurePosixPath(path).parent)
