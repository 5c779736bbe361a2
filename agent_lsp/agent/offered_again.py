"""Owns runs of an earlier process whose change is on offer again: they rest, and go on from a person's words."""

from collections.abc import Callable

from agent_lsp.agent.engines import Engines, Nobody
from agent_lsp.agent.ledger import Ledger
from agent_lsp.agent.proposals import Proposal
from agent_lsp.agent.run import Run, Telling
from agent_lsp.agent.session import RunPolicy, Session, take_in
from agent_lsp.agent.tools.submit_plan import plan_kept
from agent_lsp.agent.world import World
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.domain.task import Budget, Goal, RunState


async def bring_back(session: Session, world: World, policy: Callable[[], RunPolicy], proposal: Proposal) -> None:
    """A run of an earlier process whose change is on offer again: it rests, and can go on from feedback."""
    budget, engines = _engines_for(policy, proposal.goal)
    told = Telling(world.journal, world.publish, world.clock, Ledger(proposal.run_id, world.runs))
    run = Run(proposal.run_id, proposal.goal, engines, budget, told)
    run.plan = plan_kept(await world.journal.read(run.id), proposal.goal)
    run.proposal_id, run.verdict = proposal.id, proposal.evidence.verdict.decision.value
    take_in(session, run).loop.offered = proposal.edits
    run.show_plan(run.plan)
    run.move(RunState.PROPOSED, "on offer again after a new start")


def _engines_for(policy: Callable[[], RunPolicy], goal: Goal) -> tuple[Budget, Engines]:
    """Who would work on; somebody who says why nobody can where no model is configured now."""
    try:
        chosen = policy()
        return chosen.budget, chosen.choice.choose(goal)
    except AgentLspError as error:
        nobody = Nobody(error)
        return Budget(), Engines("nobody", nobody, nobody, nobody, listens=False)
