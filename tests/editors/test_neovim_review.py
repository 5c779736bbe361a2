"""A real Neovim: what typing is not in the way of, and messages that never wait for a key in a stock one."""

import asyncio
import os
import signal

import pytest

from tests.anthropic_server import ScriptedBrain, calls, finish, stall
from tests.editors.conftest import Open
from tests.editors.hands import Hands
from tests.editors.inner_server import SERVER
from tests.editors.neovim import WAIT_S
from tests.editors.test_eight_checks import FIVE, FIX, SHOP_FILES
from tests.scenarios.scene import PROJECT, command_line, pids_below

pytestmark = pytest.mark.editor

TERMINAL = (80, 24)


async def test_what_the_typing_is_not_in_the_way_of_is_accepted_and_the_rest_is_fresh_once_it_is_taken_back(
    opened: Open, client: str
) -> None:
    brain = ScriptedBrain(execution=[FIVE, calls(finish())])
    async with opened(client, SHOP_FILES, brain) as hands:
        nvim = hands.nvim
        await nvim.edit("shop.py")
        run_id = await hands.start("use prices")
        await hands.until(run_id, "proposed")
        line = (await hands.hunks(5))[1]["line"]
        await nvim.goto(line)
        await nvim.keys("A  # mine<Esc>")
        typed = await nvim.text()
        await _told(hands, "does not fit")
        if hands.plugin:
            await nvim.seen("4 changes still fit")
            await nvim.keys(":Agent accept suggested<CR>")
        else:
            await hands.choose("Accept the 4 changes that still fit (tested first)")
        wanted = typed
        for call in (FIVE.calls[0], *FIVE.calls[2:]):
            wanted = wanted.replace(call.input["old_text"], call.input["new_text"])
        await hands.changes_to(wanted)
        [left] = await hands.hunks(1)
        assert left["line"] == line

        await nvim.goto(line)
        await nvim.keys("A" + "<BS>" * len("  # mine") + "<Esc>")
        await _told(hands, "passed: 0 fixed, 0 broken")
        await hands.accept(line)
        await hands.changes_to(wanted.replace(".upper()  # mine", ".lower()"))
        await hands.until(run_id, "applied")


async def _told(hands: Hands, words: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while not any(words in row["text"] for row in await hands.ours()):
            await asyncio.sleep(0.03)


async def test_no_message_waits_for_a_key_in_a_stock_neovim_of_eighty_columns(opened: Open) -> None:
    brain = ScriptedBrain(execution=[FIVE, calls(finish()), stall()])
    async with opened("stock", SHOP_FILES, brain, size=TERMINAL) as hands:
        nvim = hands.nvim
        await nvim.edit("shop.py")
        run_id = await hands.start("use prices")
        await hands.until(run_id, "proposed")
        rows = await hands.hunks(5)
        await nvim.goto(rows[3]["line"])
        await hands.act("Accept change")
        await hands.shows("test_total_doubles is broken without")
        await hands.shows("together with shop.py")
        await hands.shows("that can be accepted as one.")
        assert nvim.screen.lines()[-1].endswith("… (:messages)")

        second = await hands.start("and once more")
        await hands.until(second, "executing")
        await nvim.keys("Gotyped")
        below = pids_below(nvim.process.pid)  # the nearest first: what it has forked may look the same
        os.kill(next(pid for pid in below if "agent_lsp runtime" in command_line(pid)), signal.SIGKILL)
        await nvim.seen("agent-lsp: ")  # whichever of its messages stays; the screen alone is looked at while one types
        await nvim.keys(" on<Esc>")

        await hands.shows("ended by signal 9")
        assert (await nvim.text()).endswith("\ntyped on")
        assert nvim.prompts == 0


async def test_many_messages_at_once_are_seen_while_one_types_and_leave_the_cursor_where_it_was(opened: Open) -> None:
    async with opened("stock", PROJECT, init=SERVER, size=TERMINAL) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        await nvim.keys("Gotyped")
        texts = [f"agent-lsp: {word} " + "words " * 20 for word in ("first", "second", "third")]
        await nvim.lua(_AT_ONCE, texts)
        for word in ("first", "second", "third"):
            await nvim.seen(f"agent-lsp: {word}")
        assert nvim.screen.lines()[-1] == "-- INSERT --"
        await nvim.keys(" on<Esc>")
        await nvim.seen("… (:messages)")
        assert "agent-lsp: first" in nvim.screen.text, "what was covered by the typing is shown once more"
        assert (await hands.said()).count("words") == 60
        assert (await nvim.text()).endswith("\ntyped on")
        assert nvim.prompts == 0


async def test_a_question_in_a_stock_neovim_waits_until_nobody_types(opened: Open) -> None:
    async with opened("stock", PROJECT, init=SERVER, size=TERMINAL) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        await nvim.keys("Gotyped")
        await nvim.lua(_ASK, "Which sign? (“make add add”)")
        await nvim.seen("agent-lsp: Which sign?")
        await nvim.keys(" 1 on<Esc>")
        await nvim.seen("2: minus")
        await nvim.keys("2<CR>")
        assert await nvim.until("the answer", "return server.chosen") == {"title": "minus"}
        assert (await nvim.text()).endswith("\ntyped 1 on")
        assert nvim.prompts == 0


async def test_an_answer_of_a_command_that_is_refused_is_one_line_with_the_words_in_full_behind_it(
    opened: Open,
) -> None:
    async with opened("stock", PROJECT, ScriptedBrain(execution=[calls(FIX), calls(finish())])) as hands:
        await hands.nvim.edit("calc.py")
        await hands.nvim.lua(_LONG, "agent-lsp: first\nsecond " + "words " * 40)
        await hands.nvim.seen("agent-lsp: first second words")
        assert hands.nvim.screen.lines()[-1].endswith("… (:messages)")
        assert (await hands.said()).count("words") == 40
        await hands.nvim.keys("j")
        assert "second words" not in "\n".join(hands.nvim.screen.lines()[:-1]), "the float goes with the cursor"
        assert hands.nvim.prompts == 0


_AT_ONCE = """
for _, text in ipairs(...) do
  vim.schedule(function() server.tell('window/showMessage', { type = 1, message = text }) end)
end
"""
_ASK = """
local message = ...
vim.schedule(coroutine.wrap(function()
  local params = { type = 3, message = message, actions = { { title = 'plus' }, { title = 'minus' } } }
  server.chosen = server.ask('window/showMessageRequest', params)
end))
"""
_LONG = """
local client = vim.lsp.get_clients({ name = 'agent_lsp' })[1]
client.handlers['window/showMessage'](nil, { type = 3, message = ... }, { client_id = client.id })
"""
