-- Owns a plan that waits: its buffer, which is edited and written to approve it, and the answers without it.
local board = require('agent_lsp.board')
local documents = require('agent_lsp.documents')
local server = require('agent_lsp.server')
local tell = require('agent_lsp.tell')

local M = {}

---@param states string[]
---@return agent_lsp.Run?
local function newest(states)
  local run = board.newest(states)[1]
  if not run then
    tell.say('no plan waits')
  end
  return run
end

---@param run agent_lsp.Run
---@param markdown string? the plan in other words
local function approve(run, markdown)
  server.call('agent.plan.approve', { runId = run.runId, markdown = markdown }, function()
    tell.say('the plan is approved')
  end, run.client_id)
end

function M.approve()
  local run = newest({ 'awaiting_approval' })
  if run then
    approve(run)
  end
end

---@param words string why; the plan is made again with it, where the server can
function M.reject(words)
  local run = newest({ 'awaiting_approval' })
  if run then
    local feedback = words ~= '' and words or nil
    server.call('agent.plan.reject', { runId = run.runId, feedback = feedback }, nil, run.client_id)
  end
end

--- Opens the plan: to read while it is carried out, to edit while it waits; `:write` approves what then stands there.
---@param run agent_lsp.Run?
function M.edit(run)
  run = run or board.newest({ 'awaiting_approval' })[1] or board.newest()[1]
  if not run then
    tell.say('there is no run')
    return
  end
  documents.fetch('plan/' .. run.runId .. '.md', run.client_id, function(text)
    local buffer = documents.scratch('agent-lsp://plan/' .. run.runId .. '.md')
    documents.fill(buffer, vim.split((text:gsub('\n$', '')), '\n'))
    vim.cmd('botright split')
    vim.api.nvim_win_set_buf(0, buffer)
    vim.bo[buffer].filetype = 'markdown'
    if run.state ~= 'awaiting_approval' then
      return
    end
    vim.bo[buffer].buftype = 'acwrite'
    vim.bo[buffer].modifiable = true
    vim.bo[buffer].modified = false
    vim.api.nvim_create_autocmd('BufWriteCmd', {
      buffer = buffer,
      callback = function()
        vim.bo[buffer].modified = false
        approve(run, table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n'))
      end,
    })
    tell.say('edit the steps; :write approves them, :Agent plan reject does not')
  end)
end

return M
