"""Owns one conversation with a model: asks, waits, asks again, serves its tool calls, and ends when a tool ends it."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from agent_lsp.agent.engines import Desk, Record, Tell
from agent_lsp.agent.findings import shortened
from agent_lsp.agent.ledger import DeedKind
from agent_lsp.agent.room import DEFAULT_CONTEXT_TOKENS, Room
from agent_lsp.agent.rules import Rules
from agent_lsp.agent.toolbox import Served, Toolbox
from agent_lsp.agent.veil import Veil
from agent_lsp.domain.conversation import (
    Answerer,
    Block,
    Message,
    ModelRequest,
    ModelTurn,
    Phase,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
)
from agent_lsp.domain.errors import (
    BudgetSpentError,
    ModelBrokenError,
    ModelRefusedError,
    ModelUnavailableError,
    PromptTooLongError,
    StuckError,
)
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ports import Clock, Model
from agent_lsp.domain.turn_data import turn_data, turn_of

logger = logging.getLogger(__name__)

PROSE_EVERY_S: Final = 1.0
_MOST_SHORTENINGS: Final = 3
_CUT_CALL: Final = "Not run: your answer was cut at the length limit. Do it again in smaller pieces."
_CUT_TEXT: Final = "Your answer was cut at the length limit. Go on from there, in smaller pieces."
_AFTER_END: Final = "Not run: the call before it had ended this phase."
_TOO_EARLY: Final = "Not taken: an edit of the same turn failed. Look at its result first, mend it, then finish."


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a question is asked again. `attempts` counts all askings of an endpoint that does not answer."""

    attempts: int = 6
    base_s: float = 0.5
    cap_s: float = 30.0
    broken_streams: int = 4
    length_stops: int = 3
    same_failures: int = 3


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a conversation meets in one stretch: the tools on offer and the run behind it."""

    toolbox: Toolbox
    tell: Tell
    record: Record
    desk: Desk


@dataclass(frozen=True, slots=True)
class Ended:
    """How a stretch ended: with an ending tool's value, or (None) with prose alone, reminded once."""

    value: Any
    text: str


@dataclass(frozen=True, slots=True)
class Voice:
    """Who answers, how patiently it is asked, and what it may not see."""

    model: Model
    clock: Clock
    patience: Patience
    veil: Veil
    max_tokens: int = 16_000
    context_tokens: int = DEFAULT_CONTEXT_TOKENS


def backoff_s(attempt: int, patience: Patience) -> float:
    """Seconds before retry number `attempt` (1 is the first retry): doubles each time up to the cap."""
    return min(patience.cap_s, patience.base_s * 2.0 ** (attempt - 1))


