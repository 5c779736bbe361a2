"""Owns a turn of conversation about a run: a model answers from the journal, and may pass a correction on to it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agent_lsp.agent.context import Prompts, plan_text
from agent_lsp.agent.conversation import Voice
from agent_lsp.agent.findings import shortened
from agent_lsp.agent.rules import Rulebook
from agent_lsp.domain.conversation import Message, ModelRequest, ModelTurn, Phase, Text, ToolSpec
from agent_lsp.domain.errors import ModelBrokenError
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.plan import Plan
from agent_lsp.domain.task import RunView

PASS_ON: Final = ToolSpec(
    "pass_on",
    "Hands the person's words to the agent at work, which follows them from its next turn on. Use it only where the "
    "person wants something done, or done differently; not for questions.",
    {
        "type": "object",
        "properties": {"words": {"type": "string", "description": "What is wanted, complete, in the person's words."}},
        "required": ["words"],
    },
)
_MOST_EVENTS: Final = 80
_MOST_EVENT_CHARACTERS: Final = 400
_MOST_FACTS_CHARACTERS: Final = 24_000
_KEPT_TURNS: Final = 8
_LONGEST_ANSWER_TOKENS: Final = 1_000
_LEFT_OUT: Final = frozenset({EventKind.POLICY, EventKind.TALK, EventKind.PLAN, EventKind.SEARCH_TRY})
_TRIES: Final = 2


@dataclass(frozen=True, slots=True)
class Talk:
    """What is said, and what is known of the run: its row, its plan, the journal's events, oldest first.

    `takes_words` tells whether the run can still follow the person's words; `may_do` what the person can do now.
    """

    text: str
    view: RunView
    plan: Plan | None
    events: Sequence[Event]
    takes_words: bool
    may_do: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """A reply for the person, words for the run (empty: none), and the whole turn."""

    reply: str
    words: str
    turn: ModelTurn


@dataclass(frozen=True, slots=True)
class ModelTalk:
    """Answers by the run's own voice, asked for the tier of conversations, under the rules that the run works by."""

    voice: Voice
    prompts: Prompts
    book: Rulebook = field(default_factory=Rulebook)

    async def reply(self, talk: Talk) -> Spoken:
        """The answer. Raises OperatorError when no endpoint has one, BudgetSpentError."""
        request = ModelRequest(
            Phase.CHAT,
            f"{self.prompts.system_prompt('chat')}\n\n{self.book.known}".strip(),
            tuple(_messages(self.prompts, talk)),
            (PASS_ON,) if talk.takes_words else (),
            _LONGEST_ANSWER_TOKENS,
        )
        for left in reversed(range(_TRIES)):
            try:
                return _spoken(await self.voice.veil.respond(self.voice.model, request, _unheard))
            except ModelBrokenError:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")


def _unheard(_: str) -> None:
    """The answer is shown whole."""


def _spoken(turn: ModelTurn) -> Spoken:
    words = " ".join(
        str(call.input.get("words") or "").strip() for call in turn.calls if call.name == PASS_ON.name
    ).strip()
    reply = turn.text.strip() or ("Noted; it goes along with the next turn." if words else "")
    if not reply:
        raise ModelBrokenError("The model answered nothing.")
    return Spoken(reply, words, turn)


def _messages(prompts: Prompts, talk: Talk) -> list[Message]:
    """What was said before, then what is known and what is asked now."""
    before = [event for event in talk.events if event.kind is EventKind.TALK][-_KEPT_TURNS:]
    said = [
        message
        for event in before
        for message in (
            Message("user", (Text(str(event.data.get("text", ""))),)),
            Message("assistant", (Text(str(event.data.get("reply", ""))),)),
        )
    ]
    asked = prompts.fill(
        "talk",
        goal=talk.view.goal,
        state=f"{talk.view.state.value}: {talk.view.message}" if talk.view.message else talk.view.state.value,
        plan=plan_text(talk.plan) if talk.plan is not None else "There is no plan yet.",
        verdict=talk.view.verdict or "none yet",
        events=facts(talk.events),
        may_do=talk.may_do,
        text=talk.text,
    )
    return [*said, Message("user", (Text(asked),))]


def facts(events: Sequence[Event]) -> str:
    """The journal's last events, a line each, oldest first."""
    wanted = [event for event in events if event.kind not in _LEFT_OUT][-_MOST_EVENTS:]
    lines: list[str] = []
    room = _MOST_FACTS_CHARACTERS
    for event in reversed(wanted):
        line = f"{event.kind.value} {_data(event.data)}".rstrip()
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join(reversed(lines)) or "Nothing has happened yet."


def _data(data: Any) -> str:
    told = {key: value for key, value in dict(data).items() if value not in (None, "", [], {}) and key != "usage"}
    return shortened(json.dumps(told, ensure_ascii=False, default=str), _MOST_EVENT_CHARACTERS) if told else ""


def in_short(view: RunView, plan: Plan | None) -> str:
    """How a run stands, in a sentence or two, where no model can say it."""
    message = f": {view.message.rstrip('.')}" if view.message else ""
    told = [f"The run is {view.state.value.replace('_', ' ')}{message}."]
    if plan is not None and len(plan.steps) > 1 and 0 < view.step <= len(plan.steps):
        told.append(f"It is at step {view.step} of {len(plan.steps)}: {plan.steps[view.step - 1].title.rstrip('.')}.")
    if view.verdict:
        told.append(f"Its verdict is {view.verdict}.")
    return " ".join(told)
