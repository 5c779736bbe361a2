"""Owns the building of a runtime: every object of one workspace, once, and its life behind the pipe."""

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from agent_lsp.agent.calls import handlers
from agent_lsp.agent.offered_again import bring_back
from agent_lsp.agent.proposals import Proposal
from agent_lsp.agent.resuming import Resuming
from agent_lsp.agent.review import Review
from agent_lsp.agent.session import RunPolicy, Session
from agent_lsp.agent.shelf import ReviewHooks, ReviewOptions, ReviewPorts
from agent_lsp.agent.stages import StagedGate
from agent_lsp.agent.talk import Talks
from agent_lsp.agent.world import World
from agent_lsp.app.configuration import Configuration
from agent_lsp.app.console_story import ToldJournal, log_failures
from agent_lsp.app.curtain import Curtain
from agent_lsp.app.engines import EngineMaker
from agent_lsp.app.laboratory import laboratory
from agent_lsp.app.logs import start_log
from agent_lsp.app.model_desk import ModelDesk
from agent_lsp.app.models import Models
from agent_lsp.app.past import DATABASE_NAME
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.model_ports import EditorModels
from agent_lsp.domain.ports import Clock, Editor, Publish, SandboxKind
from agent_lsp.domain.task import ENDED, WORKING, RunState
from agent_lsp.link.peer import Handler
from agent_lsp.settings.model import ProposalSettings
from agent_lsp.settings.trust import trust_file
from agent_lsp.storage.checkpoints import StoredCheckpoints
from agent_lsp.storage.console_log import ConsoleLog
from agent_lsp.storage.database import Database
from agent_lsp.storage.daybook import StoredDaybook
from agent_lsp.storage.journal import StoredJournal
from agent_lsp.storage.log_hooks import watch_loop
from agent_lsp.storage.proposals import StoredProposals
from agent_lsp.storage.redaction import Redactor
from agent_lsp.storage.runs import StoredRuns
from agent_lsp.workspace.files import DiskFiles
from agent_lsp.workspace.layout import STATE_FOLDER, cache_dir, state_dir
from agent_lsp.workspace.pool import Pool
from agent_lsp.workspace.slots import MachineSlots
from agent_lsp.workspace.turn import WorkspaceTurn

logger = logging.getLogger(__name__)

CLOCK = Clock(now=time.time, monotonic=time.monotonic, sleep=asyncio.sleep)


