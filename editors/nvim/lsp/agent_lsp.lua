-- Owns the configuration of agent-lsp for a stock Neovim 0.11 or newer. Copy it to ~/.config/nvim/lsp/agent_lsp.lua and
-- say vim.lsp.enable('agent_lsp').
local waiting = {} ---@type { [1]: string, [2]: string? }[] texts with their colours
local listening = false

--- Calls it once, soon after the mode has changed.
---@param callback fun()
local function on_mode(callback)
  vim.api.nvim_create_autocmd('ModeChanged', { once = true, callback = vim.schedule_wrap(callback) })
end

local function at_rest()
  local mode = vim.api.nvim_get_mode().mode
  return mode == 'n' or mode == 'nt'
end

--- A box at the cursor, until that moves.
---@param messages { [1]: string, [2]: string? }[]
local function float(messages)
  local texts = vim.tbl_map(function(message)
    return message[1]
  end, messages)
  local how = { focusable = false, wrap = true, max_width = 80 }
  local _, window = vim.lsp.util.open_floating_preview(texts, '', how)
  vim.wo[window].linebreak = true
end

--- Puts messages on the last line, none of which waits for a key, and what has no room there into a float.
---@param messages { [1]: string, [2]: string? }[]
local function print_all(messages)
  local before = vim.o.messagesopt
  vim.o.messagesopt = before:gsub('hit%-enter', 'wait:0')
  for _, message in ipairs(messages) do
    vim.api.nvim_echo({ message }, true, {})
  end
  vim.cmd.redraw()
  vim.o.messagesopt = before
  local text, colour = unpack(messages[#messages])
  local long = vim.fn.strdisplaywidth(text) > vim.v.echospace
  if long then
    local start = vim.fn.strcharpart(text, 0, vim.v.echospace - 13)
    vim.api.nvim_echo({ { start .. '… (:messages)', colour } }, false, {})
  end
  if long or #messages > 1 then
    float(messages)
  end
end

--- Shows what waits. In a prompt it goes on waiting: a window that is opened there moves the cursor of who was typing.
--- While somebody types it is in a float alone, and is printed once they are back in normal mode.
local function show()
  if #waiting == 0 then
    return
  elseif vim.api.nvim_get_mode().mode:sub(1, 1) == 'r' then
    vim.defer_fn(show, 100)
  elseif at_rest() then
    local messages = waiting
    waiting = {}
    print_all(messages)
  else
    if not listening then
      listening = true
      on_mode(function()
        listening = false
        show()
      end)
    end
    float(waiting)
    vim.cmd.redraw()
  end
end

---@param message string
---@param colour string?
local function tell(message, colour)
  local text = 'agent-lsp: ' .. message:gsub('^agent%-lsp: ', ''):gsub('%s*\n%s*', ' ')
  table.insert(waiting, { text, colour })
  show()
end

---@type vim.lsp.Config
return {
  cmd = { 'agent-lsp', 'serve' },
  filetypes = { 'python' },
  root_markers = { 'agent-lsp.toml', 'pyproject.toml', 'setup.cfg', '.git' },
  handlers = {
    -- Neovim prints the label of an edit. After a menu on the command line that waits for <Enter>, and until then the
    -- server would not hear that its edit has arrived.
    ['workspace/applyEdit'] = function(err, params, context)
      params.label = nil
      return vim.lsp.handlers['workspace/applyEdit'](err, params, context)
    end,
    -- Neovim ends each message with a line break: every one waits for <Enter>, and takes what is being typed for it.
    -- Here none waits, and `:messages` has all of it.
    ['window/showMessage'] = function(_, params)
      tell(params.message, ({ 'ErrorMsg', 'WarningMsg' })[params.type])
    end,
    -- Neovim asks at once, and takes what is being typed for the answer. Here a question waits for normal mode.
    ['window/showMessageRequest'] = function(err, params, context)
      local thread = coroutine.running()
      if not at_rest() then
        tell(params.message .. '  (asked when you are back in normal mode)')
      end
      while not at_rest() do
        on_mode(function()
          coroutine.resume(thread)
        end)
        coroutine.yield()
      end
      return vim.lsp.handlers['window/showMessageRequest'](err, params, context)
    end,
  },
}
