-- Owns the default keys of buffers that the server is attached to. A key that is mapped already is left alone.
local settings = require('agent_lsp.settings')

local M = {}

---@type table<string, string> what follows the prefix, with the <Plug> key's name
M.after_prefix = {
  a = 'accept',
  A = 'accept-all',
  f = 'accept-file',
  d = 'discard',
  D = 'discard-all',
  t = 'feedback',
  v = 'diff',
  e = 'edit',
  r = 'run',
  x = 'fix',
  p = 'plan',
  P = 'plan-step',
  n = 'step',
  q = 'answer',
  c = 'cancel',
  u = 'rollback',
  s = 'status',
  l = 'log',
  m = 'models',
}

--- Whether the key is free: unmapped, or as Neovim itself maps it.
---@param mode string
---@param key string
---@param built_in string? the description of Neovim's own mapping
---@return boolean
local function is_free(mode, key, built_in)
  local found = vim.fn.maparg(key, mode, false, true)
  return vim.tbl_isempty(found) or (built_in ~= nil and found.desc == built_in and found.buffer == 0)
end

---@param buffer integer
---@param mode string
---@param key string
---@param name string
---@param built_in string?
local function map(buffer, mode, key, name, built_in)
  local plug = '<Plug>(agent-' .. name .. ')'
  if is_free(mode, key, built_in) and vim.fn.hasmapto(plug, mode) == 0 then
    vim.keymap.set(mode, key, plug, { buffer = buffer, remap = true, desc = 'agent: ' .. name:gsub('-', ' ') })
  end
end

---@param buffer integer
function M.attach(buffer)
  local wanted = settings.get()
  vim.api.nvim_buf_call(buffer, function()
    if wanted.next then
      map(buffer, 'n', wanted.next --[[@as string]], 'next', ':next')
    end
    if wanted.prev then
      map(buffer, 'n', wanted.prev --[[@as string]], 'prev', ':previous')
    end
    if wanted.prefix then
      for key, name in pairs(M.after_prefix) do
        map(buffer, 'n', wanted.prefix .. key, name)
      end
      for key, name in pairs({ r = 'run', a = 'accept', d = 'discard', x = 'fix' }) do
        map(buffer, 'x', wanted.prefix .. key, name)
      end
    end
  end)
end

return M
