"""Owns the tests of the model that the editor lends, over a real pipe: what is asked, believed, told."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from agent_lsp.domain.conversation import Message, ModelRequest, Phase, StopReason, Text, ToolCall, ToolResult, ToolSpec
from agent_lsp.domain.errors import LinkClosedError, ModelBrokenError, ModelRejectedError, ModelUnavailableError
from agent_lsp.link.editor_models import LinkModels
from agent_lsp.link.peer import Peer
from agent_lsp.providers.editor import EditorModel
from agent_lsp.server.model_shapes import CompleteParams
from tests.judge.ours import problems

Json = dict[str, Any]
TOOL = ToolSpec("edit_file", "Edits.", {"type": "object", "properties": {"path": {"type": "string"}}})
ONE = {"id": "one-1", "name": "One", "vendor": "v", "family": "one"}
TWO = {"id": "two-1", "name": "Two", "vendor": "v", "family": "two"}
REQUEST = ModelRequest(
    Phase.EXECUTION,
    "You mend code.",
    (
        Message("user", (Text("Mend it."),)),
        Message("assistant", (Text("I look."), ToolCall("c1", "edit_file", {"path": "a.py"}))),
        Message("user", (ToolResult("c1", "no such file", failed=True),)),
    ),
    (TOOL,),
    must_call=True,
)


class Editor:
    """The edge's end of the pipe, with what the editor behind it would say."""

    def __init__(self) -> None:
        self.models: Any = [ONE, TWO]
        self.answer: Any = {"blocks": [{"type": "text", "text": "Done."}], "stop": "end", "model": "one-1"}
        self.asked: list[Json] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.given_up = asyncio.Event()

    def handlers(self) -> dict[str, Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]]:
        return {"model_list": self._list, "model_complete": self._complete}

    async def _list(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"models": self.models}

    async def _complete(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(args["params"])
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        answer: Mapping[str, Any] = self.answer
        return answer


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Editor, LinkModels, Peer]]:
    editor, lent = Editor(), LinkModels()
    ours, theirs = socket.socketpair()
    near = Peer(*await asyncio.open_connection(sock=ours), {})
    far = Peer(*await asyncio.open_connection(sock=theirs), editor.handlers())
    serving = [asyncio.create_task(peer.serve()) for peer in (near, far)]
    lent.connect(near)
    await lent.refresh()
    yield editor, lent, far
    near.close()
    far.close()
    for task in serving:
        with contextlib.suppress(asyncio.CancelledError):
            await task


Pair = tuple[Editor, LinkModels, Peer]


def model(lent: LinkModels, wanted: str = "", timeout_s: float = 20.0) -> EditorModel:
    return EditorModel(lent, wanted, timeout_s)


def quiet(_: str) -> None:
    """Hears the prose and does nothing."""


async def test_the_whole_conversation_with_its_tools_reaches_the_editor_in_the_published_shape(pair: Pair) -> None:
    editor, lent, _ = pair
    await model(lent).respond(REQUEST, quiet)
    [asked] = editor.asked
    assert problems(CompleteParams, asked) == []
    assert asked["model"] == "one-1"
    assert asked["mustCall"] is True
    assert asked["tools"] == [
        {"name": "edit_file", "description": "Edits.", "inputSchema": dict(TOOL.input_schema)},
    ]
    assert [message["blocks"][-1] for message in asked["messages"]] == [
        {"type": "text", "text": "Mend it."},
        {"type": "call", "id": "c1", "name": "edit_file", "input": {"path": "a.py"}},
        {"type": "result", "callId": "c1", "text": "no such file", "failed": True},
    ]


