"""Owns the conversation with an endpoint that speaks OpenAI's chat completions, streamed: OpenAI's own, and the many
servers that speak the same (vLLM, llama.cpp, LM Studio, Ollama).

The SDK is loaded on first use, in a thread. It does not retry: the caller does, with the budget in view.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from agent_lsp.domain.conversation import ModelRequest, ModelTurn
from agent_lsp.domain.errors import ModelBrokenError, ModelRejectedError
from agent_lsp.providers.assembly import Assembly
from agent_lsp.providers.chat_messages import Dialect, request_body
from agent_lsp.providers.chat_stream import ChatStream
from agent_lsp.providers.endpoint import Endpoint
from agent_lsp.providers.failures import mapped
from agent_lsp.providers.pricing import Price
from agent_lsp.providers.sdk_model import SdkModel, patience

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletionChunk

    Chunks = openai.AsyncStream[ChatCompletionChunk]

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
_ADAPTATIONS: Final = 3


class OpenAIModel(SdkModel["openai.AsyncOpenAI"]):
    """`domain.ports.Model` over one endpoint."""

    def __init__(self, endpoint: Endpoint, *, prices: Mapping[str, Price] | None = None) -> None:
        """See SdkModel; the table of prices knows none of these models."""
        super().__init__(endpoint, prices=prices)
        self._dialect = Dialect()

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """See SdkModel."""
        for _ in range(_ADAPTATIONS):
            body = request_body(request, self._endpoint.model, self._dialect)
            try:
                return await self._answer(body, on_text)
            except ModelRejectedError as error:
                if not self._dialect.adapted(body, error.message):
                    raise
        return await self._answer(request_body(request, self._endpoint.model, self._dialect), on_text)

    @staticmethod
    def _make_client(endpoint: Endpoint) -> "openai.AsyncOpenAI":
        return make_client(endpoint)

    async def _answer(self, body: Mapping[str, Any], on_text: Callable[[str], None]) -> ModelTurn:
        client = await self._sdk_client()
        assembly = Assembly(self._endpoint.model, self._prices, on_text)
        async with mapped(self._endpoint, lambda: assembly.started):
            asked = client.chat.completions.create(**body)
            stream: Chunks = await self._opened(asked, "; it ends in /v1 for most servers")
            try:
                await self._read(stream, assembly)
            finally:
                await stream.close()
        return assembly.turn()

    async def _read(self, stream: "Chunks", assembly: Assembly) -> None:
        """Takes chunks to the end of the stream: what tokens it took comes after the reason why it ended."""
        chat = ChatStream()
        async for chunk in self._chunks(stream, chat):
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
                chunk = await self._next(chunks)
            except ModelBrokenError:
                if chat.whole:  # only the counts are missing
                    return
                raise
            except ValueError as error:
                raise ModelBrokenError("The model's stream holds an event that is not JSON.") from error
            if chunk is None:
                return
            yield chunk.model_dump(exclude_unset=True, warnings=False)


def make_client(endpoint: Endpoint) -> "openai.AsyncOpenAI":
    """Runs in a thread: the import, the certificates and the resource modules are slow."""
    import openai

    client = openai.AsyncOpenAI(
        api_key=endpoint.api_key,
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=patience(endpoint),
    )
    _ = client.chat.completions
    return client
