"""A real Neovim with the plugin asks what runs want to know, in whatever order the server's answers come."""

from typing import Any, Final

import pytest

from tests.editors.conftest import Open
from tests.editors.hands import Hands
from tests.scenarios.scene import PROJECT

pytestmark = pytest.mark.editor

SERVER: Final = """
server = { commands = {} }
vim.lsp.config('agent_lsp', {
  cmd = function(dispatchers)
    server.tell = dispatchers.notification
    return {
      request = function(method, params, callback)
        if method == 'workspace/executeCommand' then
          table.insert(server.commands, { name = params.command, argument = params.arguments[1], answer = callback })
        else
          callback(nil, method == 'initialize' and { capabilities = {} } or vim.NIL)
        end
        return true, 1
      end,
      notify = function() return true end,
      is_closing = function() return false end,
      terminate = function() dispatchers.on_exit(0, 0) end,
    }
  end,
})
"""
"""A server inside the editor, whose answers come when the test gives them."""


async def test_a_question_that_overtakes_an_answer_about_the_runs_is_asked_once_nobody_types(opened: Open) -> None:
    async with opened("plugin", PROJECT, init=SERVER) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        await _told(hands, "agent/progress", runId="r_1", state="executing", step=1, message="")
        await _commands(hands, 1)
        await nvim.keys("i# typed")
        await _told(hands, "agent/blocked", runId="r_1", question="Which sign?", options=["plus", "minus"])
        await _commands(hands, 2)
        await _answered(hands, 1, r_1="executing")
        await _answered(hands, 2, r_1="blocked")
        await hands.shows("Which sign?  (asked when you are back in normal mode)")
        assert "1: plus" not in nvim.screen.text
        await nvim.keys("<Esc>")
        await nvim.seen("1: plus")
        await nvim.keys("2<CR>")
        await _commands(hands, 3)
        given = await nvim.lua("return { server.commands[3].name, server.commands[3].argument }")
        assert given == ["agent.answer", {"runId": "r_1", "answer": "minus"}]
        assert (await nvim.text()).startswith("# typed")


async def test_a_question_that_was_answered_elsewhere_is_not_in_the_way_of_the_next_one(opened: Open) -> None:
    async with opened("plugin", PROJECT, init=SERVER) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        await nvim.keys("i")
        await _told(hands, "agent/blocked", runId="r_1", question="Which sign?", options=["plus", "minus"])
        await _told(hands, "agent/blocked", runId="r_2", question="Which name?", options=["add", "sum"])
        await _commands(hands, 2)
        await _answered(hands, 2, r_1="executing", r_2="blocked")
        await hands.shows("Which name?  (asked when you are back in normal mode)")
        await nvim.keys("<Esc>")
        await nvim.seen("1: add")
        assert "1: plus" not in nvim.screen.text


async def _told(hands: Hands, method: str, **params: Any) -> None:
    """A notification of the server."""
    await hands.nvim.lua(
        "local method, params = ... vim.schedule(function() server.tell(method, params) end)", method, params
    )


async def _commands(hands: Hands, count: int) -> None:
    """Until the plugin has sent so many."""
    await hands.nvim.until(f"command {count}", "return #server.commands >= ...", count)


async def _answered(hands: Hands, number: int, **states: str) -> None:
    """The answer to a question about the runs: their states."""
    rows = [
        {"runId": run_id, "goal": "make add add", "state": state, "step": 1, "steps": 1, "usage": {}}
        for run_id, state in states.items()
    ]
    await hands.nvim.lua("local number, rows = ... server.commands[number].answer(nil, { runs = rows })", number, rows)
