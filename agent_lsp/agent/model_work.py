"""Owns what all engines of a language model share: the voice, the prompts, the tools of each phase."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agent_lsp.agent.context import Prompts, Surroundings, goal_text
from agent_lsp.agent.conversation import Conversation, Exchange, Voice
from agent_lsp.agent.desk import LoneDesk
from agent_lsp.agent.engines import PlanTask, ReflectionTask, StepTask
from agent_lsp.agent.localising import localised
from agent_lsp.agent.private_files import GuardedCandidate, PrivateFiles
from agent_lsp.agent.routing import Route
from agent_lsp.agent.rules import Rulebook, Rules
from agent_lsp.agent.toolbox import Toolbox
from agent_lsp.agent.tools import (
    apply_patch,
    ask_user,
    delete_file,
    edit_file,
    finish_step,
    list_files,
    move_file,
    read_file,
    run_command,
    run_tests,
    search,
    submit_plan,
    submit_reflection,
    write_file,
)
from agent_lsp.agent.tools.tool import Bench, Tool
from agent_lsp.domain.conversation import Phase
from agent_lsp.domain.errors import SnapshotError
from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.repository_map import RepositoryMaps, Wish
from agent_lsp.domain.verdict import SuiteReport

logger = logging.getLogger(__name__)

SuiteRun = Callable[[Candidate, Sequence[str], Sequence[str]], Awaitable[SuiteReport]]
"""Runs tests in a candidate and tells which lines of the watched files they ran (validator.Validator.run_once)."""

CHARACTERS_PER_TOKEN: Final = 3.5
"""Of a map: names and signatures."""

READING: Final[tuple[Tool[Any], ...]] = (list_files.TOOL, search.TOOL, read_file.TOOL)

TOOLS: Final[dict[Phase, tuple[Tool[Any], ...]]] = {
    Phase.PLANNING: (*READING, ask_user.TOOL, submit_plan.TOOL),
    Phase.EXECUTION: (
        *READING,
        edit_file.TOOL,
        write_file.TOOL,
        move_file.TOOL,
        delete_file.TOOL,
        apply_patch.TOOL,
        run_tests.TOOL,
        run_command.TOOL,
        ask_user.TOOL,
        finish_step.TOOL,
    ),
    Phase.REFLECTION: (*READING, submit_reflection.TOOL),
}
"""PROTOCOL.md section 6: only execution offers writing tools, so the list of a request tells its phase."""


@dataclass(frozen=True, slots=True)
class ModelWork:
    """A language model at work for one run: who answers, with which prompts, and how tests are run for it.

    What is `private` it never sees.
    """

    voice: Voice
    prompts: Prompts
    run_suite: SuiteRun
    commands_without_sandbox: bool = False
    route: Route = field(default_factory=Route)
    private: PrivateFiles = field(default_factory=PrivateFiles)
    book: Rulebook = field(default_factory=Rulebook)
    maps: RepositoryMaps | None = None
    map_tokens: int = 2_000

    def seen(self, candidate: Candidate) -> GuardedCandidate:
        """The candidate as the model has it."""
        return GuardedCandidate(candidate, self.private)

    async def conversation(self, phase: Phase, task: PlanTask | StepTask | ReflectionTask) -> Conversation:
        """A new conversation with the phase's system prompt, who the agent is, and the workspace's rules."""
        rules = Rules(self.book)
        await rules.begin(self.seen(task.candidate), files_of(task))
        return Conversation(self.voice, phase, self.prompts.system_prompt(phase.value), rules)

    async def first_message(self, task: PlanTask | StepTask) -> str:
        """The goal and what surrounds it, with a map of what is where."""
        surroundings = Surroundings(await self._map(task), task.open_files)
        return await goal_text(self.prompts, task.goal, self.seen(task.candidate), surroundings)

    async def _map(self, task: PlanTask | StepTask) -> str:
        if self.maps is None or not self.map_tokens:
            return ""
        text = " ".join((task.goal.text, *(problem.message for problem in task.goal.problems)))
        wish = Wish(text, tuple(files_of(task)), task.open_files)
        characters = int(self.map_tokens * CHARACTERS_PER_TOKEN)
        try:
            return await self.maps.draw(task.base_tree, wish, self.private, characters)
        except SnapshotError as error:
            logger.warning("there is no map of the workspace: %s", error.message)
            return ""

    def exchange(
        self, phase: Phase, task: PlanTask | StepTask | ReflectionTask, conversation: Conversation
    ) -> Exchange:
        """The phase's tools on the task's candidate, and the run behind the task."""
        desk = task.desk or LoneDesk()

        seen = self.seen(task.candidate)

        async def watched(tests: Sequence[str], watch: Sequence[str]) -> SuiteReport:
            return await self.run_suite(task.candidate, tests, watch)  # tests may read what is private

        async def run_suite(_: Candidate, tests: Sequence[str]) -> SuiteReport:
            return await localised(await watched(tests, ()), seen, watched)

        bench = Bench(seen, run_suite, desk, private=self.private, rules=conversation.rules)
        tools: Sequence[Tool[Any]] = TOOLS[phase]
        allowed = self.commands_without_sandbox
        toolbox = Toolbox(tools, bench, task.journal, self.voice.veil, commands_without_sandbox=allowed)
        return Exchange(toolbox, task.tell, task.journal, desk)


def files_of(task: PlanTask | StepTask | ReflectionTask) -> list[str]:
    """The files that a task is known to be about."""
    named = [task.goal.path] if task.goal.path else []
    named += [problem.path for problem in task.goal.problems]
    named += [test.partition("::")[0] for test in task.goal.tests]
    plan = None if isinstance(task, PlanTask) else task.plan
    return [*named, *(path for step in plan.steps for path in step.files)] if plan is not None else named
