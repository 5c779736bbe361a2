"""Owns what is told of a run at its beginning, and what the journal tells of one that is resumed."""

from collections.abc import Sequence
from typing import Any, Final

from agent_lsp.agent.ledger import DeedKind
from agent_lsp.agent.proposal_records import goal_data
from agent_lsp.agent.run import Run
from agent_lsp.agent.tools.ask_user import TOOL
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.keeping import KeptRun
from agent_lsp.domain.task import Goal, RunState

ASKING: Final = TOOL.name


def recall(run: Run, kept: KeptRun, events: Sequence[Event]) -> None:
    """What the journal tells of a run that is resumed: how it stood, and what was said to it that nobody has heard."""
    states = [str(event.data["state"]) for event in events if event.kind is EventKind.RUN_STATE]
    run.stands(RunState(states[-1]) if states else RunState.PLANNING, f"Resumed: {run.goal.text}")
    said = [str(event.data["text"]) for event in events if event.kind is EventKind.SAID]
    heard = sum(int(deed.data.get("count", 0)) for deed in kept.deeds if deed.kind == DeedKind.SAID)
    for text in said[heard:]:
        run.desk.say(text)
    answers = [str(event.data["answer"]) for event in events if event.kind is EventKind.ANSWER]
    taken = sum(deed.kind == DeedKind.TOOL and deed.data.get("tool") == ASKING for deed in kept.deeds)
    run.desk.answers = answers[taken:]


def header(run: Run) -> dict[str, Any]:
    """What is told of a run at its beginning to who keeps it."""
    engines = run.engines
    return {
        "goal": goal_data(run.goal),
        "engine": engines.name,
        "listens": engines.listens,
        "paused": run.switch.paused,
    }


def started(goal: Goal, engine: str) -> dict[str, Any]:
    """The data of the event that begins a run."""
    return {
        "goal": goal.text,
        "path": goal.path,
        "mode": goal.mode.value,
        "tests": list(goal.tests),
        "scope": list(goal.scope),
        "engine": engine,
    }
