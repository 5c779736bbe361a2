"""Owns looking at many edits in one process: its start in the candidate, and what it tells while it runs."""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ports import Candidate, Command, CommandResult, SandboxKind
from agent_lsp.domain.suite_ports import Screened, Screening
from agent_lsp.workspace.runners.injected import Launch, existing, lay_out_screen

_POLL_S: Final = 0.02
_LONGEST_S: Final = 3600.0
_MOST_AT_ONCE: Final = 2
_NO_CHANGE: Final = ("", 0, 0, "")


async def screen(candidate: Candidate, what: Launch, asked: Screening) -> AsyncGenerator[Screened, None]:
    """See ScreeningRunner. The first of all is no edit: what it shows must be what is known."""
    if what.framework != "pytest" or not hasattr(os, "fork"):
        raise RunnerUnavailableError("only pytest on a system that forks can look at many edits at once")
    files = await existing(candidate, (*asked.tests, *asked.others))
    folder = Path(tempfile.mkdtemp(prefix="screen-", dir=candidate.scratch))
    command = await asyncio.to_thread(_laid_out, candidate, what, asked, folder, files)
    work = asyncio.create_task(candidate.run(command))
    rows = _rows(folder / "report.jsonl", work)
    try:
        base = await anext(rows, None)
        innocent = _checked(base, asked, work)
        names = (*asked.tests, *asked.others)
        async for row in rows:
            if "n" in row:
                yield _screened(row, names, innocent)
    finally:
        await rows.aclose()
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


def _laid_out(candidate: Candidate, what: Launch, asked: Screening, folder: Path, files: list[str]) -> Command:
    program = lay_out_screen(folder)
    plan = {
        "root": candidate.root,
        "report": str(folder / "report.jsonl"),
        "tests": asked.tests,
        "others": asked.others,
        "texts": dict(asked.texts),
        "edits": [_NO_CHANGE, *asked.edits],
        "also": {str(number + 1): edit for number, edit in asked.also.items()},
        "cpu_s": asked.cpu_s,
        "wall_s": asked.wall_s,
        "workers": min(_MOST_AT_ONCE, os.cpu_count() or 1) if candidate.kind is not SandboxKind.CLONE else 1,
    }
    (folder / "config.json").write_text(json.dumps(plan))
    arguments = [argument.replace("{folder}", str(folder)) for argument in what.arguments]
    cache = ("-o", f"cache_dir={folder / 'cache'}")
    plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if what.interpreter.borrowed else {}
    return Command(
        argv=(
            what.interpreter.program(candidate),
            str(program),
            str(folder / "config.json"),
            *arguments,
            *cache,
            *files,
        ),
        env={
            "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
            **plugins,
            **what.interpreter.path_env(candidate),
        },
        timeout_s=_LONGEST_S,
    )


async def _rows(report: Path, work: "asyncio.Task[CommandResult]") -> AsyncGenerator[dict[str, Any], None]:
    position, rest = 0, b""
    while True:
        ended = work.done()
        chunk = await asyncio.to_thread(_read, report, position)
        position += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict):
                    yield row
        if ended:
            return
        if not chunk:
            await asyncio.wait([work], timeout=_POLL_S)


def _read(report: Path, position: int) -> bytes:
    try:
        with report.open("rb") as stream:
            stream.seek(position)
            return stream.read()
    except FileNotFoundError:
        return b""


def _checked(base: dict[str, Any] | None, asked: Screening, work: "asyncio.Task[CommandResult]") -> frozenset[int]:
    """The tests that tell something: others that fail here without any edit do not. Raises RunnerUnavailableError."""
    if base is None or "n" not in base:
        said = work.result().output.strip().splitlines() if work.done() and not work.cancelled() else []
        raise RunnerUnavailableError(f"looking at many edits did not start: {said[-1][:200] if said else 'no word'}")
    count = len(asked.tests)
    if not base["late"] and (not base["collected"] or not base["seen"]):
        raise RunnerUnavailableError("the tests load the sources in a way that cannot be looked into")
    if any(at < count for at in base["passed"]):
        raise RunnerUnavailableError("a failing test passes when it runs alone")
    return frozenset(at for at in base["failed"] if at >= count)


def _screened(row: dict[str, Any], names: tuple[str, ...], silent: frozenset[int]) -> Screened:
    return Screened(
        int(row["n"]) - 1,
        frozenset(names[at] for at in row["passed"] if at < len(names)),
        frozenset(names[at] for at in row["failed"] if at < len(names) and at not in silent),
        bool(row["late"]),
        float(row["seconds"]),
    )
