"""Owns the conversation with an endpoint that speaks the Anthropic Messages API, streamed.

The SDK is loaded on first use, in a thread: it costs one to two seconds and 70 MiB. It does not retry: the caller does,
with the budget in view. Nothing of it leaves this folder, errors included.
"""

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from agent_lsp.domain.conversation import ModelRequest, ModelTurn
from agent_lsp.domain.errors import ModelBrokenError, ModelRejectedError, ModelUnavailableError
from agent_lsp.providers.assembly import Assembly
from agent_lsp.providers.endpoint import Endpoint
from agent_lsp.providers.failures import detail_of, mapped, masked, of_event
from agent_lsp.providers.messages import Raw, call_ids, request_body
from agent_lsp.providers.pricing import PRICES, Price, price_of

if TYPE_CHECKING:
    import anthropic
    from anthropic._streaming import ServerSentEvent

DEFAULT_BASE_URL: Final = "https://api.anthropic.com"
_CONNECT_S: Final = 10.0
_DRAIN_S: Final = 0.25
_KEPT_TURNS: Final = 1000


class AnthropicModel:
    """`domain.ports.Model` over one endpoint. Use it in one event loop; `close` when done."""

    def __init__(self, endpoint: Endpoint, *, prices: Mapping[str, Price] | None = None) -> None:
        """`prices` are laid over the table of providers/pricing.py."""
        self._endpoint = endpoint
        self._prices = {**PRICES, **(prices or {})}
        self._client: anthropic.AsyncAnthropic | None = None
        self._loading = asyncio.Lock()
        self._kept: OrderedDict[tuple[str, ...], Sequence[Raw]] = OrderedDict()
        self._may_force = True

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
        try:
            return await self._answer(request, on_text)
        except ModelRejectedError as error:
            if not self._adapted(request, error.message):
                raise
            return await self._answer(request, on_text)

    async def close(self) -> None:
        """Closes idle connections; safe to repeat."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _sdk_client(self) -> "anthropic.AsyncAnthropic":
        async with self._loading:
            if self._client is None:
                self._client = await asyncio.to_thread(make_client, self._endpoint)
            return self._client

    async def _answer(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        client = await self._sdk_client()
        assembly = Assembly(self._endpoint.model, self._prices, on_text)
        async with mapped(self._endpoint, lambda: assembly.started):
            stream = await self._open(client, request)
            try:
                await self._read(stream, assembly)
            finally:
                await stream.close()
        turn = assembly.turn()
        self._keep(call_ids(turn.blocks), assembly.as_sent())
        return turn

    def _adapted(self, request: ModelRequest, refusal: str) -> bool:
        """Whether a refusal names something that this model does not take and that can be left out.

        Newer models refuse forced tools, and thinking that belongs to another conversation (Claude Opus 5.5,
        "What's new"); which ones is learnt from their answer.
        """
        if request.must_call and self._may_force and "tool_choice" in refusal:
            self._may_force = False
            return True
        if "thinking" in refusal and self._kept:
            self._kept.clear()
            return True
        return False

    def _keep(self, calls: tuple[str, ...], as_sent: Sequence[Raw]) -> None:
        if calls and as_sent:
            self._kept[calls] = as_sent
            if len(self._kept) > _KEPT_TURNS:
                self._kept.popitem(last=False)

    async def _open(
        self, client: "anthropic.AsyncAnthropic", request: ModelRequest
    ) -> "anthropic.AsyncStream[anthropic.types.RawMessageStreamEvent]":
        body = request_body(request, self._endpoint.model, self._kept, force=self._may_force)
        try:
            async with asyncio.timeout(self._endpoint.request_timeout_s):
                stream: anthropic.AsyncStream[anthropic.types.RawMessageStreamEvent]
                stream = await client.messages.create(**body, stream=True)
        except TimeoutError as error:
            waited = self._endpoint.request_timeout_s
            raise ModelUnavailableError(f"The model's endpoint did not begin to answer within {waited:g} s.") from error
        kind = stream.response.headers.get("content-type", "")
        if "event-stream" not in kind:
            await stream.close()
            raise ModelBrokenError(
                f"The endpoint answered {masked(kind, '') or 'something'} instead of an event stream.",
                hint="Check the base URL (ANTHROPIC_BASE_URL).",
            )
        return stream

    async def _read(
        self, stream: "anthropic.AsyncStream[anthropic.types.RawMessageStreamEvent]", assembly: Assembly
    ) -> None:
        """Takes events to the message's own end, then the body's rest, so that the connection can serve again."""
        import httpx2

        events = stream.raw_events(stream.response)
        while not assembly.finished:
            try:
                async with asyncio.timeout(self._endpoint.stall_timeout_s):
                    event = await anext(events, None)
            except TimeoutError as error:
                waited = self._endpoint.stall_timeout_s
                raise ModelBrokenError(f"The model's stream stalled for {waited:g} s.") from error
            if event is None:
                return
            self._take(event, assembly)
        with contextlib.suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(_DRAIN_S):
                while await anext(events, None) is not None:
                    pass

    def _take(self, event: "ServerSentEvent", assembly: Assembly) -> None:
        if event.event == "ping" or not event.data:
            return
        try:
            data = json.loads(event.data)
        except ValueError as error:
            raise ModelBrokenError("The model's stream holds an event that is not JSON.") from error
        if not isinstance(data, dict):
            raise ModelBrokenError("The model's stream holds an event that is not a JSON object.")
        if event.event == "error" or data.get("type") == "error":
            error_body = data.get("error")
            kind = str(error_body.get("type", "error")) if isinstance(error_body, dict) else "error"
            raise of_event(masked(kind, ""), detail_of(data, self._endpoint.api_key), started=assembly.started)
        assembly.take(data)


def make_client(endpoint: Endpoint) -> "anthropic.AsyncAnthropic":
    """Runs in a thread: the import, the certificates and the resource modules are slow."""
    import anthropic
    import httpx2

    longest_s = max(endpoint.request_timeout_s, endpoint.stall_timeout_s) + 5.0
    client = anthropic.AsyncAnthropic(
        api_key=endpoint.api_key,
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=httpx2.Timeout(longest_s, connect=min(_CONNECT_S, endpoint.request_timeout_s)),
    )
    _ = client.messages
    return client
