"""Owns the tool run_command."""

from typing import Final

from pydantic import Field

from agent_lsp.agent.findings import shortened
from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput
from agent_lsp.domain.policy import Effect
from agent_lsp.domain.ports import Command, CommandResult

DEFAULT_TIMEOUT_S: Final = 120.0
LONGEST_TIMEOUT_S: Final = 900.0
MOST_CHARACTERS: Final = 20_000
MOST_REFUSED: Final = 10


class RunCommand(ToolInput):
    """A command line."""

    command: str = Field(min_length=1, description="For `sh -c`, started at the workspace root.")
    timeout_s: float | None = Field(default=None, gt=0, le=LONGEST_TIMEOUT_S, description="Seconds; default 120.")


async def _run(given: RunCommand, bench: Bench) -> Answer:
    timeout_s = given.timeout_s or DEFAULT_TIMEOUT_S
    remaining_s = bench.desk.remaining_s() if bench.desk else None
    if remaining_s is not None:
        timeout_s = max(1.0, min(timeout_s, remaining_s))
    done = await bench.candidate.run(Command(("sh", "-c", given.command), timeout_s=timeout_s))
    output = shortened(done.output.rstrip("\n"), MOST_CHARACTERS) or "(no output)"
    refused = [f"{row}." for row in done.refused[:MOST_REFUSED]]
    return Answer("\n".join([_ending(done, timeout_s), *refused, output]), trouble=done.exit_status != 0)


def _ending(done: CommandResult, timeout_s: float) -> str:
    if done.timed_out or done.exit_status is None:
        return f"Stopped after {timeout_s:.0f} s without an end. Output so far:"
    if done.exit_status < 0:
        return f"Killed by signal {-done.exit_status} after {done.duration_s:.1f} s."
    return f"Exit status {done.exit_status} after {done.duration_s:.1f} s."


TOOL: Final = Tool(
    name="run_command",
    description=(
        "Runs a shell command in a sandboxed copy of the workspace, without network (where HTTPS_PROXY is set, it "
        "leads to the few hosts that the person lists). Nothing is asked on stdin. "
        "For tests use run_tests, for reading and changing files the file tools."
    ),
    effect=Effect.COMMAND,
    input_model=RunCommand,
    run=_run,
)
