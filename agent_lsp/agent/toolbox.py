"""Owns the one way a model's call reaches a tool: validated, decided by policy, journalled, run, answered as text."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from agent_lsp.agent.engines import Record
from agent_lsp.agent.findings import shortened
from agent_lsp.agent.ledger import DeedKind, Ledger
from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput
from agent_lsp.agent.veil import Veil
from agent_lsp.domain.conversation import ToolCall, ToolResult, ToolSpec
from agent_lsp.domain.errors import AgentLspError, ToolError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.policy import Effect, Ruling, decide_tool
from agent_lsp.domain.ports import SandboxKind

logger = logging.getLogger(__name__)

MOST_RESULT_CHARACTERS: Final = 80_000
MOST_JOURNALLED_CHARACTERS: Final = 2000
_WITH_REAL_BYTES: Final = (Effect.EDIT, Effect.COMMAND)
"""What a model writes to people and journals keeps its placeholders."""


@dataclass(frozen=True, slots=True)
class Served:
    """How one call went. `trouble` is a failure or an effect that was not the wished one; `ends` ends the phase."""

    result: ToolResult
    trouble: bool
    changed: bool = False
    ends: Any = None


class Toolbox:
    """The tools of one phase, with what they work with."""

    def __init__(
        self,
        tools: Sequence[Tool[Any]],
        bench: Bench,
        record: Record,
        veil: Veil,
        *,
        commands_without_sandbox: bool = False,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._bench, self._record, self._veil = bench, record, veil
        self._commands_without_sandbox = commands_without_sandbox

    def specs(self) -> tuple[ToolSpec, ...]:
        """What is offered to the model."""
        return tuple(tool.spec() for tool in self._tools.values())

    async def serve(self, call: ToolCall) -> Served:
        """Answers one call, once. Raises OperatorError where no answer to the model could mend it; see `_run`."""
        ledger = self._bench.desk.ledger if self._bench.desk is not None else Ledger("")
        kept = ledger.again(DeedKind.TOOL, call.id)
        if kept is not None:
            return await self._served_before(call, kept)
        await ledger.caught_up()
        served = await self._serve(call)
        tool = self._tools.get(call.name)
        writes = tool is not None and tool.effect in (Effect.EDIT, Effect.COMMAND, Effect.SUITE)
        edits = await self._bench.candidate.harvest() if writes and ledger.keeps else None
        ledger.keep(DeedKind.TOOL, {"key": call.id, "tool": call.name, **served_data(served)}, edits)
        return served

    async def _served_before(self, call: ToolCall, kept: Mapping[str, Any]) -> Served:
        """What the call answered before the run was interrupted. A tool that ends a phase does nothing else."""
        ends = None
        if kept.get("ends"):
            tool = self._tools[call.name]
            ends = (await tool.run(_validated(tool, call.input), self._bench)).ends
        result = ToolResult(call.id, str(kept["text"]), failed=bool(kept["failed"]))
        return Served(result, bool(kept["trouble"]), bool(kept["changed"]), ends)

    async def _serve(self, call: ToolCall) -> Served:
        self._record(EventKind.TOOL_CALLED, {"call": call.id, "tool": call.name, "input": _clipped(call.input)})
        tool = self._tools.get(call.name)
        try:
            if tool is None:
                raise ToolError(f"There is no tool {call.name} here. These are: {', '.join(self._tools)}.")
            written = self._veil.put_back(call.input) if tool.effect in _WITH_REAL_BYTES else call.input
            given = _validated(tool, written)
            self._decide(tool)
            answer = await self._run(tool, given)
        except ToolError as error:
            text = f"{error.message} {error.hint}".strip()
            served = Served(ToolResult(call.id, shortened(text, MOST_RESULT_CHARACTERS), failed=True), trouble=True)
        else:
            assert tool is not None
            text = shortened(answer.text, MOST_RESULT_CHARACTERS) + await self._rules_met(call)
            result = ToolResult(call.id, text)
            served = Served(result, answer.trouble, tool.effect is Effect.EDIT, answer.ends)
        text = shortened(served.result.text, MOST_JOURNALLED_CHARACTERS)
        self._record(
            EventKind.TOOL_ANSWERED,
            {"call": call.id, "tool": call.name, "failed": served.result.failed, "text": text},
        )
        return served

    async def _run(self, tool: Tool[Any], given: ToolInput) -> Answer:
        """The handler boundary: what a tool did not foresee is the model's to work around, and in the log."""
        try:
            return await tool.run(given, self._bench)
        except AgentLspError:
            raise
        except Exception as error:
            logger.exception("the tool %s failed", tool.name)
            raise ToolError(f"{tool.name} failed: {type(error).__name__}: {error}. Try another way.") from error

    async def _rules_met(self, call: ToolCall) -> str:
        """What the AGENTS.md files above a file say that a tool touched for the first time."""
        paths = [str(call.input[key]) for key in ("path", "new_path") if isinstance(call.input.get(key), str)]
        if self._bench.rules is None or not paths:
            return ""
        met = await self._bench.rules.met(self._bench.candidate, paths)
        return f"\n\n# Rules that hold there\n\n{met}" if met else ""

    def _decide(self, tool: Tool[Any]) -> None:
        sandboxed = self._bench.candidate.kind is not SandboxKind.CLONE
        allowed_without = self._commands_without_sandbox
        decision = decide_tool(tool.effect, sandboxed=sandboxed, commands_without_sandbox=allowed_without)
        self._record(
            EventKind.POLICY,
            {"tool": tool.name, "effect": tool.effect.value, "ruling": decision.ruling.value, "rule": decision.rule},
        )
        if decision.ruling is not Ruling.ALLOW:
            raise ToolError(f"{tool.name} is not allowed: {decision.rule}. Go on without it.")


def served_data(served: Served) -> dict[str, Any]:
    """An answered call as it is kept."""
    told = {"text": served.result.text, "failed": served.result.failed, "trouble": served.trouble}
    return {**told, "changed": served.changed, "ends": served.ends is not None}


def _validated(tool: Tool[Any], given: Mapping[str, Any]) -> ToolInput:
    try:
        checked: ToolInput = tool.input_model.model_validate(dict(given))
    except ValidationError as error:
        rows = [f"{'.'.join(map(str, row['loc'])) or 'input'}: {row['msg']}" for row in error.errors()[:8]]
        schema = json.dumps(tool.spec().input_schema.get("properties", {}), separators=(",", ":"))
        raise ToolError(
            f"The input of {tool.name} has a wrong shape. {'; '.join(rows)}. "
            f"Its properties are {shortened(schema, 3000)}"
        ) from error
    return checked


def _clipped(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(key): shortened(value, MOST_JOURNALLED_CHARACTERS) if isinstance(value, str) else value
        for key, value in given.items()
    }
