-- Owns how a run is started: from a sentence, a selection, a problem under the cursor.
local server = require('agent_lsp.server')
local tell = require('agent_lsp.tell')

local M = {}

---@class agent_lsp.Lines
---@field first integer from 1
---@field last integer

--- The argument of `agent.run` for the current buffer; without a place where it is no file of the server's.
---@param goal string
---@param lines agent_lsp.Lines?
---@param mode 'auto'|'plan'?
---@return agent_lsp.RunArgument
local function argument(goal, lines, mode)
  local given = { goal = goal, mode = mode } ---@type agent_lsp.RunArgument
  if vim.lsp.get_clients({ name = 'agent_lsp', bufnr = 0 })[1] then
    given.uri = vim.uri_from_bufnr(0)
    if lines then
      local below = { line = lines.last, character = 0 }
      given.range = { start = { line = lines.first - 1, character = 0 }, ['end'] = below }
    end
  end
  return given
end

---@param given agent_lsp.RunArgument
local function start(given)
  server.call('agent.run', given)
end

---@param prompt string
---@param on_goal fun(goal: string)
local function ask(prompt, on_goal)
  vim.ui.input({ prompt = prompt }, function(goal)
    if goal and vim.trim(goal) ~= '' then
      on_goal(goal)
    end
  end)
end

--- Starts a run; asks for the goal where it is empty.
---@param goal string
---@param lines agent_lsp.Lines?
---@param mode 'auto'|'plan'?
function M.start(goal, lines, mode)
  if goal ~= '' then
    return start(argument(goal, lines, mode))
  end
  local given = argument('', lines, mode) -- the buffer is the one from which it was asked
  ask(lines and 'Goal for these lines: ' or 'Goal: ', function(typed)
    given.goal = typed
    start(given)
  end)
end

--- Offers to fix what the diagnostics of any server say of these lines, the cursor's by default.
---@param lines agent_lsp.Lines?
function M.fix(lines)
  local row = vim.api.nvim_win_get_cursor(0)[1]
  lines = lines or { first = row, last = row }
  local found = vim.tbl_filter(function(diagnostic)
    return diagnostic.source ~= 'agent-lsp' and diagnostic.lnum < lines.last and diagnostic.end_lnum >= lines.first - 1
  end, vim.diagnostic.get(0))
  if #found == 0 then
    tell.say('there is no diagnostic here')
    return
  end
  vim.lsp.buf.code_action({
    apply = true,
    context = { diagnostics = vim.lsp.diagnostic.from(found), only = { 'quickfix' } },
    range = { start = { lines.first, 0 }, ['end'] = { lines.last, 0 } },
    filter = function(action)
      return action.title:find('Agent: fix', 1, true) == 1
    end,
  })
end

--- `agent.run` of a code action; one that can be put in other words is asked for.
---@param command lsp.Command
function M.from_action(command)
  local given = vim.deepcopy(command.arguments and command.arguments[1] or {}) ---@type agent_lsp.RunArgument
  if not given.askGoal then
    return start(given)
  end
  ask('Goal for the selection: ', function(goal)
    given.goal, given.askGoal = goal, nil
    start(given)
  end)
end

return M
