"""Owns carrying out steps with a language model."""

from agent_lsp.agent.context import step_text
from agent_lsp.agent.conversation import Conversation
from agent_lsp.agent.engines import StepOutcome, StepTask
from agent_lsp.agent.model_work import ModelWork
from agent_lsp.domain.conversation import Phase
from agent_lsp.domain.errors import StuckError

_REMINDER = "If the step is done, call finish_step with a summary; otherwise go on with the tools."


class ModelExecution:
    """An `engines.ExecutionEngine`: one conversation through all steps and tries of a run."""

    def __init__(self, work: ModelWork) -> None:
        self._work = work
        self._conversation: Conversation | None = None
        self._started: set[tuple[int, str]] = set()

    async def execute(self, task: StepTask) -> StepOutcome:
        """Works until the model finishes the step; an unfinished step says why."""
        self._work.route.step(task.goal, failed_tries=task.failed_tries)
        conversation = await self._prepared(task)
        try:
            exchange = self._work.exchange(Phase.EXECUTION, task, conversation)
            ended = await conversation.until_ended(exchange, _REMINDER)
        except StuckError as error:
            return StepOutcome("", finished=False, reason=error.message)
        return StepOutcome(ended.value or ended.text.strip(), finished=True)

    async def _prepared(self, task: StepTask) -> Conversation:
        """The conversation with what is new in it: the goal at first, then the step, then what went wrong."""
        prompts, step = self._work.prompts, task.plan.steps[task.index]
        conversation = self._conversation
        if conversation is None:
            conversation = self._conversation = await self._work.conversation(Phase.EXECUTION, task)
            conversation.add(await self._work.first_message(task))
        key = (task.index, step.title)
        if key not in self._started:
            self._started.add(key)
            conversation.add(step_text(prompts, task.plan, task.index))
            if task.feedback:
                conversation.add(task.feedback)
        elif task.feedback:
            number = task.index + 1
            conversation.add(prompts.fill("retry", feedback=task.feedback, number=number, title=step.title))
        return conversation
