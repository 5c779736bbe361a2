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

local NAME = 'agent-lsp://plan/%s.md'
local HINT = '%#Comment# :w approves what stands here   :Agent plan step  approves it step by step   :Agent plan reject'

---@param run agent_lsp.Run
---@return integer? buffer the open document of its plan
local function open_buffer(run)
  local buffer = vim.fn.bufnr('^' .. NAME:format(run.runId) .. '$')
  return buffer ~= -1 and vim.api.nvim_buf_is_loaded(buffer) and buffer or nil
end

---@param run agent_lsp.Run
---@return boolean
local function waits(run)
  return run.state == 'awaiting_approval'
end

--- Approves the plan; in the words of its document, where that was edited.
---@param run agent_lsp.Run
---@param stepwise boolean? pause after each step
local function approve(run, stepwise)
  local buffer, markdown = open_buffer(run), nil ---@type integer?, string?
  if buffer and vim.bo[buffer].modified then
    markdown = table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n')
    vim.bo[buffer].modified = false
  end
  local argument = { runId = run.runId, markdown = markdown, stepwise = stepwise }
  server.call('agent.plan.approve', argument, function()
    local way = stepwise and ', step by step: :Agent step goes on after each, :Agent resume does the rest' or ''
    tell.say('the plan is approved' .. way)
  end, run.client_id)
end

--- The document can be edited while its plan waits, and only then.
---@param buffer integer
---@param run agent_lsp.Run
local function prepare(buffer, run)
  vim.bo[buffer].buftype = waits(run) and 'acwrite' or 'nofile'
  vim.bo[buffer].modifiable = waits(run)
  for _, window in ipairs(vim.fn.win_findbuf(buffer)) do
    vim.wo[window].winbar = waits(run) and HINT or ''
  end
  if not vim.b[buffer].agent_lsp_plan then
    vim.b[buffer].agent_lsp_plan = run.runId
    vim.api.nvim_create_autocmd('BufWriteCmd', {
      buffer = buffer,
      callback = function()
        vim.bo[buffer].modified = true -- what stands there counts, also where nothing was changed
        approve(board.runs[run.runId] or run)
      end,
    })
  end
end

function M.approve()
  local run = newest({ 'awaiting_approval' })
  if run then
    approve(run)
  end
end

--- Approves the plan so that the run pauses after each step.
function M.step()
  local run = newest({ 'awaiting_approval' })
  if run then
    approve(run, true)
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

---@param run agent_lsp.Run
---@param on_lines fun(lines: string[])
local function read(run, on_lines)
  documents.fetch('plan/' .. run.runId .. '.md', run.client_id, function(text)
    on_lines(vim.split((text:gsub('\n$', '')), '\n'))
  end)
end

--- Reads an open document again, for the marks of what is done. What somebody has edited is left alone.
---@param run agent_lsp.Run
function M.refresh(run)
  if not open_buffer(run) then
    return
  end
  read(run, function(lines)
    local buffer = open_buffer(run)
    if buffer and not vim.bo[buffer].modified then
      documents.update(buffer, lines)
      prepare(buffer, board.runs[run.runId] or run)
    end
  end)
end

--- Opens the plan: to read while it is carried out, to edit while it waits; `:write` approves what then stands there.
---@param run agent_lsp.Run?
function M.edit(run)
  run = run or board.newest({ 'awaiting_approval' })[1] or board.newest()[1]
  if not run then
    tell.say('there is no run')
    return
  end
  read(run, function(lines)
    local name = NAME:format(run.runId)
    local buffer = open_buffer(run)
    local window = buffer and vim.fn.bufwinid(buffer) or -1
    if buffer and window ~= -1 then
      vim.api.nvim_set_current_win(window)
    else
      buffer = documents.scratch(name)
      documents.fill(buffer, lines)
      vim.cmd('botright split')
      vim.api.nvim_win_set_buf(0, buffer)
      vim.bo[buffer].filetype = 'markdown'
    end
    prepare(buffer, run)
    if waits(run) then
      tell.say('edit the steps; :write approves them, :Agent plan reject does not')
    end
  end)
end

return M
