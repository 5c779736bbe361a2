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
  },
}
