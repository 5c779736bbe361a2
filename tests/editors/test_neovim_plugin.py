"""The Neovim plugin's own parts: commands, keys, questions, plans, the run list, the log, health and help."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.anthropic_server import Call, ScriptedBrain, calls, edit, finish, plan, stall
from tests.editors.conftest import Open
from tests.editors.hands import Hands
from tests.editors.neovim import PLUGIN, WAIT_S
from tests.judge import lua_types
from tests.scenarios.scene import CALC, PROJECT

pytestmark = pytest.mark.editor

FIX = edit("calc.py", "return a - b", "return a + b")
PROBLEM = """
local namespace = vim.api.nvim_create_namespace('another server')
local found = { lnum = 1, col = 4, end_lnum = 1, end_col = 9, message = 'minus looks odd', source = 'linter' }
vim.diagnostic.set(namespace, 0, { found })
"""


def test_the_annotations_are_what_the_published_shapes_make() -> None:
    assert lua_types.PATH.read_text(encoding="utf-8") == lua_types.text(), "run `python -m tests.judge.lua_types`"


def test_every_setting_key_and_action_is_in_the_help_and_in_the_page() -> None:
    guide, page = (
        (PLUGIN / "doc" / "agent_lsp.txt").read_text(),
        (lua_types.PATH.parents[4] / "docs" / "neovim.md").read_text(),
    )
    for name in _names("settings.lua", r"^  (\w+) = .+,$"):
        assert re.search(rf"^ *{name} = ", guide, re.MULTILINE), f"the help lacks the setting {name}"
        assert re.search(rf"^ *{name} = ", page, re.MULTILINE), f"docs/neovim.md lacks the setting {name}"
    for name in _names("command.lua", r"^  (\w+) = \{( run = .*)?$"):
        assert re.search(rf"^:(\[range\])?Agent {name}\b", guide, re.MULTILINE), f"the help lacks :Agent {name}"
    for name in _names("plugs.lua", r"^  \['([\w-]+)'\]"):
        assert f"<Plug>(agent-{name})" in guide, f"the help lacks the key {name}"


def _names(file: str, pattern: str) -> Iterator[str]:
    found = re.findall(pattern, (PLUGIN / "lua" / "agent_lsp" / file).read_text(), re.MULTILINE)
    assert found, f"{file} is written otherwise"
    yield from (row if isinstance(row, str) else row[0] for row in found)


async def test_keys_that_are_mapped_are_left_alone_wrong_settings_are_told_and_words_are_completed(
    opened: Open,
) -> None:
    init = """
        vim.g.agent_lsp = { diff = 'wall', colour = 'red', toast_s = 1 }
        vim.keymap.set('n', '<Leader>aa', ':let g:mine = 1<CR>')
        vim.keymap.set('n', 'gn', '<Plug>(agent-next)')
    """
    async with opened("plugin", PROJECT, init=init) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        await hands.shows("diff must be")
        told = await hands.said()
        assert "diff must be one of tab, split, float" in told
        assert 'unknown setting "colour"; there are ask, diff' in told
        maps = "return vim.fn.maparg(..., 'n')"
        assert await nvim.lua(maps, "\\aa") == ":let g:mine = 1<CR>"
        assert await nvim.lua(maps, "\\ad") == "<Plug>(agent-discard)"
        assert await nvim.lua(maps, "[a") == "<Plug>(agent-prev)"
        assert await nvim.lua("return vim.fn.maparg(']a', 'n', false, true).desc") == ":next", "it has a key of its own"
        complete = "return vim.fn.getcompletion(..., 'cmdline')"
        assert await nvim.lua(complete, "Agent acc") == ["accept"]
        assert await nvim.lua(complete, "Agent accept ") == ["all", "file", "hunk", "suggested"]
        assert await nvim.lua(complete, "'<,'>Agent plan a") == ["approve"]
        assert {"run", "fix", "rollback", "log", "doctor", "restart"} <= set(await nvim.lua(complete, "Agent "))
        await nvim.command("Agent nonsense")
        assert "there is no :Agent nonsense" in await hands.said()
        await nvim.keys(":helptags " + str(await _copied_help(hands)) + "<CR>")
        assert nvim.prompts == 0


async def _copied_help(hands: Hands) -> Path:
    folder = hands.project.parent / "help" / "doc"
    folder.mkdir(parents=True)
    (folder / "agent_lsp.txt").write_text((PLUGIN / "doc" / "agent_lsp.txt").read_text())
    await hands.nvim.command(f"helptags {folder}")
    assert ":Agent\t" in (folder / "tags").read_text()
    return folder


async def test_checkhealth_tells_the_program_and_the_server_and_a_restart_gives_another(opened: Open) -> None:
    async with opened("plugin", PROJECT) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        [first] = hands.servers()
        await nvim.command("checkhealth agent_lsp")
        report = await nvim.text()
        assert "agent-lsp 0." in report
        assert f"{hands.project}: protocol 1, 1 buffers" in report
        assert "python: 3." in report
        assert "ERROR" not in report
        await nvim.command("quit | Agent restart")
        await nvim.until(
            "another server",
            "local c = vim.lsp.get_clients({ name = 'agent_lsp' })[1] return c and c.id > 1 and c.initialized",
        )
        assert hands.servers() != [first]
        assert "ended by" not in await hands.said()


async def test_a_run_begins_from_a_selection_and_from_a_problem_and_is_cancelled(opened: Open, client: str) -> None:
    brain = ScriptedBrain(planning=[stall(), stall()])
    async with opened(client, PROJECT, brain) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        await nvim.goto(5)
        if hands.plugin:
            await nvim.keys("Vj\\ar")
            await nvim.seen("Goal for these lines:")
            await nvim.keys("triple it<CR>")
        else:
            await nvim.keys("Vjgra")
            await nvim.seen("Agent: work on the selection")
            await nvim.keys("1<CR>")
        row = await _asked(hands, 1)
        assert row["goal"] == "triple it" if hands.plugin else "selected lines" in row["goal"]
        assert "def double" in _model_saw(hands, 0)
        await nvim.keys("<Esc>")
        await _cancel(hands, row["runId"])

        await nvim.lua(PROBLEM)
        await nvim.goto(2)
        if hands.plugin:
            await nvim.keys("\\ax")
        else:
            await nvim.keys("gra")
            await nvim.seen("Agent: fix this")
            await nvim.keys("1<CR>")
        row = await _asked(hands, 2)
        assert row["goal"] == "Fix: minus looks odd"
        await _cancel(hands, row["runId"])


async def _asked(hands: Hands, count: int) -> dict[str, str]:
    """The newest run, once the model was asked for it."""
    assert hands.model is not None
    async with asyncio.timeout(WAIT_S):
        while len(await hands.runs()) < count or len(hands.model.requests) < count:
            await asyncio.sleep(0.05)
    return dict((await hands.runs())[-1])


def _model_saw(hands: Hands, number: int) -> str:
    assert hands.model is not None
    return hands.model.requests[number].text


async def _cancel(hands: Hands, run_id: str) -> None:
    if hands.plugin:
        await hands.nvim.keys("\\ac")
    else:
        await hands.act("Cancel run")
    await hands.until(run_id, "cancelled")


async def test_a_plan_is_edited_and_approved_by_writing_it_and_questions_wait_until_nobody_types(opened: Open) -> None:
    question = Call("ask_user", {"question": "Which sign?", "options": ["plus", "minus"]})
    brain = ScriptedBrain(
        planning=[plan("Mend add", "Rename all")],
        execution=[calls(question), calls(Call("ask_user", {"question": "And why?"})), calls(FIX), calls(finish())],
    )
    async with opened("plugin", PROJECT, brain) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        await nvim.keys(":Agent plan new make add add<CR>")
        run_id = (await _asked(hands, 1))["runId"]
        await hands.until(run_id, "awaiting_approval")
        await nvim.keys(":Agent plan edit<CR>")
        await nvim.seen("Rename all")
        # At once: the question may come as soon as the plan is written, and is then asked in normal mode.
        await nvim.keys("/Rename<CR>dG:w<CR>:bwipe!<CR>i")
        await hands.until(run_id, "blocked")
        await hands.shows("asked when you are back in normal mode")
        await nvim.keys("# typed meanwhile")
        assert "1: plus" not in nvim.screen.text
        await nvim.keys("<Esc>")
        await nvim.seen("1: plus")
        await nvim.keys("1<CR>")
        await nvim.seen("And why?")
        await nvim.keys("because<CR>")
        await hands.until(run_id, "proposed")
        assert "# typed meanwhile" in await nvim.text()
        last = _model_saw(hands, -1)
        assert "plus" in last
        assert "because" in last
        assert "Rename all" not in _model_saw(hands, 1)


async def test_a_change_is_looked_at_as_a_diff_edited_accepted_rolled_back_and_the_log_follows(opened: Open) -> None:
    brain = ScriptedBrain(execution=[calls(FIX), calls(finish())])
    async with opened(
        "plugin", PROJECT, brain, init="vim.o.statusline = \"%{%v:lua.require'agent_lsp'.statusline()%}\""
    ) as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        run_id = await hands.start("make add add")
        await hands.until(run_id, "proposed")
        await hands.hunks(1)
        await nvim.keys("G]a")
        assert await nvim.lua("return vim.fn.line('.')") == 2
        await nvim.seen("agent: proven")
        added = nvim.screen.style_at("return a + b", "return a + b")
        assert added.get("background"), "the proposed line has the colour of DiffAdd"

        await nvim.keys(":Agent diff<CR>")
        await nvim.until(
            "two windows in diff mode",
            "return #vim.tbl_filter(function(w) return vim.wo[w].diff end, vim.api.nvim_tabpage_list_wins(0)) == 2",
        )
        await nvim.keys(":tabclose<CR>:Agent edit split<CR>")
        await nvim.until("the proposed text", "return vim.bo.buftype == 'acwrite'")
        await nvim.keys(":%s/a + b/b + a/<CR>:w<CR>")
        await hands.shows("it is being tested")
        await nvim.keys("q")
        await hands.until(run_id, "proposed")
        await nvim.seen("return b + a")
        [hunk] = await hands.hunks(1)
        async with asyncio.timeout(WAIT_S):
            while "proven" not in hunk["text"]:
                await asyncio.sleep(0.05)
                [hunk] = await hands.hunks(1)
        await hands.accept(2)
        await hands.changes_to(CALC.rstrip("\n").replace("a - b", "b + a"))
        await hands.until(run_id, "applied")

        await nvim.keys(":Agent status<CR>")
        await nvim.seen("make add add")
        await nvim.keys("u")
        await nvim.seen("taken back")
        await nvim.keys("q")
        assert await nvim.text() == CALC.rstrip("\n")

        await nvim.keys(":Agent log<CR>")
        await nvim.until("the log", "return vim.bo.filetype == 'agent_lsp_log' and vim.fn.line('$') > 1")
        log = hands.project / ".agent-lsp" / "copilot_console.log"
        with log.open("a") as file:
            file.write("one more line\n")
        await nvim.seen("one more line")
        assert await nvim.lua("return vim.fn.line('.') == vim.fn.line('$')"), "the cursor stays at the end"
        assert nvim.prompts == 0
