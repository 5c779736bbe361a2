-- Owns the plugin's settings: defaults, what `setup{}` or `vim.g.agent_lsp` say, and the check of both.
local M = {}

---@class agent_lsp.Settings
---@field enable boolean start the server for its file types
---@field prefix string|false what the default keys begin with; false for none
---@field next string|false key to the next proposed change
---@field prev string|false key to the one before
---@field signs boolean a sign beside the proposed lines
---@field lines boolean the proposed text below the old one
---@field verdict boolean what the tests say, at the end of the first line
---@field diff 'tab'|'split'|'float' how `:Agent diff` opens
---@field ask boolean ask at once what a run wants to know; false: only by `:Agent answer`
---@field toast_s number seconds that a message which does not fit the command line stays
---@field log_lines integer lines of the log that `:Agent log` shows
local defaults = {
  enable = true,
  prefix = '<Leader>a',
  next = ']a',
  prev = '[a',
  signs = true,
  lines = true,
  verdict = true,
  diff = 'tab',
  ask = true,
  toast_s = 8,
  log_lines = 500,
}

local DIFFS = { 'tab', 'split', 'float' }

---@type agent_lsp.Settings?
local current

---@type string[] what was wrong with what was given last
M.problems = {}

---@param key string
---@param value any
---@return string? problem
local function problem_of(key, value)
  local default = defaults[key]
  if default == nil then
    local known = vim.tbl_keys(defaults)
    table.sort(known)
    return ('unknown setting %q; there are %s'):format(key, table.concat(known, ', '))
  end
  if key == 'diff' then
    return not vim.list_contains(DIFFS, value) and 'diff must be one of ' .. table.concat(DIFFS, ', ') or nil
  end
  local key_off = value == false and vim.list_contains({ 'prefix', 'next', 'prev' }, key)
  if type(value) ~= type(default) and not key_off then
    return ('%s must be a %s, it is a %s'):format(key, type(default), type(value))
  end
end

--- Takes settings over the defaults. A wrong one is told and left out, the others count.
---@param given table<string, any>?
function M.set(given)
  local problems = {} ---@type string[]
  if given ~= nil and type(given) ~= 'table' then
    problems, given = { 'the settings must be a table' }, {}
  end
  current = vim.deepcopy(defaults)
  for key, value in pairs(given or {}) do
    local problem = problem_of(tostring(key), value)
    if problem then
      table.insert(problems, problem)
    else
      current[key] = value
    end
  end
  M.problems = problems
  if #problems > 0 then
    vim.schedule(function()
      require('agent_lsp.tell').warn(table.concat(problems, '\n'))
    end)
  end
end

---@return agent_lsp.Settings
function M.get()
  if not current then
    M.set(vim.g.agent_lsp)
  end
  return current --[[@as agent_lsp.Settings]]
end

return M
