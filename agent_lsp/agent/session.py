"""Owns the registry of runs: starts, steers and ends them, and keeps what happens to their proposals in their state."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from agent_lsp.agent.approval import Approved, Rejected
from agent_lsp.agent.engines import EngineChoice
from agent_lsp.agent.ledger import Ledger, resumable
from agent_lsp.agent.loop import Loop
from agent_lsp.agent.parts import selected
from agent_lsp.agent.plan_editing import edit_plan
from agent_lsp.agent.proposal_records import goal_kept
from agent_lsp.agent.queue import DEFAULT_PARALLEL, DEFAULT_WAITING, Queue, place_of
from agent_lsp.agent.run import Run, Telling
from agent_lsp.agent.run_records import header, recall, started
from agent_lsp.agent.tools.submit_plan import plan_of
from agent_lsp.agent.world import World
from agent_lsp.domain.errors import (
    AgentLspError,
    BadArgumentError,
    NoModelError,
    OperatorError,
    RefusedError,
    UnknownIdError,
)
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ids import HunkId
from agent_lsp.domain.keeping import KeptRun
from agent_lsp.domain.plan import Step
from agent_lsp.domain.scope import scope
from agent_lsp.domain.slots import Slots
from agent_lsp.domain.task import ENDED, Budget, Goal, RunState, RunView

logger = logging.getLogger(__name__)

CANCEL_WITHIN_S: Final = 0.9
STOP_WITHIN_S: Final = 3.0
ENDED_KEPT: Final = 50

Action = Literal["cancel", "pause", "resume", "step"]


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """What runs that start from now on get: it is asked for at every start, so that settings may change."""

    choice: EngineChoice
    budget: Budget
    parallel: int = DEFAULT_PARALLEL
    waiting: int = DEFAULT_WAITING


@dataclass(slots=True)
class Entry:
    """A run with what drives it."""

    run: Run
    loop: Loop
    task: "asyncio.Task[None] | None" = None
    cancel_asked: bool = False
    leaving: bool = False


class Session:
    """All runs of one workspace. Every method answers at once; work goes on in tasks."""

    def __init__(
        self, world: World, policy: Callable[[], RunPolicy], *, keeps_offers: bool = False, slots: Slots | None = None
    ) -> None:
        """With `keeps_offers`, what is on offer at the end is offered again by the next process.

        `slots` bound how many runs of all sessions on this machine work at the same time.
        """
        self._world, self._policy, self._keeps_offers = world, policy, keeps_offers
        self._entries: dict[str, Entry] = {}
        self._queue = Queue(slots=slots)
        self._stopped = False

    # --- starting and looking --------------------------------------------------------------------------------

    def start(self, run_id: str, goal: Goal) -> str:
        """Starts a run.

        Raises NoModelError where nobody can serve the goal, BadArgumentError for a used id, RefusedError where too many
        wait for their turn already.
        """
        if run_id in self._entries:
            raise BadArgumentError(f"there already is a run {run_id}", hint="Give every run an id of its own.")
        policy = self._policy()
        self._queue.most, self._queue.most_waiting = policy.parallel, policy.waiting
        engines = policy.choice.choose(goal)
        self._queue.admit(run_id)
        world = self._world
        ledger = Ledger(run_id, world.runs)
        run = Run(run_id, goal, engines, policy.budget, Telling(world.journal, world.publish, world.clock, ledger))
        entry = take_in(self, run)
        ledger.begin(header(run))
        run.begin(started(goal, engines.name))
        run.changed()
        self._drive(entry, entry.loop.carry_out)
        return run_id

    def views(self, run_id: str | None = None) -> list[RunView]:
        """All runs, oldest first, or one. Raises UnknownIdError."""
        entries = self._entries.values() if run_id is None else [self._entry(run_id)]
        return [entry.run.view() for entry in entries]

    # --- the person steers -----------------------------------------------------------------------------------

    def approve(self, run_id: str, steps: tuple[Step, ...] | None) -> RunState:
        """Takes the plan that waits, with edited steps if there are any. Raises RefusedError if none waits.

        Of a paused run it takes the edited steps, and leaves it paused.
        """
        entry = self._entry(run_id)
        run = entry.run
        if run.state is RunState.PAUSED and steps is not None:
            edit_plan(run, steps)
            return run.state
        plan = run.plan if steps is None else plan_of(steps)
        if plan is None:
            raise RefusedError(f"{run.name} has no plan yet", hint="Wait until it is awaiting_approval.")
        entry.loop.approval.decide(Approved(plan))
        return run.state

    def reject(self, run_id: str, feedback: str) -> RunState:
        """Refuses the plan that waits; with feedback another one is made, without it the run ends discarded."""
        entry = self._entry(run_id)
        entry.loop.approval.decide(Rejected(feedback.strip()))
        return entry.run.state

    async def control(self, run_id: str, action: Action) -> RunState:
        """Cancels, pauses, resumes or steps. Raises RefusedError where the state does not allow it."""
        entry = self._entry(run_id)
        run = entry.run
        if action == "cancel":
            await self._cancel(entry)
        elif run.state in ENDED:
            raise RefusedError(f"{run.name} is {run.state.value}; it cannot {action}", hint="Start a new run.")
        elif action == "resume":
            run.switch.resume()
        elif action == "step" and run.state is RunState.AWAITING_APPROVAL:
            run.switch.one_step()
            self.approve(run_id, None)
        elif not run.busy or run.state in (RunState.AWAITING_APPROVAL, RunState.BLOCKED):
            waits = f"{run.name} is {run.state.value} and waits for you already; it cannot {action}"
            raise RefusedError(waits, hint="Answer what it waits for, or cancel it.")
        elif action == "pause":
            run.switch.pause()
        else:
            run.switch.one_step()
        return run.state

    def say(self, run_id: str | None, text: str) -> str:
        """Words for a run, or for the newest one at work; the reply says what becomes of them."""
        entry = self._entry(run_id) if run_id is not None else self._newest()
        if entry is None:
            return "No run is going on. Start one with agent.run."
        run = entry.run
        if run.desk.asking:
            self.answer(run.id, text)
            return "Taken as the answer to its question."
        if not run.busy or run.offering:
            if run.state is RunState.PROPOSED or run.offering:
                return "The change is proposed. Discard it with feedback to have it done differently."
            return f"The run is {run.state.value}; start a new one with agent.run."
        if not run.engines.listens:
            return f"The {run.engines.name} engine works by itself and cannot be talked to; you can pause or cancel it."
        run.record(EventKind.SAID, {"text": text})
        run.desk.say(text)
        if run.state is RunState.AWAITING_APPROVAL:
            return "Noted for when the plan is carried out. To have another plan, reject it with feedback."
        return "Noted; it goes along with the next turn."

    def answer(self, run_id: str, text: str) -> RunState:
        """Answers what the run asked. Raises RefusedError if it asked nothing."""
        run = self._entry(run_id).run
        if not run.desk.answer(text):
            raise RefusedError(f"{run.name} asks nothing", hint="Use agent.say to tell it something.")
        run.record(EventKind.ANSWER, {"answer": text})
        return RunState.EXECUTING

    async def discard(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Discards as review does; with feedback the run goes on, which its state then tells."""
        entry = next((e for e in self._entries.values() if e.run.proposal_id == args.get("proposalId")), None)
        if entry is None or not str(args.get("feedback") or "").strip() or entry.run.busy:
            return await self._world.review.discard(args)
        entry.run.busy = True
        try:
            result = await self._world.review.discard(args)
        finally:
            if entry.task is None or entry.task.done():
                entry.run.busy = False
        return {"state": entry.run.state.value} if entry.run.busy else result

    # --- what review tells -----------------------------------------------------------------------------------

    def on_state(self, run_id: str, state: RunState, message: str) -> None:
        """A proposal moved on, and its run with it. A run that works on already is not moved by it."""
        entry = self._entries.get(run_id)
        if entry is None or self._stopped:
            return
        run = entry.run
        if run.offering:
            run.late.append((state, message))
        elif not run.busy:
            if state in (RunState.APPLIED, RunState.DISCARDED):
                run.show_problems(())
            run.move(state, message)

    def on_feedback(self, run_id: str, proposal_id: str, feedback: str) -> None:
        """The person discarded the change, or a part, with words: the run goes on from what is left of it."""
        entry = self._entries.get(run_id)
        if entry is None or (entry.task is not None and not entry.task.done()):
            return
        entry.run.begin({"goal": entry.run.goal.text, "feedback": feedback, "proposalId": proposal_id})
        entry.run.move(RunState.EXECUTING, "going on with what you said")
        self._drive(entry, lambda: self._go_on(entry, proposal_id, feedback))

    def heard(self, event: str, data: Mapping[str, Any]) -> None:
        """`app` passes every published event by here: a new verdict of a proposal changes its run's row."""
        if event == "problems" and (told := self._entries.get(str(data.get("runId")))) is not None:
            told.run.has_problems = bool(data.get("problems"))
        if event != "verdict" or "hunks" in data:
            return
        for entry in self._entries.values():
            if entry.run.proposal_id == data.get("proposalId"):
                entry.run.verdict = data["verdict"]["decision"]
                entry.run.changed()

    async def stop(self) -> None:
        """Ends all runs and closes their candidates.

        A proposal that nobody decided on counts as discarded and a run at work as cancelled, unless they are kept for
        the next process.
        """
        entries = list(self._entries.values())
        for entry in entries:
            entry.leaving = self._keeps_offers and entry.run.busy and entry.run.ledger.keeps
        await asyncio.gather(*(self._end_task(entry, STOP_WITHIN_S) for entry in entries))
        for run in (entry.run for entry in entries):
            if run.state is RunState.PROPOSED and run.proposal_id is not None and self._keeps_offers:
                run.record(EventKind.NOTE, {"text": f"{run.proposal_id} waits for the next start"})
            elif run.busy and run.ledger.keeps and self._keeps_offers:
                run.ledger.rest()
                run.record(EventKind.NOTE, {"text": "interrupted: its process was told to end; the next start goes on"})
            elif run.state not in ENDED:
                run.move(RunState.DISCARDED, "the editor was closed before it was decided")
        self._stopped = True
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await asyncio.gather(*(entry.loop.workshop.closed() for entry in entries))
        except TimeoutError:
            logger.warning("some copies of the workspace are still being removed")

    # --- tasks -----------------------------------------------------------------------------------------------

    def _drive(self, entry: Entry, work: Callable[[], Awaitable[None]]) -> None:
        entry.cancel_asked = False
        entry.run.desk.place = place_of(entry.run, self._queue)
        name = f"run {entry.run.id}"
        entry.task = asyncio.get_running_loop().create_task(self._guarded(entry, work), name=name)

    async def _guarded(self, entry: Entry, work: Callable[[], Awaitable[None]]) -> None:
        """The worker boundary of a run: whatever happens in it ends it in a state that says so."""
        run = entry.run
        with scope(run_id=run.id, operation=run.goal.text[:200]):
            try:
                await run.desk.place.take()
                await work()
            except asyncio.CancelledError:
                if entry.leaving:
                    raise
                self._end(run, RunState.CANCELLED if entry.cancel_asked else RunState.FAILED, "cancelled")
                raise
            except AgentLspError as error:
                level = logging.ERROR if isinstance(error, OperatorError) else logging.WARNING
                logger.log(level, "run %s failed: %s", run.id, error.message, exc_info=error)
                self._end(run, RunState.FAILED, f"{error.message} {error.hint}".strip())
            except Exception as error:
                logger.exception("run %s failed", run.id)
                self._end(run, RunState.FAILED, f"internal error: {type(error).__name__}: {error}; see agent-lsp log")
            finally:
                run.offering = False
                run.desk.place.give()

    @staticmethod
    def _end(run: Run, state: RunState, reason: str) -> None:
        if run.busy:
            run.switch.resume()
            run.show_problems(())
            run.move(state, reason)

    async def _go_on(self, entry: Entry, proposal_id: str, feedback: str) -> None:
        review = self._world.review
        left = await review.proposal({"proposalId": proposal_id})
        ids = {HunkId(hunk["id"]) for file in left["files"] for hunk in file["hunks"]}
        edits = selected(entry.loop.offered, ids)
        entry.loop.begin_again({**header(entry.run), "proposalId": proposal_id}, feedback, edits)
        if left.get("state") in (RunState.PROPOSED.value, RunState.FAILED.value):
            await review.discard({"proposalId": proposal_id})
        entry.run.ledger.note(proposalId=None)
        entry.run.proposal_id = entry.run.verdict = None
        await entry.loop.go_on(feedback, edits)

    async def _cancel(self, entry: Entry) -> None:
        run = entry.run
        if entry.task is not None and not entry.task.done():
            await self._end_task(entry, CANCEL_WITHIN_S)
        elif run.state is RunState.APPLYING:
            raise RefusedError("the change is being applied", hint="Wait until it is done, then roll it back.")
        elif run.state not in ENDED and run.proposal_id is not None:
            run.busy = True
            try:
                await self._world.review.abandon({"proposalId": run.proposal_id})
                await self._world.review.discard({"proposalId": run.proposal_id})
            except UnknownIdError:
                logger.warning("the proposal of run %s is gone already", run.id)
            finally:
                run.busy = False
            run.show_problems(())
            run.move(RunState.CANCELLED, "cancelled")

    async def _end_task(self, entry: Entry, within_s: float) -> None:
        """Cancels the run's task; after the time given the run counts as ended, whatever is still being put away."""
        if entry.task is None or entry.task.done():
            return
        entry.cancel_asked = True
        entry.task.cancel()
        await asyncio.wait({entry.task}, timeout=within_s)
        if not entry.task.done():
            logger.warning("run %s takes long to put its things away", entry.run.id)
        else:
            entry.run.desk.place.give()  # of a run that was cancelled before it began nobody else does
        if not entry.leaving:
            self._end(entry.run, RunState.CANCELLED, "cancelled")

    def _entry(self, run_id: str) -> Entry:
        entry = self._entries.get(run_id)
        if entry is None:
            raise UnknownIdError(f"there is no run {run_id}", hint="agent.status lists the runs of this session.")
        return entry

    def _newest(self) -> Entry | None:
        entries = list(self._entries.values())
        return next((entry for entry in reversed(entries) if entry.run.busy), entries[-1] if entries else None)

    def _forget_old(self) -> None:
        ended = [run_id for run_id, entry in self._entries.items() if entry.run.state in ENDED]
        for run_id in ended[: max(0, len(ended) - ENDED_KEPT)]:
            del self._entries[run_id]


