"""Owns a candidate made of a few files, and runners on this Python, for the runner tests."""

import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry
from agent_lsp.domain.ports import SuiteRequest
from agent_lsp.domain.verdict import SuiteReport
from agent_lsp.workspace.runners.interpreter import Interpreter
from agent_lsp.workspace.runners.pytest_runner import PytestRunner
from agent_lsp.workspace.runners.unittest_runner import UnittestRunner
from tests.plain import PlainCandidate, PlainTrees

MakeCandidate = Callable[[Mapping[str, str]], PlainCandidate]
Run = Callable[..., Awaitable[SuiteReport]]
THIS = Interpreter(sys.executable, "this Python", python="3", pytest=pytest.__version__)


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins of this project's own environment take longer to load than the small suites to run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
async def candidate_of(tmp_path: Path) -> AsyncIterator[MakeCandidate]:
    made: list[PlainCandidate] = []

    def make(files: Mapping[str, str]) -> PlainCandidate:
        trees = PlainTrees(tmp_path)
        tree = trees.keep({path: Entry(textwrap.dedent(code).encode()) for path, code in files.items()})
        made.append(PlainCandidate(trees, tree))
        return made[-1]

    yield make
    for candidate in made:
        await candidate.close()


@pytest.fixture
def run_pytest(candidate_of: MakeCandidate) -> Run:
    async def run(files: Mapping[str, str], *arguments: str, **request: object) -> SuiteReport:
        return await PytestRunner(THIS, arguments).run(candidate_of(files), SuiteRequest(**request))  # type: ignore[arg-type]

    return run


@pytest.fixture
def run_unittest(candidate_of: MakeCandidate) -> Run:
    async def run(files: Mapping[str, str], **request: object) -> SuiteReport:
        return await UnittestRunner(THIS).run(candidate_of(files), SuiteRequest(**request))  # type: ignore[arg-type]

    return run
