-- Owns the log in a buffer, which follows while the cursor is on its last line.
local documents = require('agent_lsp.documents')
local server = require('agent_lsp.server')
local settings = require('agent_lsp.settings')

local M = {}

local LOOK_MS = 500
local HEIGHT = 15

---@param buffer integer
---@param lines string[]
local function fill(buffer, lines)
  local following = {} ---@type integer[]
  for _, window in ipairs(vim.fn.win_findbuf(buffer)) do
    if vim.api.nvim_win_get_cursor(window)[1] == vim.api.nvim_buf_line_count(buffer) then
      table.insert(following, window)
    end
  end
  documents.fill(buffer, lines)
  for _, window in ipairs(following) do
    vim.api.nvim_win_set_cursor(window, { #lines, 0 })
  end
end

--- Opens the end of the log; with `errors_only` its error blocks.
---@param errors_only boolean
function M.open(errors_only)
  local name = errors_only and 'agent-lsp://log/errors' or 'agent-lsp://log'
  local argument = { lines = settings.get().log_lines, errorsOnly = errors_only }
  if vim.lsp.get_clients({ name = 'agent_lsp', bufnr = 0 })[1] then
    argument.uri = vim.uri_from_bufnr(0)
  end
  local client = server.client()
  server.call('agent.log.tail', argument, function(tail)
    local buffer = documents.scratch(name)
    documents.below(buffer, HEIGHT)
    vim.bo[buffer].filetype = 'agent_lsp_log'
    vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer, nowait = true, desc = 'close' })
    fill(buffer, vim.split((tail.text:gsub('\n$', '')), '\n'))
    M.follow(buffer, tail.path, argument, client and client.id)
  end)
end

--- Asks for the log's end again whenever the file has changed, as long as the buffer is there.
---@param buffer integer
---@param path string
---@param argument agent_lsp.LogTailArgument
---@param client_id integer?
function M.follow(buffer, path, argument, client_id)
  local watch = assert(vim.uv.new_fs_poll())
  if vim.b[buffer].agent_lsp_follows then
    return
  end
  vim.b[buffer].agent_lsp_follows = true
  watch:start(path, LOOK_MS, vim.schedule_wrap(function()
    if not vim.api.nvim_buf_is_valid(buffer) then
      if not watch:is_closing() then
        watch:close()
      end
    elseif client_id and vim.lsp.get_client_by_id(client_id) then
      server.call('agent.log.tail', argument, function(tail)
        if vim.api.nvim_buf_is_valid(buffer) then
          fill(buffer, vim.split((tail.text:gsub('\n$', '')), '\n'))
        end
      end, client_id)
    end
  end))
  vim.api.nvim_create_autocmd('BufWipeout', {
    buffer = buffer,
    once = true,
    callback = function()
      if not watch:is_closing() then
        watch:close()
      end
    end,
  })
end

return M
