"""Owns planning with a language model."""

from agent_lsp.agent.context import plan_text
from agent_lsp.agent.engines import PlanTask
from agent_lsp.agent.model_work import ModelWork
from agent_lsp.agent.tools.submit_plan import plan_of
from agent_lsp.domain.conversation import Phase
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.plan import Plan, Step

_REMINDER = "Call submit_plan with the plan; prose alone is not read."


class ModelPlanning:
    """An `engines.PlanningEngine`."""

    def __init__(self, work: ModelWork) -> None:
        self._work = work

    async def plan(self, task: PlanTask) -> Plan:
        """The model's plan; the goal itself as the one step if it gives none although reminded."""
        self._work.route.planning(task.goal, again=task.previous is not None)
        conversation = await self._work.conversation(Phase.PLANNING, task)
        conversation.add(await self._work.first_message(task))
        if task.previous is not None:
            rejected = plan_text(task.previous)
            conversation.add(self._work.prompts.fill("replan", plan=rejected, feedback=task.feedback))
        ended = await conversation.until_ended(self._work.exchange(Phase.PLANNING, task, conversation), _REMINDER)
        if isinstance(ended.value, Plan):
            return ended.value
        task.journal(EventKind.NOTE, {"text": "the model gave no plan; the goal is the one step"})
        title = " ".join(task.goal.text.split())
        return plan_of([Step(title if len(title) <= 80 else title[:79] + "…", ended.text.strip())])
