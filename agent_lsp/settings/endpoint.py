"""Owns the choice of the model's endpoint from settings and environment. The key itself is never a setting."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent_lsp.settings.model import ModelSettings


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who answers. The key is left out of the object's text."""

    provider: Literal["anthropic", "editor", "embedded"]
    name: str
    base_url: str | None
    api_key: str | None = field(default=None, repr=False)


def endpoint(settings: ModelSettings, environ: Mapping[str, str], *, editor_lends: bool = False) -> Endpoint:
    """`auto` is `anthropic` where a key or an address is there, `editor` where it lends a model, else `embedded`."""
    key = environ.get(settings.api_key_env, "").strip() or None
    provider = settings.provider
    if provider == "auto":
        provider = "anthropic" if key or settings.base_url else "editor" if editor_lends else "embedded"
    return Endpoint(provider, settings.name, settings.base_url, key)
