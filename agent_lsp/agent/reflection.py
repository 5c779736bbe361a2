"""Owns judging a step with a language model."""

from agent_lsp.agent.context import diff_text, plan_text
from agent_lsp.agent.engines import ReflectionTask
from agent_lsp.agent.model_work import ModelWork
from agent_lsp.domain.conversation import Phase
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.plan import Reflection, ReflectionDecision

_REMINDER = "Call submit_reflection with your decision; prose alone is not read."


class ModelReflection:
    """An `engines.ReflectionEngine`; every judgement is a conversation of its own."""

    def __init__(self, work: ModelWork) -> None:
        self._work = work

    async def reflect(self, task: ReflectionTask) -> Reflection:
        """The model's decision; without one although reminded, on with what is good and again with what is not."""
        conversation = await self._work.conversation(Phase.REFLECTION, task)
        conversation.add(await self._question(task))
        exchange = self._work.exchange(Phase.REFLECTION, task, conversation)
        ended = await conversation.until_ended(exchange, _REMINDER)
        if isinstance(ended.value, Reflection):
            return ended.value
        task.journal(EventKind.NOTE, {"text": "the model gave no decision; the verdict decides"})
        good = task.evidence is not None and task.evidence.verdict.decision.acceptable
        decision = ReflectionDecision.CONTINUE if good else ReflectionDecision.RETRY
        return Reflection(decision, ended.text.strip() or "no decision was given")

    async def _question(self, task: ReflectionTask) -> str:
        outcome = task.outcome
        told = outcome.summary if outcome.finished else f"The step was not finished: {outcome.reason}"
        return self._work.prompts.fill(
            "judge",
            goal=task.goal.text,
            plan=plan_text(task.plan),
            number=task.index + 1,
            count=len(task.plan.steps),
            title=task.plan.steps[task.index].title,
            outcome=told or "No summary was given.",
            diff=diff_text(await self._work.seen(task.candidate).harvest()),
            findings=task.findings or "No tests were run on it.",
            tries_left=task.tries_left,
        )
