"""Owns a small world for sessions: the real session, loop, tools and review over real files and a scripted model."""

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_lsp.agent.calls import Handler, handlers
from agent_lsp.agent.context import Prompts
from agent_lsp.agent.conversation import Patience, Voice
from agent_lsp.agent.engines import EngineChoice, Engines
from agent_lsp.agent.model_engines import model_engines
from agent_lsp.agent.model_work import ModelWork
from agent_lsp.agent.review import Review
from agent_lsp.agent.session import RunPolicy, Session
from agent_lsp.agent.shelf import ReviewHooks, ReviewOptions, ReviewPorts
from agent_lsp.agent.talk import Talks
from agent_lsp.agent.veil import Veil
from agent_lsp.agent.world import World
from agent_lsp.app.prompts import load_prompts
from agent_lsp.domain.changes import Entry
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ports import Candidate, Clock
from agent_lsp.domain.task import Budget, RunState
from agent_lsp.domain.verdict import CaseResult, Outcome, SuiteReport
from agent_lsp.storage.redaction import Redactor
from agent_lsp.workspace.files import DiskFiles
from tests.agent.review_world import ContentGate, MemoryCheckpoints, MemoryEditor, MemoryJournal
from tests.plain import PlainCandidate, PlainPool, PlainTrees, files_under
from tests.scripted_model import ScriptedModel

QUICK = Patience(attempts=3, base_s=0.001, cap_s=0.002, broken_streams=2)


class RunningGate(ContentGate):
    """Judges contents, and runs its tests in a candidate too; failing tests have a message and a place."""

    async def validate(self, *args: Any, **options: Any) -> Any:
        evidence = await super().validate(*args, **options)
        tree = self.trees.stored[await self.trees.write(args[0], args[1])]
        return replace(evidence, after=self._report(tree, ()))

    async def run_once(self, candidate: Candidate, tests: Sequence[str], watch: Sequence[str] = ()) -> SuiteReport:
        del watch
        return self._report(files_under(Path(candidate.root)), tests)

    def _report(self, tree: Mapping[str, Entry], tests: Sequence[str]) -> SuiteReport:
        cases = {}
        for name, check in self.checks.items():
            if not tests or any(name.startswith(wanted) for wanted in tests):
                good = check(tree)
                outcome = Outcome.PASSED if good else Outcome.FAILED
                message = "" if good else f"def test():\n>   assert check()\nE   AssertionError: {name} wants more"
                cases[name] = CaseResult(name, outcome, message, name.partition("::")[0], 4)
        return SuiteReport("content", cases, len(cases))


class CountingPool(PlainPool):
    """Knows which candidates are open."""

    def __init__(self, trees: PlainTrees) -> None:
        super().__init__(trees)
        self.opened = 0
        self.made: list[PlainCandidate] = []

    async def open(self, tree: str) -> PlainCandidate:
        candidate = await super().open(tree)
        self.opened += 1
        self.made.append(candidate)
        return candidate

    @property
    def left_open(self) -> int:
        """Candidates whose folder is still there."""
        return sum(1 for candidate in self.made if Path(candidate.root).exists())


