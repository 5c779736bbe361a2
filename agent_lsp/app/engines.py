"""Owns the choice of who works on a goal, from the settings: a language model's engines or the embedded ones."""

import logging
import os
from dataclasses import dataclass, replace

from agent_lsp.agent.context import Prompts
from agent_lsp.agent.conversation import Patience, Voice
from agent_lsp.agent.engines import EngineChoice, Engines
from agent_lsp.agent.model_engines import model_engines
from agent_lsp.agent.model_work import ModelWork
from agent_lsp.agent.private_files import PrivateFiles
from agent_lsp.agent.repair.engine import embedded
from agent_lsp.agent.repair.search import RepairOptions
from agent_lsp.agent.routing import Board, Route, RoutedModel
from agent_lsp.agent.rules import FILE, Rulebook
from agent_lsp.agent.stages import StagedGate
from agent_lsp.app.configuration import Configuration
from agent_lsp.app.curtain import Curtain
from agent_lsp.app.models import Models
from agent_lsp.app.prompts import load_prompts
from agent_lsp.domain.identity import identity_text
from agent_lsp.domain.ports import Clock, RunnerFinder
from agent_lsp.settings.identity import read_identity, read_rules
from agent_lsp.settings.model import Settings
from agent_lsp.workspace.layout import STATE_FOLDER

logger = logging.getLogger(__name__)


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
            replace(self._prompts, identity=self._identity(private)),
            run_suite=self.gate.run_once,
            commands_without_sandbox=settings.sandbox.commands_without_sandbox,
            route=route,
            private=private,
            book=Rulebook(read_rules(self.models.root, FILE, private.__contains__)),
            maps=self.curtain.maps,
            map_tokens=settings.context.map_tokens,
        )

    def _identity(self, private: PrivateFiles) -> str:
        """What the identity files say now; a run keeps what it began with."""
        found = read_identity(self.models.root / STATE_FOLDER, os.environ, private.__contains__)
        for trouble in found.troubles:
            logger.warning(trouble)
        return identity_text(found.files)
