-- Owns the words for what runs and waits: the statusline, and a row of the run list.
local board = require('agent_lsp.board')

local M = {}

local WAITS = { 'blocked', 'awaiting_approval', 'proposed' }
local WORKS = { 'applying', 'validating', 'reflecting', 'executing', 'planning', 'paused' }
local SAYS = { blocked = 'asks', awaiting_approval = 'has a plan' }

board.on_change(function()
  vim.schedule(function()
    vim.cmd.redrawstatus({ bang = true })
  end)
end)

--- The state in a few words: `executing 2/3 40%`, `proven`.
---@param run agent_lsp.Run
---@return string
function M.of(run)
  if run.state == 'proposed' then
    return run.verdict or 'proposed'
  elseif run.state == 'applied' and not run.checkpointId then
    return 'taken back'
  end
  local words = { SAYS[run.state] or run.state }
  if run.steps > 1 and not board.is_over(run) then
    table.insert(words, ('%d/%d'):format(run.step, run.steps))
  end
  if run.percentage and vim.list_contains(WORKS, run.state) then
    table.insert(words, run.percentage .. '%')
  end
  return table.concat(words, ' ')
end

--- What a run has used so far: `$0.02`, or its tokens where they cost nothing; empty before its first answer.
---@param run agent_lsp.Run
---@return string
function M.used(run)
  local usage = run.usage or {}
  local tokens = 0
  for _, name in ipairs({ 'inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens' }) do
    tokens = tokens + (tonumber(usage[name]) or 0)
  end
  local cost = tonumber(usage.costUsd) or 0
  if cost >= 0.005 then
    return ('$%.2f'):format(cost)
  end
  return tokens >= 1000 and ('%.1fk tokens'):format(tokens / 1000) or tokens > 0 and tokens .. ' tokens' or ''
end

--- What waits for the person goes first, then what works. A `%` is doubled, as 'statusline' wants it.
---@return string
function M.line()
  local waiting, working = board.newest(WAITS), board.newest(WORKS)
  local run = waiting[1] or working[1]
  if not run then
    return ''
  end
  local others, used = #waiting + #working - 1, vim.list_contains(WORKS, run.state) and M.used(run) or ''
  local words = M.of(run) .. (used ~= '' and ' ' .. used or '') .. (others > 0 and ' +' .. others or '')
  return 'agent: ' .. words:gsub('%%', '%%%%')
end

return M
