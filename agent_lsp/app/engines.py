"""Owns the choice of who works on a goal, from the settings: a language model's engines or the embedded ones."""

from dataclasses import dataclass

from agent_lsp.agent.context import Prompts
from agent_lsp.agent.conversation import Patience, Voice
from agent_lsp.agent.engines import EngineChoice, Engines
from agent_lsp.agent.model_engines import model_engines
from agent_lsp.agent.model_work import ModelWork
from agent_lsp.agent.repair.engine import embedded
from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.agent.routing import Board, Route, RoutedModel
from agent_lsp.agent.stages import StagedGate
from agent_lsp.app.configuration import Configuration
from agent_lsp.app.curtain import Curtain
from agent_lsp.app.models import Models
from agent_lsp.app.prompts import load_prompts
from agent_lsp.domain.ports import Clock, RunnerFinder
from agent_lsp.settings.model import Settings


@dataclass(slots=True)
class EngineMaker:
    """Builds the choice for runs that start from now on; their models are those of the moment, turn by turn."""

    gate: StagedGate
    finder: RunnerFinder
    clock: Clock
    curtain: Curtain
    models: Models
    configuration: Configuration
    _prompts: Prompts | None = None

    def choice(self, settings: Settings) -> EngineChoice:
        """Who works under these settings. Raises ConfigError where an endpoint lacks something."""
        options = RepairOptions(settings.repair.tries, settings.repair.wall_clock_s)
        repair = embedded(self.finder, self.gate, self.clock, options)
        endpoints = self.configuration.endpoints
        if not endpoints.any_model:
            return EngineChoice(None, repair)
        endpoints.check()

        def model() -> Engines:
            return model_engines(self._work(settings))

        return EngineChoice(model, repair)

    def board(self) -> Board:
        """Who can be asked now."""
        return self.models.board(self.configuration.endpoints, self.configuration.settings.budget.of_a_day())

    def _work(self, settings: Settings) -> ModelWork:
        if self._prompts is None:
            self._prompts = Prompts(load_prompts())
        private = self.curtain.private(settings)
        route = Route()
        routed = RoutedModel(self.board, route, self.clock)
        patience = Patience(attempts=settings.model.retries + 1)
        veil, room_tokens = self.curtain.veil(private), self.configuration.endpoints.context_tokens
        voice = Voice(routed, self.clock, patience, veil, settings.model.max_tokens, room_tokens)
        return ModelWork(
            voice,
            self._prompts,
            run_suite=self.gate.run_once,
            commands_without_sandbox=settings.sandbox.commands_without_sandbox,
            route=route,
            private=private,
            maps=self.curtain.maps,
            map_tokens=settings.context.map_tokens,
        )
