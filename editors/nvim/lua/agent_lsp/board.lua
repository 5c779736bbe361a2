-- Owns what the server has told: runs, plans, questions, proposals. A cache of its messages, nothing is worked out here.
local M = {}

---@class agent_lsp.Run: agent_lsp.RunRow
---@field client_id integer
---@field percentage integer?

---@type table<string, agent_lsp.Run>
M.runs = {}
---@type string[] ids, oldest first
M.order = {}
---@type table<string, agent_lsp.Step[]>
M.plans = {}
---@type table<string, agent_lsp.BlockedMessage>
M.questions = {}
---@type table<string, agent_lsp.Proposal>
M.proposals = {}

local GOAL_CHARS = 40
local ENDED = { applied = true, discarded = true, cancelled = true, failed = true }

---@type (fun())[]
local listeners = {}
local announced = false

--- Calls `listener` after something has changed.
---@param listener fun()
function M.on_change(listener)
  table.insert(listeners, listener)
end

--- Tells the listeners once for all that changes now.
function M.changed()
  if announced then
    return
  end
  announced = true
  vim.schedule(function()
    announced = false
    for _, listener in ipairs(listeners) do
      listener()
    end
  end)
end

--- A goal that fits into a message.
---@param goal string
local function short(goal)
  goal = goal:gsub('%s+', ' ')
  return vim.fn.strcharlen(goal) > GOAL_CHARS and vim.fn.strcharpart(goal, 0, GOAL_CHARS - 1) .. '…' or goal
end

--- How many changes still fit, where the text was changed in the place of another one; nil where that is not so.
---@param run agent_lsp.Run
---@return integer?
local function fitting(run)
  local proposal = run.proposalId and M.proposals[run.proposalId]
  return proposal and proposal.stale and proposal.suggestion and #proposal.suggestion or nil
end

--- What a state asks of the person, said once.
---@param run agent_lsp.Run
local function announce(run)
  local tell, goal = require('agent_lsp.tell'), short(run.goal)
  local what = run.message and run.message ~= '' and run.message or run.verdict or ''
  if #what > GOAL_CHARS and tell.has_just_said(what) then
    return -- as a message of the server's
  end
  if run.state == 'proposed' and fitting(run) then
    local fits = fitting(run) == 1 and '1 change still fits' or fitting(run) .. ' changes still fit'
    tell.say(('“%s” is in conflict with the text; %s (:Agent accept suggested)'):format(goal, fits))
  elseif run.state == 'proposed' then
    local key = require('agent_lsp.settings').get().next or ':Agent next'
    tell.say(('“%s” %s (%s goes there)'):format(goal, what, key))
  elseif run.state == 'awaiting_approval' then
    tell.say(('“%s” has a plan: :Agent plan edit shows it, :Agent plan approve or step goes on'):format(goal))
  elseif run.state == 'paused' then
    tell.say(('“%s” is paused: :Agent step does the next step, :Agent resume the rest'):format(goal))
  elseif run.state == 'applied' then
    tell.say(('“%s” is applied; :Agent rollback takes it back'):format(goal))
  elseif run.state == 'failed' then
    tell.warn(('“%s” failed: %s  (:Agent log)'):format(goal, what))
  end
end

---@param row agent_lsp.RunRow
---@param client_id integer
---@param questions table<string, agent_lsp.BlockedMessage> those that were open when the row was asked for
local function take_row(row, client_id, questions)
  local known = M.runs[row.runId]
  if not known then
    table.insert(M.order, row.runId)
  end
  local run = vim.tbl_extend('force', row, { client_id = client_id, percentage = known and known.percentage })
  M.runs[row.runId] = run
  -- A question that came meanwhile is newer than the row.
  if row.state ~= 'blocked' and M.questions[row.runId] == questions[row.runId] then
    M.questions[row.runId] = nil
  end
  if row.state ~= (known and known.announced) then
    announce(run)
  end
  M.runs[row.runId].announced = row.state
end

--- Asks for the rows of all runs of a client.
---@param client_id integer
function M.refresh(client_id)
  local questions = vim.tbl_extend('error', {}, M.questions)
  require('agent_lsp.server').call('agent.status', {}, function(status)
    for _, row in ipairs(status.runs) do
      take_row(row, client_id, questions)
    end
    M.changed()
  end, client_id)
end

--- `agent/progress`
---@param message agent_lsp.ProgressMessage
function M.on_progress(_, message, context)
  local run = M.runs[message.runId]
  local percentage = message.percentage ~= vim.NIL and message.percentage or nil
  if run and run.state == message.state then
    run.message, run.step, run.percentage = message.message, message.step, percentage
    M.changed()
  else
    if run then
      run.state, run.percentage = message.state, percentage
    end
    M.refresh(context.client_id)
  end
end

--- `agent/plan`
---@param message agent_lsp.PlanMessage
function M.on_plan(_, message, context)
  M.plans[message.runId] = message.steps
  local run = M.runs[message.runId]
  if run and package.loaded['agent_lsp.plan'] then
    require('agent_lsp.plan').refresh(run)
  elseif not run then
    M.refresh(context.client_id)
  end
  M.changed()
end

--- `agent/proposal`
---@param proposal agent_lsp.Proposal
function M.on_proposal(_, proposal, context)
  M.take_proposal(proposal, context.client_id)
end

---@param proposal agent_lsp.Proposal
---@param client_id integer
function M.take_proposal(proposal, client_id)
  proposal.client_id = client_id
  M.proposals[proposal.proposalId] = proposal
  if not M.runs[proposal.runId] then
    M.refresh(client_id) -- it comes from before this server
  end
  require('agent_lsp.hunks').draw_all()
  M.changed()
end

--- `agent/verdict`; one with `hunks` is of a part of the proposal.
---@param message agent_lsp.VerdictMessage
function M.on_verdict(_, message)
  local proposal = M.proposals[message.proposalId]
  if proposal and not message.hunks then
    proposal.verdict = message.verdict
    M.changed()
  end
end

--- The newest runs first.
---@param states string[]? only those in one of these states
---@return agent_lsp.Run[]
function M.newest(states)
  local found = {}
  for index = #M.order, 1, -1 do
    local run = M.runs[M.order[index]]
    if not states or vim.list_contains(states, run.state) then
      table.insert(found, run)
    end
  end
  return found
end

---@param run agent_lsp.Run
---@return boolean
function M.is_over(run)
  return ENDED[run.state] or false
end

--- A server is gone, and with it what it told.
---@param client_id integer
function M.forget(client_id)
  for id, run in pairs(M.runs) do
    if run.client_id == client_id then
      M.runs[id], M.plans[id], M.questions[id] = nil, nil, nil
    end
  end
  for id, proposal in pairs(M.proposals) do
    if proposal.client_id == client_id then
      M.proposals[id] = nil
    end
  end
  M.order = vim.tbl_filter(function(id)
    return M.runs[id] ~= nil
  end, M.order)
  require('agent_lsp.hunks').draw_all()
  M.changed()
end

return M
