-- Owns what happens when Neovim loads the plugin: the client's configuration, `:Agent`, the <Plug> keys, the autocommands.
-- Everything else is loaded by its first use.
if vim.g.loaded_agent_lsp then
  return
end
vim.g.loaded_agent_lsp = true

if vim.fn.has('nvim-0.11') == 0 then
  vim.notify('agent-lsp: the plugin needs Neovim 0.11 or newer', vim.log.levels.WARN)
  return
end

---@param module string
---@param name string
local function lazy(module, name)
  return function(...)
    return require('agent_lsp.' .. module)[name](...)
  end
end

vim.lsp.config('agent_lsp', {
  capabilities = { experimental = { agentLsp = { version = '1' } } },
  commands = { ['agent.run'] = lazy('run', 'from_action') },
  handlers = {
    ['agent/models'] = lazy('models', 'on_models'),
    ['agent/plan'] = lazy('board', 'on_plan'),
    ['agent/progress'] = lazy('board', 'on_progress'),
    ['agent/blocked'] = lazy('questions', 'on_blocked'),
    ['agent/proposal'] = lazy('board', 'on_proposal'),
    ['agent/said'] = lazy('tell', 'on_said'),
    ['agent/verdict'] = lazy('board', 'on_verdict'),
    ['workspace/applyEdit'] = lazy('edits', 'on_apply_edit'),
    ['workspace/executeCommand'] = lazy('server', 'on_answer'),
    ['window/showMessage'] = lazy('tell', 'on_show_message'),
    ['window/showMessageRequest'] = lazy('questions', 'on_show_message_request'),
  },
  on_exit = lazy('server', 'on_exit'),
})

vim.api.nvim_create_user_command('Agent', lazy('command', 'run'), {
  nargs = '*',
  range = true,
  bar = false,
  complete = lazy('command', 'complete'),
  desc = 'agent-lsp: state a goal, review its change, look at what runs',
})

for name, words in pairs(require('agent_lsp.plugs')) do
  local rhs = '<Cmd>Agent ' .. words .. '<CR>'
  vim.keymap.set('n', '<Plug>(agent-' .. name .. ')', rhs, { desc = 'agent-lsp: ' .. words })
end
for _, name in ipairs({ 'run', 'accept', 'discard', 'fix' }) do
  local desc = 'agent-lsp: ' .. name .. ' on the selection'
  vim.keymap.set('x', '<Plug>(agent-' .. name .. ')', ':Agent ' .. name .. '<CR>', { desc = desc, silent = true })
end

local group = vim.api.nvim_create_augroup('agent_lsp', {})

vim.api.nvim_create_autocmd('LspAttach', {
  group = group,
  callback = function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == 'agent_lsp' then
      require('agent_lsp.keys').attach(event.buf)
      require('agent_lsp.hunks').quieten_diagnostics(client.id)
      require('agent_lsp.hunks').draw(event.buf)
    end
  end,
})

vim.api.nvim_create_autocmd('DiagnosticChanged', {
  group = group,
  callback = function(event)
    if package.loaded['agent_lsp.hunks'] then
      require('agent_lsp.hunks').draw(event.buf)
    end
  end,
})

vim.api.nvim_create_autocmd('ColorScheme', { group = group, callback = lazy('highlights', 'define') })

if require('agent_lsp.settings').get().enable then
  vim.lsp.enable('agent_lsp')
end