class Conversation:
    """The messages of one phase. Only whole messages are ever in it."""

    def __init__(self, voice: Voice, phase: Phase, system: str, rules: Rules | None = None) -> None:
        """`rules` stand behind the system prompt; those that come to them later do from the next shortening on."""
        self._voice, self._phase, self._prompt, self.rules = voice, phase, system, rules
        self._system = self._whole_system()
        self._room = Room(voice.context_tokens)
        self._messages: list[Message] = []
        self._failures: Counter[str] = Counter()
        self._told_by: Answerer | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """What was said so far, whole messages only."""
        return tuple(self._messages)

    def _whole_system(self) -> str:
        rules = self.rules.text if self.rules is not None else ""
        return f"{self._prompt}\n\n{rules}" if rules else self._prompt

    def add(self, text: str) -> None:
        """Adds words of the user, to the last message where that is the user's already."""
        self._add_blocks((Text(text),))

    async def until_ended(self, exchange: Exchange, reminder: str) -> Ended:
        """Goes on until a tool ends the phase, or the model stops calling tools although reminded once.

        Raises StuckError, BudgetSpentError, ModelRefusedError, and what the model raised when patience is over.
        """
        reminded, cut = False, 0
        while True:
            await exchange.desk.ledger.caught_up()
            if self._hears(exchange.desk):
                for words in exchange.desk.take_said():
                    self.add(words)
            turn = await self._turn(exchange, must_call=reminded)
            self._take(turn)
            if turn.stop is StopReason.LENGTH:
                cut += 1
                if cut >= self._voice.patience.length_stops:
                    raise StuckError(f"the model's answer was cut at the length limit {cut} times in a row")
                self._answer_cut(turn)
                continue
            cut = 0
            if turn.calls:
                reminded = False
                ended = await self._serve(turn, exchange)
                if ended is not None:
                    return ended
            elif reminded:
                return Ended(None, turn.text)
            else:
                reminded = True
                self.add(reminder)

    def _hears(self, desk: Desk) -> bool:
        """A person's words are for those who plan and work; who judges a step would forget them."""
        return self._phase is not Phase.REFLECTION or desk.ledger.next_kind == DeedKind.SAID

    # --- one answer ------------------------------------------------------------------------------------------

    async def _turn(self, exchange: Exchange, *, must_call: bool) -> ModelTurn:
        """The answer that a resumed run has paid for already, else a new one. The one before is on disk by then."""
        ledger = exchange.desk.ledger
        kept = ledger.again(DeedKind.TURN, self._phase.value)
        if kept is not None:
            turn = turn_of(kept)
            exchange.desk.spend(turn.usage)
            self._told_by = turn.by
            self._record(exchange, turn)
            return turn
        await ledger.settled()
        turn = await self._answer(exchange, must_call=must_call)
        ledger.keep(DeedKind.TURN, {"key": self._phase.value, **turn_data(turn)})
        return turn

    async def _answer(self, exchange: Exchange, *, must_call: bool) -> ModelTurn:
        """One whole answer; asked again from the last whole message as long as patience and budget last."""
        unavailable = broken = refused = 0
        while True:
            await exchange.desk.pause_point()
            exchange.desk.check_budget()
            try:
                return await self._ask(exchange, must_call=must_call)
            except ModelBrokenError as error:
                broken += 1
                trouble: ModelBrokenError | ModelUnavailableError = error
                over = broken > self._voice.patience.broken_streams
                wait_s = backoff_s(broken, self._voice.patience)
            except ModelUnavailableError as error:
                unavailable += 1
                trouble = error
                over = unavailable >= self._voice.patience.attempts
                wait_s = max(backoff_s(unavailable, self._voice.patience), error.retry_after_s or 0.0)
            except PromptTooLongError as error:
                refused += 1
                self._room.refused(self._messages, error.message)
                if refused > _MOST_SHORTENINGS or not self._shorten(exchange, error.message):
                    raise
                continue
            remaining_s = exchange.desk.remaining_s()
            over = over or (remaining_s is not None and wait_s >= remaining_s)
            self._tell_trouble(exchange, trouble, None if over else wait_s)
            if over:
                raise trouble
            await self._voice.clock.sleep(wait_s)

    async def _ask(self, exchange: Exchange, *, must_call: bool) -> ModelTurn:
        if self._room.is_full(self._messages):
            self._shorten(exchange, "the conversation comes near the end of the model's context")
        request = ModelRequest(
            self._phase,
            self._system,
            self.messages,
            exchange.toolbox.specs(),
            max_tokens=self._voice.max_tokens,
            must_call=must_call,
        )
        self._room.asked(request)
        prose = _Prose(exchange.tell, self._voice.clock)
        try:
            async with asyncio.timeout(exchange.desk.remaining_s()) as limit:
                turn = await self._voice.veil.respond(self._voice.model, request, prose.hear)
        except TimeoutError as error:
            if limit.expired():
                exchange.desk.check_budget()
                raise BudgetSpentError("the time for this run is over") from error
            raise ModelUnavailableError("the model did not answer in time") from error
        exchange.desk.spend(turn.usage)
        self._tell_who(exchange, turn)
        self._room.answered(request.messages, turn.usage)
        self._record(exchange, turn)
        return turn

    def _record(self, exchange: Exchange, turn: ModelTurn) -> None:
        exchange.record(
            EventKind.MODEL_TURN,
            {
                "phase": self._phase.value,
                "model": turn.model,
                "answeredBy": "" if turn.by is None else turn.by.name,
                "stop": turn.stop.value,
                "text": shortened(turn.text, 2000),
                "calls": [call.name for call in turn.calls],
                "usage": turn.usage.to_json(),
            },
        )

    def _tell_who(self, exchange: Exchange, turn: ModelTurn) -> None:
        """Who answers is recorded when it changes, and told where it is not who was asked first."""
        by = turn.by
        if by is None or by == self._told_by:
            return
        news = self._told_by is None or by.instead_of != self._told_by.instead_of
        self._told_by = by
        exchange.record(EventKind.MODEL_CHOSEN, {"phase": self._phase.value, "model": turn.model, **by.to_json()})
        if by.instead_of and news:
            told = f"{by.endpoint} ({by.name}) answers instead of {'; '.join(by.instead_of)}"
            logger.warning(told)
            exchange.tell(told, None)

    def _tell_trouble(
        self, exchange: Exchange, trouble: ModelBrokenError | ModelUnavailableError, wait_s: float | None
    ) -> None:
        then = "giving up" if wait_s is None else f"asking again in {wait_s:.1f} s"
        logger.warning("%s: %s; %s", self._voice.model.name, trouble.message, then)
        exchange.record(EventKind.MODEL_TROUBLE, {"code": trouble.code, "message": trouble.message, "wait_s": wait_s})
        exchange.tell(f"{trouble.message}; {then}", None)

    # --- what an answer does to the conversation -------------------------------------------------------------

    def _take(self, turn: ModelTurn) -> None:
        if turn.stop is StopReason.REFUSAL:
            words = turn.text.strip() or "no reason given"
            raise ModelRefusedError(f"{turn.model} declined to go on: {words}", hint="Word the goal differently.")
        blocks = tuple(block for block in turn.blocks if not isinstance(block, Text) or block.text.strip())
        if blocks:
            self._messages.append(Message("assistant", blocks))

    def _answer_cut(self, turn: ModelTurn) -> None:
        self._add_blocks(
            tuple(ToolResult(call.id, _CUT_CALL, failed=True) for call in turn.calls) or (Text(_CUT_TEXT),)
        )

    async def _serve(self, turn: ModelTurn, exchange: Exchange) -> Ended | None:
        """Serves the calls in order and answers each; what comes after an ending call is not run."""
        results: list[Block] = []
        ended: Ended | None = None
        stuck = ""
        failed_before = False
        for call in turn.calls:
            if ended is not None or stuck:
                results.append(ToolResult(call.id, _AFTER_END if ended else "Not run.", failed=True))
                continue
            await exchange.desk.pause_point()
            exchange.tell(_call_line(call), None)
            served = await exchange.toolbox.serve(call)
            if served.ends is not None and failed_before and self._phase is Phase.EXECUTION:
                served = Served(ToolResult(call.id, _TOO_EARLY, failed=True), trouble=True)
            failed_before = failed_before or served.result.failed
            results.append(served.result)
            stuck = self._count(call, served)
            if served.ends is not None:
                ended = Ended(served.ends, turn.text)
        self._add_blocks(results)
        if stuck and ended is None:
            self._failures.clear()
            raise StuckError(stuck)
        return ended

    def _count(self, call: ToolCall, served: Served) -> str:
        """Why the conversation is stuck, if the same call now failed too often; a change of files starts afresh."""
        key = f"{call.name} {json.dumps(call.input, sort_keys=True, default=str)}"
        if served.changed:
            self._failures.clear()
        if not served.trouble:
            self._failures.pop(key, None)
            return ""
        self._failures[key] += 1
        most = self._voice.patience.same_failures
        if self._failures[key] < most:
            return ""
        why = shortened(served.result.text.strip(), 400)
        return f"the identical call {_call_line(call)} failed {most} times and was stopped: {why}"

    def _add_blocks(self, blocks: Sequence[Block]) -> None:
        if self._messages and self._messages[-1].role == "user":
            self._messages[-1] = replace(self._messages[-1], blocks=(*self._messages[-1].blocks, *blocks))
        else:
            self._messages.append(Message("user", tuple(blocks)))

    def _shorten(self, exchange: Exchange, why: str) -> bool:
        """Makes the conversation shorter, journalled; False where nothing can go."""
        made = self._room.shorter(self._messages)
        if made is None:
            return False
        self._messages, told = made
        self._system = self._whole_system()
        exchange.record(EventKind.CONTEXT_SHORTENED, {"phase": self._phase.value, "why": why, **told.to_json()})
        exchange.tell(f"making room: {told.before_tokens} tokens of conversation are now {told.after_tokens}", None)
        return True


class _Prose:
    """Shows a person, now and then, what the model is writing."""

    def __init__(self, tell: Tell, clock: Clock) -> None:
        self._tell, self._clock = tell, clock
        self._text = ""
        self._told_s = clock.monotonic()

    def hear(self, piece: str) -> None:
        """Takes the next piece of prose."""
        self._text += piece
        now = self._clock.monotonic()
        if now - self._told_s >= PROSE_EVERY_S and self._text.strip():
            self._told_s = now
            line = self._text.strip().splitlines()[-1].strip()
            self._tell(line if len(line) <= 120 else "… " + line[-118:], None)


def _call_line(call: ToolCall) -> str:
    """A call in a few words: its name and its most telling argument."""
    for key in ("path", "pattern", "command", "question", "tests"):
        value = call.input.get(key)
        if value:
            text = " ".join(str(value).split())
            return f"{call.name} {text if len(text) <= 80 else text[:79] + '…'}"
    return call.name
