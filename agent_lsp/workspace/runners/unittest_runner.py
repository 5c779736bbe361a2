"""Owns running a workspace's tests with the standard library's unittest."""

from dataclasses import replace
from math import inf
from typing import ClassVar

from agent_lsp.domain.ports import Candidate, SuiteRequest
from agent_lsp.domain.verdict import SuiteReport
from agent_lsp.workspace.runners.injected import Launch, OnCase, launch
from agent_lsp.workspace.runners.interpreter import Interpreter


class UnittestRunner:
    """Ids read as pytest's do (`tests/test_a.py::Case::test_x`), so that they name their file; the arguments are
    file name patterns, `test*.py` without any."""

    _framework: ClassVar[str] = "unittest"

    def __init__(self, interpreter: Interpreter, patterns: tuple[str, ...] = (), timeout_s: float = inf) -> None:
        self._interpreter, self._patterns, self._timeout_s = interpreter, patterns, timeout_s

    @property
    def name(self) -> str:
        return f"unittest of Python {self._interpreter.python}".strip()

    @property
    def interpreter(self) -> Interpreter:
        """The Python that the tests run under."""
        return self._interpreter

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the settings add to the command."""
        return self._patterns

    def describe(self) -> str:
        """A line for doctor."""
        return f"unittest with {self._interpreter.describe()}"

    async def run(self, candidate: Candidate, request: SuiteRequest, on_case: OnCase | None = None) -> SuiteReport:
        """See SuiteRunner."""
        what = Launch(self._framework, self._interpreter, self._patterns, self.name)
        request = replace(request, timeout_s=min(request.timeout_s, self._timeout_s))
        return await launch(candidate, what, request, on_case)
