"""Owns a person's edit of the plan of a paused run: what was begun stays, what was not is theirs to change."""

from collections.abc import Sequence

from agent_lsp.agent.ledger import DeedKind
from agent_lsp.agent.ledger_records import plan_data
from agent_lsp.agent.run import Run
from agent_lsp.agent.tools.submit_plan import plan_of
from agent_lsp.domain.errors import RefusedError
from agent_lsp.domain.plan import Step


def edit_plan(run: Run, steps: Sequence[Step]) -> None:
    """The whole plan as it is to be. Its steps up to the one at work are as they were, whatever the edit says of them.

    Raises RefusedError where there is no plan yet, or the run is still on its way back to where it was.
    """
    if run.plan is None:
        raise RefusedError(f"run {run.id} has no plan yet", hint="Resume it and wait for its plan.")
    if not run.ledger.live:
        raise RefusedError(f"run {run.id} is being resumed", hint="Try again in a moment.")
    plan = plan_of((*run.plan.steps[: run.step], *steps[run.step :]))
    run.ledger.keep(DeedKind.EDITED, plan_data(plan))
    run.show_plan(plan)