@dataclass(slots=True)
class Runtime:
    """One workspace's runtime, built and recovered. `call` is how an edge, or a terminal, talks to it."""

    configuration: Configuration
    session: Session
    review: Review
    pool: Pool
    database: Database
    models: ModelDesk
    log: ConsoleLog
    gate: StagedGate
    resuming: Resuming
    talks: Talks
    handlers: dict[str, Handler] = field(default_factory=dict)
    last_call_s: float = field(default_factory=time.monotonic)

    async def call(self, name: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """One call of link/messages.py. Raises AgentLspError."""
        self.last_call_s = time.monotonic()
        return await self.handlers[name](args)

    @property
    def idle_s(self) -> float:
        """Seconds since the last call, or 0 while a run is not over: a proposal that waits keeps the runtime."""
        if any(view.state not in ENDED for view in self.session.views()):
            self.last_call_s = time.monotonic()
        return time.monotonic() - self.last_call_s

    async def recover(self) -> None:
        """Mends what a crash left, offers again what was on offer, and resumes what was at work."""
        await self.resuming.settle_offers()
        await self.review.recover()
        await self.review.history.bring_back()

    async def resume(self) -> None:
        """Goes on with the runs that earlier processes left, as the settings say."""
        await self.resuming.take_up(self.session, self.configuration.settings.runs.resume)

    async def warm_up(self) -> None:
        """Does now what the first run would wait for: the trial of the sandbox, the libraries of the log."""
        try:
            await self.pool.start()
        except AgentLspError as error:
            logger.error("no sandbox: %s %s", error.message, error.hint)
        if self.pool.kind is not SandboxKind.CLONE:
            self.configuration.sandboxed()
        await asyncio.to_thread(self.log.warm_up)

    async def watch_models(self) -> None:
        """Asks the endpoints now and then whether they are there, while a run is at work; never ends by itself."""
        await self.models.watch(lambda: any(view.state in WORKING for view in self.session.views()))

    async def close(self) -> None:
        """Ends all runs, closes all candidates, and writes what is left to the disk."""
        try:
            await self.talks.close()
            await self.session.stop()
            await self.review.close()
            await self.gate.close()
        finally:
            await self.pool.close()
            await self.models.close()
            await self.database.close()
            self.log.close()


async def open_runtime(
    root: Path,
    *,
    publish: Publish,
    editor: Editor,
    process: str,
    client: Mapping[str, Any] | None = None,
    lent: EditorModels | None = None,
) -> Runtime:
    """Builds everything of a workspace and mends what a crash left. Raises ConfigError, CandidateError."""
    _make_state_folder(root)
    log = start_log(root, process)
    configuration = Configuration(root, publish, client or {}, lent)
    settings = configuration.settings
    watch_loop(asyncio.get_running_loop())
    lab = laboratory(root, configuration)
    trees, pool, gate = lab.trees, lab.pool, lab.gate
    models = _model_desk(configuration, root, publish, lent)
    redactor = Redactor(os.environ)
    curtain = Curtain(trees, redactor.name, lab.maps)
    engines = EngineMaker(gate, configuration.finder, CLOCK, curtain, models.models, configuration)
    database = Database(root / STATE_FOLDER / DATABASE_NAME, _trouble_teller(publish))
    journal = ToldJournal(StoredJournal(database, redact=redactor.mask))
    session: Session

    def tell(event: str, data: Mapping[str, Any]) -> None:
        publish(event, data)
        if event == "problems":
            log_failures(root, data)
        session.heard(event, data)

    def on_state(run_id: str, state: RunState, message: str) -> None:
        session.on_state(run_id, state, message)

    def on_feedback(run_id: str, proposal_id: str, words: str) -> None:
        session.on_feedback(run_id, proposal_id, words)

    async def on_back(proposal: Proposal) -> None:
        await bring_back(session, world, policy, proposal)

    proposals = StoredProposals(database, redact=redactor.mask)
    runs = StoredRuns(database, redact=redactor.mask)
    keeps_offers = process == "runtime"  # in a terminal nobody comes back to them
    review = Review(
        ReviewPorts(
            trees=trees,
            files=DiskFiles(root),
            editor=editor,
            gate=gate,
            checkpoints=_checkpoints(database, settings.proposal),
            journal=journal,
            publish=tell,
            clock=CLOCK,
            new_id=lambda prefix: f"{prefix}_{secrets.token_hex(6)}",
            open_runs=journal.stored.abandoned_runs,
            whole=gate,
            mutants=lab.mutants,
            keeper=proposals,
            runs=runs,
            turn=WorkspaceTurn(root),
        ),
        ReviewOptions(allow_unproven=settings.proposal.allow_unproven, settle_s=None, keeps_offers=keeps_offers),
        ReviewHooks(on_state=on_state, on_feedback=on_feedback, on_back=on_back),
    )
    world = World(trees, pool, editor, gate, review, journal, CLOCK, tell, runs)

    _hide_keys(configuration, redactor, log)

    def policy() -> RunPolicy:
        configuration.check()
        _hide_keys(configuration, redactor, log)
        settings = configuration.settings
        return RunPolicy(
            engines.choice(settings), settings.budget.to_domain(), settings.runs.parallel, settings.runs.waiting
        )

    slots = MachineSlots(cache_dir(root).parent / "slots", lambda: configuration.settings.runs.parallel_machine)
    session = Session(world, policy, keeps_offers=keeps_offers, slots=slots)
    resuming = Resuming(world, runs, proposals)
    talks = Talks(session, world)
    return _wired(Runtime(configuration, session, review, pool, database, models, log, gate, resuming, talks))


def _wired(runtime: Runtime) -> Runtime:
    """With an answer to every call of the link."""
    calls = handlers(runtime.session, runtime.review, runtime.configuration, runtime.talks)
    runtime.handlers = {**calls, "models": partial(runtime.models.call, runtime.session)}
    return runtime


def _model_desk(configuration: Configuration, root: Path, publish: Publish, lent: EditorModels | None) -> ModelDesk:
    daybook = StoredDaybook(trust_file(os.environ).with_name("usage.json"), lambda: time.strftime("%Y-%m-%d"))
    return ModelDesk(Models(root, CLOCK, lent, daybook), configuration, publish, daybook)


def _hide_keys(configuration: Configuration, redactor: Redactor, log: ConsoleLog) -> None:
    """Settings may have come with new ones since."""
    for key in configuration.endpoints.secrets:
        redactor.hide(key)
        log.hide(key)


def _checkpoints(database: Database, settings: ProposalSettings) -> StoredCheckpoints:
    return StoredCheckpoints(database, settings.checkpoints, int(settings.checkpoints_mb * 1024 * 1024))


def _trouble_teller(publish: Publish) -> Callable[[str], None]:
    """Logs what the state database says from its thread, and shows it to the person."""
    loop = asyncio.get_running_loop()

    def tell(text: str) -> None:
        logger.warning(text)
        with contextlib.suppress(RuntimeError):  # the loop is over, nobody is there to be told
            loop.call_soon_threadsafe(publish, "message", {"level": "warning", "text": f"agent-lsp: {text}"})

    return tell


def _make_state_folder(root: Path) -> None:
    try:
        state_dir(root)
    except OSError as error:
        logger.warning("nothing can be kept in %s/%s: %s", root, STATE_FOLDER, error)
