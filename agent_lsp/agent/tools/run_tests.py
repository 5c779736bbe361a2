"""Owns the tool run_tests, which runs the workspace's tests in the candidate."""

from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput
from agent_lsp.agent.validation_text import failure_text
from agent_lsp.domain.errors import RunnerUnavailableError, ToolError
from agent_lsp.domain.policy import Effect, inside_root

MOST_CHARACTERS: Final = 20_000


class RunTests(ToolInput):
    """Which tests."""

    tests: list[str] = Field(
        default_factory=list,
        description="Test ids as the runner spells them (tests/test_a.py::test_x) or paths; none: the whole suite.",
    )


async def _run(given: RunTests, bench: Bench) -> Answer:
    wanted = [_inside(name) for name in given.tests]
    try:
        report = await bench.run_suite(bench.candidate, wanted)
    except RunnerUnavailableError as error:
        raise ToolError(f"The tests could not be started: {error.message} {error.hint}".strip()) from error
    return Answer(failure_text(report, MOST_CHARACTERS), trouble=not report.ran)


def _inside(name: str) -> str:
    path, mark, rest = name.partition("::")
    return inside_root(path) + mark + rest


TOOL: Final = Tool(
    name="run_tests",
    description="Runs tests of the workspace on your changes, in the sandbox, and tells which fail and why.",
    effect=Effect.SUITE,
    input_model=RunTests,
    run=_run,
)
