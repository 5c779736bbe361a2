"""Owns the cheap question whether an endpoint answers for a model, for `agent-lsp doctor`."""

import asyncio
from typing import TYPE_CHECKING

from agent_lsp.domain.errors import AgentLspError, ModelRejectedError
from agent_lsp.providers.anthropic import Endpoint, make_client
from agent_lsp.providers.failures import mapped

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic


async def probe(base_url: str, api_key: str, model: str, timeout_s: float) -> tuple[bool, str]:
    """Whether it answers, with a sentence for a person. Costs nothing, or one token where the endpoint lists no models.

    Never raises for a failure of the endpoint.
    """
    endpoint = Endpoint(model, api_key, base_url, request_timeout_s=timeout_s, stall_timeout_s=timeout_s)
    try:
        client = await asyncio.to_thread(make_client, endpoint)
        try:
            async with asyncio.timeout(timeout_s):
                await _ask(client, endpoint)
        finally:
            await client.close()
    except TimeoutError:
        return False, f"{base_url} did not answer within {timeout_s:g} s"
    except AgentLspError as error:
        return False, f"{error.message} {error.hint}".strip()
    return True, f"{model} answers at {base_url}"


async def _ask(client: "AsyncAnthropic", endpoint: Endpoint) -> None:
    try:
        async with mapped(endpoint.api_key, lambda: False):
            await client.models.retrieve(endpoint.model)
    except ModelRejectedError as error:
        if "HTTP 404" not in error.message and "HTTP 405" not in error.message:
            raise
        async with mapped(endpoint.api_key, lambda: False):
            await client.messages.create(
                model=endpoint.model, max_tokens=1, messages=[{"role": "user", "content": "Hello"}]
            )
