-- Owns the models: a float with the endpoints of the folder, live, and the choice of one for its work or for a run.
local board = require('agent_lsp.board')
local documents = require('agent_lsp.documents')
local server = require('agent_lsp.server')
local tell = require('agent_lsp.tell')

local M = {}

local TIERS = { 'tiny', 'mid', 'thinker' }
local EVERY = 'all work'
local HINT = '<CR> choose   r as configured   p probe   q close'
local WORKING = { 'planning', 'awaiting_approval', 'executing', 'reflecting', 'validating', 'paused', 'blocked' }

---@type { buffer: integer, client_id: integer, now: agent_lsp.ModelsNow }?
local open

---@param row agent_lsp.EndpointRow
---@return string
local function line_of(row)
  local parts = { #row.tiers > 0 and table.concat(row.tiers, ', ') or '–', row.endpoint, row.provider .. '/' .. row.model }
  local told = ('%-20s %-20s %-36s'):format(unpack(parts))
  if row.state ~= 'closed' then
    return told .. ' rests: ' .. (row.trouble or row.state)
  elseif row.asked > 0 then
    told = ('%s asked %d, failed %d'):format(told, row.asked, row.failed)
  end
  return row.answerS and ('%s, answers in %.1f s'):format(told, row.answerS) or told
end

---@param now agent_lsp.ModelsNow
---@return string[]
local function lines_of(now)
  local lines = vim.tbl_map(line_of, now.endpoints)
  local day = now.day
  table.insert(lines, '')
  if type(day) == 'table' then
    table.insert(lines, ('today: %d tokens, $%.2f, %d answers'):format(day.tokens, day.costUsd, day.turns))
  end
  table.insert(lines, HINT)
  return lines
end

---@param now agent_lsp.ModelsNow
local function draw(now)
  if open and vim.api.nvim_buf_is_valid(open.buffer) then
    open.now = now
    documents.update(open.buffer, lines_of(now))
  end
end

---@param argument agent_lsp.ModelsArgument
---@param client_id integer
---@param on_now fun(now: agent_lsp.ModelsNow)?
local function ask(argument, client_id, on_now)
  server.call('agent.models', argument, function(now)
    draw(now)
    if on_now then
      on_now(now)
    end
  end, client_id)
end

--- Lets the chosen endpoint do the work of a tier, or all, until the server ends.
local function choose()
  local shown = open
  local row = shown and shown.now.endpoints[vim.api.nvim_win_get_cursor(0)[1]]
  if not shown or not row then
    return
  end
  local choices = vim.list_extend({ EVERY }, TIERS)
  vim.ui.select(choices, { prompt = row.endpoint .. ' for which work?', kind = 'agent_lsp' }, function(chosen)
    local tiers = {} ---@type table<string, string[]>
    for _, tier in ipairs(chosen == EVERY and TIERS or { chosen }) do
      tiers[tier] = { row.endpoint }
    end
    if chosen then
      ask({ tiers = tiers }, shown.client_id, function()
        tell.say(('%s does %s now, until the server ends'):format(row.endpoint, chosen))
      end)
    end
  end)
end

local KEYS = {
  ['<CR>'] = { choose, 'choose for the work of the folder' },
  r = {
    function()
      local back = { tiny = vim.NIL, mid = vim.NIL, thinker = vim.NIL }
      ask({ tiers = back }, open and open.client_id or 0, function()
        tell.say('the models are as configured')
      end)
    end,
    'as configured',
  },
  p = {
    function()
      ask({ probe = true }, open and open.client_id or 0)
      tell.say('asking each endpoint whether it is there …')
    end,
    'ask each whether it is there',
  },
}

--- Shows the models of the folder.
function M.open()
  local client = server.client()
  if not client then
    server.call('agent.models', {})
    return
  end
  ask({}, client.id, function(now)
    local buffer = documents.float(lines_of(now), 'agent_lsp_models', 'models')
    open = { buffer = buffer, client_id = client.id, now = now }
    for key, row in pairs(KEYS) do
      vim.keymap.set('n', key, row[1], { buffer = buffer, nowait = true, desc = row[2] })
    end
  end)
end

--- Another tier for the newest run at work, from its next answer on.
---@param tier string
function M.tier(tier)
  local run = board.newest(WORKING)[1]
  if not run then
    tell.say('no run is at work')
    return
  end
  ask({ runId = run.runId, tier = tier }, run.client_id, function()
    tell.say(('“%s” goes on with %s'):format(run.goal, tier == 'auto' and 'the models that fit' or 'the tier ' .. tier))
  end)
end

--- `agent/models`
---@param message agent_lsp.ModelsMessage
function M.on_models(_, message, context)
  if open and open.client_id == context.client_id then
    draw({ tiers = open.now.tiers, endpoints = message.models, day = message.day })
  end
end

return M
