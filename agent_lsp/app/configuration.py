"""Owns the settings in force in a runtime: loaded at its start, again when the editor or trust changes them."""

import logging
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_lsp.domain.errors import ConfigError
from agent_lsp.domain.model_ports import EditorModels
from agent_lsp.domain.ports import Candidate, Publish, SuiteRunner
from agent_lsp.settings.endpoint import Endpoint, Endpoints, endpoint, endpoints
from agent_lsp.settings.loader import Loaded, load
from agent_lsp.settings.model import Settings
from agent_lsp.settings.trust import TrustStore, trust_file
from agent_lsp.workspace import landlock
from agent_lsp.workspace.isolation import refuse_unisolated
from agent_lsp.workspace.layout import cache_dir
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.warm import WarmRuns
from agent_lsp.workspace.runners.warm_memory import WarmMemory

logger = logging.getLogger(__name__)


def warm_memory(root: Path) -> WarmMemory:
    """What is kept of the warm runs of a workspace."""
    return WarmMemory(cache_dir(root) / "warm.json")


class Configuration:
    """What runs that start from now on get. `trust` and `configure` are the calls of the edge."""

    def __init__(
        self, root: Path, publish: Publish, client: Mapping[str, Any], lent: EditorModels | None = None
    ) -> None:
        """Wrong settings do not stop the runtime from starting: `check` refuses the runs that would use them."""
        self._root, self._publish, self._client, self._lent = root, publish, client, lent
        self._wished: dict[str, Any] = {}
        self._problem: ConfigError | None = None
        self._isolated = False
        self._loaded = Loaded(Settings())
        self._load()
        self.warm_memory = warm_memory(root)
        self._warm = WarmRuns(self.warm_memory)
        self.finder = CurrentFinder(self)

    @property
    def settings(self) -> Settings:
        """The whole, checked configuration; the defaults while it is wrong."""
        return self._loaded.settings

    @property
    def endpoint(self) -> Endpoint:
        """Who answers by [model], with the key from the environment."""
        return endpoint(self.settings.model, os.environ, editor_lends=self._editor_lends)

    @property
    def endpoints(self) -> Endpoints:
        """Who answers for which tier. Raises ConfigError for a tier that names no endpoint."""
        return endpoints(self.settings, os.environ, editor_lends=self._editor_lends)

    @property
    def _editor_lends(self) -> bool:
        return bool(self._lent and self._lent.known)

    @property
    def may_borrow(self) -> bool:
        """Whether a model of the editor may be the one that answers."""
        if self._lent is None:
            return False
        lent = any(chosen.provider == "editor" for chosen in self.settings.endpoints.values())
        return lent or self.endpoint.provider in ("editor", "embedded")

    def runner_options(self) -> RunnerOptions:
        """How the tests are run, as the finder takes it."""
        chosen = self.settings.tests
        return RunnerOptions(
            runner=chosen.runner,
            interpreter=chosen.interpreter,
            command=shlex.join(chosen.command) or None,
            args=chosen.args,
            timeout_s=chosen.timeout_s,
            root=str(self._root.resolve()),
        )

    def warm(self) -> WarmRuns | None:
        """What makes runs warm, unless the settings want none."""
        return self._warm if self.settings.tests.warm == "auto" else None

    def check(self) -> None:
        """Reads files that a person may have mended meanwhile. Raises ConfigError naming the key and the file."""
        self._load()
        if self._problem is not None:
            raise self._problem
        self.ask_for_trust()

    def ask_for_trust(self) -> None:
        """Tells the edge what waits for trust, unless the person has said no to exactly this."""
        loaded = self._loaded
        if loaded.withheld and not loaded.refused:
            self._publish("trust_wanted", {"keys": [row.key for row in loaded.withheld], "text": loaded.question})

    async def trust(self, trusted: bool) -> bool:
        """Remembers the person's answer for what the workspace file wanted when it was asked."""
        if self._loaded.digest:
            TrustStore(trust_file(os.environ)).decide(self._root, self._loaded.digest, trusted=trusted)
        self._load()
        return trusted

    def sandboxed(self) -> None:
        """Tells that everything runs in a real sandbox: the workspace's own runner then needs no trust."""
        self._isolated = True
        self._load()

    async def configure(self, settings: Mapping[str, Any]) -> None:
        """Takes the editor's new settings. Raises ConfigError and keeps the old ones if they are wrong."""
        before, self._client = self._client, settings
        self._load()
        if self._problem is not None:
            problem, self._client = self._problem, before
            self._load()
            raise problem

    def wish(self, tiers: Mapping[str, Any]) -> None:
        """Keys of [tiers] that hold from now on until this process ends; None takes a wish back. Raises ConfigError."""
        before = self._wished
        wished = {**before, **{f"tiers.{name}": value for name, value in tiers.items()}}
        self._wished = {key: value for key, value in wished.items() if value is not None}
        self._load()
        if self._problem is not None:
            problem, self._wished = self._problem, before
            self._load()
            raise problem

    def _load(self) -> None:
        before = self.settings
        try:
            loaded = load(
                self._root,
                client=self._client,
                arguments=self._wished,
                environ=os.environ,
                sandboxed=self._isolated,
            )
            endpoints(loaded.settings, os.environ, editor_lends=self._editor_lends)
            self._loaded = loaded
            self._problem = None
        except ConfigError as error:
            if self._problem is None or self._problem.message != error.message:
                logger.error("the configuration is wrong: %s %s", error.message, error.hint)
            self._problem = error
        if before.sandbox != self.settings.sandbox and before != Settings():
            logger.warning("a changed sandbox is used by the next runtime: restart the server")


class CurrentFinder:
    """Finds the runner by the settings of the moment."""

    def __init__(self, configuration: Configuration, landlock_abi: int | None = None) -> None:
        """`landlock_abi` is the kernel's unless told."""
        self._configuration = configuration
        self._landlock_abi = landlock.abi() if landlock_abi is None else landlock_abi

    async def find(self, candidate: Candidate) -> SuiteRunner:
        """Raises RunnerUnavailableError, also where the settings want no tests without a sandbox."""
        if self._configuration.settings.sandbox.tests_without_sandbox == "refuse":
            refuse_unisolated(candidate, self._landlock_abi)
        configuration = self._configuration
        return await WorkspaceRunnerFinder(configuration.runner_options(), configuration.warm()).find(candidate)
