-- Owns `:Agent`: its words, what each does, and their completion.
local M = {}

---@class agent_lsp.Invocation
---@field words string what stands after the action's name
---@field lines agent_lsp.Lines? the range, where one was given
---@field args string[]

---@class agent_lsp.Action
---@field run fun(call: agent_lsp.Invocation)
---@field words string[]? what may come next

---@param module string
local function of(module)
  return require('agent_lsp.' .. module)
end

local TIERS = { 'tiny', 'mid', 'thinker', 'auto' }
local EXTENTS = { 'hunk', 'file', 'all', 'suggested' }

---@param call agent_lsp.Invocation
---@return agent_lsp.Extent?
local function extent(call)
  local wanted = call.args[1] or 'hunk'
  if vim.list_contains(EXTENTS, wanted) then
    return wanted --[[@as agent_lsp.Extent]]
  end
  of('tell').warn(('%q is not one of %s'):format(wanted, table.concat(EXTENTS, ', ')))
end

--- Steers the newest run in one of the states.
---@param action string
---@param states string[]
local function control(action, states)
  return function()
    local run = of('board').newest(states)[1]
    if run then
      of('server').call('agent.control', { runId = run.runId, action = action }, nil, run.client_id)
    else
      of('tell').say('there is no run to ' .. action)
    end
  end
end

local WORKING = { 'planning', 'awaiting_approval', 'executing', 'reflecting', 'validating', 'applying' }
local STEERED = vim.list_extend({ 'paused', 'blocked' }, WORKING)
local OPEN = vim.list_extend({ 'proposed' }, STEERED)

---@type table<string, fun(call: agent_lsp.Invocation)>
local PLANS = {
  new = function(call)
    of('run').start(call.words, call.lines, 'plan')
  end,
  approve = function()
    of('plan').approve()
  end,
  step = function()
    of('plan').step()
  end,
  reject = function(call)
    of('plan').reject(call.words)
  end,
  edit = function()
    of('plan').edit()
  end,
  show = function()
    of('plan').edit()
  end,
}

---@param call agent_lsp.Invocation
local function plan(call)
  local name, rest = call.words:match('^(%S*)%s*(.*)$')
  local act = PLANS[name ~= '' and name or 'edit']
  if act then
    act({ words = rest, lines = call.lines, args = vim.list_slice(call.args, 2) })
  else
    of('tell').warn(':Agent plan takes ' .. table.concat(vim.tbl_keys(PLANS), ', '))
  end
end

local function say(call)
  local run = of('board').newest()[1]
  local send = function(text)
    if not text or vim.trim(text) == '' then
      return
    end
    of('server').call('agent.say', { text = text, runId = run and run.runId }, function(answer)
      if answer.reply then
        of('documents').float(vim.split(answer.reply, '\n'), 'markdown', 'agent')
      end
    end, run and run.client_id)
  end
  if call.words ~= '' then
    send(call.words)
  else
    vim.ui.input({ prompt = 'Say: ' }, send)
  end
end

---@type table<string, agent_lsp.Action>
M.actions = {
  run = {
    run = function(call)
      of('run').start(call.words, call.lines)
    end,
  },
  fix = {
    run = function(call)
      of('run').fix(call.lines)
    end,
  },
  plan = { run = plan, words = vim.tbl_keys(PLANS) },
  status = {
    run = function()
      of('runs').open()
    end,
  },
  next = {
    run = function()
      of('review').jump(vim.v.count1)
    end,
  },
  prev = {
    run = function()
      of('review').jump(-vim.v.count1)
    end,
  },
  accept = {
    run = function(call)
      local wanted = extent(call)
      if wanted then
        of('review').accept(wanted, call.lines)
      end
    end,
    words = EXTENTS,
  },
  discard = {
    run = function(call)
      local wanted = extent(call)
      if wanted and wanted ~= 'suggested' then
        of('review').discard(wanted, call.lines)
      end
    end,
    words = vim.list_slice(EXTENTS, 1, 3),
  },
  edit = {
    run = function(call)
      of('diff').open(call.args[1] or '', true)
    end,
    words = { 'tab', 'split' },
  },
  feedback = {
    run = function(call)
      of('review').feedback(call.words, call.lines)
    end,
  },
  test = {
    run = function()
      of('review').test()
    end,
  },
  diff = {
    run = function(call)
      of('diff').open(call.args[1] or '')
    end,
    words = { 'tab', 'split', 'float' },
  },
  cancel = { run = control('cancel', OPEN) },
  pause = { run = control('pause', WORKING) },
  resume = { run = control('resume', { 'paused' }) },
  step = { run = control('step', STEERED) },
  rollback = {
    run = function(call)
      of('checkpoints').choose(call.args[1] == 'preview')
    end,
    words = { 'preview' },
  },
  answer = {
    run = function(call)
      of('questions').answer(call.words)
    end,
  },
  say = { run = say },
  trust = {
    run = function(call)
      local root = of('server').root()
      of('server').call('agent.trust', { root = root or vim.fn.getcwd(), trusted = call.args[1] ~= 'off' })
    end,
    words = { 'on', 'off' },
  },
  log = {
    run = function(call)
      of('log').open(call.args[1] == 'errors')
    end,
    words = { 'errors' },
  },
  models = {
    run = function(call)
      if call.words == '' then
        of('models').open()
      elseif vim.list_contains(TIERS, call.words) then
        of('models').tier(call.words)
      else
        of('tell').warn(('%q is not one of %s'):format(call.words, table.concat(TIERS, ', ')))
      end
    end,
    words = TIERS,
  },
  messages = {
    run = function()
      of('documents').float(of('tell').said, '', 'messages')
    end,
  },
  doctor = {
    run = function()
      of('doctor').open()
    end,
  },
  restart = {
    run = function()
      of('server').restart()
    end,
  },
}

--- `:Agent ACTION …`
---@param given vim.api.keyset.create_user_command.command_args
function M.run(given)
  local name, words = given.args:match('^(%S*)%s*(.-)%s*$')
  local action = M.actions[name ~= '' and name or 'status']
  if not action then
    of('tell').warn(('there is no :Agent %s; <Tab> lists what there is'):format(name))
    return
  end
  action.run({
    words = words,
    lines = given.range > 0 and { first = given.line1, last = given.line2 } or nil,
    args = vim.split(words, '%s+', { trimempty = true }),
  })
end

--- Completion: the actions, then what an action takes.
---@param lead string
---@param line string
---@return string[]
function M.complete(lead, line)
  local before = vim.split(line:gsub('^.-Agent!?%s+', '', 1), '%s+')
  local choices = {} ---@type string[]
  if #before <= 1 then
    choices = vim.tbl_keys(M.actions)
  elseif #before == 2 and M.actions[before[1]] then
    choices = vim.list_slice(M.actions[before[1]].words or {})
  end
  table.sort(choices)
  return vim.tbl_filter(function(choice)
    return vim.startswith(choice, lead)
  end, choices)
end

return M
