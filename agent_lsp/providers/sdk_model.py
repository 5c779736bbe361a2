"""Owns what every model behind a vendor's SDK does alike: the client loaded once, the stream read in time."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from agent_lsp.domain.conversation import ModelRequest, ModelTurn
from agent_lsp.domain.errors import ModelBrokenError, ModelRejectedError, ModelUnavailableError
from agent_lsp.providers.endpoint import Endpoint
from agent_lsp.providers.failures import masked
from agent_lsp.providers.pricing import PRICES, Price, price_of

if TYPE_CHECKING:
    import httpx2

C = TypeVar("C")
S = TypeVar("S")
T = TypeVar("T")

_CONNECT_S: Final = 10.0


class SdkModel(ABC, Generic[C]):
    """One endpoint and the SDK's client for it, a `C`. Use it in one event loop; `close` when done."""

    def __init__(self, endpoint: Endpoint, *, prices: Mapping[str, Price] | None = None) -> None:
        """`prices` are laid over the table of providers/pricing.py."""
        self._endpoint = endpoint
        self._prices = {**PRICES, **(prices or {})}
        self._client: C | None = None
        self._loading = asyncio.Lock()

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

    async def close(self) -> None:
        """Closes idle connections; safe to repeat."""
        client: Any = self._client
        self._client = None
        if client is not None:
            await client.close()

    @abstractmethod
    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """One whole answer; `on_text` hears prose as it streams.

        Raises ModelUnavailableError, ModelRejectedError or ModelBrokenError. Cancelling closes the connection.
        """

    @staticmethod
    @abstractmethod
    def _make_client(endpoint: Endpoint) -> C:
        """Runs in a thread: the import, the certificates and the resource modules are slow."""

    async def _sdk_client(self) -> C:
        async with self._loading:
            if self._client is None:
                self._endpoint = await asyncio.to_thread(with_key, self._endpoint)
                self._client = await asyncio.to_thread(self._make_client, self._endpoint)
            return self._client

    async def _opened(self, asked: Awaitable[S], advice: str = "") -> S:
        """The stream of an answer once it begins. Raises ModelUnavailableError or ModelBrokenError."""
        waited = self._endpoint.request_timeout_s
        try:
            async with asyncio.timeout(waited):
                stream: Any = await asked
        except TimeoutError as error:
            raise ModelUnavailableError(f"The model's endpoint did not begin to answer within {waited:g} s.") from error
        kind = stream.response.headers.get("content-type", "")
        if "event-stream" not in kind:
            await stream.close()
            raise ModelBrokenError(
                f"The endpoint answered {masked(kind, '') or 'something'} instead of an event stream.",
                hint=f"Check the base URL ({self._endpoint.names.address}){advice}.",
            )
        opened: S = stream
        return opened

    async def _first(self, events: AsyncIterator[T]) -> T | None:
        """The first event of a stream, which is also when its answer begins. Raises ModelUnavailableError."""
        waited = self._endpoint.request_timeout_s
        try:
            async with asyncio.timeout(waited):
                return await anext(events, None)
        except TimeoutError as error:
            raise ModelUnavailableError(f"The model's endpoint did not begin to answer within {waited:g} s.") from error

    async def _next(self, events: AsyncIterator[T]) -> T | None:
        """The next event of a stream, None at its end. Raises ModelBrokenError for silence."""
        waited = self._endpoint.stall_timeout_s
        try:
            async with asyncio.timeout(waited):
                return await anext(events, None)
        except TimeoutError as error:
            raise ModelBrokenError(f"The model's stream stalled for {waited:g} s.") from error


def patience(endpoint: Endpoint) -> "httpx2.Timeout":
    """How long the transport waits: a little longer than we do."""
    import httpx2

    longest_s = max(endpoint.request_timeout_s, endpoint.stall_timeout_s) + 5.0
    return httpx2.Timeout(longest_s, connect=connect_s(endpoint))


def connect_s(endpoint: Endpoint) -> float:
    """Seconds to wait for a connection."""
    return min(_CONNECT_S, endpoint.request_timeout_s)


def with_key(endpoint: Endpoint) -> Endpoint:
    """The endpoint with the key that the system's keyring holds for it. May block: a keyring can ask to be unlocked.

    Raises ModelRejectedError that says what to do.
    """
    if endpoint.api_key or not endpoint.keyring:
        return endpoint
    service, _, user = endpoint.keyring.partition("/")
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as error:
        hint = (
            "Install it where agent-lsp is: pip install 'agent-lsp-server[keyring]'; or set the key in the environment."
        )
        raise ModelRejectedError("api_key_keyring is set and the package `keyring` is missing", hint=hint) from error
    try:
        key = keyring.get_password(service, user)
    except KeyringError as error:
        hint = "Unlock it, or set the key in the environment."
        raise ModelRejectedError(f"The system's keyring gives no key ({type(error).__name__})", hint=hint) from error
    if not key:
        hint = f"Put it there: python -m keyring set {service} {user}"
        raise ModelRejectedError(f"The system's keyring has no entry {endpoint.keyring}", hint=hint)
    return replace(endpoint, api_key=key)
