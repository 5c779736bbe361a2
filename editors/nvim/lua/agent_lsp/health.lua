-- Owns `:checkhealth agent_lsp`.
local M = {}

local health = vim.health

local ADVICE = {
  'Install it: pipx install agent-lsp (or uv tool install agent-lsp)',
  "Or name it: vim.lsp.config('agent_lsp', { cmd = { '/path/to/agent-lsp', 'serve' } })",
}

local function check_neovim()
  health.start('agent_lsp: Neovim')
  if vim.fn.has('nvim-0.11') == 1 then
    health.ok('Neovim ' .. tostring(vim.version()))
  else
    health.error('Neovim 0.11 or newer is needed, this is ' .. tostring(vim.version()))
  end
  local settings = require('agent_lsp.settings')
  settings.get()
  for _, problem in ipairs(settings.problems) do
    health.error(problem, 'See :help agent_lsp-settings')
  end
  if vim.lsp.is_enabled('agent_lsp') then
    health.ok('enabled for ' .. table.concat(vim.lsp.config.agent_lsp.filetypes or { 'every file type' }, ', '))
  else
    health.warn('not enabled', "vim.lsp.enable('agent_lsp')")
  end
end

local function check_program()
  health.start('agent_lsp: the program')
  local doctor = require('agent_lsp.doctor')
  local program = doctor.program()
  if not program then
    health.info('started by a function of your configuration')
    return
  end
  local told = doctor.ask({ '--version' })
  if not told then
    health.error(('`%s` is not found'):format(program[1]), ADVICE)
    return
  elseif told.code ~= 0 then
    health.error(('`%s` does not start: %s'):format(table.concat(program, ' '), vim.trim(told.stderr)), ADVICE)
    return
  end
  health.ok(('%s at %s'):format(vim.trim(told.stdout), vim.fn.exepath(program[1])))
  local found = doctor.ask({ 'doctor', '--json' })
  local read, report = pcall(vim.json.decode, found and found.stdout or '')
  if not read or type(report) ~= 'table' then
    health.warn('`agent-lsp doctor --json` said nothing that can be read')
    return
  end
  for _, row in ipairs(report.rows or {}) do
    M.row(row)
  end
end

--- One row of the doctor's.
---@param row table
function M.row(row)
  local text = ('%s: %s'):format(row.name, row.seen)
  if row.works then
    health.ok(text)
  elseif row.needed then
    health.error(text, row.advice)
  else
    health.info(row.advice ~= '' and text .. ' (' .. row.advice .. ')' or text)
  end
end

local function check_clients()
  health.start('agent_lsp: servers')
  local clients = vim.lsp.get_clients({ name = 'agent_lsp' })
  if #clients == 0 then
    health.info('none runs; one is started by the first file of a project')
  end
  for _, client in ipairs(clients) do
    local ours = vim.tbl_get(client.server_capabilities, 'experimental', 'agentLsp')
    local where = client.root_dir or 'no folder'
    if ours and ours.version == '1' then
      health.ok(('%s: protocol %s, %d buffers'):format(where, ours.version, vim.tbl_count(client.attached_buffers)))
    else
      health.error(('%s: speaks another protocol'):format(where), 'Update agent-lsp and this plugin together')
    end
  end
end

function M.check()
  check_neovim()
  check_program()
  check_clients()
end

return M
