"""Owns the conversation with a language model that the editor lends (`agent/model/complete` of docs/protocol.md)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from agent_lsp.domain.conversation import (
    Block,
    Message,
    ModelRequest,
    ModelTurn,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
)
from agent_lsp.domain.errors import (
    AgentLspError,
    LinkClosedError,
    ModelBrokenError,
    ModelRejectedError,
    ModelUnavailableError,
    OperatorError,
    PromptTooLongError,
)
from agent_lsp.domain.model_ports import EditorModels, LentModel
from agent_lsp.domain.task import Usage
from agent_lsp.providers.failures import TOO_LONG

_NONE: Final = "The editor lends no language model now."
_NONE_HINT: Final = (
    "Sign in to the extension that brings one (such as GitHub Copilot), or configure another model: ANTHROPIC_API_KEY, "
    "or [model] in agent-lsp.toml."
)
_FINAL: Final[Mapping[str, tuple[str, str]]] = {
    "no_permission": (
        "The editor does not let agent-lsp use its language model",
        "Start the run again and allow it when the editor asks, or allow it under Manage Language Model Access.",
    ),
    "no_model": (_NONE.rstrip("."), _NONE_HINT),
    "quota": (
        "The editor's language model has no quota left for you",
        "Wait until it is renewed, choose another model (model.name), or configure one of your own.",
    ),
    "blocked": (
        "The editor's language model refused the request",
        "Choose another model (model.name), or configure one of your own.",
    ),
}
"""What the editor's codes mean, and what to do about each; any other may pass and is tried again."""


class EditorModel:
    """`domain.ports.Model` over whichever model the editor lends under the wished name."""

    def __init__(self, lender: EditorModels | None, wanted: str, request_timeout_s: float) -> None:
        """`wanted` is an id, a name or a family; empty takes the first that the editor lists."""
        self._lender, self._wanted, self._timeout_s = lender, wanted, request_timeout_s

    @property
    def name(self) -> str:
        """As people know it."""
        chosen = self._chosen()
        return f"{chosen.name} (lent by the editor)" if chosen is not None else "the editor's model"

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """One whole answer; its prose is heard at once, since editors hand over whole answers.

        Raises ModelUnavailableError, ModelRejectedError or ModelBrokenError. Cancelling ends the editor's work.
        """
        lender = self._lender
        if lender is None:
            raise ModelRejectedError(_NONE, hint=_NONE_HINT)
        chosen = await self._choose(lender)
        try:
            answer = await lender.complete(_params(request, chosen.id), timeout_s=self._timeout_s)
        except TimeoutError as error:
            raise ModelUnavailableError(f"The editor's model did not answer within {self._timeout_s:g} s.") from error
        except LinkClosedError:
            raise
        except AgentLspError as error:
            raise ModelUnavailableError(f"The editor did not ask its model: {error.message}") from error
        turn = _turn(answer, chosen)
        if turn.text:
            on_text(turn.text)
        return turn

    async def _choose(self, lender: EditorModels) -> LentModel:
        chosen = self._chosen()
        if chosen is None:
            await lender.refresh()
            chosen = self._chosen()
        if chosen is not None:
            return chosen
        if lender.known:
            names = ", ".join(model.id for model in lender.known)
            raise ModelRejectedError(
                f"The editor lends no model named {self._wanted}; it lends {names}.", hint="Change model.name."
            )
        raise ModelRejectedError(_NONE, hint=_NONE_HINT)

    def _chosen(self) -> LentModel | None:
        known: Sequence[LentModel] = self._lender.known if self._lender is not None else ()
        if not self._wanted:
            return known[0] if known else None
        for field in ("id", "name", "family"):
            for model in known:
                if getattr(model, field) == self._wanted:
                    return model
        return None


def _params(request: ModelRequest, model_id: str) -> dict[str, Any]:
    return {
        "model": model_id,
        "phase": request.phase.value,
        "system": request.system,
        "messages": [_message(message) for message in request.messages],
        "tools": [
            {"name": tool.name, "description": tool.description, "inputSchema": dict(tool.input_schema)}
            for tool in request.tools
        ],
        "maxTokens": request.max_tokens,
        "mustCall": request.must_call,
    }


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "blocks": [_block(block) for block in message.blocks]}


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case ToolCall(call_id, name, value):
            return {"type": "call", "id": call_id, "name": name, "input": dict(value)}
        case ToolResult(call_id, text, failed):
            return {"type": "result", "callId": call_id, "text": text, "failed": failed}


def _turn(answer: Mapping[str, Any], chosen: LentModel) -> ModelTurn:
    failure = answer.get("error")
    if failure is not None:
        raise _failure(failure if isinstance(failure, Mapping) else {"message": str(failure)})
    rows = answer.get("blocks")
    if not isinstance(rows, list):
        raise ModelBrokenError("The editor's answer of its model has no blocks.")
    blocks = tuple(_read(row) for row in rows)
    said = any(isinstance(block, ToolCall) or block.text.strip() for block in blocks)
    stop = answer.get("stop")
    if not said and stop != StopReason.LENGTH:
        raise ModelBrokenError("The editor's model answered nothing.")
    calls = any(isinstance(block, ToolCall) for block in blocks)
    reason = StopReason.LENGTH if stop == StopReason.LENGTH else StopReason.TOOL_USE if calls else StopReason.END
    model = answer.get("model")
    return ModelTurn(blocks, reason, model if isinstance(model, str) and model else chosen.id, _usage(answer))


def _read(row: Any) -> Text | ToolCall:
    """A block of the answer. Raises ModelBrokenError: what a model says is not trusted, nor who hands it over."""
    if isinstance(row, Mapping):
        if row.get("type") == "text" and isinstance(row.get("text"), str):
            return Text(row["text"])
        call_id, name, value = row.get("id"), row.get("name"), row.get("input")
        if row.get("type") == "call" and isinstance(call_id, str) and isinstance(name, str):
            if isinstance(value, Mapping) and call_id and name:
                return ToolCall(call_id, name, dict(value))
            raise ModelBrokenError(f"The editor's model called {name or 'a tool'} with an input that is no object.")
    raise ModelBrokenError("The editor's answer of its model holds a block that makes no sense.")


def _usage(answer: Mapping[str, Any]) -> Usage:
    """Tokens where the editor counted them. What they cost the person is between them and the editor."""
    counted = answer.get("usage")
    table: Mapping[str, Any] = counted if isinstance(counted, Mapping) else {}

    def count(key: str) -> int:
        value = table.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0

    return Usage(input_tokens=count("inputTokens"), output_tokens=count("outputTokens"), turns=1)


def _failure(row: Mapping[str, Any]) -> OperatorError:
    code, said = str(row.get("code") or ""), " ".join(str(row.get("message") or "").split())[:300]
    detail = f": {said}" if said else "."
    if code != "quota" and TOO_LONG.search(said):
        return PromptTooLongError(f"The editor's language model found the request too long{detail}")
    if code in _FINAL:
        what, hint = _FINAL[code]
        return ModelRejectedError(what + detail, hint=hint)
    return ModelUnavailableError(f"The editor's language model failed{detail}", hint="It is tried again by itself.")
