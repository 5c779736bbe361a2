"""Owns the conversation with an Ollama server in its own format: answers line by line, the list of models, pulling one.

The library is loaded on first use, in a thread. Its shape of a tool drops what the server does not know either, so
tools are written in that shape.
"""

import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent_lsp.domain.conversation import Message, ModelRequest, ModelTurn, Text, ToolCall, ToolResult, ToolSpec
from agent_lsp.domain.errors import ModelBrokenError, ModelRejectedError, ModelUnavailableError, OperatorError
from agent_lsp.providers.assembly import Assembly
from agent_lsp.providers.endpoint import Endpoint
from agent_lsp.providers.failures import detail_of, masked, of_status
from agent_lsp.providers.pricing import Price
from agent_lsp.providers.sdk_model import SdkModel, connect_s

if TYPE_CHECKING:
    import httpx
    import ollama

Raw = dict[str, Any]

DEFAULT_BASE_URL: Final = "http://127.0.0.1:11434"
_STOPS: Final = {"stop": "end_turn", "length": "max_tokens"}
_SMALLEST_CONTEXT: Final = 16_384
_CHARACTERS_PER_TOKEN: Final = 3

_HEADERS: Final[ContextVar[Mapping[str, str]]] = ContextVar("headers", default=MappingProxyType({}))
"""Those of the last answer that this task had."""


class OllamaModel(SdkModel["ollama.AsyncClient"]):
    """`domain.ports.Model` over one model of one server."""

    def __init__(self, endpoint: Endpoint, *, prices: Mapping[str, Price] | None = None) -> None:
        """See SdkModel; the table of prices knows none of these models."""
        super().__init__(endpoint, prices=prices)
        self._context_tokens = _SMALLEST_CONTEXT
        self._calls = itertools.count(1)

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """See SdkModel."""
        client = await self._sdk_client()
        assembly, body = Assembly(self._endpoint.model, self._prices, on_text), self._body(request)
        async with answered(self._endpoint, lambda: assembly.started):
            lines: AsyncIterator[ollama.ChatResponse] = aiter(await client.chat(**body, stream=True))
            try:
                await self._read(lines, assembly)
            finally:
                await lines.aclose()  # type: ignore[attr-defined]
        return assembly.turn()

    @staticmethod
    def _make_client(endpoint: Endpoint) -> "ollama.AsyncClient":
        return make_client(endpoint)

    async def _read(self, lines: "AsyncIterator[ollama.ChatResponse]", assembly: Assembly) -> None:
        index = itertools.count()
        text_at: int | None = None
        while not assembly.finished:
            line = await (self._next(lines) if assembly.started else self._first(lines))
            if line is None:
                return
            if not assembly.started:
                assembly.take({"type": "message_start", "message": {"model": line.model}})
            if line.message.content:
                if text_at is None:
                    text_at = next(index)
                    assembly.take(_start(text_at, {"type": "text", "text": ""}))
                delta = {"type": "text_delta", "text": line.message.content}
                assembly.take({"type": "content_block_delta", "index": text_at, "delta": delta})
            for call in line.message.tool_calls or ():
                for event in self._call(next(index), call.function.name, dict(call.function.arguments)):
                    assembly.take(event)
            if line.done:
                for event in _end(line, text_at):
                    assembly.take(event)

    def _call(self, index: int, name: str, value: Raw) -> Iterator[Raw]:
        """A call comes whole, and without an id."""
        yield _start(index, {"type": "tool_use", "id": f"call_{next(self._calls)}", "name": name, "input": value})
        yield {"type": "content_block_stop", "index": index}

    def _body(self, request: ModelRequest) -> Raw:
        messages: list[Raw] = [{"role": "system", "content": request.system}] if request.system.strip() else []
        for message in request.messages:
            messages += _written(message, request.messages)
        options = {"num_ctx": self._context(messages, request.max_tokens), "num_predict": request.max_tokens}
        body: Raw = {"model": self._endpoint.model, "messages": messages, "options": options}
        return {**body, "tools": [_tool(tool) for tool in request.tools]} if request.tools else body

    def _context(self, messages: list[Raw], answer_tokens: int) -> int:
        """Tokens of the window: what does not fit is left out by the server without a word. It only ever grows, in
        powers of two, since the server loads the model anew for another size."""
        needed = len(json.dumps(messages)) // _CHARACTERS_PER_TOKEN + answer_tokens
        while self._context_tokens < needed:
            self._context_tokens *= 2
        return self._context_tokens


