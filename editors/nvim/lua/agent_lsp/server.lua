-- Owns the way to the server: which client, commands and their answers, a restart, and what happens when it is gone.
local tell = require('agent_lsp.tell')

local M = {}

local NAME = 'agent_lsp'
local QUIET_NS = 60 * 1e9 -- a server that dies twice within this time is not started again by itself
local LOOK_MS, PATIENCE = 50, 60 -- how often a restart looks whether the old server is gone, and how many times
local NOT_DONE = { ['agent.apply'] = 'Not applied.', ['agent.rollback'] = 'Not rolled back.' }

local died_ns ---@type integer?
local restarting = false

--- The client of the buffer, else any other one.
---@param bufnr integer?
---@return vim.lsp.Client?
function M.client(bufnr)
  local here = vim.lsp.get_clients({ name = NAME, bufnr = bufnr or 0 })[1]
  return here or vim.lsp.get_clients({ name = NAME })[1]
end

---@param client_id integer?
---@return vim.lsp.Client?
local function wanted(client_id)
  return client_id and vim.lsp.get_client_by_id(client_id) or M.client()
end

--- Tells what went wrong; whether something did.
---@param command string
---@param result table?
---@return boolean
local function complain(command, result)
  if type(result) ~= 'table' then
    return false
  end
  if result.error then
    tell.failure(result.error)
    return true
  end
  if NOT_DONE[command] and result.applied == false and not result.pending then
    tell.warn(NOT_DONE[command] .. ' ' .. (result.reason or ''))
    return true
  end
  return false
end

--- Sends a command. What goes wrong is told; `on_answer` gets what went right.
---@param command string
---@param argument table
---@param on_answer fun(result: table)?
---@param client_id integer?
function M.call(command, argument, on_answer, client_id)
  local client = wanted(client_id)
  if not client then
    tell.warn('no server runs: open a file of a project, or see :checkhealth agent_lsp')
    return
  end
  local params = { command = command, arguments = { next(argument) and argument or vim.empty_dict() } }
  client:request('workspace/executeCommand', params, function(err, result)
    if err then
      tell.warn(err.message)
    elseif not complain(command, result) and on_answer then
      on_answer(result or {})
    end
  end, 0)
end

--- The answer to a command that an action or a lens sent.
function M.on_answer(err, result, context)
  if err then
    tell.warn(err.message)
  else
    complain(context.params and context.params.command or '', result)
  end
end

--- The folder that the client serves.
---@return string?
function M.root()
  local client = M.client()
  return client and client.root_dir
end

--- Starts the server anew once no client is left; one that does not leave is killed.
---@param patience integer
local function enable_when_gone(patience)
  local left = vim.lsp.get_clients({ name = NAME })
  if #left == 0 then
    restarting = false
    vim.lsp.enable(NAME)
    return
  end
  if patience == 0 then
    for _, client in ipairs(left) do
      client:stop(true)
    end
  end
  vim.defer_fn(function()
    enable_when_gone(patience - 1)
  end, LOOK_MS)
end

--- Ends every server and starts one anew for the open files.
function M.restart()
  died_ns, restarting = nil, true
  for _, client in ipairs(vim.lsp.get_clients({ name = NAME })) do
    client:stop()
  end
  enable_when_gone(PATIENCE)
end

--- A server has ended: its runs are over here; one that died is started again, once a minute at the most.
function M.on_exit(code, signal, client_id)
  vim.schedule(function()
    require('agent_lsp.board').forget(client_id)
    if vim.v.exiting ~= vim.NIL or restarting then
      return
    end
    if code ~= 0 or signal ~= 0 then
      local now_ns = vim.uv.hrtime()
      local again = not died_ns or now_ns - died_ns > QUIET_NS
      died_ns = now_ns
      local how = signal ~= 0 and 'signal ' .. signal or 'exit status ' .. code
      local next_step = again and 'It is started again.' or ':Agent restart starts it again; :checkhealth agent_lsp looks why.'
      tell.say(('the server ended by %s. %s'):format(how, next_step), vim.log.levels.ERROR)
      if again then
        vim.lsp.enable(NAME)
      end
    end
  end)
end

return M
