"""`@agent` in the chat: the extension's own modules on the real server, with a stand-in for the editor's API."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.anthropic_server import (
    AnthropicServer,
    Call,
    ParsedRequest,
    Reply,
    ScriptedBrain,
    calls,
    edit,
    finish,
    plan,
    say,
)
from tests.editors.chat_host import ChatHost, bundled, chat_host, missing
from tests.scenarios.scene import CALC, PROJECT, WAIT_S, write_project

pytestmark = [pytest.mark.editor, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

FIX = edit("calc.py", "return a - b", "return a + b")
ASK = Call("ask_user", {"question": "Which way?", "options": ["left", "right"]})

Open = Callable[..., Awaitable[ChatHost]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundled(tmp_path_factory.mktemp("chat"))


@pytest.fixture
async def opened(program: Path, tmp_path: Path) -> AsyncIterator[Open]:
    """An editor on the project with the wrong `add`."""
    async with AsyncExitStack() as stack:

        async def make(brain: ScriptedBrain | None = None, *, trusted: bool = True) -> ChatHost:
            root, home = tmp_path / "project", tmp_path / "home"
            root.mkdir()
            home.mkdir()
            write_project(root, PROJECT)
            model = AnthropicServer(brain).start() if brain is not None else None
            if model is not None:
                stack.callback(model.stop)
            return await stack.enter_async_context(chat_host(program, root, home, model, trusted=trusted))

        yield make


class Held:
    """A model that thinks until it is let go on."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked, self.go_on = threading.Event(), threading.Event()

    def __call__(self, request: ParsedRequest) -> Reply:
        del request
        self.asked.set()
        self.go_on.wait(WAIT_S)
        return self.reply

    async def is_asked(self) -> None:
        assert await asyncio.to_thread(self.asked.wait, WAIT_S)


def text(root: Path) -> str:
    return (root / "project" / "calc.py").read_text()


async def test_a_prompt_is_a_run_whose_steps_are_told_and_whose_change_is_accepted_by_a_button(
    opened: Open, tmp_path: Path
) -> None:
    host = await opened(ScriptedBrain([calls(FIX), calls(finish("add adds now"))]))
    answer = await host.ask("make add add")
    assert any(line.startswith("planning") for line in answer.progress), answer.rows
    assert any(line.startswith("executing") for line in answer.progress), answer.rows
    assert "add adds now" in answer.text
    assert "proven: 1 fixed, 0 broken" in answer.text
    assert answer.references == [(tmp_path / "project" / "calc.py").as_uri()]
    assert answer.buttons == ["Review", "Accept All", "Discard", "Discard and Try Again…"]
    assert all(row["known"] is True for row in answer.rows if "button" in row)
    assert answer.result["metadata"]["state"] == "proposed"
    assert {"prompt": "What did you change, and why?"} in answer.followups
    assert text(tmp_path) == CALC

    host.press("Review")
    await host.until(lambda: any(row.get("command") == "vscode.diff" for row in host.others))
    host.press("Accept All")
    async with asyncio.timeout(WAIT_S):
        while text(tmp_path) == CALC:
            await asyncio.sleep(0.05)
    status = await host.ask(command="status")
    assert "make add add: appl" in status.text
    nothing = await host.ask(command="cancel")
    assert nothing.text == "No run is under way."


async def test_words_about_a_change_on_offer_belong_to_its_talk_and_a_new_chat_starts_a_new_run(opened: Open) -> None:
    brain = ScriptedBrain([calls(FIX), calls(finish())], chat=[say("I turned minus into plus.")])
    host = await opened(brain)
    await host.ask("make add add")
    said = await host.ask("what did you change?")
    assert said.text == "I turned minus into plus."
    assert said.progress == []

    host.forget()
    again = host.begin("make double double")
    await host.until(lambda: again.progress)
    await host.whole(again)
    assert "make double double" in (await host.ask(command="status")).text


async def test_a_late_reply_is_streamed_and_not_shown_as_a_message(opened: Open) -> None:
    work, talk = Held(calls(FIX)), Held(say("Still looking."))
    host = await opened(ScriptedBrain([work, calls(finish())], chat=[talk]))
    first = host.begin("make add add")
    await work.is_asked()
    said = host.begin("how is it going?")
    await talk.is_asked()
    await asyncio.sleep(2)  # what takes longer than a command may comes as a notification
    assert said.text == ""
    talk.go_on.set()
    await host.whole(said)
    assert said.text == "Still looking."
    assert not [row for row in host.others if "Still looking" in str(row)]
    work.go_on.set()
    await host.whole(first)
    assert "Accept All" in first.buttons


