"""Owns running a test framework with a plugin of ours inside, in the workspace's own interpreter."""

import asyncio
import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agent_lsp.domain import lines
from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.ports import Candidate, Command, CommandResult, Prepared, SuiteRequest
from agent_lsp.domain.verdict import SuiteReport
from agent_lsp.workspace.runners.interpreter import Interpreter
from agent_lsp.workspace.runners.read_report import Records, read_records, suite_report

_SOURCES = Path(__file__).parent / "inject"
_SHARED = ("agent_lsp_start.py", "agent_lsp_record.py", "agent_lsp_clock.py", "agent_lsp_bytecode.py")
_FILES = (*_SHARED, "agent_lsp_report.py", "agent_lsp_unittest.py", "agent_lsp_django.py")
_AHEAD = (*_SHARED, "agent_lsp_prepared.py", "agent_lsp_quiet.py")
_SCREEN = ("agent_lsp_screen.py", *_SHARED, "agent_lsp_report.py")
_POLL_S = 0.1

OnCase = Callable[[CaseId, int], None]


@dataclass(frozen=True, slots=True)
class Launch:
    """One test process: `framework` is `pytest`, `unittest` or `django`, `arguments` go to it."""

    framework: str
    interpreter: Interpreter
    arguments: tuple[str, ...]
    runner: str


@dataclass(frozen=True, slots=True)
class Ran:
    """One run with all that was told of it."""

    report: SuiteReport
    records: Records
    result: CommandResult


def bytecode_of(candidate: Candidate) -> Path:
    """Where a candidate's runs look for compiled code that is laid out before them."""
    return Path(candidate.scratch) / "bytecode"


def kept_bytecode_of(candidate: Candidate) -> Path:
    """Where a run of an unchanged tree leaves the compiled code that it made."""
    return Path(candidate.scratch) / "bytecode.new"


async def existing(candidate: Candidate, tests: Sequence[str]) -> list[str]:
    """The files and folders of the asked ids that are there, each once."""
    paths = dict.fromkeys(test.partition("::")[0] or "." for test in tests)
    return [
        path for path in paths if path == "." or await candidate.read(path) is not None or await candidate.paths(path)
    ]


async def launch(candidate: Candidate, what: Launch, request: SuiteRequest, on_case: OnCase | None) -> SuiteReport:
    """Runs it and reads its report. Raises RunnerUnavailableError if the process never came to its first record."""
    return (await run_injected(candidate, what, request, on_case)).report


async def run_injected(
    candidate: Candidate,
    what: Launch,
    request: SuiteRequest,
    on_case: OnCase | None = None,
    *,
    tells_modules: bool = False,
    prepared: Prepared | None = None,
) -> Ran:
    """See launch; `tells_modules` has the modules told that were loaded, and `prepared` may be forked from."""
    folder = Path(tempfile.mkdtemp(prefix="tests-", dir=candidate.scratch))
    report = folder / "report.jsonl"
    digests = _lay_out(folder)
    config = {
        "root": candidate.root,
        "report": str(report),
        "framework": what.framework,
        "tests": list(request.tests),
        "watch": list(request.watch),
        "fail_fast": request.fail_fast,
        "first": list(request.first),
        "test_limit_s": _limit_s(request),
        "case_limits_s": dict(own.seconds) if (own := request.case_limits) is not None else {},
        "once_hung": own is not None and own.once_hung,
        "modules": tells_modules,
        "enough_s": request.enough_s or 0.0,
        "bytecode": str(laid) if (laid := bytecode_of(candidate)).exists() else "",
        "keep_bytecode": str(kept_bytecode_of(candidate)) if request.recall else "",
        "shard": {"files": request.shard.files, "rest": request.shard.rest} if request.shard else None,
    }
    (folder / "config.json").write_text(json.dumps(config))
    arguments = [argument.replace("{folder}", str(folder)) for argument in what.arguments]
    command = Command(
        argv=(what.interpreter.program(candidate), str(folder / _FILES[0]), str(folder / "config.json"), *arguments),
        env={
            "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
            **_plugins(what.interpreter),
            **what.interpreter.path_env(candidate),
        },
        timeout_s=request.timeout_s,
        prepared=prepared,
    )
    with _Own(report) as own_report:
        watcher = asyncio.create_task(own_report.follow(on_case)) if on_case else None
        try:
            result = await candidate.run(command)
        finally:
            if watcher is not None:
                watcher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watcher
        records = read_records(own_report.text())
        records.spoiled = own_report.spoiled(records) or _changed(folder, digests)
    if not records.started and not records.spoiled and not result.timed_out:
        raise RunnerUnavailableError(
            f"{what.interpreter.shown} could not run the tests: {_last_line(result.output)}",
            hint=f"Try `{what.interpreter.shown} -m {what.framework}` in the workspace, or set tests.interpreter.",
        )
    return Ran(suite_report(what.runner, records, result, fail_fast=request.fail_fast), records, result)


