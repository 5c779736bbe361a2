"""Owns what a person may wish of a run at work besides steering it: another tier of models."""

from agent_lsp.agent.session import Session
from agent_lsp.domain.errors import RefusedError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.tiers import Tier


def wish_tier(session: Session, run_id: str, tier: Tier | None) -> None:
    """From its next turn on a run asks this tier; None: by the rules. Raises RefusedError where no model works."""
    run = session._entry(run_id).run
    if run.engines.route is None:
        raise RefusedError(f"{run.name} is worked on by the {run.engines.name} engine", hint="It has no tiers.")
    run.engines.route.wish = tier
    run.record(EventKind.NOTE, {"text": f"tier: {tier.value if tier else 'by the rules'}, as asked"})
