"""Owns the one decision point for tool calls: allow, ask or deny, with the rule that decided."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from agent_lsp.domain.errors import ToolError


class Effect(StrEnum):
    """What a tool can do to the world; a tool declares exactly one."""

    READ = "read"
    EDIT = "edit"
    COMMAND = "command"
    TALK = "talk"
    SUITE = "suite"


class Ruling(StrEnum):
    """What policy says of one call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """A ruling with the rule that made it; journalled before the tool runs."""

    ruling: Ruling
    rule: str


def decide_tool(effect: Effect, *, sandboxed: bool, commands_without_sandbox: bool) -> PolicyDecision:
    """Nothing that stays inside the sandbox is asked. Without a sandbox, commands need the person's setting."""
    if effect is Effect.SUITE:
        return PolicyDecision(Ruling.ALLOW, "the workspace's own tests, as validation runs them")
    if effect is not Effect.COMMAND:
        return PolicyDecision(Ruling.ALLOW, "stays in the candidate")
    if sandboxed:
        return PolicyDecision(Ruling.ALLOW, "runs in the sandbox")
    if commands_without_sandbox:
        return PolicyDecision(Ruling.ALLOW, "sandbox.commands_without_sandbox is set")
    return PolicyDecision(Ruling.DENY, "no sandbox on this machine and sandbox.commands_without_sandbox is not set")


def inside_root(path: str) -> str:
    """A model's path as a clean POSIX path relative to the root; `.` for the root itself.

    Raises ToolError for absolute paths, `..` that leaves the root, NUL bytes, and `.git` or `.agent-lsp`.
    Symlinks are the holder's to resolve.
    """
    if "\0" in path:
        raise ToolError("The path holds a NUL byte; give a plain relative path.")
    pure = PurePosixPath(path.strip() or ".")
    if pure.is_absolute():
        raise ToolError(f"{path} is absolute; give it relative to the workspace root.")
    parts: list[str] = []
    for part in pure.parts:
        if part == "..":
            if not parts:
                raise ToolError(f"{path} leaves the workspace; only files inside it can be used.")
            parts.pop()
        else:
            parts.append(part)
    if parts and parts[0] in (".git", ".agent-lsp"):
        raise ToolError(f"{path} belongs to {parts[0]}, which is not yours to use.")
    return "/".join(parts) or "."
