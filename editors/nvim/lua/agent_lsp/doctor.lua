-- Owns the program behind the server, asked directly: its version, and what `agent-lsp doctor` finds.
local documents = require('agent_lsp.documents')
local server = require('agent_lsp.server')
local tell = require('agent_lsp.tell')

local M = {}

local TIMEOUT_MS = 60000

--- The command that starts the program, without `serve` and what follows it.
---@return string[]?
function M.program()
  local cmd = vim.lsp.config.agent_lsp.cmd
  if type(cmd) ~= 'table' then
    return nil
  end
  local words = {} ---@type string[]
  for _, word in ipairs(cmd) do
    if word == 'serve' then
      break
    end
    table.insert(words, word)
  end
  return words
end

---@param words string[]
---@return string[]?
local function command(words)
  local program = M.program()
  return program and vim.list_extend(program, words)
end

--- Runs the program and waits.
---@param words string[]
---@return vim.SystemCompleted?
function M.ask(words)
  local wanted = command(words)
  if not wanted or vim.fn.executable(wanted[1]) == 0 then
    return nil
  end
  return vim.system(wanted, { text = true, cwd = server.root(), timeout = TIMEOUT_MS }):wait()
end

--- Shows what the doctor says, in a float.
function M.open()
  local wanted = command({ 'doctor' })
  if not wanted or vim.fn.executable(wanted[1]) == 0 then
    tell.warn('agent-lsp is not found; see :checkhealth agent_lsp')
    return
  end
  tell.say('asking the doctor …')
  vim.system(wanted, { text = true, cwd = server.root(), timeout = TIMEOUT_MS }, vim.schedule_wrap(function(done)
    local text = vim.trim(done.stdout ~= '' and done.stdout or done.stderr)
    documents.float(vim.split(text, '\n'), '', 'agent-lsp doctor')
  end))
end

return M
