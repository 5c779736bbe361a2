"""Holds the shortening of conversations to its promises: what stays, what goes, and that nothing is torn apart."""

import random

import pytest

from agent_lsp.agent.room import DIGEST, FIRST_GUESS, FULL, Room, size
from agent_lsp.domain.conversation import Message, ModelRequest, Phase, Text, ToolCall, ToolResult
from agent_lsp.domain.task import Usage

GOAL = "# Goal\n\nmake it work, and " + "say why. " * 50


def talk(turns: int, chance: random.Random, *, longest: int = 20_000) -> list[Message]:
    """A conversation as a run has it: calls, results of many sizes, words of the person and the gate in between."""
    messages = [Message("user", (Text(GOAL), Text("# Step 1 of 2: begin")))]
    for number in range(turns):
        names = [f"call{number}.{place}" for place in range(chance.randint(1, 3))]
        calls = [ToolCall(name, "read_file", {"path": f"a{number}.py"}) for name in names]
        messages.append(Message("assistant", (Text(f"I look at {number}."), *calls)))
        blocks = [ToolResult(name, f"a.py, lines\n{'x' * chance.randint(1, longest)}") for name in names]
        said = [Text(f"Verdict {number}: broken. {'why ' * 40}")] if chance.random() < 0.1 else []
        messages.append(Message("user", (*blocks, *said)))
    return messages


def torn(messages: list[Message]) -> bool:
    """Whether roles do not take turns, or a call and its result are not together."""
    for at, message in enumerate(messages):
        if message.role != ("user", "assistant")[at % 2]:
            return True
        asked = {block.id for block in messages[at - 1].blocks if isinstance(block, ToolCall)} if at else set()
        if asked != {block.call_id for block in message.blocks if isinstance(block, ToolResult)}:
            return True
    return False


def texts(messages: list[Message]) -> list[str]:
    return [
        block.text
        for message in messages
        if message.role == "user"
        for block in message.blocks
        if isinstance(block, Text) and not block.text.startswith(DIGEST)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_long_conversation_is_brought_down_and_keeps_what_counts(seed: int) -> None:
    chance = random.Random(seed)
    messages = talk(chance.randint(8, 60), chance)
    room = Room(30_000)
    if not room.is_full(messages):
        messages = talk(60, chance)
    made = room.shorter(messages)
    assert made is not None
    now, told = made
    assert not torn(now)
    assert not room.is_full(now)
    assert texts(now) == texts(messages), "goal, steps and verdicts stay word for word"
    assert told.after_tokens < told.before_tokens
    assert [block for block in now[-1].blocks if isinstance(block, Text)] == [
        block for block in messages[-1].blocks if isinstance(block, Text)
    ]
    again = room.shorter([*now, *talk(60, chance)[1:]])
    assert again is not None
    assert not torn(again[0])
    assert sum(text.startswith(DIGEST) for text in [b.text for b in again[0][0].blocks if isinstance(b, Text)]) >= 1


def test_the_last_turns_stay_whole_where_that_is_enough() -> None:
    messages = talk(40, random.Random(1), longest=3000)
    made = Room(20_000).shorter(messages)
    assert made is not None
    assert made[0][-4:] == messages[-4:]


def test_how_many_characters_a_token_has_is_learnt_from_what_the_provider_counts() -> None:
    messages = talk(10, random.Random(2))
    room = Room()
    room.asked(ModelRequest(Phase.EXECUTION, "Work. " * 100, tuple(messages), ()))
    characters = 600 + sum(map(size, messages))
    assert room.tokens(messages) == int(characters / FIRST_GUESS)
    for _ in range(12):
        room.answered(messages, Usage(input_tokens=characters // 2 - 400, cache_read_tokens=400))
    assert room.tokens(messages) == pytest.approx(characters / 2, rel=0.01)
    room.answered(messages, Usage(input_tokens=3))
    assert room.tokens(messages) == pytest.approx(characters / 2, rel=0.01), "counts without sense are passed over"


def test_the_numbers_of_a_refusal_are_believed() -> None:
    messages = talk(10, random.Random(3))
    room = Room()
    assert not room.is_full(messages)
    had = sum(map(size, messages)) // 3
    room.refused(messages, f"prompt is too long: {had} tokens > {had - 500} maximum")
    assert room.tokens(messages) == pytest.approx(had, rel=0.01)
    assert room.is_full(messages)
    made = room.shorter(messages)
    assert made is not None
    assert room.tokens(made[0]) < FULL * (had - 500)


def test_a_conversation_of_nothing_but_words_is_left_as_it_is() -> None:
    assert Room(4000).shorter([Message("user", (Text(GOAL * 100),))]) is None
