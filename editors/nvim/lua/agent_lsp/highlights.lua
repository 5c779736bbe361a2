-- Owns the highlight groups; each is a link that a colour scheme or a person may set otherwise.
local M = {}

local LINKS = {
  AgentLspAdd = 'DiffAdd',
  AgentLspDelete = 'DiffDelete',
  AgentLspStale = 'Comment',
  AgentLspSign = 'DiagnosticSignInfo',
  AgentLspProven = 'DiagnosticOk',
  AgentLspPassed = 'DiagnosticOk',
  AgentLspUndecided = 'DiagnosticWarn',
  AgentLspNotRun = 'DiagnosticWarn',
  AgentLspFailed = 'DiagnosticError',
  AgentLspRegressed = 'DiagnosticError',
}

local BY_DECISION = {
  proven = 'AgentLspProven',
  passed = 'AgentLspPassed',
  undecided = 'AgentLspUndecided',
  not_run = 'AgentLspNotRun',
  failed = 'AgentLspFailed',
  regressed = 'AgentLspRegressed',
}

function M.define()
  for name, target in pairs(LINKS) do
    vim.api.nvim_set_hl(0, name, { link = target, default = true })
  end
end

--- The group of a verdict.
---@param decision string?
---@return string
function M.of(decision)
  return BY_DECISION[decision] or 'AgentLspNotRun'
end

return M
