"""Owns the questions whether an endpoint answers for a model, when a person asks, and whether it is there at all."""

import asyncio

from agent_lsp.domain.errors import AgentLspError, ModelRejectedError
from agent_lsp.providers import anthropic, ollama, openai
from agent_lsp.providers.endpoint import OLLAMA, OPENAI, Endpoint
from agent_lsp.providers.failures import mapped
from agent_lsp.providers.sdk_model import with_key


async def probe(endpoint: Endpoint) -> tuple[bool, str]:
    """Whether it answers, with a sentence for a person. Costs nothing, or one token where the endpoint lists no models.

    Waits for `request_timeout_s` at most. Never raises for a failure of the endpoint.
    """
    ask = {OPENAI: _ask_openai, OLLAMA: _ask_ollama}.get(endpoint.names, _ask_anthropic)
    try:
        async with asyncio.timeout(endpoint.request_timeout_s):
            await ask(await asyncio.to_thread(with_key, endpoint))
    except TimeoutError:
        return False, f"{endpoint.base_url} did not answer within {endpoint.request_timeout_s:g} s"
    except AgentLspError as error:
        return False, f"{error.message} {error.hint}".strip()
    return True, f"{endpoint.model} answers at {endpoint.base_url}"


async def reached(endpoint: Endpoint) -> tuple[bool, str]:
    """Whether anything answers at its address, with a sentence for a person. Any status will do: nothing is asked of
    the model, no key is sent and nothing is spent.

    Waits for `request_timeout_s` at most. Never raises for a failure of the endpoint.
    """
    import httpx

    try:
        async with asyncio.timeout(endpoint.request_timeout_s), httpx.AsyncClient(timeout=None) as client:  # noqa: S113
            await client.get(endpoint.base_url)
    except TimeoutError:
        return False, f"{endpoint.base_url} did not answer within {endpoint.request_timeout_s:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        return False, f"{endpoint.base_url} cannot be reached ({said})."
    return True, f"{endpoint.base_url} is there"


async def _ask_anthropic(endpoint: Endpoint) -> None:
    client = await asyncio.to_thread(anthropic.make_client, endpoint)
    try:
        async with mapped(endpoint, lambda: False):
            await client.models.retrieve(endpoint.model)
    except ModelRejectedError as error:
        if not _lists_no_models(error):
            raise
        async with mapped(endpoint, lambda: False):
            await client.messages.create(
                model=endpoint.model, max_tokens=1, messages=[{"role": "user", "content": "Hello"}]
            )
    finally:
        await client.close()


async def _ask_openai(endpoint: Endpoint) -> None:
    client = await asyncio.to_thread(openai.make_client, endpoint)
    try:
        async with mapped(endpoint, lambda: False):
            names = [model.id async for model in await client.models.list()]
        if endpoint.model not in names:
            told = ", ".join(sorted(names)[:5]) or "none"
            said = f"It has no model {endpoint.model}, but {told}."
            raise ModelRejectedError(said, hint="Set model.name to one of these.")
    except ModelRejectedError as error:
        if not _lists_no_models(error):
            raise
        async with mapped(endpoint, lambda: False):
            await client.chat.completions.create(
                model=endpoint.model, max_tokens=1, messages=[{"role": "user", "content": "Hello"}]
            )
    finally:
        await client.close()


async def _ask_ollama(endpoint: Endpoint) -> None:
    names = await ollama.listed(endpoint)
    wanted = endpoint.model if ":" in endpoint.model else f"{endpoint.model}:latest"
    if wanted not in names:
        raise ModelRejectedError(
            f"Ollama has no model {endpoint.model}, but {', '.join(names[:5]) or 'none'}.",
            hint=f"`agent-lsp models --pull` loads it (or: ollama pull {endpoint.model}).",
        )


def _lists_no_models(error: ModelRejectedError) -> bool:
    return "HTTP 404" in error.message or "HTTP 405" in error.message
