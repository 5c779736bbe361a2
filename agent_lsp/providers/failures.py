"""Owns how every failure of the SDK and of the connection becomes one of our three; nothing secret gets through."""

import email.utils
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from agent_lsp.domain.errors import (
    ModelBrokenError,
    ModelRejectedError,
    ModelUnavailableError,
    OperatorError,
    PromptTooLongError,
)
from agent_lsp.providers.endpoint import OPENAI, Endpoint, Names

RETRIED_STATUSES: Final = frozenset({408, 409, 425, 429, 499})
"""Client errors that mean "not now"; all of 5xx do too."""

_HINTS: Final = {
    400: "The request was not understood; agent-lsp log has the endpoint's words.",
    401: "Check the API key ({key}).",
    402: "Check the account's balance.",
    403: "This key may not use that model.",
    404: "Check the model's name and the base URL ({address}).",
    413: "The conversation has grown too large; start a smaller goal.",
}
_MENDED_ELSEWHERE: Final = frozenset({402, 403, 404})
_KINDS_UNAVAILABLE: Final = frozenset(
    {"overloaded_error", "rate_limit_error", "api_error", "timeout_error", "server_error"}
)
_KEY = re.compile(r"\b(?:sk-[A-Za-z0-9_-]{6,}|Bearer\s+\S+)")
TOO_LONG: Final = re.compile(
    r"(?:prompt|input|request|message|context)\w*(?:\W+\w+){0,3}\W+too (?:long|large)|request_too_large"
    r"|context[_ ](?:length|window|size|limit)|too many (?:input |prompt )?tokens",
    re.IGNORECASE,
)
"""How servers say that a request has more tokens than the model takes."""

_LONGEST_DETAIL: Final = 300


def masked(text: str, secret: str) -> str:
    """`text` without the key, wherever an endpoint repeated it, on one line and not too long."""
    if secret:
        text = text.replace(secret, "***")
    text = " ".join(_KEY.sub("***", text).split())
    return text if len(text) <= _LONGEST_DETAIL else text[:_LONGEST_DETAIL] + "…"


@asynccontextmanager
async def mapped(endpoint: Endpoint, started: Callable[[], bool]) -> AsyncIterator[None]:
    """Every error of the SDK and its transport as one of ours; what was raised stays out of the chain, since it holds
    the request with its headers. `started` tells whether the message had begun."""
    import httpx2

    secret, names = endpoint.api_key, endpoint.names
    sdk, base = _sdk(names)
    try:
        yield
    except sdk.APIStatusError as error:
        detail = detail_of(error.body, secret)
        raise of_status(error.status_code, error.response.headers, detail, names) from None
    except sdk.APITimeoutError:
        raise ModelUnavailableError("The model's endpoint did not answer in time.") from None
    except sdk.APIConnectionError as error:
        if started():
            raise ModelBrokenError(
                f"The model's stream broke ({masked(str(error.__cause__ or error), secret)})."
            ) from None
        raise ModelUnavailableError(
            f"The model's endpoint cannot be reached ({masked(str(error.__cause__ or error), secret)}).",
            hint=f"Check the network and the base URL ({names.address}).",
        ) from None
    except (httpx2.HTTPError, httpx2.StreamError, UnicodeDecodeError) as error:
        detail = f"{type(error).__name__}: {masked(str(error), secret)}"
        if started():
            raise ModelBrokenError(f"The model's stream broke ({detail}).") from None
        raise ModelUnavailableError(f"The connection to the model's endpoint broke ({detail}).") from None
    except (base, httpx2.InvalidURL) as error:
        if type(error) is sdk.APIError:  # an error that came in the stream
            kind = str(getattr(error, "type", None) or getattr(error, "code", None) or "error")
            raise of_event(masked(kind, secret), masked(str(error), secret), started=started()) from None
        raise ModelRejectedError(
            f"The request could not be made ({masked(str(error), secret)}).",
            hint=f"Check the base URL ({names.address}) and the API key ({names.key}).",
        ) from None


def _sdk(names: Names) -> tuple[Any, type[Exception]]:
    """The library that speaks with the endpoint; both are made from one mould, and only one of them is loaded."""
    if names == OPENAI:
        import openai

        return openai, openai.OpenAIError
    import anthropic

    return anthropic, anthropic.AnthropicError


def of_status(status: int, headers: Mapping[str, str], detail: str, names: Names) -> OperatorError:
    """The error for an answer with an HTTP status. `detail` is masked already."""
    said = f": {detail}" if detail else ""
    if status in RETRIED_STATUSES or status >= 500:
        what = {429: "is limiting the rate", 529: "is overloaded"}.get(status, "is in trouble")
        return ModelUnavailableError(
            f"The model's endpoint {what} (HTTP {status}){said}",
            hint="It is tried again by itself.",
            retry_after_s=retry_after_s(headers),
        )
    if status in (400, 413, 422) and (status == 413 or TOO_LONG.search(detail)):
        hint = "Set model.context_tokens to what the model takes, or make the goal smaller."
        return PromptTooLongError(f"The model's endpoint found the request too long (HTTP {status}){said}", hint=hint)
    hint = _HINTS.get(status, "See agent-lsp log.").format(key=names.key, address=names.address)
    refused = f"The model's endpoint refused the request (HTTP {status}){said}"
    return ModelRejectedError(refused, hint=hint, elsewhere=status in _MENDED_ELSEWHERE)


def of_event(kind: str, detail: str, *, started: bool) -> OperatorError:
    """The error for an `error` event of a stream: before the message it is like a status, within it breaks it."""
    said = f"{kind}: {detail}" if detail else kind
    if started:
        return ModelBrokenError(f"The model's stream broke with an error ({said})")
    if kind in _KINDS_UNAVAILABLE:
        return ModelUnavailableError(f"The model's endpoint has no answer now ({said})")
    if TOO_LONG.search(said):
        return PromptTooLongError(f"The model's endpoint found the request too long ({said})")
    return ModelRejectedError(f"The model's endpoint refused the request ({said})")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The endpoint's wish in seconds, from `retry-after-ms` or `retry-after` (seconds or a date), never negative."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            continue
        if seconds == seconds and seconds not in (float("inf"), float("-inf")):
            return max(seconds, 0.0)
    date = email.utils.parsedate_tz(headers.get("retry-after") or "")
    return None if date is None else max(email.utils.mktime_tz(date) - time.time(), 0.0)


def detail_of(body: Any, secret: str) -> str:
    """The endpoint's own sentence out of an error body, masked."""
    if isinstance(body, Mapping):
        error = body.get("error")
        if isinstance(error, Mapping):
            return masked(str(error.get("message") or error.get("type") or ""), secret)
        return masked(str(body.get("message") or ""), secret)
    return masked(str(body or ""), secret)
