"""A model's answer as plain data and back: nothing is lost, and older data is read."""

import json
from typing import Any

import pytest

from agent_lsp.domain.conversation import Answerer, ModelTurn, StopReason, Text, ToolCall
from agent_lsp.domain.task import Usage
from agent_lsp.domain.turn_data import turn_data, turn_of

BLOCKS = (Text("I look."), ToolCall("c1", "read_file", {"path": "a.py"}))
BY = Answerer("other", "large", "mid", "execution", ("default: HTTP 503",))


@pytest.mark.parametrize("by", [None, BY, Answerer("default", "claude", "tiny", "chat")])
def test_an_answer_comes_back_whole(by: Answerer | None) -> None:
    turn = ModelTurn(BLOCKS, StopReason.TOOL_USE, "large-2", Usage(1, 2, 3, 4, 0.5, 1), by)
    assert turn_of(json.loads(json.dumps(turn_data(turn)))) == turn


@pytest.mark.parametrize("by", [None, "other", [], {}, {"endpoint": "other"}, {"name": "large", "insteadOf": "x"}])
def test_what_older_or_odd_data_says_of_who_answered_does_not_keep_the_answer_from_being_read(by: Any) -> None:
    turn = ModelTurn(BLOCKS, StopReason.TOOL_USE, "large-2", Usage(1, 2, 3, 4, 0.5, 1))
    assert turn_of({**turn_data(turn), "by": by}) == turn
