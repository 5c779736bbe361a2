"""Owns the moment in which a plan waits for its person."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_lsp.agent.ledger import DeedKind
from agent_lsp.agent.ledger_records import plan_data, steps_kept
from agent_lsp.agent.run import Run
from agent_lsp.agent.tools.submit_plan import plan_of
from agent_lsp.domain.errors import RefusedError
from agent_lsp.domain.plan import Plan
from agent_lsp.domain.task import RunState


@dataclass(frozen=True, slots=True)
class Approved:
    """The person takes the plan, as edited."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Rejected:
    """The person does not; with feedback another plan is made."""

    feedback: str


def decision_data(decision: Approved | Rejected) -> dict[str, Any]:
    """A decision as it is kept."""
    return plan_data(decision.plan) if isinstance(decision, Approved) else {"feedback": decision.feedback}


def decision_of(data: Mapping[str, Any]) -> Approved | Rejected:
    """The decision that `decision_data` wrote."""
    return Approved(plan_of(steps_kept(data["steps"]))) if "steps" in data else Rejected(str(data["feedback"]))


class Approval:
    """One run's approval: the loop waits, the session decides."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._decision: asyncio.Future[Approved | Rejected] | None = None

    async def wait(self) -> Approved | Rejected:
        """Waits, however long it takes, for the person's decision on the plan."""
        run = self._run
        self._decision = asyncio.get_running_loop().create_future()
        run.ledger.rest()
        async with run.desk.away():
            run.move(RunState.AWAITING_APPROVAL, "the plan waits for approval")
            try:
                decision = await self._decision
            finally:
                self._decision = None
        return decision

    def decide(self, decision: Approved | Rejected) -> None:
        """Approves or rejects the plan. Raises RefusedError if none waits for it."""
        run = self._run
        if self._decision is None or self._decision.done():
            raise RefusedError(
                f"{run.name} is {run.state.value}; no plan waits for approval",
                hint='Start a run with mode "plan" to approve its plan first.',
            )
        self._decision.set_result(decision)
        run.ledger.keep(DeedKind.DECISION, decision_data(decision))
        match decision:
            case Approved(plan):
                run.plan = plan
                run.move(RunState.EXECUTING, "the plan is approved")
            case Rejected(""):
                run.move(RunState.DISCARDED, "the plan was rejected")
            case Rejected():
                run.move(RunState.PLANNING, "the plan was rejected; making another one")