async def test_an_answer_becomes_a_turn_with_its_calls_its_model_and_what_was_counted(pair: Pair) -> None:
    editor, lent, _ = pair
    call = {"type": "call", "id": "c2", "name": "edit_file", "input": {"path": "b.py"}}
    editor.answer = {
        "blocks": [{"type": "text", "text": "Now this."}, call],
        "stop": "end",
        "model": "one-1-2026",
        "usage": {"inputTokens": 120, "outputTokens": 7},
    }
    heard: list[str] = []
    turn = await model(lent).respond(REQUEST, heard.append)
    assert heard == ["Now this."]
    assert turn.calls == (ToolCall("c2", "edit_file", {"path": "b.py"}),)
    assert turn.stop is StopReason.TOOL_USE, "calls are calls, whatever the editor says of the stop"
    assert (turn.model, turn.usage.input_tokens, turn.usage.output_tokens, turn.usage.turns) == (
        "one-1-2026",
        120,
        7,
        1,
    )


@pytest.mark.parametrize(("wanted", "taken"), [("", "one-1"), ("two-1", "two-1"), ("Two", "two-1"), ("two", "two-1")])
async def test_a_model_is_chosen_by_id_name_or_family_and_else_the_first(pair: Pair, wanted: str, taken: str) -> None:
    editor, lent, _ = pair
    chosen = model(lent, wanted)
    await chosen.respond(REQUEST, quiet)
    assert editor.asked[0]["model"] == taken
    assert "lent by the editor" in chosen.name


async def test_a_wished_model_that_is_not_there_is_refused_with_those_that_are(pair: Pair) -> None:
    editor, lent, _ = pair
    with pytest.raises(ModelRejectedError, match="no model named three; it lends one-1, two-1"):
        await model(lent, "three").respond(REQUEST, quiet)
    editor.models = []
    with pytest.raises(ModelRejectedError, match="lends no language model now") as refused:
        await model(lent, "three").respond(REQUEST, quiet)
    assert "ANTHROPIC_API_KEY" in refused.value.hint


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("no_permission", ModelRejectedError, "does not let agent-lsp use"),
        ("quota", ModelRejectedError, "no quota left"),
        ("blocked", ModelRejectedError, "refused the request"),
        ("no_model", ModelRejectedError, "lends no language model"),
        ("failed", ModelUnavailableError, "failed: the words"),
        ("", ModelUnavailableError, "failed: the words"),
    ],
)
async def test_each_refusal_of_the_editor_is_told_in_clear_words(
    pair: Pair, code: str, kind: type[Exception], words: str
) -> None:
    editor, lent, _ = pair
    editor.answer = {"error": {"code": code, "message": "the words", "hint": ""}}
    with pytest.raises(kind, match=words) as refused:
        await model(lent).respond(REQUEST, quiet)
    assert "the words" in str(refused.value)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"blocks": "no"},
        {"blocks": []},
        {"blocks": [{"type": "text", "text": "  "}]},
        {"blocks": [{"type": "text", "text": 3}]},
        {"blocks": [{"type": "call", "id": "c", "name": "edit_file", "input": "path"}]},
        {"blocks": [{"type": "call", "id": "", "name": "edit_file", "input": {}}]},
        {"blocks": ["text"]},
    ],
)
async def test_an_answer_that_makes_no_sense_is_a_broken_one(pair: Pair, answer: Json) -> None:
    editor, lent, _ = pair
    editor.answer = answer
    with pytest.raises(ModelBrokenError):
        await model(lent).respond(REQUEST, quiet)


@pytest.mark.parametrize("models", ["no", [3, {}, {"id": ""}, {"id": 7}], None])
async def test_a_list_of_models_that_makes_no_sense_is_none(pair: Pair, models: Any) -> None:
    editor, lent, _ = pair
    editor.models = models
    await lent.refresh()
    assert lent.known == ()


async def test_cancelling_ends_the_work_of_the_editor(pair: Pair) -> None:
    editor, lent, _ = pair
    editor.hold.clear()
    asking = asyncio.create_task(model(lent).respond(REQUEST, quiet))
    while not editor.asked:
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(editor.given_up.wait(), 5)


async def test_an_editor_that_is_gone_is_told_as_that(pair: Pair) -> None:
    editor, lent, far = pair
    editor.hold.clear()
    asking = asyncio.create_task(model(lent).respond(REQUEST, quiet))
    while not editor.asked:
        await asyncio.sleep(0.01)
    far.close()
    with pytest.raises(LinkClosedError):
        await asking
    await lent.refresh()
    assert lent.known == ()
