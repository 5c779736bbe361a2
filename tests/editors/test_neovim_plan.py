"""A real Neovim: a plan is a document whose marks are live, and it is approved step by step."""

import threading

import pytest

from tests.anthropic_server import ParsedRequest, Reply, ScriptedBrain, calls, edit, finish, plan, reflect
from tests.editors.conftest import Open
from tests.editors.neovim import WAIT_S
from tests.scenarios.scene import PROJECT

pytestmark = pytest.mark.editor


async def test_the_marks_of_an_open_plan_are_live_and_step_by_step_pauses_after_each(opened: Open) -> None:
    goes_on = threading.Event()

    def later(_: ParsedRequest) -> Reply:
        assert goes_on.wait(WAIT_S)
        return calls(edit("calc.py", "a * 2", "2 * a"))

    brain = ScriptedBrain(
        planning=[plan("Mend add", "Turn double round")],
        execution=[calls(edit("calc.py", "a - b", "a + b")), calls(finish()), later, calls(finish())],
        reflection=[reflect("continue")],
    )
    async with opened("plugin", PROJECT, brain) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        await nvim.keys(":Agent plan new make add add<CR>")
        await hands.shows("has a plan")
        [row] = await hands.runs()
        await nvim.keys("\\ap")
        await nvim.seen("[ ] **Mend add**")
        await nvim.keys("/double<CR>")
        assert "Turn double round" in await nvim.lua("return vim.fn.getline('.')")
        await nvim.keys(":Agent plan step<CR>")
        try:
            await hands.until(row["runId"], "paused")
            await nvim.seen("[x] **Mend add**")
            assert "[ ] **Turn double round**" in nvim.screen.text
            await hands.shows("is paused: :Agent step does the next step")
            await nvim.keys(":Agent step<CR>")
            await nvim.seen("[~] **Turn double round**")
            assert "[x] **Mend add**" in nvim.screen.text
            assert "Turn double round" in await nvim.lua("return vim.fn.getline('.')"), "the cursor stays on its step"
            assert await nvim.lua("return vim.bo.modifiable") is False
        finally:
            goes_on.set()
        await hands.until(row["runId"], "proposed")
        await nvim.seen("[x] **Turn double round**")
