"""Owns what a person does in a Neovim: with the plugin by its keys and `:Agent`, in a stock one by code actions."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any, Final

from tests.anthropic_server import AnthropicServer
from tests.editors.neovim import WAIT_S, Neovim
from tests.scenarios.scene import command_line, pids_below

Json = dict[str, Any]
POLL_S: Final = 0.15
OVER: Final = ("failed", "cancelled", "discarded", "applied")

_ASK = """
local command, argument = ...
local here = vim.lsp.get_clients({ name = 'agent_lsp', bufnr = 0 })[1]
local client = assert(here or vim.lsp.get_clients({ name = 'agent_lsp' })[1], 'no server')
local params = { command = command, arguments = { next(argument) and argument or vim.empty_dict() } }
local answer, err = client:request_sync('workspace/executeCommand', params, 10000, 0)
return assert(answer, err).result
"""
_TITLES = """
local lines = ...
local client = assert(vim.lsp.get_clients({ name = 'agent_lsp', bufnr = 0 })[1], 'no server')
local params = vim.lsp.util.make_range_params(0, client.offset_encoding)
if lines then
  params.range = { start = { line = lines[1] - 1, character = 0 }, ['end'] = { line = lines[2], character = 0 } }
end
params.context = { diagnostics = {} }
local answer, err = client:request_sync('textDocument/codeAction', params, 10000, 0)
return vim.tbl_map(function(action) return action.title end, assert(answer, err).result)
"""
_ACT = """
local title = ...
vim.lsp.buf.code_action({ apply = true, filter = function(action) return vim.startswith(action.title, title) end })
"""
_OURS = """
local found = {}
for _, d in ipairs(vim.diagnostic.get(0)) do
  if d.source == 'agent-lsp' then
    table.insert(found, { line = d.lnum + 1, text = d.message })
  end
