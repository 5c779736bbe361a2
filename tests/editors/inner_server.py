"""Owns a server inside Neovim that says what a test wants, when it wants it: `opened(client, files, init=SERVER)`."""

from typing import Any, Final

from tests.editors.hands import Hands

SERVER: Final = """
server = { commands = {} }
vim.lsp.config('agent_lsp', {
  cmd = function(dispatchers)
    server.tell, server.ask = dispatchers.notification, dispatchers.server_request
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


async def told(hands: Hands, method: str, **params: Any) -> None:
    """A notification of the server."""
    await hands.nvim.lua(
        "local method, params = ... vim.schedule(function() server.tell(method, params) end)", method, params
    )


async def commands(hands: Hands, count: int) -> None:
    """Until the plugin has sent so many."""
    await hands.nvim.until(f"command {count}", "return #server.commands >= ...", count)


async def answered(hands: Hands, number: int, **states: str) -> None:
    """The answer to a question about the runs: their states."""
    rows = [
        {"runId": run_id, "goal": "make add add", "state": state, "step": 1, "steps": 1, "usage": {}}
        for run_id, state in states.items()
    ]
    await hands.nvim.lua("local number, rows = ... server.commands[number].answer(nil, { runs = rows })", number, rows)
