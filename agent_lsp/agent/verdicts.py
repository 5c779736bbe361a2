"""Owns the verdict on what a run has changed so far: asked for once for each change, kept, in words for a model."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from agent_lsp.agent import ledger_records as records
from agent_lsp.agent.ledger import DeedKind
from agent_lsp.agent.localising import localised
from agent_lsp.agent.run import Run
from agent_lsp.agent.validation_text import failure_text
from agent_lsp.agent.world import Workshop, World
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.goal_findings import is_diagnostic, names_of
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.task import RunState
from agent_lsp.domain.verdict import Decision, Evidence, Verdict

MOST_FINDINGS_CHARACTERS: Final = 16_000


class Verdicts:
    """The verdicts of one run. `goal_tests` are those known by now; `failures` is what a model should read."""

    def __init__(self, run: Run, workshop: Workshop, world: World) -> None:
        self._run, self._workshop, self._world = run, workshop, world
        self.goal_tests = named_goal_tests(run)
        self.failures = ""
        self._last: tuple[tuple[FileEdit, ...], tuple[CaseId, ...], Evidence] | None = None

    def forget(self) -> None:
        """Its reports are gone, or the workspace may have moved."""
        self._last = None

    def learn(self, goal_tests: tuple[CaseId, ...]) -> None:
        """An engine worked for these tests."""
        self.goal_tests = tuple(dict.fromkeys((*named_goal_tests(self._run), *goal_tests)))

    async def take(self, edits: tuple[FileEdit, ...], evidence: Evidence | None) -> None:
        """Takes an engine's evidence if it is about exactly this tree."""
        if evidence is None or not edits or any(map(is_diagnostic, self.goal_tests)):
            return  # engines ask tests alone
        tree = await self._world.trees.write(self._workshop.base.tree, edits)
        if evidence.verdict.candidate == tree:
            self._keep(edits, evidence, evidence)

    async def of(self, edits: tuple[FileEdit, ...]) -> Evidence | None:
        """The gate's verdict on the whole change so far; asked for only if it is another than the last one."""
        if not edits:
            return None
        ledger = self._run.ledger
        if ledger.next_kind == DeedKind.EVIDENCE and (kept := ledger.again(DeedKind.EVIDENCE)) is not None:
            return self._told_again(edits, kept)
        if self._last is not None and self._last[:2] == (edits, self.goal_tests):
            return self._last[2]
        run = self._run
        run.move(RunState.VALIDATING, "running the tests with and without the change")
        try:
            evidence = await self._world.gate.validate(
                self._workshop.base.tree,
                edits,
                goal_tests=self.goal_tests,
                scope=run.goal.scope,
                on_progress=run.tell,
            )
        except RunnerUnavailableError as error:
            reason = f"The tests could not be started: {error.message} {error.hint}".strip()
            evidence = Evidence(Verdict(Decision.UNDECIDED, reasons=(reason,)))
        self._keep(edits, evidence, await self._localised(evidence))
        await ledger.caught_up()
        ledger.keep(DeedKind.EVIDENCE, {**records.evidence_data(evidence), "findings": self.failures})
        return evidence

    def _told_again(self, edits: tuple[FileEdit, ...], kept: Mapping[str, Any]) -> Evidence:
        evidence, self.failures = records.evidence_of(kept), str(kept["findings"])
        self._last = (edits, self.goal_tests, evidence)
        self._run.verdict = evidence.verdict.decision.value
        return evidence

    def _keep(self, edits: tuple[FileEdit, ...], evidence: Evidence, told: Evidence) -> None:
        self._last = (edits, self.goal_tests, evidence)
        self.failures = failure_text(told, MOST_FINDINGS_CHARACTERS)
        self._run.verdict = evidence.verdict.decision.value
        self._run.record(EventKind.VALIDATION, {"verdict": evidence.verdict.to_json()})

    async def _localised(self, evidence: Evidence) -> Evidence:
        """With the lines that its failing tests ran, in files that it left alone too, where a model reads it."""
        verdict, after = evidence.verdict, evidence.after
        if after is None or verdict.decision.acceptable or not self._run.engines.listens:
            return evidence
        candidate = self._workshop.candidate
        accused = verdict.broken or after.failing().intersection(self.goal_tests)
        run = partial(self._world.gate.run_once, candidate)
        return replace(evidence, after=await localised(after, candidate, run, accused))


def named_goal_tests(run: Run) -> tuple[CaseId, ...]:
    """The named tests, and the diagnostics that the run was started from; of a failing test, the test."""
    return tuple(dict.fromkeys((*run.goal.tests, *names_of(run.goal.problems))))
