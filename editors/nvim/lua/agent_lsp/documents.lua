-- Owns the server's own documents (a plan, a diff, a file as proposed) and the scratch buffers that show such things.
local server = require('agent_lsp.server')
local tell = require('agent_lsp.tell')

local M = {}

--- The text behind one of the server's URIs.
---@param path string of `agent-lsp:/PATH`
---@param client_id integer?
---@param on_text fun(text: string)
function M.fetch(path, client_id, on_text)
  local client = client_id and vim.lsp.get_client_by_id(client_id) or server.client()
  if not client then
    tell.warn('no server runs')
    return
  end
  ---@diagnostic disable-next-line: param-type-mismatch
  client:request('workspace/textDocumentContent', { uri = 'agent-lsp:/' .. path }, function(err, result)
    if err then
      tell.warn(err.message)
    else
      on_text(result.text)
    end
  end, 0)
end

--- The path of a file relative to the folder that the server has it in.
---@param uri string
---@param client_id integer?
---@return string
function M.relative(uri, client_id)
  local client = client_id and vim.lsp.get_client_by_id(client_id) or server.client()
  local name = vim.uri_to_fname(uri)
  for _, folder in ipairs(client and client.workspace_folders or {}) do
    local inside = vim.fs.relpath(vim.uri_to_fname(folder.uri), name)
    if inside then
      return inside
    end
  end
  return name
end

--- The buffer of a name, made where there is none.
---@param name string
---@return integer buffer
function M.scratch(name)
  local buffer = vim.fn.bufnr('^' .. vim.fn.escape(name, '[]*?\\') .. '$')
  if buffer == -1 then
    buffer = vim.api.nvim_create_buf(false, true)
    vim.api.nvim_buf_set_name(buffer, name)
  end
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].swapfile = false
  return buffer
end

--- Replaces the text of a scratch buffer that nobody edits.
---@param buffer integer
---@param lines string[]
function M.fill(buffer, lines)
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].modified = false
end

--- Changes only the lines that are other ones, so that cursors and folds stay where they are.
---@param buffer integer
---@param lines string[]
function M.update(buffer, lines)
  local old = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
  local first, rest = 0, 0
  while first < math.min(#old, #lines) and old[first + 1] == lines[first + 1] do
    first = first + 1
  end
  while rest < math.min(#old, #lines) - first and old[#old - rest] == lines[#lines - rest] do
    rest = rest + 1
  end
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, first, #old - rest, false, vim.list_slice(lines, first + 1, #lines - rest))
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].modified = false
end

--- Shows a buffer in a window of its own below, or goes to the window that has it.
---@param buffer integer
---@param height integer
---@return integer window
function M.below(buffer, height)
  local window = vim.fn.bufwinid(buffer)
  if window ~= -1 then
    vim.api.nvim_set_current_win(window)
  else
    vim.cmd(('botright %dsplit'):format(height))
    vim.api.nvim_win_set_buf(0, buffer)
  end
  window = vim.api.nvim_get_current_win()
  vim.wo[window].number = false
  vim.wo[window].relativenumber = false
  vim.wo[window].signcolumn = 'no'
  vim.wo[window].wrap = false
  vim.wo[window].winfixheight = true
  return window
end

--- Shows lines in a float that `q` closes.
---@param lines string[]
---@param filetype string
---@param title string
---@return integer buffer
function M.float(lines, filetype, title)
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.bo[buffer].bufhidden = 'wipe'
  M.fill(buffer, lines)
  local longest = vim.iter(lines):map(vim.fn.strdisplaywidth):fold(40, math.max)
  local width = math.min(longest + 1, vim.o.columns - 4)
  local height = math.max(1, math.min(#lines, vim.o.lines - 6))
  local window = vim.api.nvim_open_win(buffer, true, {
    relative = 'editor',
    row = math.floor((vim.o.lines - height) / 2) - 1,
    col = math.floor((vim.o.columns - width) / 2),
    width = width,
    height = height,
    style = 'minimal',
    border = 'rounded',
    title = ' ' .. title .. ' ',
  })
  vim.wo[window].wrap = false
  vim.bo[buffer].filetype = filetype
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer, desc = 'close' })
  return buffer
end

return M
