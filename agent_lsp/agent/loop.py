"""Owns the way of a goal: snapshot, plan, (approve), execute, validate, reflect, and the proposal at its end."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal, assert_never

from agent_lsp.agent import ledger_records as records
from agent_lsp.agent.approval import Approval, Approved, Rejected, decision_of
from agent_lsp.agent.attempts import LATE_WORDS, Again, Stop, Work, feedback_text, newly, no_change
from agent_lsp.agent.engines import PlanTask, ReflectionTask, StepTask
from agent_lsp.agent.findings import problems_of
from agent_lsp.agent.ledger import DeedKind, PartEndedError
from agent_lsp.agent.proposals import resting_state
from agent_lsp.agent.return_to_work import Return
from agent_lsp.agent.run import Run
from agent_lsp.agent.tools.submit_plan import plan_of
from agent_lsp.agent.verdicts import Verdicts
from agent_lsp.agent.world import Workshop, World
from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.errors import (
    BudgetSpentError,
    ModelBrokenError,
    ModelRefusedError,
    ModelRejectedError,
    ModelUnavailableError,
    StuckError,
)
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.plan import Plan, Reflection, ReflectionDecision, StepState
from agent_lsp.domain.task import Mode, RunState

logger = logging.getLogger(__name__)

MOST_STEPS: Final = 60
"""However often a plan is adapted, it does not grow beyond this."""


class Loop:
    """Carries one run from its goal to its proposal, and on from a person's feedback."""

    def __init__(self, run: Run, world: World) -> None:
        self.workshop, self.approval = Workshop(world, run.ledger), Approval(run)
        self._ledger = run.ledger
        self._return = Return(run, self.workshop, world)
        run.ledger.on_live = self._go_on_for_real
        run.ledger.on_skipped = self._return.skipped
        run.ledger.on_edited = self._return.edited
        self.offered: tuple[FileEdit, ...] = ()
        self._run, self._world = run, world
        self._tries_left = max(0, run.desk.meter.budget.tries - 1)
        self._verdicts = Verdicts(run, self.workshop, world)
        self._summaries: dict[int, str] = {}
        self._harvested: tuple[FileEdit, ...] = ()

    async def carry_out(self) -> None:
        """From the goal to the proposal, or to the plan's rejection. Leaves no candidate behind."""
        try:
            await self._open()
            if await self._settle_plan():
                await self._work(Again(0))
        finally:
            await self.workshop.close()

    async def resume(self) -> None:
        """Goes the way of a run of an earlier process again, up to where it was, and on from there."""
        if self._ledger.next_kind != DeedKind.FEEDBACK:
            await self.carry_out()
        while self._ledger.next_kind == DeedKind.FEEDBACK:
            said = self._ledger.again(DeedKind.FEEDBACK) or {}
            self._run.plan = plan_of(records.steps_kept(said["steps"]))
            await self.go_on(str(said["feedback"]), (), resumed=True)

    def begin_again(self, header: Mapping[str, Any], feedback: str, edits: tuple[FileEdit, ...]) -> None:
        """The run had come to its offer; it goes on with the person's words about `edits`."""
        self._ledger.begin(header)
        kept = {"feedback": feedback, "proposalId": self._run.proposal_id, **records.plan_data(self._plan)}
        self._ledger.keep(DeedKind.FEEDBACK, kept, edits)

    async def go_on(self, feedback: str, edits: tuple[FileEdit, ...], *, resumed: bool = False) -> None:
        """Works on after the person discarded `edits` with words about them; a resumed run holds them already."""
        self._tries_left = max(0, self._run.desk.meter.budget.tries - 1)
        self._run.show_problems(())
        try:
            await self._open()
            lost = () if resumed else await self.workshop.carry_over(edits)
            plan = self._plan
            await self._work(Again(len(plan.steps) - 1, feedback_text(feedback, lost)))
        finally:
            await self.workshop.close()

    # --- the plan --------------------------------------------------------------------------------------------

    @property
    def _plan(self) -> Plan:
        assert self._run.plan is not None
        return self._run.plan

    async def _open(self) -> None:
        if self._ledger.next_kind == DeedKind.OPENED and self.workshop.opened:
            self._return.opened(self._ledger.again(DeedKind.OPENED))
            return
        base = await self.workshop.open()
        self._verdicts.forget()
        kept = self._ledger.again(DeedKind.OPENED)
        self._return.opened(kept)
        if kept is None:
            await self._keep(DeedKind.OPENED, {"tree": base.tree})
        self._run.record(EventKind.SNAPSHOT, {"tree": base.tree, "buffers": dict(base.buffers)})

    async def _go_on_for_real(self) -> None:
        self._verdicts.forget()
        await self._return.arrive()

    async def _keep(self, kind: DeedKind, data: Mapping[str, Any]) -> None:
        await self._ledger.caught_up()
        self._ledger.keep(kind, data)

    async def _settle_plan(self) -> bool:
        """Makes plans until one is taken; False if the person rejected it for good."""
        run = self._run
        previous, feedback = None, ""
        while True:
            run.move(RunState.PLANNING, "planning")
            await run.desk.pause_point()
            planned = await self._planned(feedback, previous)
            run.show_plan(planned)
            if run.goal.mode is Mode.AUTO:
                return True
            decision = await self._decision()
            if decision == Rejected(""):
                return False
            await self._open()
            match decision:
                case Approved(plan):
                    run.show_plan(plan)
                    return True
                case Rejected(words):
                    previous, feedback = planned, words
                case _:
                    assert_never(decision)

    async def _planned(self, feedback: str, previous: Plan | None) -> Plan:
        run = self._run
        if (kept := self._ledger.past(DeedKind.PLAN)) is not None:
            return plan_of(records.steps_kept(kept["steps"]))
        task = PlanTask(
            run.goal,
            self.workshop.candidate,
            self.workshop.base.tree,
            run.tell,
            run.record,
            feedback,
            previous,
            run.desk,
            tuple(sorted(self.workshop.base.buffers)),
        )
        planned = await run.engines.planning.plan(task)
        await self._keep(DeedKind.PLAN, records.plan_data(planned))
        return planned

    async def _decision(self) -> Approved | Rejected:
        """The person's, however long it takes; the candidate is not held for it."""
        if (kept := self._ledger.again(DeedKind.DECISION)) is not None:
            return decision_of(kept)
        await self._ledger.caught_up()
        await self.workshop.close()
        return await self.approval.wait()

    # --- the steps -------------------------------------------------------------------------------------------

    async def _work(self, first: Again) -> None:
        """Carries out the plan and offers what came of it; words that nobody has heard by then are worked on first."""
        again: Again | None = first
        while again is not None:
            again = await self._offer(await self._until_stop(again))

    async def _until_stop(self, first: Again) -> Stop:
        try:
            return await self._steps(first)
        except BudgetSpentError as error:
            logger.warning("run %s: %s", self._run.id, error.message)
            self._run.record(EventKind.NOTE, {"text": error.message})
            return self._stopped(Stop(f"{error.message}; what was done is offered", spent=True))
        except (ModelUnavailableError, ModelBrokenError, ModelRejectedError, ModelRefusedError) as error:
            logger.error("run %s lost its model: %s", self._run.id, error.message, exc_info=error)
            return self._stopped(Stop(f"{error.message} {error.hint}".strip(), given_up=True, spent=True))
        except PartEndedError:
            kept = self._ledger.again(DeedKind.STOPPED) or {}
            return Stop(str(kept["reason"]), given_up=bool(kept["givenUp"]), spent=True)

    def _stopped(self, stop: Stop) -> Stop:
        """Kept for the case that a person's words set the run to work again, and it is resumed after that."""
        if self._ledger.next_kind == DeedKind.STOPPED:
            self._ledger.again(DeedKind.STOPPED)
        elif not self._ledger.next_kind:
            self._ledger.keep(DeedKind.STOPPED, {"reason": stop.reason, "givenUp": stop.given_up})
        return stop

    async def _steps(self, first: Again) -> Stop:
        again: Again | Stop = first
        while isinstance(again, Again):
            run = self._run
            await run.desk.pause_point()
            run.desk.check_budget()
            work = await self._attempt(again)
            again = await self._after(again, work)
            if isinstance(again, Again) and self._plan.steps[again.index].state is StepState.PENDING:
                run.switch.step_ended()
        return again

    async def _attempt(self, again: Again) -> Work:
        """Executes the step and runs the tests on what is there then."""
        run, index = self._run, again.index
        run.mark_step(index, StepState.RUNNING)
        title = self._plan.steps[index].title
        run.move(RunState.EXECUTING, title)
        run.record(EventKind.STEP_STARTED, {"step": index + 1, "title": title, "feedback": again.feedback[:4000]})
        outcome = await run.engines.execution.execute(
            StepTask(
                run.goal,
                self._plan,
                index,
                self.workshop.candidate,
                self.workshop.base.tree,
                again.feedback,
                run.tell,
                run.record,
                run.desk,
                again.failed_tries,
                tuple(sorted(self.workshop.base.buffers)),
            )
        )
        ended = {"step": index + 1, "finished": outcome.finished, "summary": outcome.summary, "reason": outcome.reason}
        run.record(EventKind.STEP_ENDED, ended)
        if outcome.summary:
            self._summaries[index] = outcome.summary
        self._verdicts.learn(outcome.goal_tests)
        edits = await self.workshop.candidate.harvest()
        run.plan = self._plan.with_files(index, newly(edits, self._harvested))
        self._harvested = edits
        await self._verdicts.take(edits, outcome.evidence)
        evidence = await self._verdicts.of(edits)
        return Work(outcome, edits, evidence, self._verdicts.failures if evidence is not None else "")

    async def _after(self, tried: Again, work: Work) -> Again | Stop:
        """What follows an attempt: the end, the next step, or another try."""
        run, index = self._run, tried.index
        last = index + 1 == len(self._plan.steps)
        if last and work.good:
            run.mark_step(index, StepState.DONE)
            return Stop()
        if last and not self._tries_left:
            run.mark_step(index, StepState.FAILED)
            return Stop(work.trouble)
        reflection = await self._reflect(index, work)
        match reflection.decision:
            case ReflectionDecision.CONTINUE:
                run.mark_step(index, StepState.DONE if work.outcome.finished else StepState.FAILED)
                return Stop("" if work.good else work.trouble) if last else Again(index + 1)
            case ReflectionDecision.ABORT:
                run.mark_step(index, StepState.FAILED)
                return Stop(f"given up: {reflection.reason}", given_up=True)
            case ReflectionDecision.RETRY | ReflectionDecision.ADAPT as decision:
                return self._another_try(tried, work, reflection, decision)
            case _:
                assert_never(reflection.decision)

    def _another_try(
        self,
        tried: Again,
        work: Work,
        reflection: Reflection,
        decision: Literal[ReflectionDecision.RETRY, ReflectionDecision.ADAPT],
    ) -> Again | Stop:
        run, index = self._run, tried.index
        if not self._tries_left:
            run.mark_step(index, StepState.FAILED)
            return Stop(f"no try is left: {reflection.reason}", given_up=True)
        self._tries_left -= 1
        feedback = f"{self._findings(work)}\n\nWhat to do about it: {reflection.reason}"
        if decision is ReflectionDecision.RETRY:
            return Again(index, feedback, tried.failed_tries + 1)
        run.mark_step(index, StepState.DONE if work.good else StepState.FAILED)
        steps = (*self._plan.steps[: index + 1], *reflection.steps)[:MOST_STEPS]
        if len(steps) <= index + 1:
            return Stop("the plan was adapted to have no steps left", given_up=True)
        run.show_plan(plan_of(steps))
        return Again(index + 1, feedback)

    async def _reflect(self, index: int, work: Work) -> Reflection:
        if (kept := self._ledger.past(DeedKind.REFLECTION)) is not None:
            return records.reflection_of(kept)
        run = self._run
        run.move(RunState.REFLECTING, "judging the step")
        task = ReflectionTask(
            run.goal,
            self._plan,
            index,
            self.workshop.candidate,
            self.workshop.base.tree,
            work.outcome,
            work.evidence,
            self._findings(work),
            self._tries_left,
            run.tell,
            run.record,
            run.desk,
        )
        try:
            reflection = await run.engines.reflection.reflect(task)
        except StuckError as error:
            decision = ReflectionDecision.CONTINUE if work.good else ReflectionDecision.ABORT
            reflection = Reflection(decision, error.message)
        await self._keep(DeedKind.REFLECTION, records.reflection_data(reflection))
        data = {"step": index + 1, "decision": reflection.decision.value, "reason": reflection.reason}
        run.record(EventKind.REFLECTION, {**data, "assessment": reflection.assessment})
        run.tell(f"{reflection.decision.value}: {reflection.reason}", None)
        return reflection

    def _findings(self, work: Work) -> str:
        parts = [] if work.outcome.finished else [f"The step was not finished: {work.outcome.reason}"]
        parts.append("No file was changed." if work.evidence is None else work.failures)
        return "\n\n".join(parts)

    # --- the end ---------------------------------------------------------------------------------------------

    async def _offer(self, stop: Stop) -> Again | None:
        """Offers what is there, with its verdict, and brings the run to rest; or what is still to be done before."""
        run = self._run
        if not stop.spent and run.desk.words_wait:
            return self._again_with_words()
        if self._ledger.pass_to(DeedKind.FEEDBACK):
            return None  # it was offered then, and its person sent it back
        await self._ledger.finish()
        edits = await self.workshop.candidate.harvest()
        evidence = await self._verdicts.of(edits)
        await run.desk.pause_point()
        if run.desk.words_wait:
            if not stop.spent:
                return self._again_with_words()
            stop = replace(stop, reason=f"{stop.reason} (what you said last could not be followed any more)")
        if evidence is None:
            run.verdict = None
            run.move(RunState.FAILED, no_change(stop, self._summary()))
            return None
        run.offering = True  # from here on nobody would hear what is said to the run
        await self.workshop.close()
        verdict = evidence.verdict
        goal = replace(run.goal, tests=self._verdicts.goal_tests)
        base = self.workshop.base
        run.proposal_id = await self._world.review.offer(run.id, goal, self._summary(), base, edits, evidence)
        self.offered = edits
        run.verdict = verdict.decision.value
        run.show_problems(problems_of(evidence, self._verdicts.goal_tests))
        state = RunState.FAILED if stop.given_up else resting_state(verdict)
        run.move(state, stop.reason or verdict.title())
        run.rest()
        return None

    def _again_with_words(self) -> Again:
        return Again(max(0, self._run.step - 1), LATE_WORDS)

    def _summary(self) -> str:
        """What was done, in the engines' words; with several steps, step by step."""
        steps = self._plan.steps
        told = [(steps[index].title, text) for index, text in sorted(self._summaries.items()) if index < len(steps)]
        if len(told) == 1:
            return told[0][1]
        return "\n".join(f"{title}: {text}" for title, text in told) or self._run.goal.text
