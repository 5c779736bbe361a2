"""A real Neovim with the plugin: the words of `:Agent` and the keys, on a change under review and on a run at work."""

import asyncio
import threading

import pytest

from tests.anthropic_server import Call, ParsedRequest, Reply, ScriptedBrain, calls, edit, finish
from tests.editors.conftest import Open
from tests.editors.hands import Hands
from tests.editors.neovim import WAIT_S
from tests.editors.test_eight_checks import FIVE, SHOP, SHOP_FILES, SIGNS
from tests.scenarios.scene import PROJECT

pytestmark = pytest.mark.editor

WORDS = "def word():\n    return 'a'\n"
TEST_WORDS = "import words\n\n\ndef test_word():\n    assert words.word() in ('a', 'b')\n"
TWO_FILES = {**SHOP_FILES, "words.py": WORDS, "tests/test_words.py": TEST_WORDS}
WORD = edit("words.py", "return 'a'", "return 'b'")
FLOAT = """
for _, window in ipairs(vim.api.nvim_list_wins()) do
  local how = vim.api.nvim_win_get_config(window)
  if how.relative ~= '' and how.focusable then
    return table.concat(vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(window), 0, -1, false), '\\n')
  end
end
return ''
"""
IN_DIFF = "return #vim.tbl_filter(function(w) return vim.wo[w].diff end, vim.api.nvim_tabpage_list_wins(0)) == ..."
LINE = "return vim.fn.line('.')"


async def _floats(hands: Hands, *words: str) -> None:
    """A float with these words, which `q` closes."""
    for word in words:
        await hands.nvim.until(word, f"local text = (function() {FLOAT} end)() return text:find(..., 1, true)", word)
    await hands.nvim.keys("q")
    await hands.nvim.until("the float's end", f"return (function() {FLOAT} end)() == ''")


async def test_a_change_of_two_files_is_walked_through_looked_at_sent_back_and_rolled_back_and_forward(
    opened: Open,
) -> None:
    brain = ScriptedBrain(
        execution=[
            calls(*FIVE.calls, WORD),
            calls(finish()),
            calls(edit("shop.py", "/ len(items)", "/ (len(items) or 1)")),
            calls(finish()),
        ]
    )
    async with opened("plugin", TWO_FILES, brain) as hands:
        nvim = hands.nvim
        await nvim.edit("shop.py")
        run_id = await hands.start("use prices")
        await hands.until(run_id, "proposed")
        lines = [row["line"] for row in await hands.hunks(5)]
        assert await nvim.until("signs", f"local rows = (function() {SIGNS} end)() return #rows == 5 and rows") == lines
        await nvim.keys("gg:Agent next<CR>")
        assert await nvim.lua(LINE) == lines[0]
        await nvim.keys("2]a")
        assert await nvim.lua(LINE) == lines[2]
        await nvim.keys("[a")
        assert await nvim.lua(LINE) == lines[1]
        await nvim.keys(":Agent prev<CR>[a")
        assert await nvim.lua("return vim.fn.expand('%:t')") == "words.py", "around the end, in another file"
        await nvim.keys("]a")
        assert await nvim.lua("return { vim.fn.expand('%:t'), vim.fn.line('.') }") == ["shop.py", lines[0]]

        await nvim.keys(":Agent diff float<CR>")
        await _floats(hands, "+++ b/shop.py", "+    return 'b'")
        await nvim.keys(":Agent diff split<CR>")
        await nvim.until("a diff in this tab", IN_DIFF, 2)
        assert await nvim.lua("return #vim.api.nvim_list_tabpages()") == 1
        await nvim.keys("<C-w>lq")
        await nvim.until("no diff", IN_DIFF, 0)
        asked = await nvim.lua("return #require('agent_lsp.tell').said")
        await nvim.keys(":Agent test<CR>")
        await nvim.until("the new test", "return #require('agent_lsp.tell').said > ...", asked)
        await hands.until(run_id, "proposed")

        await nvim.goto(lines[1])
        await nvim.keys(":Agent discard<CR>")
        await hands.hunks(4)
        await hands.until(run_id, "proposed")
        await nvim.goto(lines[4])
        await nvim.keys("\\at")
        await nvim.seen("What should be different?")
        await nvim.keys("without max<CR>")
        async with asyncio.timeout(WAIT_S):
            while not any("len(items) or 1" in row["text"] for row in await hands.ours()):
                await asyncio.sleep(0.05)
        assert hands.model is not None
        assert any("without max" in request.text for request in hands.model.requests)
        await hands.until(run_id, "proposed")
        await nvim.keys("\\af")
        changed = SHOP
        for call in (FIVE.calls[0], FIVE.calls[2], FIVE.calls[3]):
            changed = changed.replace(call.input["old_text"], call.input["new_text"])
        changed = changed.replace("/ len(items)", "/ (len(items) or 1)").rstrip("\n")
        await hands.changes_to(changed)
        await nvim.keys(":buffer words.py<CR>")
        await hands.hunks(1)
        await hands.until(run_id, "proposed")
        await nvim.keys("\\aA")
        other = WORDS.rstrip("\n").replace("'a'", "'b'")
        await hands.changes_to(other)
        await hands.until(run_id, "applied")

        await nvim.keys(":Agent rollback preview<CR>")
        await hands.pick(": take back: ")
        await _floats(hands, "-")
        await nvim.keys(":Agent rollback<CR>")
        await hands.pick(": take back: ")
        await nvim.until("the way back", "return vim.fn.execute('messages'):find('has the way back', 1, true)")
        back = [await nvim.text("shop.py"), await nvim.text("words.py")]
        assert back in ([SHOP.rstrip("\n"), other], [changed, WORDS.rstrip("\n")])
        await nvim.keys(":Agent rollback<CR>")
        await hands.pick(": bring back: ")
        async with asyncio.timeout(WAIT_S):
            while [await nvim.text("shop.py"), await nvim.text("words.py")] != [changed, other]:
                await asyncio.sleep(0.05)
        assert nvim.prompts == 0