def _limit_s(request: SuiteRequest) -> float:
    """What one test may take; where others depend on the first that is stopped, that must happen within the run."""
    own, usual_s = request.case_limits, _test_limit_s(request.timeout_s)
    limit_s = request.test_limit_s or usual_s
    return min(limit_s, usual_s) if own is not None and own.once_hung else limit_s


def _test_limit_s(timeout_s: float) -> float:
    """One test may take a sixth of the whole run, and of a short run most of it."""
    return max(timeout_s / 6, min(20.0, timeout_s * 0.7))


def _plugins(interpreter: Interpreter) -> dict[str, str]:
    """Plugins that happen to be installed beside agent-lsp are no part of the workspace's way of testing."""
    return {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if interpreter.borrowed else {}


def lay_out_ahead(folder: Path) -> dict[str, str]:
    """The same for a process that is prepared."""
    return _lay_out(folder, _AHEAD)


def lay_out_screen(folder: Path) -> Path:
    """The same for a process that looks at many edits; gives what is started."""
    _lay_out(folder, _SCREEN)
    return folder / _SCREEN[0]


def sources_digest() -> str:
    """Names what is laid out: it may be replaced by another version while this process runs."""
    digest = hashlib.sha256()
    for name in sorted({*_FILES, *_AHEAD}):
        digest.update((_SOURCES / name).read_bytes())
    return digest.hexdigest()


def unchanged(folder: Path, digests: Mapping[str, str]) -> bool:
    """Whether what was laid out is still what it was."""
    return not _changed(folder, digests)


def _changed(folder: Path, digests: Mapping[str, str]) -> str:
    """Which of what was laid out is not what it was."""
    names = [name for name, digest in digests.items() if _digest(folder / name) != digest]
    return (
        f"what reports on the tests was changed on the disk ({', '.join(names)}), so it tells nothing" if names else ""
    )


def _lay_out(folder: Path, files: Sequence[str] = _FILES) -> dict[str, str]:
    """Copies what runs beside the tests; gives the hash of each file, to see afterwards that none was changed."""
    for name in files:
        (folder / name).write_bytes((_SOURCES / name).read_bytes())
    (folder / "agent_lsp_lines.py").write_bytes(Path(lines.__file__).read_bytes())
    return {name: _digest(folder / name) for name in (*files, "agent_lsp_lines.py")}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


class _Own:
    """The report as the run's own process writes it: what is put in its place on the disk is not read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch(mode=0o600)
        self._stream: BinaryIO = path.open("rb")
        self._heard_bytes = 0

    def __enter__(self) -> "_Own":
        return self

    def __exit__(self, *_failure: object) -> None:
        self._stream.close()

    def text(self) -> str:
        """All of it."""
        self._stream.seek(0)
        return self._stream.read().decode(errors="replace")

    def spoiled(self, records: Records) -> str:
        """What was done to it from outside of its process, or past the plugin; empty if nothing is seen of that."""
        mine = os.fstat(self._stream.fileno())
        try:
            there = self._path.stat()
        except OSError:
            return "the report of the tests was removed while they ran, so it tells nothing"
        if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
            return "the report of the tests was replaced by another file while they ran, so it tells nothing"
        if mine.st_size < self._heard_bytes or (records.told and not records.started):
            return "the report of the tests was truncated while they ran, so it tells nothing"
        return ""

    async def follow(self, on_case: OnCase) -> None:
        """Tells of each test that ended while the run goes on, and of the rest when it is over."""
        collected = 0
        rest = b""
        while True:
            ended = False
            try:
                await asyncio.sleep(_POLL_S)
            except asyncio.CancelledError:
                ended = True
            self._stream.seek(self._heard_bytes)
            chunk = self._stream.read()
            self._heard_bytes += len(chunk)
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                records = read_records(line.decode(errors="replace"))
                collected += records.collected
                for case_id in records.cases:
                    on_case(case_id, collected)
            if ended:
                raise asyncio.CancelledError


def _last_line(output: str) -> str:
    lines_of = [line.strip() for line in output.splitlines() if line.strip()]
    return lines_of[-1][:300] if lines_of else "it ended without a word"
