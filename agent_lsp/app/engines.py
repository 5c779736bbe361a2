"""Owns the choice of who works on a goal, from the settings: a language model's engines or the embedded ones."""

from dataclasses import dataclass, field

from agent_lsp.agent.context import Prompts
from agent_lsp.agent.conversation import Patience, Voice
from agent_lsp.agent.engines import EngineChoice, Engines
from agent_lsp.agent.model_engines import model_engines
from agent_lsp.agent.model_work import ModelWork
from agent_lsp.agent.repair.engine import embedded
from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.agent.stages import StagedGate
from agent_lsp.app.prompts import load_prompts
from agent_lsp.domain.ports import Clock, EditorModels, Model, RunnerFinder
from agent_lsp.providers import anthropic, openai
from agent_lsp.providers.anthropic import AnthropicModel
from agent_lsp.providers.editor import EditorModel
from agent_lsp.providers.endpoint import ANTHROPIC, OPENAI
from agent_lsp.providers.endpoint import Endpoint as Place
from agent_lsp.providers.openai import OpenAIModel
from agent_lsp.providers.pricing import PRICES, Price, price_of
from agent_lsp.settings.endpoint import Endpoint
from agent_lsp.settings.model import DEFAULT_MODEL, ModelSettings, Settings

_NO_KEY = "none"
"""What is sent as the key to an endpoint that wants none; the SDK insists on one."""


@dataclass(slots=True)
class EngineMaker:
    """Builds the choice for runs that start from now on; keeps one connection per endpoint."""

    gate: StagedGate
    finder: RunnerFinder
    clock: Clock
    lent: EditorModels | None = None
    _models: dict[Place, AnthropicModel | OpenAIModel] = field(default_factory=dict)
    _prompts: Prompts | None = None

    def choice(self, settings: Settings, endpoint: Endpoint) -> EngineChoice:
        """Who works under these settings."""
        options = RepairOptions(settings.repair.tries, settings.repair.wall_clock_s)
        repair = embedded(self.finder, self.gate, self.clock, options)
        if endpoint.provider == "embedded":
            return EngineChoice(None, repair)
        endpoint.check()

        def model() -> Engines:
            return model_engines(self._work(settings, endpoint))

        return EngineChoice(model, repair)

    async def close(self) -> None:
        """Closes idle connections."""
        for model in self._models.values():
            await model.close()

    def _work(self, settings: Settings, endpoint: Endpoint) -> ModelWork:
        if self._prompts is None:
            self._prompts = Prompts(load_prompts())
        patience = Patience(attempts=settings.model.retries + 1)
        voice = Voice(self._model(settings.model, endpoint), self.clock, patience, settings.model.max_tokens)
        return ModelWork(
            voice,
            self._prompts,
            run_suite=self.gate.run_once,
            commands_without_sandbox=settings.sandbox.commands_without_sandbox,
        )

    def _model(self, settings: ModelSettings, endpoint: Endpoint) -> Model:
        if endpoint.provider == "editor":
            wanted = "" if endpoint.name == DEFAULT_MODEL else endpoint.name
            return EditorModel(self.lent, wanted, settings.request_timeout_s)
        place = place_of(endpoint, settings.request_timeout_s, settings.stall_timeout_s)
        if place not in self._models:
            kind = OpenAIModel if endpoint.provider == "openai" else AnthropicModel
            self._models[place] = kind(place, prices=_prices(settings))
        return self._models[place]


def place_of(endpoint: Endpoint, request_timeout_s: float, stall_timeout_s: float) -> Place:
    """Where a provider of the network is, with the provider's own address where none is given."""
    names, address = (
        (OPENAI, openai.DEFAULT_BASE_URL) if endpoint.provider == "openai" else (ANTHROPIC, anthropic.DEFAULT_BASE_URL)
    )
    key = endpoint.api_key or _NO_KEY
    return Place(endpoint.name, key, endpoint.base_url or address, request_timeout_s, stall_timeout_s, names)


def _prices(settings: ModelSettings) -> dict[str, Price]:
    """The model's price with what the settings say laid over the table; nothing where they say nothing."""
    told = (
        settings.input_usd_per_mtok,
        settings.output_usd_per_mtok,
        settings.cache_write_usd_per_mtok,
        settings.cache_read_usd_per_mtok,
    )
    if all(value is None for value in told):
        return {}
    known = price_of(settings.name, PRICES) or Price(0.0, 0.0, 0.0, 0.0)
    table = (known.input, known.output, known.cache_write, known.cache_read)
    fresh, answer, write, read = (listed if value is None else value for value, listed in zip(told, table, strict=True))
    return {settings.name: Price(fresh, answer, write, read)}
