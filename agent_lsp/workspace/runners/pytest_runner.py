"""Owns running a workspace's tests with its own pytest."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from math import inf

from agent_lsp.domain.ports import Candidate, SuiteRequest
from agent_lsp.domain.suite_ports import Screened, Screening
from agent_lsp.domain.verdict import SuiteReport
from agent_lsp.workspace.runners.injected import Launch, OnCase, existing, launch
from agent_lsp.workspace.runners.interpreter import Interpreter
from agent_lsp.workspace.runners.screening import screen
from agent_lsp.workspace.runners.warm import WarmRuns


class PytestRunner:
    """Runs whole files and chooses the tests by id inside, so that one unknown id does not stop the others.

    The project's own options hold, but for those that would hide results: stopping early, several processes,
    coverage, reports and caches written into the workspace (see inject/agent_lsp_report.py).
    """

    def __init__(
        self,
        interpreter: Interpreter,
        arguments: tuple[str, ...] = (),
        timeout_s: float = inf,
        warm: WarmRuns | None = None,
    ) -> None:
        """Without `warm` every run is cold."""
        self._interpreter, self._arguments, self._timeout_s = interpreter, arguments, timeout_s
        self._warm = warm

    @property
    def name(self) -> str:
        return f"pytest {self._interpreter.pytest}".strip()

    @property
    def interpreter(self) -> Interpreter:
        """The Python that the tests run under."""
        return self._interpreter

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the settings add to the command."""
        return self._arguments

    def describe(self) -> str:
        """A line for doctor."""
        return f"pytest with {self._interpreter.describe()}"

    async def run(self, candidate: Candidate, request: SuiteRequest, on_case: OnCase | None = None) -> SuiteReport:
        """See SuiteRunner. Asked ids and paths that are not there are told in the report's `not_found`."""
        paths = await existing(candidate, request.tests)
        if request.tests and not paths:
            missing = ", ".join(request.tests)
            return SuiteReport(self.name, trouble=f"not found: {missing}", not_found=request.tests)
        if request.shard is not None and paths:
            paths = [path for path in paths if request.shard.may_hold(path, is_file=path.endswith(".py"))]
            if not paths:
                return SuiteReport(self.name, not_found=request.tests)
        arguments = (*self._arguments, "-p", "agent_lsp_report", "-o", "cache_dir={folder}/cache", *paths)
        request = replace(request, timeout_s=min(request.timeout_s, self._timeout_s))
        what = Launch("pytest", self._interpreter, arguments, self.name)
        run = self._warm.run if self._warm is not None and request.warm else launch
        return await run(candidate, what, request, on_case)

    def screen(self, candidate: Candidate, asked: Screening) -> AsyncGenerator[Screened, None]:
        """See ScreeningRunner."""
        return screen(candidate, Launch("pytest", self._interpreter, self._arguments, self.name), asked)
