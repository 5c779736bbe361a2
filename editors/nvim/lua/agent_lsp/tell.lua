-- Owns what is said to the person. Nothing said here may wait for a key: a hit-enter prompt would eat what is being typed.
local M = {}

local NAMES = { [vim.log.levels.ERROR] = 'DiagnosticError', [vim.log.levels.WARN] = 'DiagnosticWarn' }
local LEVELS = { vim.log.levels.ERROR, vim.log.levels.WARN, vim.log.levels.INFO, vim.log.levels.INFO }
local KEPT, LOOK_MS = 200, 100

---@type string[] what was said, for `:Agent messages`
M.said = {}

---@type integer?
local window

local function close()
  if window and vim.api.nvim_win_is_valid(window) then
    vim.api.nvim_win_close(window, true)
  end
  window = nil
end

--- A box in the lower right corner, which goes by itself and takes no focus.
---@param text string
---@param level integer
local function toast(text, level)
  close()
  local width = math.max(20, math.min(80, vim.o.columns - 4))
  local lines = {} ---@type string[]
  for line in vim.gsplit(text, '\n') do
    local rest = line
    repeat
      local part = vim.fn.strcharpart(rest, 0, width)
      local space = #part < #rest and part:match('^.*()%s') or nil
      part = space and part:sub(1, space - 1) or part
      table.insert(lines, part)
      rest = vim.trim(rest:sub(#part + 1))
    until rest == ''
  end
  local longest = vim.iter(lines):map(vim.fn.strdisplaywidth):fold(1, math.max)
  local height = math.max(1, math.min(#lines, vim.o.lines - 6))
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.bo[buffer].bufhidden = 'wipe'
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  window = vim.api.nvim_open_win(buffer, false, {
    relative = 'editor',
    anchor = 'SE',
    row = vim.o.lines - vim.o.cmdheight - 1,
    col = vim.o.columns,
    width = longest,
    height = height,
    style = 'minimal',
    border = 'single',
    focusable = false,
    noautocmd = true,
  })
  local colour = NAMES[level] or 'DiagnosticInfo'
  vim.wo[window].winhighlight = 'NormalFloat:NormalFloat,FloatBorder:' .. colour
  local mine = window
  vim.defer_fn(function()
    if window == mine then
      close()
    end
  end, require('agent_lsp.settings').get().toast_s * 1000)
end

--- Whether vim.notify is Neovim's own, which prints on the command line.
local function prints()
  return debug.getinfo(vim.notify, 'S').source:find('vim/_editor.lua', 1, true) ~= nil
end

--- Shows it; in a prompt only after it, since a window that is opened there moves the cursor of who was typing.
---@param text string
---@param level integer
local function show(text, level)
  if vim.api.nvim_get_mode().mode:sub(1, 1) == 'r' then
    vim.defer_fn(function()
      show(text, level)
    end, LOOK_MS)
  elseif not prints() then
    vim.notify(text, level, { title = 'agent-lsp' })
  elseif text:find('\n') or vim.fn.strdisplaywidth(text) > vim.v.echospace then
    toast(text, level)
  else
    vim.notify(text, level)
  end
end

---@param text string
---@param level integer? vim.log.levels; INFO by default
function M.say(text, level)
  level = level or vim.log.levels.INFO
  text = 'agent-lsp: ' .. vim.trim((text:gsub('^agent%-lsp: ', '')))
  table.insert(M.said, os.date('%H:%M:%S ') .. text)
  if #M.said > KEPT then
    table.remove(M.said, 1)
  end
  show(text, level)
end

--- Whether the last message has these words in it.
---@param text string
---@return boolean
function M.has_just_said(text)
  local last = M.said[#M.said]
  return last ~= nil and last:find(text, 1, true) ~= nil
end

---@param text string
function M.warn(text)
  M.say(text, vim.log.levels.WARN)
end

---@param error agent_lsp.Failure
function M.failure(error)
  M.warn(vim.trim(error.message .. ' ' .. (error.hint or '')))
end

--- `agent/said`
---@param message agent_lsp.SaidMessage
function M.on_said(_, message)
  M.say(message.reply)
end

--- `window/showMessage`
---@param params lsp.ShowMessageParams
function M.on_show_message(_, params)
  M.say(params.message, LEVELS[params.type])
  return vim.NIL
end

return M