class SessionWorld:
    """Everything from the calls of the link to the files, with every event that was told."""

    def __init__(self, root: Path, model: ScriptedModel | None, budget: Budget | None = None) -> None:
        self.root, self.model, self.budget = root, model, budget or Budget()
        self.trees = PlainTrees(root)
        self.pool = CountingPool(self.trees)
        self.editor, self.journal = MemoryEditor(), MemoryJournal()
        self.gate = RunningGate(self.trees)
        self.clock = Clock(time.time, time.monotonic, asyncio.sleep)
        self.patience = QUICK
        self.commands_without_sandbox = True
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.embedded: Engines | None = None
        self.trusted: list[bool] = []
        self.settings: list[Mapping[str, Any]] = []
        ids = itertools.count(1)
        ports = ReviewPorts(
            self.trees, DiskFiles(root), self.editor, self.gate, MemoryCheckpoints(), self.journal,
            self.publish, self.clock, lambda prefix: f"{prefix}_{next(ids)}",
        )  # fmt: skip
        hooks = ReviewHooks(self._on_state, self._on_feedback)
        self.review = Review(ports, ReviewOptions(settle_s=None, answer_within_s=5.0), hooks)
        world = World(
            self.trees, self.pool, self.editor, self.gate, self.review, self.journal, self.clock, self.publish
        )
        self.session = Session(world, self._policy)
        self.talks = Talks(self.session, world)
        self.parallel, self.waiting = 4, 50
        self.calls: Mapping[str, Handler] = handlers(self.session, self.review, self, self.talks)

    def publish(self, event: str, data: Mapping[str, Any]) -> None:
        self.events.append((event, data))
        self.session.heard(event, data)

    def _on_state(self, run_id: str, state: RunState, message: str) -> None:
        self.session.on_state(run_id, state, message)

    def _on_feedback(self, run_id: str, proposal_id: str, feedback: str) -> None:
        self.session.on_feedback(run_id, proposal_id, feedback)

    def _policy(self) -> RunPolicy:
        model = self.model
        if model is None:
            return RunPolicy(EngineChoice(None, lambda _: self.embedded), self.budget, self.parallel, self.waiting)
        voice = Voice(model, self.clock, self.patience, Veil(Redactor({}).name, b"key"))

        def engines() -> Engines:
            prompts = Prompts(load_prompts())
            return model_engines(ModelWork(voice, prompts, self.gate.run_once, self.commands_without_sandbox))

        return RunPolicy(EngineChoice(engines, lambda _: None), self.budget, self.parallel, self.waiting)

    # --- calls -------------------------------------------------------------------------------------------------

    async def call(self, name: str, **args: Any) -> Mapping[str, Any]:
        """One call of the link."""
        return await self.calls[name](args)

    async def run(self, goal: str = "make it work", **args: Any) -> str:
        """Starts a run and gives its id."""
        return str((await self.call("run", goal=goal, **args))["runId"])

    async def until(self, run_id: str, *states: str) -> Mapping[str, Any]:
        """The run's row once it is in one of these states."""
        async with asyncio.timeout(10):
            while True:
                row = (await self.call("status", runId=run_id))["runs"][0]
                if row["state"] in states:
                    return dict(row)
                if row["state"] in ("failed", "cancelled", "discarded", "applied", "proposed"):
                    raise AssertionError(f"{run_id} came to rest {row}; expected {states}")
                await asyncio.sleep(0.002)

    async def finished(self, **args: Any) -> Mapping[str, Any]:
        """Starts a run and waits for its rest."""
        return await self.until(await self.run(**args), "proposed", "failed", "discarded", "cancelled")

    async def trust(self, trusted: bool) -> bool:
        self.trusted.append(trusted)
        return trusted

    async def configure(self, settings: Mapping[str, Any]) -> None:
        self.settings.append(settings)

    # --- looking -----------------------------------------------------------------------------------------------

    def put(self, path: str, content: str | bytes) -> None:
        """A file on disk."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def needs(self, test: str, path: str, *pieces: str) -> None:
        """A test that passes when the file holds all the pieces."""
        self.gate.checks[test] = lambda tree: (
            path in tree and all(piece.encode() in tree[path].content for piece in pieces)
        )

    def told(self, event: str) -> list[Mapping[str, Any]]:
        """The data of every event of that name."""
        return [data for name, data in self.events if name == event]

    def states(self, run_id: str | None = None) -> list[str]:
        """The states that the journal has for a run, in order."""
        return [
            event.data["state"]
            for event in self.journal.events
            if event.kind is EventKind.RUN_STATE and run_id in (None, event.run_id)
        ]

    def journalled(self, kind: EventKind) -> list[Mapping[str, Any]]:
        """The data of every event of a kind."""
        return [event.data for event in self.journal.events if event.kind is kind]

    async def close(self) -> None:
        """Ends everything; nothing may be left open."""
        await self.session.stop()
        await self.review.close()
        assert self.pool.left_open == 0, "a candidate was left open"
