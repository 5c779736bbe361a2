"""Owns the conversation with an endpoint that speaks OpenAI's chat completions, streamed: OpenAI's own, and the many
servers that speak the same (vLLM, llama.cpp, LM Studio, Ollama).

The SDK is loaded on first use, in a thread. It does not retry: the caller does, with the budget in view.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from agent_lsp.domain.conversation import ModelRequest, ModelTurn
from agent_lsp.domain.errors import ModelBrokenError, ModelRejectedError, ModelUnavailableError
from agent_lsp.providers.assembly import Assembly
from agent_lsp.providers.chat_messages import Dialect, request_body
from agent_lsp.providers.chat_stream import ChatStream
from agent_lsp.providers.endpoint import Endpoint
from agent_lsp.providers.failures import detail_of, mapped, masked, of_event
from agent_lsp.providers.pricing import PRICES, Price, price_of

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletionChunk

    Chunks = openai.AsyncStream[ChatCompletionChunk]

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
_CONNECT_S: Final = 10.0
_ADAPTATIONS: Final = 3


class OpenAIModel:
    """`domain.ports.Model` over one endpoint. Use it in one event loop; `close` when done."""

    def __init__(self, endpoint: Endpoint, *, prices: Mapping[str, Price] | None = None) -> None:
        """`prices` are laid over the table of providers/pricing.py, which knows none of these models."""
        self._endpoint = endpoint
        self._prices = {**PRICES, **(prices or {})}
        self._client: openai.AsyncOpenAI | None = None
        self._loading = asyncio.Lock()
        self._dialect = Dialect()

    @property
    def priced(self) -> bool:
        """Whether the configured model's price is known; else its cost counts as 0."""
        return price_of(self._endpoint.model, self._prices) is not None

    @property
    def name(self) -> str:
        """The configured model; a turn names the one that answered."""
        return self._endpoint.model

    async def warm(self) -> None:
        """Loads the SDK without a request, so that the first one does not wait for it."""
        await self._sdk_client()

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """One whole answer; `on_text` hears prose as it streams.

        Raises ModelUnavailableError, ModelRejectedError or ModelBrokenError. Cancelling closes the connection.
        """
        for _ in range(_ADAPTATIONS):
            body = request_body(request, self._endpoint.model, self._dialect)
            try:
                return await self._answer(body, on_text)
            except ModelRejectedError as error:
                if not self._dialect.adapted(body, error.message):
                    raise
        return await self._answer(request_body(request, self._endpoint.model, self._dialect), on_text)

    async def close(self) -> None:
        """Closes idle connections; safe to repeat."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _sdk_client(self) -> "openai.AsyncOpenAI":
        async with self._loading:
            if self._client is None:
                self._client = await asyncio.to_thread(make_client, self._endpoint)
            return self._client

    async def _answer(self, body: Mapping[str, Any], on_text: Callable[[str], None]) -> ModelTurn:
        client = await self._sdk_client()
        assembly = Assembly(self._endpoint.model, self._prices, on_text)
        async with mapped(self._endpoint, lambda: assembly.started):
            stream = await self._open(client, body)
            try:
                await self._read(stream, assembly)
            finally:
                await stream.close()
        return assembly.turn()

    async def _open(self, client: "openai.AsyncOpenAI", body: Mapping[str, Any]) -> "Chunks":
        try:
            async with asyncio.timeout(self._endpoint.request_timeout_s):
                stream: Chunks = await client.chat.completions.create(**body)
        except TimeoutError as error:
            waited = self._endpoint.request_timeout_s
            raise ModelUnavailableError(f"The model's endpoint did not begin to answer within {waited:g} s.") from error
        kind = stream.response.headers.get("content-type", "")
        if "event-stream" not in kind:
            await stream.close()
            raise ModelBrokenError(
                f"The endpoint answered {masked(kind, '') or 'something'} instead of an event stream.",
                hint=f"Check the base URL ({self._endpoint.names.address}); it ends in /v1 for most servers.",
            )
        return stream

    async def _read(self, stream: "Chunks", assembly: Assembly) -> None:
        """Takes chunks to the end of the stream: what tokens it took comes after the reason why it ended."""
        chat = ChatStream()
        async for chunk in self._chunks(stream, chat):
            if error := chunk.get("error"):
                kind = str(error.get("type") or error.get("code") or "error") if isinstance(error, dict) else "error"
                detail = detail_of(chunk, self._endpoint.api_key)
                raise of_event(masked(kind, ""), detail, started=assembly.started)
            try:
                for event in chat.events(chunk):
                    assembly.take(event)
            except (KeyError, TypeError, AttributeError) as error:
                raise ModelBrokenError("The model's stream holds a malformed chunk.") from error
        if chat.whole:
            for event in chat.end():
                assembly.take(event)

    async def _chunks(self, stream: "Chunks", chat: ChatStream) -> AsyncIterator[dict[str, Any]]:
        chunks = aiter(stream)
        while True:
            try:
                async with asyncio.timeout(self._endpoint.stall_timeout_s):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                if chat.whole:  # only the counts are missing
                    return
                waited = self._endpoint.stall_timeout_s
                raise ModelBrokenError(f"The model's stream stalled for {waited:g} s.") from error
            except ValueError as error:
                raise ModelBrokenError("The model's stream holds an event that is not JSON.") from error
            if chunk is None:
                return
            yield chunk.model_dump(exclude_unset=True, warnings=False)


def make_client(endpoint: Endpoint) -> "openai.AsyncOpenAI":
    """Runs in a thread: the import, the certificates and the resource modules are slow."""
    import httpx2
    import openai

    longest_s = max(endpoint.request_timeout_s, endpoint.stall_timeout_s) + 5.0
    client = openai.AsyncOpenAI(
        api_key=endpoint.api_key,
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=httpx2.Timeout(longest_s, connect=min(_CONNECT_S, endpoint.request_timeout_s)),
    )
    _ = client.chat.completions
    return client