async def test_a_run_at_work_is_steered_talked_to_and_its_models_and_the_rest_are_looked_at(opened: Open) -> None:
    goes_on = threading.Event()

    def later(_: ParsedRequest) -> Reply:
        assert goes_on.wait(WAIT_S)
        return calls(Call("ask_user", {"question": "Which sign?", "options": ["plus", "minus"]}))

    brain = ScriptedBrain(execution=[later, calls(edit("calc.py", "a - b", "a + b")), calls(finish())])
    async with opened("plugin", PROJECT, brain, init="vim.g.agent_lsp = { ask = false }", size=(140, 40)) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        run_id = await hands.start("make add add")
        try:
            await hands.until(run_id, "executing")
            await nvim.keys(":Agent pause<CR>")
            await hands.until(run_id, "paused")
            await hands.shows("is paused")
            await nvim.keys(":Agent resume<CR>")
            await hands.until(run_id, "executing")
            await nvim.keys(":Agent say mind the sign<CR>")
            await _floats(hands, "Yes.")
            await nvim.keys("\\am")
            await _floats(hands, "mid", "today: ", "<CR> choose")
            await nvim.keys("\\am")
            await nvim.until("the models", "return vim.bo.filetype == 'agent_lsp_models'")
            await nvim.keys("<CR>")
            await hands.pick(": thinker")
            await hands.shows("does thinker now, until the server ends")
            tiers = (await hands.ask("agent.models"))["tiers"]
            assert len(tiers["thinker"]) == 1
            await nvim.keys("r")
            await hands.shows("the models are as configured")
            await nvim.keys("q:Agent models nonsense<CR>")
            await hands.shows('"nonsense" is not one of tiny, mid, thinker, auto')
            await nvim.keys(":Agent models thinker<CR>")
            await hands.shows("goes on with the tier thinker")
        finally:
            goes_on.set()
        await hands.until(run_id, "blocked")
        await hands.shows("Which sign?  (:Agent answer)")
        await nvim.keys(":Agent answer plus<CR>")
        await hands.until(run_id, "proposed")
        assert hands.model is not None
        assert any("mind the sign" in request.text for request in hands.model.requests)
        assert "plus" in hands.model.requests[-1].text
        await nvim.keys(":Agent status<CR>")
        await nvim.seen("tokens)")
        await nvim.keys("q:Agent cancel<CR>")
        await hands.until(run_id, "cancelled", "discarded")

        await nvim.keys(":Agent messages<CR>")
        await _floats(hands, "goes on with the tier thinker", "Which sign?")
        await nvim.keys(":Agent trust<CR>")
        await nvim.keys(":Agent pause<CR>")
        await hands.shows("there is no run to pause")
        await nvim.keys(":Agent doctor<CR>")
        await hands.shows("asking the doctor")
        await _floats(hands, "python")
        await nvim.keys(":Agent fix<CR>")
        await hands.shows("there is no diagnostic here")
        assert nvim.prompts == 0
