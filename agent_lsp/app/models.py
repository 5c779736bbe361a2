"""Owns the models that the settings name: one connection and one breaker per endpoint, and the board of the moment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agent_lsp.agent.routing import Board, Line
from agent_lsp.domain.breaker import Breaker
from agent_lsp.domain.model_ports import Daybook, EditorModels
from agent_lsp.domain.ports import Clock, Model
from agent_lsp.domain.task import Budget
from agent_lsp.providers import anthropic, ollama, openai
from agent_lsp.providers.editor import EditorModel
from agent_lsp.providers.endpoint import NAMES
from agent_lsp.providers.endpoint import Endpoint as Place
from agent_lsp.providers.pricing import PRICES, Price, price_of
from agent_lsp.providers.recorded import RecordedModel, Recorder
from agent_lsp.providers.sdk_model import SdkModel
from agent_lsp.settings.endpoint import Endpoint, Endpoints
from agent_lsp.settings.model import DEFAULT_MODEL, EndpointSettings

_NO_KEY: Final = "none"
"""What is sent as the key to an endpoint that wants none; the SDKs insist on one."""

NETWORK: Final[Mapping[str, tuple[type[SdkModel[Any]], str]]] = {
    "anthropic": (anthropic.AnthropicModel, anthropic.DEFAULT_BASE_URL),
    "openai": (openai.OpenAIModel, openai.DEFAULT_BASE_URL),
    "ollama": (ollama.OllamaModel, ollama.DEFAULT_BASE_URL),
}
"""Providers of the network: what speaks with them, and their own address."""


@dataclass(slots=True)
class Models:
    """Keeps connections and health while settings come and go. `changed` hears of a change of health."""

    root: Path
    clock: Clock
    lent: EditorModels | None = None
    daybook: Daybook | None = None
    changed: Callable[[], None] = lambda: None
    _models: dict[tuple[Place, tuple[tuple[str, Price], ...]], SdkModel[Any]] = field(default_factory=dict)
    _recorded: dict[str, RecordedModel] = field(default_factory=dict)
    _breakers: dict[tuple[str, str, str, str | None], Breaker] = field(default_factory=dict)

    def board(self, endpoints: Endpoints, day: Budget) -> Board:
        """Who can be asked for what under these settings."""
        lines = {
            name: Line(name, self._model(endpoint), self.breaker(endpoint), endpoint.chosen.max_tokens)
            for name, endpoint in endpoints.by_name.items()
        }
        return Board(lines, endpoints.table, endpoints.phases, self.changed, self.daybook, day)

    def breaker(self, endpoint: Endpoint) -> Breaker:
        """The health of an endpoint; another address or model under the same name has a health of its own."""
        key = (endpoint.label, endpoint.provider, endpoint.name, endpoint.base_url)
        return self._breakers.setdefault(key, Breaker())

    async def close(self) -> None:
        """Closes idle connections."""
        for model in self._models.values():
            await model.close()

    def _model(self, endpoint: Endpoint) -> Model:
        chosen = endpoint.chosen
        model: Model
        if endpoint.provider == "editor":
            wanted = "" if endpoint.name == DEFAULT_MODEL else endpoint.name
            model = EditorModel(self.lent, wanted, chosen.request_timeout_s)
        elif endpoint.provider == "recorded":
            path = str(self._path(chosen.file or ""))
            model = self._recorded.setdefault(path, RecordedModel(Path(path)))
        else:
            model = self._of_network(endpoint)
        return Recorder(model, self._path(chosen.record)) if chosen.record else model

    def _of_network(self, endpoint: Endpoint) -> SdkModel[Any]:
        place = place_of(endpoint)
        prices = prices_of(endpoint.chosen, endpoint.name)
        key = (place, tuple(prices.items()))
        if key not in self._models:
            self._models[key] = NETWORK[endpoint.provider][0](place, prices=prices)
        return self._models[key]

    def _path(self, text: str) -> Path:
        return self.root / Path(text).expanduser()


def place_of(endpoint: Endpoint, within_s: float | None = None) -> Place:
    """Where a provider of the network is, with the provider's own address where none is given.

    `within_s` bounds all waiting, for a question whether it is there.
    """
    chosen = endpoint.chosen
    address = endpoint.base_url or NETWORK[endpoint.provider][1]
    return Place(
        endpoint.name,
        endpoint.api_key or ("" if chosen.api_key_keyring else _NO_KEY),
        address,
        within_s or chosen.request_timeout_s,
        within_s or chosen.stall_timeout_s,
        NAMES[endpoint.provider],
        chosen.api_key_keyring or "",
    )


def prices_of(chosen: EndpointSettings, name: str) -> dict[str, Price]:
    """The model's price with what the settings say laid over the table; nothing where they say nothing."""
    told = (
        chosen.input_usd_per_mtok,
        chosen.output_usd_per_mtok,
        chosen.cache_write_usd_per_mtok,
        chosen.cache_read_usd_per_mtok,
    )
    if all(value is None for value in told):
        return {}
    known = price_of(name, PRICES) or Price(0.0, 0.0, 0.0, 0.0)
    table = (known.input, known.output, known.cache_write, known.cache_read)
    fresh, answer, write, read = (listed if value is None else value for value, listed in zip(told, table, strict=True))
    return {name: Price(fresh, answer, write, read)}