def take_in(session: Session, run: Run) -> Entry:
    """The run becomes one of the session's; the oldest of those that have ended may go for it."""
    entry = Entry(run, Loop(run, session._world))
    session._forget_old()
    session._entries[run.id] = entry
    return entry


async def settled(session: Session, run_id: str) -> None:
    """Returns once what a person decided is on disk, or the disk refuses it."""
    await session._entry(run_id).run.ledger.settled()


async def resume(session: Session, kept: KeptRun) -> Run:
    """A run of an earlier process, on its way to where it was. Raises NoModelError where nobody can take it."""
    goal, world = goal_kept(kept.data["goal"]), session._world
    policy = session._policy()
    session._queue.most = policy.parallel
    engines = policy.choice.choose(goal)
    if kept.data["listens"] and not engines.listens:
        raise NoModelError(f"it was begun with {kept.data['engine']}", hint="Configure a model.")
    deeds = resumable(kept.deeds, listens=bool(kept.data["listens"]))
    ledger = Ledger(kept.id, world.runs, deeds)
    run = Run(kept.id, goal, engines, policy.budget, Telling(world.journal, world.publish, world.clock, ledger))
    recall(run, kept, await world.journal.read(run.id))
    if not deeds:
        ledger.begin(header(run))
    entry = take_in(session, run)
    session._drive(entry, entry.loop.resume)
    return run
