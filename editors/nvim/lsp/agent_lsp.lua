-- Owns the configuration of agent-lsp for a stock Neovim 0.11 or newer. Copy it to ~/.config/nvim/lsp/agent_lsp.lua and
-- say vim.lsp.enable('agent_lsp').
---@type vim.lsp.Config
return {
  cmd = { 'agent-lsp', 'serve' },
  filetypes = { 'python' },
  root_markers = { 'agent-lsp.toml', 'pyproject.toml', 'setup.cfg', '.git' },
  handlers = {
    -- Neovim prints the label of an edit. After a menu on the command line that waits for <Enter>, and until then the
    -- server would not hear that its edit has arrived.
    ['workspace/applyEdit'] = function(err, params, context)
      params.label = nil
      return vim.lsp.handlers['workspace/applyEdit'](err, params, context)
    end,
    -- Neovim ends each message with a line break: every one waits for <Enter>, and takes what is being typed for it.
    -- Here none waits. `:messages` has all of it; a float, until the cursor moves, what has no room on the last line.
    ['window/showMessage'] = function(_, params)
      local text = 'agent-lsp: ' .. params.message:gsub('^agent%-lsp: ', ''):gsub('%s*\n%s*', ' ')
      local colour = ({ 'ErrorMsg', 'WarningMsg' })[params.type]
      local before = vim.o.messagesopt
      vim.o.messagesopt = before:gsub('hit%-enter', 'wait:0')
      vim.api.nvim_echo({ { text, colour } }, true, {})
      vim.cmd.redraw()
      vim.o.messagesopt = before
      local long = vim.fn.strdisplaywidth(text) > vim.v.echospace
      if long then
        local start = vim.fn.strcharpart(text, 0, vim.v.echospace - 13)
        vim.api.nvim_echo({ { start .. '… (:messages)', colour } }, false, {})
      end
      if long or vim.api.nvim_get_mode().mode ~= 'n' then
        local how = { focusable = false, wrap = true, max_width = 80 }
        local _, window = vim.lsp.util.open_floating_preview({ text }, '', how)
        vim.wo[window].linebreak = true
      end
    end,
  },
}