async def test_who_stops_waiting_cancels_the_run_that_this_prompt_started_and_no_other(opened: Open) -> None:
    work, talk = Held(calls(FIX)), Held(say("Late."))
    host = await opened(ScriptedBrain([work], chat=[talk]))
    first = host.begin("make add add")
    await work.is_asked()
    said = host.begin("how is it going?")
    await talk.is_asked()
    host.stop(said)
    await host.whole(said)
    assert "executing" in (await host.ask(command="status")).text
    talk.go_on.set()
    await host.until(lambda: any("Late." in str(row) for row in host.others))

    host.stop(first)
    await host.whole(first)
    assert "thrown" not in first.rows[-1]
    assert "cancelled" in (await host.ask(command="status")).text
    work.go_on.set()


async def test_a_question_has_its_options_as_buttons_and_takes_the_next_prompt_as_its_answer(opened: Open) -> None:
    brain = ScriptedBrain([calls(ASK), calls(ASK), calls(FIX), calls(finish())])
    host = await opened(brain)
    asked = await host.ask("make add add")
    assert "Which way?" in asked.text
    assert asked.buttons == ["left", "right", "Cancel"]
    assert asked.result["metadata"]["state"] == "blocked"
    again = await host.ask("left, I think")
    assert "Which way?" in again.text
    host.press("right")
    async with asyncio.timeout(WAIT_S):
        while "proposed" not in (await host.ask(command="status")).text:
            await asyncio.sleep(0.1)


async def test_an_answer_ends_with_the_question_however_late_that_comes(opened: Open) -> None:
    again = Call("ask_user", {"question": "How far?", "options": ["near", "far"]})
    brain = ScriptedBrain([calls(ASK), calls(again), calls(FIX), calls(finish())])
    host = await opened(brain)
    for question, options in (("Which way?", ["left", "right"]), ("How far?", ["near", "far"])):
        host.hold("agent/blocked")
        asked = host.begin("make add add" if question == "Which way?" else "left")
        await host.until(lambda: any("held" in row for row in host.others))
        assert "blocked" in (await host.ask(command="status")).text
        assert not asked.ended.is_set(), asked.text
        host.release()
        await host.whole(asked)
        assert question in asked.text
        assert asked.buttons == [*options, "Cancel"]
        host.others.clear()


async def test_a_plan_waits_is_shown_and_is_made_anew_with_what_is_said(opened: Open) -> None:
    other = calls(Call("pass_on", {"words": "one step is enough"}), text="I make another plan.")
    brain = ScriptedBrain([calls(FIX), calls(finish())], planning=[plan("Look", "Mend"), plan("Mend")], chat=[other])
    host = await opened(brain)
    planned = await host.ask("make add add", "plan")
    assert "1. Look\n2. Mend\n" in planned.text
    assert planned.buttons == ["Approve", "Edit", "Reject"]
    assert (await host.ask(command="plan")).buttons == ["Approve", "Edit", "Reject"]
    anew = await host.ask("one step is enough")
    assert anew.text.startswith("I make another plan.")
    assert "1. Mend\n" in anew.text
    host.press("Approve")
    async with asyncio.timeout(WAIT_S):
        while "proposed" not in (await host.ask(command="status")).text:
            await asyncio.sleep(0.1)


async def test_lines_that_are_attached_are_where_the_run_begins(opened: Open, tmp_path: Path) -> None:
    seen: list[str] = []

    def look(request: ParsedRequest) -> Reply:
        seen.append(request.text)
        return calls(FIX)

    host = await opened(ScriptedBrain([look, calls(finish())]))
    lines = {"start": {"line": 0, "character": 0}, "end": {"line": 2, "character": 0}}
    await host.ask("mend this", references=({"uri": (tmp_path / "project" / "calc.py").as_uri(), "range": lines},))
    assert "# Where: calc.py, lines 1-2" in seen[0]


async def test_why_nothing_was_done_stands_in_the_answer(opened: Open) -> None:
    host = await opened()
    refused = await host.ask("mend this", references=({"uri": "file:///nowhere/at/all.py"},))
    assert "/nowhere/at/all.py" in refused.result["errorDetails"]["message"]
    assert not [row for row in host.others if row.get("level") == "error"], "told once"
    answer = await host.ask("write me a poem")
    assert "ANTHROPIC_API_KEY" in answer.text + str(answer.result)
    assert "/plan" in (await host.ask(command="plan")).text
    assert "Say what should be true" in (await host.ask(command="run")).text


async def test_without_trust_nothing_starts_and_a_button_leads_to_it(opened: Open) -> None:
    host = await opened(ScriptedBrain(), trusted=False)
    answer = await host.ask("make add add")
    assert "not trusted" in answer.text
    assert answer.buttons == ["Manage Trust"]


async def test_a_server_that_dies_ends_the_wait_and_says_so(opened: Open) -> None:
    work = Held(calls(FIX))
    host = await opened(ScriptedBrain([work]))
    answer = host.begin("make add add")
    await work.is_asked()
    host.kill_server()
    await host.whole(answer)
    assert "The server ended." in answer.text
    work.go_on.set()
