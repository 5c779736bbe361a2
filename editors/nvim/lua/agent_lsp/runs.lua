-- Owns the run list: a buffer with a line for each run, live, with keys for what can be done with it.
local board = require('agent_lsp.board')
local documents = require('agent_lsp.documents')
local highlights = require('agent_lsp.highlights')
local server = require('agent_lsp.server')
local status = require('agent_lsp.status')

local M = {}

local NAME = 'agent-lsp://runs'
local SPACE = vim.api.nvim_create_namespace('agent_lsp.runs')
local HINT = '<CR> look  a accept all  d discard all  c cancel  p pause/resume  s step  u roll back  g? keys  q close'
local HEIGHT, LEAST = 12, 5

---@type agent_lsp.Run[] in the order of the buffer's lines
local shown = {}

---@return integer? buffer
local function open_buffer()
  local buffer = vim.fn.bufnr('^' .. NAME .. '$')
  return buffer ~= -1 and vim.api.nvim_buf_is_loaded(buffer) and buffer or nil
end

---@param run agent_lsp.Run
---@return string
local function group_of(run)
  if run.state == 'failed' then
    return 'DiagnosticError'
  elseif run.state == 'proposed' then
    return highlights.of(run.verdict)
  elseif run.state == 'blocked' or run.state == 'awaiting_approval' then
    return 'DiagnosticWarn'
  end
  return board.is_over(run) and 'Comment' or 'DiagnosticInfo'
end

local function draw()
  local buffer = open_buffer()
  if not buffer then
    return
  end
  shown = board.newest()
  local lines = {} ---@type string[]
  for _, run in ipairs(shown) do
    local told = vim.trim((run.message or ''):gsub('%s+', ' '))
    local message = told ~= '' and '  ' .. told:gsub('^' .. vim.pesc(run.state) .. ': ', '') or ''
    local used = status.used(run)
    local by = used ~= '' and ('  (%s%s)'):format(run.model and run.model .. ', ' or '', used) or ''
    table.insert(lines, ('%-22s %s%s%s'):format(status.of(run), (run.goal:gsub('%s+', ' ')), by, message))
  end
  documents.fill(buffer, #lines > 0 and lines or { 'No run yet: :Agent run GOAL' })
  vim.api.nvim_buf_clear_namespace(buffer, SPACE, 0, -1)
  for index, run in ipairs(shown) do
    local goal_stop = math.min(#lines[index], 23 + #run.goal:gsub('%s+', ' '))
    vim.api.nvim_buf_set_extmark(buffer, SPACE, index - 1, 0, { end_col = 22, hl_group = group_of(run) })
    vim.api.nvim_buf_set_extmark(buffer, SPACE, index - 1, goal_stop, { end_col = #lines[index], hl_group = 'Comment' })
  end
end

board.on_change(draw)

---@param act fun(run: agent_lsp.Run)
local function with_run(act)
  return function()
    local run = shown[vim.api.nvim_win_get_cursor(0)[1]]
    if run then
      act(run)
    end
  end
end

---@param action string
---@return fun(run: agent_lsp.Run)
local function control(action)
  return function(run)
    server.call('agent.control', { runId = run.runId, action = action }, nil, run.client_id)
  end
end

---@param command string
---@return fun(run: agent_lsp.Run)
local function on_proposal(command)
  return function(run)
    if run.proposalId then
      server.call(command, { proposalId = run.proposalId }, nil, run.client_id)
    else
      require('agent_lsp.tell').say('this run has proposed nothing')
    end
  end
end

---@param run agent_lsp.Run
local function look(run)
  if run.state == 'awaiting_approval' then
    require('agent_lsp.plan').edit(run)
  elseif run.state == 'blocked' then
    require('agent_lsp.questions').answer('')
  elseif run.proposalId then
    require('agent_lsp.review').read(run.proposalId, run.client_id, function(proposal)
      require('agent_lsp.diff').show(proposal, 'float')
    end)
  else
    require('agent_lsp.tell').say(run.message or run.state)
  end
end

local KEYS = {
  ['<CR>'] = { look, 'look: the diff, the plan, or the question' },
  a = { on_proposal('agent.apply'), 'accept all' },
  d = { on_proposal('agent.discard'), 'discard all' },
  t = { on_proposal('agent.revalidate'), 'test again' },
  c = { control('cancel'), 'cancel' },
  p = {
    function(run)
      control(run.state == 'paused' and 'resume' or 'pause')(run)
    end,
    'pause, or go on',
  },
  s = { control('step'), 'one step on, then pause' },
  u = {
    function(run)
      require('agent_lsp.checkpoints').roll_back_run(run)
    end,
    'roll back',
  },
}

local function show_keys()
  local lines = {} ---@type string[]
  for key, row in vim.spairs(KEYS) do
    table.insert(lines, ('%-6s %s'):format(key, row[2]))
  end
  documents.float(vim.list_extend(lines, { 'L      the log', 'q      close' }), '', 'run list')
end

--- Opens the list, or goes to it.
function M.open()
  local buffer = documents.scratch(NAME)
  local window = documents.below(buffer, HEIGHT)
  vim.wo[window].cursorline = true
  vim.wo[window].winbar = HINT
  vim.bo[buffer].filetype = 'agent_lsp_runs'
  for key, row in pairs(KEYS) do
    vim.keymap.set('n', key, with_run(row[1]), { buffer = buffer, nowait = true, desc = row[2] })
  end
  vim.keymap.set('n', 'L', '<Cmd>Agent log<CR>', { buffer = buffer, desc = 'the log' })
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer, nowait = true, desc = 'close' })
  vim.keymap.set('n', 'g?', show_keys, { buffer = buffer, desc = 'keys' })
  for _, client in ipairs(vim.lsp.get_clients({ name = 'agent_lsp' })) do
    board.refresh(client.id)
  end
  draw()
  vim.api.nvim_win_set_height(window, math.max(LEAST, math.min(#shown + 1, HEIGHT)))
end

return M
