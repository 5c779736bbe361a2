"""Owns the answer to `initialize`: plain data from the standard library alone, so that it needs no import.

pygls would compute it from registered features; that takes the import of every LSP type first.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from agent_lsp.server.client import traits_of

if TYPE_CHECKING:
    from agent_lsp.server.shapes import ServerCapability

COMMANDS: Final = (
    "agent.run",
    "agent.plan.approve",
    "agent.plan.reject",
    "agent.control",
    "agent.status",
    "agent.proposal",
    "agent.apply",
    "agent.discard",
    "agent.edit",
    "agent.revalidate",
    "agent.rollback",
    "agent.checkpoints",
    "agent.say",
    "agent.answer",
    "agent.models",
    "agent.trust",
    "agent.log.tail",
    "agent.show",
)
"""PROTOCOL.md section 3, and `agent.show {proposalId, path?} | {runId} | {log}`: a diff, a plan, the log."""

FEATURES: Final = ("plan", "proposal", "hunks", "checkpoints", "conversation", "show", "models")
ACTION_KINDS: Final = ("quickfix", "refactor.rewrite", "source.agent")
INCREMENTAL: Final = 2


def initialize_result(params: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The `InitializeResult` for these parameters."""
    ours: ServerCapability = {"version": "1", "features": list(FEATURES)}
    return {
        "capabilities": {
            "positionEncoding": traits_of(params).encoding.value,
            "textDocumentSync": {"openClose": True, "change": INCREMENTAL, "save": {"includeText": False}},
            "codeActionProvider": {"codeActionKinds": list(ACTION_KINDS), "resolveProvider": True},
            "hoverProvider": True,
            "codeLensProvider": {"resolveProvider": True},
            "executeCommandProvider": {"commands": list(COMMANDS)},
            "workspace": {"workspaceFolders": {"supported": True, "changeNotifications": True}},
            "experimental": {"agentLsp": ours},
        },
        "serverInfo": {"name": "agent-lsp", "version": version},
    }
