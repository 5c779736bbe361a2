"""Owns running the tests of a project in a folder of the workspace as if the folder were the workspace."""

import posixpath
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ports import Candidate, Command, CommandResult, SandboxKind, SuiteRequest, SuiteRunner
from agent_lsp.domain.suite_ports import Screened, Screening, ScreeningRunner
from agent_lsp.domain.verdict import CaseResult, SuiteReport
from agent_lsp.workspace.runners.injected import OnCase

V = TypeVar("V")


class FolderView:
    """A folder of a candidate as a candidate: its root is the folder, and commands start there."""

    def __init__(self, candidate: Candidate, folder: str) -> None:
        self._candidate, self._folder = candidate, folder

    @property
    def tree(self) -> str:
        return self._candidate.tree

    @property
    def kind(self) -> SandboxKind:
        return self._candidate.kind

    @property
    def root(self) -> str:
        return f"{self._candidate.root}/{self._folder}"

    @property
    def scratch(self) -> str:
        return self._candidate.scratch

    async def read(self, path: str) -> Entry | None:
        """See Candidate; `..` leads to the rest of the workspace."""
        return await self._candidate.read(_out(self._folder, path))

    async def write(self, path: str, entry: Entry | None) -> None:
        """See Candidate."""
        await self._candidate.write(_out(self._folder, path), entry)

    async def paths(self, under: str = ".") -> Sequence[str]:
        """See Candidate; files of the folder alone."""
        return [_into(self._folder, path) for path in await self._candidate.paths(_out(self._folder, under))]

    async def run(self, command: Command) -> CommandResult:
        """See Candidate."""
        ahead = command.prepared
        return await self._candidate.run(
            replace(
                command,
                argv=_plain(command.argv),
                cwd=_out(self._folder, command.cwd),
                prepared=replace(ahead, argv=_plain(ahead.argv)) if ahead is not None else None,
            )
        )

    async def harvest(self) -> tuple[FileEdit, ...]:
        """Of the whole candidate."""
        return await self._candidate.harvest()

    async def close(self) -> None:
        """Closes the whole candidate."""
        await self._candidate.close()


def _plain(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The program by its path without detours."""
    return (posixpath.normpath(argv[0]), *argv[1:]) if argv[0].startswith("/") else argv


class FolderRunner:
    """A runner of a folder; ids and paths are told from the workspace's root."""

    def __init__(self, folder: str, runner: SuiteRunner) -> None:
        self.folder, self.inner = folder, runner

    @property
    def name(self) -> str:
        return f"{self.inner.name} in {self.folder}"

    def view(self, candidate: Candidate) -> FolderView:
        """The folder, as the inner runner gets it."""
        return FolderView(candidate, self.folder)

    async def run(self, candidate: Candidate, request: SuiteRequest, on_case: OnCase | None = None) -> SuiteReport:
        """See SuiteRunner."""
        folder = self.folder

        def into(paths: Sequence[str]) -> tuple[str, ...]:
            return tuple(_into(folder, path) for path in paths)

        def heard(case_id: str, collected: int) -> None:
            if on_case is not None:
                on_case(_out(folder, case_id), collected)

        own = request.case_limits
        asked = replace(
            request,
            tests=into(request.tests),
            watch=into(request.watch),
            first=into(request.first),
            changed=into(request.changed),
            shard=replace(shard, files=into(shard.files)) if (shard := request.shard) is not None else None,
            case_limits=replace(own, seconds={_into(folder, name): s for name, s in own.seconds.items()})
            if own
            else None,
        )
        return _told_outside(folder, await self.inner.run(self.view(candidate), asked, heard))

    async def screen(self, candidate: Candidate, asked: Screening) -> AsyncGenerator[Screened, None]:
        """See ScreeningRunner."""
        folder, inner = self.folder, self.inner
        if not isinstance(inner, ScreeningRunner):
            raise RunnerUnavailableError(f"{self.name} cannot look at many edits at once")
        inside = replace(
            asked,
            tests=tuple(_into(folder, name) for name in asked.tests),
            others=tuple(_into(folder, name) for name in asked.others),
            texts={_into(folder, path): text for path, text in asked.texts.items()},
            edits=[(_into(folder, path), start, end, text) for path, start, end, text in asked.edits],
            also={at: (_into(folder, half[0]), *half[1:]) for at, half in asked.also.items()},
        )
        async with aclosing(inner.screen(self.view(candidate), inside)) as rows:
            async for row in rows:
                passed, broken = (frozenset(_out(folder, name) for name in ids) for ids in (row.passed, row.broken))
                yield replace(row, passed=passed, broken=broken)


def _told_outside(folder: str, report: SuiteReport) -> SuiteReport:
    def out(path: str) -> str:
        return _out(folder, path)

    def named(ids: frozenset[str]) -> frozenset[str]:
        return frozenset(map(out, ids))

    def lines(table: Mapping[str, Mapping[int, frozenset[str]]]) -> dict[str, dict[int, frozenset[str]]]:
        return {out(path): {line: named(ids) for line, ids in rows.items()} for path, rows in table.items()}

    cases = [_case_outside(folder, case) for case in report.cases.values()]
    return replace(
        report,
        cases={case.id: case for case in cases},
        collection_errors=_keyed(folder, report.collection_errors),
        executed=lines(report.executed),
        executed_failing=lines(report.executed_failing),
        executable=_keyed(folder, report.executable),
        loaded=tuple(replace(file, path=out(file.path)) for file in report.loaded),
        touched=named(report.touched),
        not_found=tuple(map(out, report.not_found)),
        unmeasured=named(report.unmeasured),
        runner=f"{report.runner} in {folder}",
    )


def _case_outside(folder: str, case: CaseResult) -> CaseResult:
    return replace(case, id=_out(folder, case.id), path=_out(folder, case.path) if case.path else "")


def _keyed(folder: str, table: Mapping[str, V]) -> dict[str, V]:
    return {_out(folder, path): value for path, value in table.items()}


def _out(folder: str, name: str) -> str:
    """A path, or a test id, of the folder as the workspace calls it."""
    path, mark, rest = name.partition("::")
    return name if path.startswith("/") else posixpath.normpath(f"{folder}/{path}") + mark + rest


def _into(folder: str, name: str) -> str:
    """A path, or a test id, of the workspace as the folder calls it; what lies beside the folder begins with `..`."""
    path, mark, rest = name.partition("::")
    inside = posixpath.relpath(f"/{path}", f"/{folder}")
    return "." + mark + rest if inside == "." else inside + mark + rest