@asynccontextmanager
async def answered(endpoint: Endpoint, started: Callable[[], bool]) -> AsyncIterator[None]:
    """Every error of the library and its transport as one of ours."""
    import httpx
    import ollama

    try:
        yield
    except ollama.ResponseError as error:
        detail = masked(_detail(error.error), endpoint.api_key)
        if error.status_code >= 400:
            raise _refused(error.status_code, _HEADERS.get(), detail, endpoint) from None
        if started():
            raise ModelBrokenError(f"The model's stream broke with an error ({detail})") from None
        raise ModelUnavailableError(f"The model's endpoint has no answer now ({detail})") from None
    except (ConnectionError, httpx.TransportError, OSError) as error:
        detail = masked(str(error).splitlines()[0] if str(error) else type(error).__name__, endpoint.api_key)
        if started():
            raise ModelBrokenError(f"The model's stream broke ({detail}).") from None
        hint = f"Start Ollama, or check the base URL ({endpoint.names.address})."
        unreached = f"The model's endpoint {endpoint.base_url} cannot be reached ({detail})."
        raise ModelUnavailableError(unreached, hint=hint) from None
    except (ValueError, TypeError, AttributeError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        what = type(error).__name__
        raise ModelBrokenError(
            f"The endpoint's answer is none of Ollama's ({what}).",
            hint=f"Check the base URL ({endpoint.names.address}); it has no /v1 at its end.",
        ) from None


async def listed(endpoint: Endpoint) -> tuple[str, ...]:
    """The names of the models that the server has. Raises as `answered`."""
    client = make_client(endpoint)
    async with answered(endpoint, lambda: False):
        try:
            found = (await client.list()).models
        finally:
            await client.close()  # type: ignore[no-untyped-call]
    return tuple(sorted(model.model for model in found if model.model))


async def pull(endpoint: Endpoint, tell: Callable[[str, float | None], None]) -> None:
    """Has the server load the endpoint's model; `tell` hears a status and how much of it is done in percent.

    Raises as `answered`; what was loaded so far is kept by the server.
    """
    client = make_client(endpoint)
    async with answered(endpoint, lambda: False):
        try:
            async for step in await client.pull(endpoint.model, stream=True):
                done = 100.0 * (step.completed or 0) / step.total if step.total else None
                tell(step.status or "", done)
        finally:
            await client.close()  # type: ignore[no-untyped-call]


def make_client(endpoint: Endpoint) -> "ollama.AsyncClient":
    """The library's client; the import is slow, so models are made in a thread."""
    import httpx
    import ollama

    longest_s = max(endpoint.request_timeout_s, endpoint.stall_timeout_s) + 5.0
    headers = {"authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key not in ("", "none") else {}
    timeout = httpx.Timeout(longest_s, connect=connect_s(endpoint))
    hooks = {"response": [_look_at_headers]}
    return ollama.AsyncClient(host=endpoint.base_url, timeout=timeout, headers=headers, event_hooks=hooks)


async def _look_at_headers(response: "httpx.Response") -> None:
    """The library's errors hold no headers, and `retry-after` is one."""
    _HEADERS.set(response.headers)


def _refused(status: int, headers: Mapping[str, str], detail: str, endpoint: Endpoint) -> OperatorError:
    if status == 404 and "not found" in detail:
        hint = f"`agent-lsp models --pull` loads it (or: ollama pull {endpoint.model})."
        return ModelRejectedError(f"Ollama does not have the model {endpoint.model}", hint=hint, elsewhere=True)
    if status == 400 and "does not support tools" in detail:
        hint = "Choose a model that Ollama lists under `tools`."
        return ModelRejectedError(f"{endpoint.model} cannot call tools", hint=hint, elsewhere=True)
    return of_status(status, headers, detail, endpoint.names)


def _detail(said: str | Mapping[str, Any]) -> str:
    """The server's sentence out of an error's body. The library hands on an object as it is, as proxies send it."""
    if isinstance(said, Mapping):
        return detail_of({"error": said}, "")
    try:
        body = json.loads(said)
    except ValueError:
        return said
    if isinstance(body, Mapping) and isinstance(body.get("error"), str):
        return str(body["error"])
    return detail_of(body, "")


def _start(index: int, block: Raw) -> Raw:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _end(line: "ollama.ChatResponse", text_at: int | None) -> Iterator[Raw]:
    if text_at is not None:
        yield {"type": "content_block_stop", "index": text_at}
    usage = {"input_tokens": line.prompt_eval_count or 0, "output_tokens": line.eval_count or 0}
    stop = _STOPS.get(line.done_reason or "", "end_turn")
    yield {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage}
    yield {"type": "message_stop"}


def _written(message: Message, history: tuple[Message, ...]) -> list[Raw]:
    """One message of ours as theirs: results of tools are messages of their own, before what the person says."""
    text = "\n\n".join(block.text for block in message.blocks if isinstance(block, Text) and block.text.strip())
    if message.role == "assistant":
        calls = [block for block in message.blocks if isinstance(block, ToolCall)]
        row: Raw = {"role": "assistant", "content": text}
        made = [{"function": {"name": call.name, "arguments": dict(call.input)}} for call in calls]
        return [{**row, "tool_calls": made} if made else row]
    names = {block.id: block.name for said in history for block in said.blocks if isinstance(block, ToolCall)}
    rows = [_result(block, names) for block in message.blocks if isinstance(block, ToolResult)]
    return [*rows, {"role": "user", "content": text or "(nothing)"}] if text or not rows else rows


def _result(result: ToolResult, names: Mapping[str, str]) -> Raw:
    text = result.text if result.text.strip() else "(no output)"
    content = f"[failed] {text}" if result.failed else text
    return {"role": "tool", "tool_name": names.get(result.call_id, ""), "content": content}


def _tool(tool: ToolSpec) -> Raw:
    properties = {name: _property(value) for name, value in tool.input_schema.get("properties", {}).items()}
    parameters = {"type": "object", "properties": properties, "required": list(tool.input_schema.get("required", ()))}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _property(schema: Mapping[str, Any]) -> Raw:
    """One property in the words that the server knows: what may be null is simply not required."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    whole = {**choices[0], **schema} if choices else schema
    return {name: whole[name] for name in ("type", "items", "description", "enum") if name in whole}