end
table.sort(found, function(a, b) return a.line < b.line end)
return found
"""


class Hands:
    """A person at one editor, in one project."""

    def __init__(self, nvim: Neovim, project: Path, plugin: bool, model: AnthropicServer | None) -> None:
        self.nvim, self.project, self.plugin, self.model = nvim, project, plugin, model

    async def ask(self, command: str, **argument: Any) -> Json:
        """A command's answer, asked for by the editor's own client."""
        answer: Json = await self.nvim.lua(_ASK, command, argument)
        return answer

    async def start(self, goal: str) -> str:
        """States a goal as this client does; the run's id."""
        known = {row["runId"] for row in await self.runs()}
        if self.plugin:
            await self.nvim.keys(f":Agent run {goal}<CR>")
        else:
            await self.nvim.lua(
                "vim.api.nvim_buf_set_lines(0, 0, 0, false, { ... }) vim.api.nvim_win_set_cursor(0, { 1, 0 })",
                f"# agent: {goal}",
            )
            await self.act("Agent: run")
        while not (new := [row["runId"] for row in await self.runs() if row["runId"] not in known]):
            await asyncio.sleep(POLL_S)
        return str(new[0])

    async def act(self, title: str) -> None:
        """Takes the code action that begins so, at the cursor, once there is one."""
        async with asyncio.timeout(WAIT_S):
            while not any(shown.startswith(title) for shown in await self.titles()):
                await asyncio.sleep(POLL_S)
        await self.nvim.lua(_ACT, title)

    async def choose(self, title: str) -> None:
        """Takes the code action from the menu, as a person does, once there is one."""
        async with asyncio.timeout(WAIT_S):
            while not any(shown.startswith(title) for shown in await self.titles()):
                await asyncio.sleep(POLL_S)
        await self.nvim.keys("gra")
        await self.pick(f": {title}")

    async def titles(self, lines: tuple[int, int] | None = None) -> list[str]:
        """What the menu of code actions offers at the cursor, or for whole lines."""
        found: list[str] = await self.nvim.lua(_TITLES, *([lines] if lines else []))
        return found

    async def runs(self) -> list[Json]:
        """The rows of agent.status."""
        return list((await self.ask("agent.status"))["runs"])

    async def until(self, run_id: str, *states: str) -> Json:
        """The run's row once it is in one of the states; one that is over in another fails the test."""
        row: Json = {}
        try:
            async with asyncio.timeout(WAIT_S):
                while (row := (await self.ask("agent.status", runId=run_id))["runs"][0])["state"] not in states:
                    assert row["state"] not in OVER, f"wanted {states}, and it is {row}\n{self.nvim.screen.text}"
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise TimeoutError(f"wanted {states}, and it is {row}\n{self.nvim.screen.text}") from None
        return row

    async def hunks(self, count: int) -> list[Json]:
        """Our diagnostics in the current buffer, as `{line, text}`, once there are so many proposed hunks."""
        async with asyncio.timeout(WAIT_S):
            while len(found := [d for d in await self.ours() if d["text"].startswith("Proposed")]) != count:
                await asyncio.sleep(POLL_S)
        return found

    async def ours(self) -> list[Json]:
        """Our diagnostics in the current buffer."""
        found: list[Json] = await self.nvim.lua(_OURS)
        return found

    async def accept(self, line: int) -> None:
        """Accepts the change on a line."""
        await self.nvim.goto(line)
        if self.plugin:
            await self.nvim.keys("\\aa")
        else:
            await self.choose("Accept change")

    async def accept_lines(self, first: int, last: int) -> None:
        """Accepts the changes on these lines as one part."""
        await self.nvim.goto(first)
        if self.plugin:
            await self.nvim.keys(f"V{last}G\\aa")
            return
        async with asyncio.timeout(WAIT_S):
            while not any("changes of these lines" in shown for shown in await self.titles((first, last))):
                await asyncio.sleep(POLL_S)
        await self.nvim.keys(f"V{last}Ggra")
        await self.pick(": Accept the ", " changes of these lines")
        await self.nvim.keys("<Esc>")

    async def pick(self, *words: str) -> None:
        """The row of the menu on the command line that has these words."""
        pattern = re.compile(r"^(\d+)" + ".*".join(map(re.escape, words)), re.MULTILINE)
        try:
            async with asyncio.timeout(WAIT_S):
                while not (found := pattern.search(self.nvim.screen.text)):
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise TimeoutError(f"no row {words}:\n{self.nvim.screen.text}") from None
        await self.nvim.keys(f"{found[1]}<CR>")

    async def discard(self, line: int) -> None:
        """Discards the change on a line."""
        await self.nvim.goto(line)
        if self.plugin:
            await self.nvim.keys("\\ad")
        else:
            await self.act("Discard change")

    async def shows(self, words: str) -> None:
        """Waits until a message with these words was shown."""
        said = ""
        try:
            async with asyncio.timeout(WAIT_S):
                while words not in (said := await self.said()):
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise TimeoutError(f"{words!r} was not said:\n{said}\n{self.nvim.screen.text}") from None

    async def said(self) -> str:
        """Everything that was shown as a message."""
        return str(
            await self.nvim.lua(
                "local said = package.loaded['agent_lsp.tell'] and require('agent_lsp.tell').said or {}"
                " return table.concat(said, '\\n') .. vim.fn.execute('messages')"
            )
        )

    async def changes_to(self, text: str) -> None:
        """Waits until the current buffer holds a text."""
        now = ""
        try:
            async with asyncio.timeout(WAIT_S):
                while (now := await self.nvim.text()) != text:
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise TimeoutError(f"the text is\n{now}\n--- and not\n{text}\n---\n{await self.said()}") from None

    def servers(self) -> list[int]:
        """The language servers below this editor, without the judge between."""
        below = pids_below(self.nvim.process.pid)
        return [pid for pid in below if " -m agent_lsp serve" in (line := command_line(pid)) and "proxy" not in line]

    def kill_server(self) -> None:
        """kill -9."""
        [pid] = self.servers()
        os.kill(pid, signal.SIGKILL)
