"""A real Neovim: two open documents at once, bytes that must stay as they are, hovers, and changes from outside."""

import asyncio
import subprocess

import pytest

from tests.anthropic_server import ScriptedBrain, calls, edit, finish
from tests.editors.conftest import Open
from tests.editors.hands import Hands, Json
from tests.editors.neovim import WAIT_S
from tests.scenarios.scene import CALC, PROJECT

pytestmark = pytest.mark.editor

FIX = edit("calc.py", "return a - b", "return a + b")
NOTES = b"\xef\xbb\xbfNAME = 'a'\r\nOTHER = 'b'\r\nTHIRD = '\xc3\xa4'\r\nLAST = 'c'"
"""With a mark at its beginning, lines that end as on Windows, and no end of the last one."""


async def test_an_accept_over_two_open_documents_keeps_places_and_bytes_and_each_undo_takes_its_own(
    opened: Open, client: str
) -> None:
    brain = ScriptedBrain(execution=[calls(FIX, edit("notes.py", "OTHER = 'b'", "OTHER = 'd'")), calls(finish())])
    async with opened(client, {**PROJECT, "notes.py": NOTES}, brain, init="\nvim.o.fixendofline = false") as hands:
        nvim = hands.nvim
        await nvim.edit("calc.py")
        run_id = await hands.start("make add add")
        await nvim.edit("notes.py")
        assert await nvim.lua("return { vim.bo.fileformat, vim.bo.bomb, vim.bo.endofline }") == ["dos", True, False]
        await nvim.command("set foldmethod=manual | 3,4fold | 4mark m | normal! zRG")
        await hands.until(run_id, "proposed")
        [notes] = await hands.hunks(1)
        await nvim.goto(notes["line"])
        await _hovered(hands, "No passing test ran", "-OTHER = 'b'")
        await nvim.keys("G")
        await nvim.command("edit calc.py")
        [hunk] = await hands.hunks(1)
        await nvim.goto(hunk["line"])
        await _hovered(hands, "Why:", "Step:", "Run by:", "test_add", "+    return a + b")
        await nvim.keys("G0")
        texts = {name: await nvim.text(name) for name in ("calc.py", "notes.py")}
        places = await nvim.lua(_PLACES)

        if hands.plugin:
            await nvim.goto(hunk["line"])
            await nvim.keys("\\aA")
            await nvim.keys("G0")
        else:
            await hands.act("Accept all")
        await hands.until(run_id, "applied")
        await hands.changes_to(texts["calc.py"].replace("a - b", "a + b"))
        assert await nvim.text("notes.py") == texts["notes.py"].replace("'b'", "'d'")
        assert await nvim.lua(_PLACES) == places
        await nvim.command("buffer notes.py")
        assert await nvim.lua("return { vim.fn.line('.'), vim.fn.line(\"'m\") }") == [4, 4]
        await nvim.command("4 | normal! zc")
        assert await nvim.lua("return { vim.fn.foldclosed('.'), vim.fn.foldclosedend('.') }") == [3, 4]
        await nvim.command("write")
        assert (hands.project / "notes.py").read_bytes() == NOTES.replace(b"'b'", b"'d'")
        for name in ("notes.py", "calc.py"):
            await nvim.command(f"buffer {name}")
            await nvim.keys("u")
            assert await nvim.text() == texts[name]
        await nvim.command("buffer notes.py | write")
        assert (hands.project / "notes.py").read_bytes() == NOTES
        assert (hands.project / "calc.py").read_text() == CALC


_PLACES = """
local found = {}
for _, name in ipairs({ 'calc.py', 'notes.py' }) do
  table.insert(found, vim.api.nvim_buf_get_mark(vim.fn.bufnr(name), 'm'))
  table.insert(found, vim.api.nvim_buf_get_mark(vim.fn.bufnr(name), '"'))
end
return { found, vim.api.nvim_win_get_cursor(0) }
"""


async def _hovered(hands: Hands, *words: str) -> None:
    """`K` tells this of the change under the cursor, until the cursor moves."""
    await hands.nvim.keys("K")
    for word in words:
        await hands.nvim.seen(word)
    await hands.nvim.command("fclose!")


async def test_a_checkout_and_a_formatter_on_save_under_an_open_proposal_make_it_stale_and_lose_nothing(
    opened: Open, client: str
) -> None:
    brain = ScriptedBrain(execution=[calls(FIX), calls(finish())])
    async with opened(client, PROJECT, brain) as hands:
        nvim = hands.nvim
        other = CALC.replace("a - b", "a - b - 0")
        _git(hands, "checkout", "-qb", "other")
        (hands.project / "calc.py").write_text(other)
        _git(hands, "commit", "-qam", "other")
        _git(hands, "checkout", "-q", "main")
        await nvim.edit("calc.py")
        run_id = await hands.start("make add add")
        await hands.until(run_id, "proposed")
        if not hands.plugin:
            await nvim.keys("u")  # the goal in its comment
        assert await nvim.text() == CALC.rstrip("\n")
        async with asyncio.timeout(WAIT_S):
            while (await hands.hunks(1))[0]["line"] != 2:
                await asyncio.sleep(0.05)

        await nvim.command("silent !git checkout -q other")
        await hands.changes_to(other.rstrip("\n"))
        await _told(hands, "does not fit")
        await nvim.command("silent !git checkout -q main")
        await hands.changes_to(CALC.rstrip("\n"))
        await _told(hands, "proven")

        await nvim.lua(_FORMATTER)
        await nvim.goto(5)
        await nvim.keys("A  # mine<Esc>")
        await nvim.command("write")
        formatted = CALC.replace("a - b", "(a - b)").replace("def double(a):", "def double(a):  # mine")
        assert (hands.project / "calc.py").read_text() == formatted
        await _told(hands, "does not fit")
        assert await nvim.text() == formatted.rstrip("\n")
        await nvim.lua("vim.api.nvim_clear_autocmds({ group = 'formatter' })")
        await nvim.goto(2)
        await nvim.keys(":s/(a - b)/a - b/<CR>:write<CR>")
        await _told(hands, "proven")
        await hands.accept(2)
        await hands.changes_to(formatted.replace("(a - b)", "a + b").rstrip("\n"))
        await hands.until(run_id, "applied")


_FORMATTER = """
vim.api.nvim_create_autocmd('BufWritePre', {
  group = vim.api.nvim_create_augroup('formatter', {}),
  command = 'silent! keepjumps %s/return a - b$/return (a - b)/',
})
"""


def _git(hands: Hands, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=hands.project, check=True, capture_output=True)


async def _told(hands: Hands, words: str) -> None:
    rows: list[Json] = []
    try:
        async with asyncio.timeout(WAIT_S):
            while not any(words in row["text"] for row in rows):
                await asyncio.sleep(0.03)
                rows = await hands.ours()
    except TimeoutError:
        raise TimeoutError(f"{words!r} is not in {rows}\n{hands.nvim.screen.text}") from None
