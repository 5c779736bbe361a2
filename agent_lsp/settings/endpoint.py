"""Owns the choice of the model's endpoint from settings and environment. The key itself is never a setting."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from agent_lsp.domain.errors import ConfigError
from agent_lsp.settings.model import DEFAULT_KEY_NAME, DEFAULT_MODEL, ModelSettings

_OPENAI_KEY: Final = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who answers. The key is left out of the object's text."""

    provider: Literal["anthropic", "openai", "editor", "embedded"]
    name: str
    base_url: str | None
    api_key: str | None = field(default=None, repr=False)

    def check(self) -> None:
        """Raises ConfigError where something is missing that only a person can tell."""
        if self.provider != "openai":
            return
        if self.name == DEFAULT_MODEL:
            hint = "Set model.name (AGENT_LSP_MODEL__NAME) to one that the endpoint has; `agent-lsp doctor` lists some."
            raise ConfigError("model.provider is `openai` and no model is named", hint=hint)
        if not self.api_key and not self.base_url:
            hint = f"Set {_OPENAI_KEY}, or model.base_url to a server that wants no key."
            raise ConfigError("model.provider is `openai`, with neither a key nor an address", hint=hint)


def endpoint(settings: ModelSettings, environ: Mapping[str, str], *, editor_lends: bool = False) -> Endpoint:
    """`auto` is `anthropic` where a key or an address is there, `editor` where it lends a model, else `embedded`."""
    if settings.provider == "openai":
        return _openai(settings, environ)
    key = _value(environ, settings.api_key_env)
    provider = settings.provider
    if provider == "auto":
        provider = "anthropic" if key or settings.base_url else "editor" if editor_lends else "embedded"
    return Endpoint(provider, settings.name, settings.base_url, key)


def _openai(settings: ModelSettings, environ: Mapping[str, str]) -> Endpoint:
    """Its own variables; the address of the other provider, which counts as a setting, is none of it."""
    name = _OPENAI_KEY if settings.api_key_env == DEFAULT_KEY_NAME else settings.api_key_env
    address = settings.base_url
    if address == _value(environ, "ANTHROPIC_BASE_URL"):
        address = None
    return Endpoint("openai", settings.name, address or _value(environ, "OPENAI_BASE_URL"), _value(environ, name))


def _value(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name, "").strip() or None
