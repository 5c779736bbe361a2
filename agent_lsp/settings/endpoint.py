"""Owns the choice of the models' endpoints from settings and environment. A key itself is never a setting."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, get_args

from agent_lsp.domain.conversation import Phase
from agent_lsp.domain.errors import ConfigError
from agent_lsp.domain.tiers import Tier, TierTable
from agent_lsp.settings.model import (
    DEFAULT_KEY_NAME,
    DEFAULT_MODEL,
    EndpointSettings,
    ModelSettings,
    Provider,
    Settings,
    Worker,
)

DEFAULT: Final = "default"
"""The name by which the tiers know [model]."""

_OPENAI_KEY: Final = "OPENAI_API_KEY"
_ADDRESSES: Final[Mapping[str, str]] = {
    "anthropic": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "ollama": "OLLAMA_HOST",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who answers. The key is left out of the object's text; `label` is its name in the settings `chosen`."""

    provider: Worker
    name: str
    base_url: str | None
    api_key: str | None = field(default=None, repr=False)
    label: str = DEFAULT
    chosen: EndpointSettings = field(default=EndpointSettings(), repr=False)

    def check(self) -> None:
        """Raises ConfigError where something is missing that only a person can tell."""
        place = "model" if self.label == DEFAULT else f"endpoints.{self.label}"
        if self.provider in ("openai", "ollama") and self.name == DEFAULT_MODEL:
            hint = f"Set {place}.name to one that the endpoint has; `agent-lsp doctor` lists some."
            raise ConfigError(f"{place}.provider is `{self.provider}` and no model is named", hint=hint)
        if self.provider == "openai" and not self.api_key and not self.base_url and not self.chosen.api_key_keyring:
            hint = f"Set {_OPENAI_KEY}, or {place}.base_url to a server that wants no key."
            raise ConfigError(f"{place}.provider is `openai`, with neither a key nor an address", hint=hint)
        service, _, user = (self.chosen.api_key_keyring or "a/b").partition("/")
        if not service or not user:
            hint = "Write it as `service/user`; `python -m keyring set service user` puts a key there."
            raise ConfigError(f"{place}.api_key_keyring names no entry of a keyring", hint=hint)
        if self.provider == "recorded" and not self.chosen.file:
            hint = f"Set {place}.file to a file that `record` of another endpoint has written."
            raise ConfigError(f"{place}.provider is `recorded` and no file is named", hint=hint)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """All endpoints that a tier names, by name, and who is asked for what. `main` is [model] itself."""

    main: Endpoint
    by_name: Mapping[str, Endpoint]
    table: TierTable
    phases: Mapping[Phase, Tier]

    @property
    def any_model(self) -> bool:
        """Whether some language model is configured at all."""
        return bool(self.by_name)

    @property
    def secrets(self) -> frozenset[str]:
        """Every key that one of them may be sent: they are kept out of log and journal."""
        return frozenset(key for place in (self.main, *self.by_name.values()) if (key := place.api_key))

    @property
    def context_tokens(self) -> int:
        """What a conversation may hold: as much as the smallest window of those that work on a run."""
        working = {*self.table.order(Tier.MID), *self.table.order(Tier.THINKER)}
        return min(place.chosen.context_tokens for name, place in self.by_name.items() if name in working)

    def check(self) -> None:
        """Raises ConfigError for the first that lacks something."""
        for endpoint in self.by_name.values():
            endpoint.check()


def endpoints(settings: Settings, environ: Mapping[str, str], *, editor_lends: bool = False) -> Endpoints:
    """Every endpoint that the tiers name. Raises ConfigError for a name that there is not.

    [model] without a key, an address or an editor's model is none; `mid` is never empty while another tier is not.
    """
    main = endpoint(settings.model, environ, editor_lends=editor_lends)
    found: dict[str, Endpoint] = {}
    tiers: dict[Tier, tuple[str, ...]] = {}
    for tier in Tier:
        names = []
        for name in getattr(settings.tiers, tier.value):
            if name == DEFAULT and main.provider == "embedded":
                continue
            found[name] = found.get(name) or _named(name, tier, settings, main, environ)
            names.append(name)
        tiers[tier] = tuple(dict.fromkeys(names))
    if not tiers[Tier.MID]:
        tiers[Tier.MID] = tiers[Tier.THINKER] or tiers[Tier.TINY]
    return Endpoints(main, found, TierTable(tiers), _phases(settings))


def endpoint(settings: ModelSettings, environ: Mapping[str, str], *, editor_lends: bool = False) -> Endpoint:
    """`auto` is `anthropic` where a key or an address is there, `editor` where it lends a model, else `embedded`."""
    provider = settings.provider
    if provider == "auto":
        keyed = _value(environ, settings.api_key_env) or settings.api_key_keyring
        provider = "anthropic" if keyed or settings.base_url else "editor" if editor_lends else "embedded"
    return _endpoint(DEFAULT, provider, settings, environ)


def _named(name: str, tier: Tier, settings: Settings, main: Endpoint, environ: Mapping[str, str]) -> Endpoint:
    if name == DEFAULT:
        return main
    if name in settings.endpoints:
        chosen = settings.endpoints[name]
        return _endpoint(name, chosen.provider, chosen, environ)
    provider, _, model = name.partition(":")
    if model and provider in get_args(Provider):
        chosen = _like(settings.model if provider == main.provider else EndpointSettings(), provider, model)
        return _endpoint(name, chosen.provider, chosen, environ)
    known = [DEFAULT, *settings.endpoints]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean `{close[0]}`?" if close else f"There are: {', '.join(known)}; or write `provider:model`."
    raise ConfigError(f"tiers.{tier.value} names `{name}`, and there is no [endpoints.{name}]", hint=hint)


def _like(chosen: EndpointSettings, provider: str, model: str) -> EndpointSettings:
    """Another model at the same place; what its tokens cost is not known from the first."""
    kept = {name: getattr(chosen, name) for name in EndpointSettings.model_fields if not name.endswith("_per_mtok")}
    return EndpointSettings.model_validate({**kept, "provider": provider, "name": model})


def _endpoint(
    label: str,
    provider: Worker,
    chosen: EndpointSettings,
    environ: Mapping[str, str],
) -> Endpoint:
    key_name, address = chosen.api_key_env, chosen.base_url
    if provider == "openai" and key_name == DEFAULT_KEY_NAME:
        key_name = _OPENAI_KEY
    if provider != "anthropic" and address == _value(environ, "ANTHROPIC_BASE_URL"):
        address = None  # it counts as a setting of [model], whatever that is
    address = address or _value(environ, _ADDRESSES.get(provider, ""))
    key = None if provider == "ollama" and key_name == DEFAULT_KEY_NAME else _value(environ, key_name)
    return Endpoint(provider, chosen.name, address, key, label, chosen)


def _phases(settings: Settings) -> Mapping[Phase, Tier]:
    wished = {phase: getattr(settings.tiers, phase.value) for phase in Phase}
    return {phase: Tier(name) for phase, name in wished.items() if name != "auto"}


def _value(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name, "").strip() or None
