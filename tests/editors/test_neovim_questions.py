"""A real Neovim with the plugin asks what runs want to know, in whatever order the server's answers come."""

import pytest

from tests.editors.conftest import Open
from tests.editors.inner_server import SERVER, answered, commands, told
from tests.scenarios.scene import PROJECT

pytestmark = pytest.mark.editor


async def test_a_question_that_overtakes_an_answer_about_the_runs_is_asked_once_nobody_types(opened: Open) -> None:
    async with opened("plugin", PROJECT, init=SERVER) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        await told(hands, "agent/progress", runId="r_1", state="executing", step=1, message="")
        await commands(hands, 1)
        await nvim.keys("i# typed")
        await told(hands, "agent/blocked", runId="r_1", question="Which sign?", options=["plus", "minus"])
        await commands(hands, 2)
        await answered(hands, 1, r_1="executing")
        await answered(hands, 2, r_1="blocked")
        await hands.shows("Which sign?  (asked when you are back in normal mode)")
        assert "1: plus" not in nvim.screen.text
        await nvim.keys("<Esc>")
        await nvim.seen("1: plus")
        await nvim.keys("2<CR>")
        await commands(hands, 3)
        given = await nvim.lua("return { server.commands[3].name, server.commands[3].argument }")
        assert given == ["agent.answer", {"runId": "r_1", "answer": "minus"}]
        assert (await nvim.text()).startswith("# typed")


async def test_a_question_that_was_answered_elsewhere_is_not_in_the_way_of_the_next_one(opened: Open) -> None:
    async with opened("plugin", PROJECT, init=SERVER) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        await nvim.keys("i")
        await told(hands, "agent/blocked", runId="r_1", question="Which sign?", options=["plus", "minus"])
        await told(hands, "agent/blocked", runId="r_2", question="Which name?", options=["add", "sum"])
        await commands(hands, 2)
        await answered(hands, 2, r_1="executing", r_2="blocked")
        await hands.shows("Which name?  (asked when you are back in normal mode)")
        await nvim.keys("<Esc>")
        await nvim.seen("1: add")
        assert "1: plus" not in nvim.screen.text
