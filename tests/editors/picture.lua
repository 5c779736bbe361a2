-- Drives a stock Neovim to a proposal under review, for the picture in docs/gate.md: lenses, diagnostics, the menu of actions.
-- Reads its task from the environment: AGENT_LSP_COMMAND (JSON list), AGENT_LSP_CONFIGURATION, AGENT_LSP_FILE,
-- AGENT_LSP_GOAL, AGENT_LSP_REPORT (a file that is written once the menu is about to open).

-- A line for each sentence: virtual lines do not wrap.
local function sentences(diagnostic) return (diagnostic.message:gsub('%. ', '.\n')) end

vim.opt.termguicolors = true
vim.opt.number = true
vim.opt.signcolumn = 'yes'
vim.opt.showmode = false
vim.opt.laststatus = 0
vim.opt.fillchars = { msgsep = '─' }
vim.api.nvim_set_hl(0, 'MsgSeparator', { link = 'LineNr' })
vim.opt.more = false
vim.diagnostic.config({ virtual_text = false, virtual_lines = { format = sentences }, underline = true })
vim.opt.runtimepath:append(vim.env.AGENT_LSP_CONFIGURATION)
vim.lsp.config('agent_lsp', { cmd = vim.json.decode(vim.env.AGENT_LSP_COMMAND) })
vim.lsp.enable('agent_lsp')
vim.lsp.handlers['window/showMessage'] = function() end

local ending = false
vim.api.nvim_create_autocmd('LspProgress', {
  callback = function(event) ending = event.data.params.value.kind == 'end' end,
})

local function ours()
  return vim.tbl_filter(function(d)
    return d.source == 'agent-lsp' and d.severity == vim.diagnostic.severity.INFO
  end, vim.diagnostic.get(0))
end

local function when(condition, act)
  local timer = assert(vim.uv.new_timer())
  timer:start(100, 100, vim.schedule_wrap(function()
    if not timer:is_closing() and condition() then
      timer:close()
      act()
    end
  end))
end

local function client() return vim.lsp.get_clients({ name = 'agent_lsp' })[1] end

local function review()
  local hunk = ours()[1]
  vim.api.nvim_win_set_cursor(0, { hunk.lnum + 1, hunk.col })
  vim.fn.winrestview({ topline = math.max(1, hunk.lnum - 5) })
  vim.cmd('echo ""')
  vim.lsp.codelens.refresh({ bufnr = 0 })
  when(function() return #vim.lsp.codelens.get(0) > 0 end, function()
    vim.defer_fn(function()
      assert(io.open(vim.env.AGENT_LSP_REPORT, 'w')):close()
      vim.lsp.buf.code_action()
    end, 500)
  end)
end

local function start()
  client():exec_cmd({
    title = 'run',
    command = 'agent.run',
    arguments = { { goal = vim.env.AGENT_LSP_GOAL, uri = vim.uri_from_bufnr(0) } },
  }, { bufnr = 0 }, function() end)
  when(function() return #ours() > 0 and ending end, review)
end

vim.cmd.edit(vim.env.AGENT_LSP_FILE)
when(function() return client() ~= nil and client().initialized end, start)
