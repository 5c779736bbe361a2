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
from agent_lsp.domain.errors import ModelBrokenError, ModelRejectedError
from agent_lsp.providers.assembly import Assembly
from agent_lsp.providers.endpoint import Endpoint
from agent_lsp.providers.failures import detail_of, mapped, masked, of_event
from agent_lsp.providers.messages import Raw, call_ids, request_body
from agent_lsp.providers.pricing import Price
from agent_lsp.providers.sdk_model import SdkModel, patience

if TYPE_CHECKING:
    import anthropic
    from anthropic._streaming import ServerSentEvent

    Events = anthropic.AsyncStream[anthropic.types.RawMessageStreamEvent]

DEFAULT_BASE_URL: Final = "https://api.anthropic.com"
_DRAIN_S: Final = 0.25
_KEPT_TURNS: Final = 1000


class AnthropicModel(SdkModel["anthropic.AsyncAnthropic"]):
    """`domain.ports.Model` over one endpoint."""

    def __init__(self, endpoint: Endpoint, *, prices: Mapping[str, Price] | None = None) -> None:
        """See SdkModel."""
        super().__init__(endpoint, prices=prices)
        self._kept: OrderedDict[tuple[str, ...], Sequence[Raw]] = OrderedDict()
        self._may_force = True

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """See SdkModel."""
        try:
            return await self._answer(request, on_text)
        except ModelRejectedError as error:
            if not self._adapted(request, error.message):
                raise
            return await self._answer(request, on_text)

    @staticmethod
    def _make_client(endpoint: Endpoint) -> "anthropic.AsyncAnthropic":
        return make_client(endpoint)

    async def _answer(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        client = await self._sdk_client()
        assembly = Assembly(self._endpoint.model, self._prices, on_text)
        async with mapped(self._endpoint, lambda: assembly.started):
            body = request_body(request, self._endpoint.model, self._kept, force=self._may_force)
            stream: Events = await self._opened(client.messages.create(**body, stream=True))
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

    async def _read(self, stream: "Events", assembly: Assembly) -> None:
        """Takes events to the message's own end, then the body's rest, so that the connection can serve again."""
        import httpx2

        events = stream.raw_events(stream.response)
        while not assembly.finished:
            event = await self._next(events)
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

    client = anthropic.AsyncAnthropic(
        api_key=endpoint.api_key,
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=patience(endpoint),
    )
    _ = client.messages
    return client
